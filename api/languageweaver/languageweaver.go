// Package languageweaver serves the webhook API of Language Weaver Edge under /languageweaver, as
// 002_98eb4251fce2d61f.txt documents it. docs/systems/languageweaver.md says what was chosen where the document is silent.
//
// It holds the mapping alone: what may change is said in internal/hooks. It must not import another system's package.
package languageweaver

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	sampleEvent    = "sampleEvent" // what the test call sends unless told otherwise
	defaultPerPage = 25
	maxPerPage     = 1000
	maxPage        = 1_000_000
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) {
	api := systems.New(systems.Form{
		System:    wire.ProfileLanguageWeaver,
		Key:       key,
		Challenge: `Basic realm="Language Weaver Edge", charset="UTF-8"`,
		Invalid:   http.StatusBadRequest,
		Fields:    map[string]string{"event_types": "events"},
		CORS:      true,
		Refuse:    refuse,
	}, o)
	api.Handle(http.MethodGet, "/api/v2/webhooks", list)
	api.Handle(http.MethodPost, "/api/v2/webhooks", create)
	api.Handle(http.MethodPut, "/api/v2/webhooks/test", test)
	api.Handle(http.MethodGet, "/api/v2/webhooks/:uuid", show)
	api.Handle(http.MethodPut, "/api/v2/webhooks/:uuid", update)
	api.Handle(http.MethodDelete, "/api/v2/webhooks/:uuid", remove)
	api.Mount(r)
}

// key is the user name of Basic authentication, whose password is empty (curl -u KEY:), or a bearer token.
func key(r *http.Request) string {
	if user, password, ok := r.BasicAuth(); ok && password == "" {
		return user
	}
	return systems.Bearer(r)
}

// refuse answers {"error":{"code":400,"message":"Bad Request","details":"url is required"}}.
func refuse(c *gin.Context, r systems.Refusal) {
	c.PureJSON(r.Status, gin.H{"error": gin.H{"code": r.Status, "message": http.StatusText(r.Status), "details": r.Error()}})
}

type webhook struct {
	UUID        string   `json:"uuid"`
	URL         string   `json:"url"`
	Description string   `json:"description"`
	Username    string   `json:"username"` // who made it: the name of the key
	Events      []string `json:"events"`
}

func shown(q *systems.Request, w *models.Webhook) webhook {
	return webhook{UUID: systems.ID(w), URL: w.URL, Description: w.Description, Username: w.CreatedBy, Events: q.Events(w)}
}

func answer(q *systems.Request, w *models.Webhook) error {
	q.PureJSON(http.StatusOK, shown(q, w))
	return nil
}

type page struct {
	Webhooks   []webhook `json:"webhooks"`
	Page       int       `json:"page"`
	PerPage    int       `json:"perPage"`
	TotalPages int       `json:"totalPages"`
	TotalItems int       `json:"totalItems"`
}

func list(q *systems.Request) error {
	number, err := q.Int("page", 1, 1, maxPage)
	if err != nil {
		return err
	}
	perPage, err := q.Int("perPage", defaultPerPage, 1, maxPerPage)
	if err != nil {
		return err
	}
	events := systems.Split(q.QueryArray("events")...)
	if len(events) > 0 {
		if err := q.CheckEvents("events", events); err != nil {
			return err
		}
	}
	all, err := q.Webhooks()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(w models.Webhook) bool {
		return !strings.Contains(w.URL, q.Query("url")) || !strings.Contains(w.Description, q.Query("description")) ||
			len(events) > 0 && !slices.ContainsFunc(events, w.Wants)
	})
	p := page{Webhooks: []webhook{}, Page: number, PerPage: perPage, TotalItems: len(all), TotalPages: (len(all) + perPage - 1) / perPage}
	for _, w := range systems.Slice(all, (number-1)*perPage, perPage) {
		p.Webhooks = append(p.Webhooks, shown(q, &w))
	}
	q.PureJSON(http.StatusOK, p)
	return nil
}

// read takes a webhook from a form; url and events must be there.
func read(q *systems.Request) (hooks.WebhookChange, error) {
	var c hooks.WebhookChange
	values, err := q.FormValues("url", "events", "description")
	if err != nil {
		return c, err
	}
	if !values.Has("url") {
		return c, q.Invalid("url", "is required")
	}
	if !values.Has("events") {
		return c, q.Invalid("events", "is required")
	}
	events := systems.Split(values["events"]...)
	if err := q.CheckEvents("events", events); err != nil {
		return c, err
	}
	address := values.Get("url")
	c.URL, c.EventTypes = &address, &events
	if values.Has("description") {
		description := values.Get("description")
		c.Description = &description
	}
	return c, nil
}

func create(q *systems.Request) error {
	c, err := read(q)
	if err != nil {
		return err
	}
	w, err := q.Create(c)
	if err != nil {
		return err
	}
	return answer(q, &w)
}

func show(q *systems.Request) error {
	w, err := q.Webhook(q.Param("uuid"))
	if err != nil {
		return err
	}
	return answer(q, &w)
}

func update(q *systems.Request) error {
	w, err := q.Webhook(q.Param("uuid"))
	if err != nil {
		return err
	}
	c, err := read(q)
	if err != nil {
		return err
	}
	if w, err = q.Update(w, c); err != nil {
		return err
	}
	return answer(q, &w)
}

// remove answers with the webhook as it was.
func remove(q *systems.Request) error {
	w, err := q.Webhook(q.Param("uuid"))
	if err != nil {
		return err
	}
	if w, err = q.API.Hooks.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil {
		return err
	}
	return answer(q, &w)
}

// test POSTs an example to a URL, now. Where a webhook is registered for the URL it is sent as to that one, signed
// with its secret; else unsigned, as there is no secret yet that a receiver could know.
func test(q *systems.Request) error {
	values, err := q.FormValues("url", "event")
	if err != nil {
		return err
	}
	if !values.Has("url") {
		return q.Invalid("url", "is required")
	}
	address, event := values.Get("url"), values.Get("event")
	if event == "" {
		event = sampleEvent
	}
	if event != sampleEvent {
		if err := q.CheckEvents("event", []string{event}); err != nil {
			return err
		}
	}
	all, err := q.Webhooks()
	if err != nil {
		return err
	}
	var result hooks.TestResult
	if i := slices.IndexFunc(all, func(w models.Webhook) bool { return w.URL == address }); i >= 0 {
		result, err = q.API.Hooks.SendExample(q.Ctx(), q.Tenant, all[i].ID, event)
	} else {
		result, err = q.API.Hooks.TestURL(q.Ctx(), q.Tenant, wire.ProfileLanguageWeaver, address, "", event)
	}
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, gin.H{"success": result.Received})
	return nil
}
