// Package up42 serves the webhook API of UP42 under /up42, as 004_cf65b4cd6231dc0c.txt and the vendor's public pages
// document it. A workspace is a tenant. docs/systems/up42.md says what was chosen where the documents are silent.
//
// It holds the mapping alone: what may change is said in internal/hooks. It must not import another system's package.
package up42

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) {
	api := systems.New(systems.Form{
		System:      wire.ProfileUP42,
		Key:         systems.Bearer,
		Challenge:   "Bearer",
		TenantParam: "workspace",
		Invalid:     http.StatusBadRequest,
		Fields:      map[string]string{"event_types": "events", "event_type": "event"},
		Refuse:      refuse,
	}, o)
	api.Handle(http.MethodGet, "/webhooks/events", events)
	api.Handle(http.MethodPost, "/workspaces/:workspace/webhooks", create)
	api.Handle(http.MethodGet, "/workspaces/:workspace/webhooks", list)
	api.Handle(http.MethodGet, "/workspaces/:workspace/webhooks/:id", show)
	api.Handle(http.MethodPut, "/workspaces/:workspace/webhooks/:id", update)
	api.Handle(http.MethodDelete, "/workspaces/:workspace/webhooks/:id", remove)
	api.Handle(http.MethodPost, "/workspaces/:workspace/webhooks/:id/tests", test)
	api.Mount(r)
}

// refuse answers {"data":null,"error":{"code":"NOT_FOUND","message":"…"}}; the code is the status in words.
func refuse(c *gin.Context, r systems.Refusal) {
	code := strings.ToUpper(strings.ReplaceAll(http.StatusText(r.Status), " ", "_"))
	c.PureJSON(r.Status, gin.H{"data": nil, "error": gin.H{"code": code, "message": r.Error()}})
}

func answer(q *systems.Request, status int, data any) error {
	q.PureJSON(status, gin.H{"data": data, "error": nil})
	return nil
}

// instant is a time as UP42 writes it, "2022-02-18T15:12:18.668452Z".
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

type event struct {
	Name          string `json:"name"`
	Title         string `json:"title"`
	Category      string `json:"category"`
	Description   string `json:"description"`
	Documentation string `json:"documentation"`
}

func events(q *systems.Request) error {
	listed, _ := catalog.Load(wire.ProfileUP42)
	data := make([]event, len(listed))
	for i, t := range listed {
		data[i] = event{t.Name, t.Title, t.Category, t.Description, t.Documentation}
	}
	return answer(q, http.StatusOK, data)
}

type webhook struct {
	ID        string   `json:"id"`
	URL       string   `json:"url"`
	Name      string   `json:"name"`
	Active    bool     `json:"active"`
	Events    []string `json:"events"`
	CreatedAt string   `json:"createdAt"`
	UpdatedAt string   `json:"updatedAt"`
	Secret    string   `json:"secret"` // "" if there is none, or the key may only read
}

// shown is a webhook as the API shows it.
func shown(q *systems.Request, w *models.Webhook) (webhook, error) {
	v := webhook{ID: systems.ID(w), URL: w.URL, Name: w.Name, Active: w.Status == models.WebhookActive, Events: q.Events(w),
		CreatedAt: instant(w.CreatedAt), UpdatedAt: instant(w.UpdatedAt)}
	var err error
	v.Secret, err = q.Secret(w)
	return v, err
}

func answerWebhook(q *systems.Request, status int, w *models.Webhook) error {
	v, err := shown(q, w)
	if err == nil && status != http.StatusCreated { // whoever makes a webhook has just sent its secret
		err = q.NoteShown()
	}
	if err != nil {
		return err
	}
	return answer(q, status, v)
}

// body is what create and update take. The rest is what a webhook is read with: clients send back what they got.
type body struct {
	Events []string `json:"events"`
	Name   *string  `json:"name"`
	URL    *string  `json:"url"`
	Secret *string  `json:"secret"`
	Active *bool    `json:"active"`

	ID        any `json:"id"`
	CreatedAt any `json:"createdAt"`
	UpdatedAt any `json:"updatedAt"`
}

// change checks the events. Some clients join them with a comma in one string, as the vendor's own examples do.
func (b *body) change(q *systems.Request) (hooks.WebhookChange, error) {
	c := hooks.WebhookChange{URL: b.URL, Name: b.Name, Secret: b.Secret, Active: b.Active}
	if b.Events == nil {
		return c, nil
	}
	names := systems.Split(b.Events...)
	if err := q.CheckEvents("events", names); err != nil {
		return c, err
	}
	c.EventTypes = &names
	return c, nil
}

func create(q *systems.Request) error {
	var b body
	if err := q.Decode(&b); err != nil {
		return err
	}
	switch {
	case b.Name == nil || *b.Name == "":
		return q.Invalid("name", "is required")
	case b.URL == nil:
		return q.Invalid("url", "is required")
	case b.Events == nil:
		return q.Invalid("events", "is required")
	case b.Active == nil:
		b.Active = new(bool)
	}
	c, err := b.change(q)
	if err != nil {
		return err
	}
	w, err := q.Create(c)
	if err != nil {
		return err
	}
	return answerWebhook(q, http.StatusCreated, &w)
}

func list(q *systems.Request) error {
	webhooks, err := q.Webhooks()
	if err != nil {
		return err
	}
	data := make([]webhook, len(webhooks))
	for i := range webhooks {
		if data[i], err = shown(q, &webhooks[i]); err != nil {
			return err
		}
	}
	if err := q.NoteShown(); err != nil {
		return err
	}
	return answer(q, http.StatusOK, data)
}

func show(q *systems.Request) error {
	w, err := q.Webhook(q.Param("id"))
	if err != nil {
		return err
	}
	return answerWebhook(q, http.StatusOK, &w)
}

func update(q *systems.Request) error {
	w, err := q.Webhook(q.Param("id"))
	if err != nil {
		return err
	}
	var b body
	if err := q.Decode(&b); err != nil {
		return err
	}
	if b.Name != nil && *b.Name == "" {
		return q.Invalid("name", "must not be empty")
	}
	c, err := b.change(q)
	if err != nil {
		return err
	}
	if w, err = q.Update(w, c); err != nil {
		return err
	}
	return answerWebhook(q, http.StatusOK, &w)
}

func remove(q *systems.Request) error {
	w, err := q.Webhook(q.Param("id"))
	if err != nil {
		return err
	}
	if _, err := q.API.Hooks.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil {
		return err
	}
	q.Status(http.StatusNoContent)
	return nil
}

type report struct {
	StartedAt      string   `json:"startedAt"`
	TestsRun       int      `json:"testsRun"`
	TestsSucceeded int      `json:"testsSucceeded"`
	TestsFailed    int      `json:"testsFailed"`
	Tests          []result `json:"tests"`
}

// result is one test. Its form is not public.
type result struct {
	Event      string  `json:"event"`
	Success    bool    `json:"success"`
	StartedAt  string  `json:"startedAt"`
	Duration   int64   `json:"durationMs"`
	StatusCode *int    `json:"statusCode"` // null = no answer
	Error      *string `json:"error"`      // null = received
}

// test POSTs an example of every event subscribed to, or of the one the body names.
func test(q *systems.Request) error {
	w, err := q.Webhook(q.Param("id"))
	if err != nil {
		return err
	}
	text, err := q.Body()
	if err != nil {
		return err
	}
	var b struct {
		Event string `json:"event"`
	}
	if len(bytes.TrimSpace(text)) > 0 {
		if err := q.Parse(text, &b); err != nil {
			return err
		}
	}
	run, err := q.API.Hooks.TestWebhook(q.Ctx(), q.Tenant, w.ID, b.Event)
	if err != nil {
		return err
	}
	r := report{StartedAt: instant(run.StartedAt), TestsRun: len(run.Tests), TestsSucceeded: run.Succeeded(),
		TestsFailed: len(run.Tests) - run.Succeeded(), Tests: make([]result, len(run.Tests))}
	for i, t := range run.Tests {
		r.Tests[i] = result{Event: t.EventType, Success: t.Received, StartedAt: instant(t.Attempt.StartedAt), Duration: t.Attempt.DurationMS}
		if t.Attempt.StatusCode != 0 {
			r.Tests[i].StatusCode = &t.Attempt.StatusCode
		}
		if !t.Received {
			r.Tests[i].Error = &t.Attempt.Error
		}
	}
	return answer(q, http.StatusOK, r)
}
