// Package up42 serves the webhook API of UP42 under /up42, as the vendor's documentation and public pages describe it.
// A workspace is a tenant. docs/systems/up42.md lists the choices made where the documents are silent.
//
// It holds only the mapping: the rules are in internal/service. It must not import another system's package.
package up42

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) { API(o).Mount(r) }

// API returns the API.
func API(o systems.Options) *systems.API {
	api := systems.New(systems.Form{
		System:      wire.ProfileUP42,
		Key:         systems.Bearer,
		Challenge:   "Bearer",
		TenantParam: "workspace",
		Invalid:     http.StatusBadRequest,
		Fields:      map[string]string{"event_types": "events", "event_type": "event"},
		Refuse:      refuse,
	}, o)
	const path = "/workspaces/:workspace/webhooks"
	api.Handle(systems.Operation{Method: http.MethodGet, Path: "/webhooks/events"}, events)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: path, Body: systems.JSON, Fields: webhookFields(true)}, create)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: path}, list)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: path + "/:id"}, show)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: path + "/:id", Body: systems.JSON, Fields: webhookFields(false)}, update)
	api.Handle(systems.Operation{Method: http.MethodDelete, Path: path + "/:id"}, remove)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: path + "/:id/tests", Body: systems.OptionalJSON, Fields: testFields}, test)
	return api
}

// webhookFields are the fields of a webhook; some are required to create one. The read-only ones are in answers. Some
// clients join events with commas in one string, as the vendor's own examples do.
func webhookFields(required bool) []systems.Field {
	return []systems.Field{
		{Name: "events", Kind: systems.JoinedNames, Required: required},
		{Name: "name", Required: required},
		{Name: "url", Required: required},
		{Name: "secret", Nullable: true}, // "" and null = none, the mask = unchanged
		{Name: "active", Kind: systems.Flag},
		{Name: "id", ReadOnly: true, Identity: true},
		{Name: "createdAt", ReadOnly: true},
		{Name: "updatedAt", ReadOnly: true},
	}
}

// testFields name the events to test, in either of two forms.
var testFields = []systems.Field{{Name: "event"}, {Name: "events", Kind: systems.JoinedNames}}

// refuse answers {"data":null,"error":{"code":"NOT_FOUND","message":"…"}}; the code is the status in words.
func refuse(c *gin.Context, r systems.Refusal) {
	code := strings.ToUpper(strings.ReplaceAll(http.StatusText(r.Status), " ", "_"))
	c.PureJSON(r.Status, gin.H{"data": nil, "error": gin.H{"code": code, "message": r.Error()}})
}

func answer(q *systems.Request, status int, data any) error {
	q.PureJSON(status, gin.H{"data": data, "error": nil})
	return nil
}

// instant returns a time in UP42's format, "2022-02-18T15:12:18.668452Z".
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
	Secret    string   `json:"secret"` // "" if there is none, masked if the key may only read
}

// shown returns a webhook as the API shows it.
func shown(q *systems.Request, w *models.Webhook) (webhook, error) {
	v := webhook{ID: systems.ID(w), URL: q.URL(w.URL), Name: w.Name, Active: w.Status == models.WebhookActive, Events: q.Events(w),
		CreatedAt: instant(w.CreatedAt), UpdatedAt: instant(w.UpdatedAt)}
	var err error
	if q.MaySeeSecrets() {
		v.Secret, err = q.Secret(w)
		return v, err
	}
	if v.Secret, err = q.API.Service.Secret(w); v.Secret != "" {
		v.Secret = wire.Masked
	}
	return v, err
}

func answerWebhook(q *systems.Request, status int, w *models.Webhook) error {
	v, err := shown(q, w)
	if err == nil && status != http.StatusCreated { // its creator sent the secret
		err = q.NoteShown()
	}
	if err != nil {
		return err
	}
	return answer(q, status, v)
}

// read reads a webhook from the body. w is the webhook to change, nil to create one.
func read(q *systems.Request, w *models.Webhook) service.WebhookChange {
	c := service.WebhookChange{URL: q.In.Text("url"), Name: q.In.Text("name"), Secret: q.In.Text("secret"), Active: q.In.Flag("active"),
		EventTypes: q.In.Names("events")}
	if q.In.IsNull("secret") {
		c.Secret = new("")
	}
	if c.EventTypes != nil {
		q.CheckEvents("events", *c.EventTypes, w)
	}
	if c.Name != nil && *c.Name == "" && (w == nil || w.Name != "") {
		q.Problemf("name", "must not be empty")
	}
	return c
}

func create(q *systems.Request) error {
	c := read(q, nil)
	if c.Active == nil {
		c.Active = new(false)
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
	w, err := q.Webhook("id")
	if err != nil {
		return err
	}
	return answerWebhook(q, http.StatusOK, &w)
}

func update(q *systems.Request) error {
	w, err := q.Webhook("id")
	if err != nil {
		return err
	}
	if w, err = q.Update(w, read(q, &w)); err != nil {
		return err
	}
	return answerWebhook(q, http.StatusOK, &w)
}

func remove(q *systems.Request) error {
	w, err := q.Webhook("id")
	if err != nil {
		return err
	}
	if _, err := q.API.Service.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil {
		return err
	}
	q.Status(http.StatusNoContent)
	return nil
}

// testEach tests the named events one after the other, or all at once if none is named.
func testEach(q *systems.Request, id string, named []string) (run service.TestReport, err error) {
	if len(named) == 0 {
		return q.API.Service.TestWebhook(q.Ctx(), q.Tenant, id, "")
	}
	slices.Sort(named)
	for _, event := range slices.Compact(named) {
		one, err := q.API.Service.TestWebhook(q.Ctx(), q.Tenant, id, event)
		if err != nil {
			return run, err
		}
		if run.StartedAt.IsZero() {
			run.StartedAt = one.StartedAt
		}
		run.Tests = append(run.Tests, one.Tests...)
	}
	return run, nil
}

// checkNamed reports events that the webhook is not registered for.
func checkNamed(q *systems.Request, field string, names []string, w *models.Webhook) {
	for _, name := range names {
		if !w.Wants(name) {
			q.Problemf(field, "is not an event type of this webhook")
		}
	}
}

type report struct {
	StartedAt      string   `json:"startedAt"`
	TestsRun       int      `json:"testsRun"`
	TestsSucceeded int      `json:"testsSucceeded"`
	TestsFailed    int      `json:"testsFailed"`
	Tests          []result `json:"tests"`
}

// result is the result of one test. Its form is not public.
type result struct {
	Event      string  `json:"event"`
	Success    bool    `json:"success"`
	StartedAt  string  `json:"startedAt"`
	Duration   int64   `json:"durationMs"`
	StatusCode *int    `json:"statusCode"` // null = no answer
	Error      *string `json:"error"`      // null = received
}

// test POSTs an example of every event that the webhook is registered for, or of those in the body.
func test(q *systems.Request) error {
	w, err := q.Webhook("id")
	if err != nil {
		return err
	}
	named := q.In.List("events")
	checkNamed(q, "events", named, &w)
	if event := q.In.String("event"); event != "" {
		checkNamed(q, "event", []string{event}, &w)
		named = append(named, event)
	}
	if err := q.Err(); err != nil {
		return err
	}
	run, err := testEach(q, w.ID, named)
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
