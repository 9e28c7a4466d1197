// Package languageweaver serves the webhook API of Language Weaver Edge under /languageweaver, as the vendor documents
// it. docs/systems/languageweaver.md lists the choices made where the document is silent.
//
// It holds only the mapping: the rules are in internal/service. It must not import another system's package.
package languageweaver

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	sampleEvent    = "sampleEvent" // what the test call sends by default
	defaultPerPage = 25
	maxPerPage     = 1000
	maxPage        = 1_000_000
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) { API(o).Mount(r) }

// API returns the API.
func API(o systems.Options) *systems.API {
	api := systems.New(systems.Form{
		System:    wire.ProfileLanguageWeaver,
		Key:       key,
		Challenge: `Basic realm="Language Weaver Edge", charset="UTF-8"`,
		Invalid:   http.StatusBadRequest,
		Fields:    map[string]string{"event_types": "events"},
		CORS:      true,
		Refuse:    refuse,
	}, o)
	const path = "/api/v2/webhooks"
	api.Handle(systems.Operation{Method: http.MethodGet, Path: path, Query: listFields}, list)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: path, Body: systems.Parameters, Fields: webhookFields}, create)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: path + "/test", Body: systems.Parameters, Fields: testFields}, test)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: path + "/:uuid"}, show)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: path + "/:uuid", Body: systems.Parameters, Fields: webhookFields}, update)
	api.Handle(systems.Operation{Method: http.MethodDelete, Path: path + "/:uuid"}, remove)
	return api
}

var (
	listFields = []systems.Field{
		{Name: "url"},
		{Name: "description"},
		{Name: "events", Kind: systems.JoinedNames},
		{Name: "page", Kind: systems.Number, Min: 1, Max: maxPage},
		{Name: "perPage", Kind: systems.Number, Min: 1, Max: maxPerPage},
	}
	webhookFields = []systems.Field{
		{Name: "url", Required: true},
		{Name: "events", Kind: systems.JoinedNames, Required: true},
		{Name: "description"},
		{Name: "uuid", ReadOnly: true, Identity: true},
		{Name: "username", ReadOnly: true},
	}
	testFields = []systems.Field{{Name: "url", Required: true}, {Name: "event"}}
)

// key returns the user name of Basic authentication (curl -u KEY:), whatever the password, or a bearer token.
func key(r *http.Request) string {
	if user, _, ok := r.BasicAuth(); ok {
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
	Username    string   `json:"username"` // the name of the key that created it
	Events      []string `json:"events"`
}

func shown(q *systems.Request, w *models.Webhook) webhook {
	return webhook{UUID: systems.ID(w), URL: q.URL(w.URL), Description: w.Description, Username: w.CreatedBy, Events: q.Events(w)}
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
	number, perPage := q.In.Number("page", 1), q.In.Number("perPage", defaultPerPage)
	events := q.In.List("events")
	if len(events) > 0 {
		q.CheckEvents("events", events, nil)
	}
	if err := q.Err(); err != nil {
		return err
	}
	all, err := q.Webhooks()
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(w models.Webhook) bool {
		return !systems.Contains(q.URL(w.URL), q.In.String("url")) || !systems.Contains(w.Description, q.In.String("description")) ||
			len(events) > 0 && !slices.ContainsFunc(events, w.Wants)
	})
	p := page{Webhooks: []webhook{}, Page: number, PerPage: perPage, TotalItems: len(all), TotalPages: (len(all) + perPage - 1) / perPage}
	for _, w := range systems.Slice(all, (number-1)*perPage, perPage) {
		p.Webhooks = append(p.Webhooks, shown(q, &w))
	}
	q.PureJSON(http.StatusOK, p)
	return nil
}

// read reads a webhook from the request. w is the webhook to change, nil to create one.
func read(q *systems.Request, w *models.Webhook) service.WebhookChange {
	c := service.WebhookChange{URL: q.In.Text("url"), EventTypes: q.In.Names("events"), Description: q.In.Text("description")}
	if c.EventTypes != nil {
		q.CheckEvents("events", *c.EventTypes, w)
	}
	return c
}

func create(q *systems.Request) error {
	w, err := q.Create(read(q, nil))
	if err != nil {
		return err
	}
	return answer(q, &w)
}

func show(q *systems.Request) error {
	w, err := q.Webhook("uuid")
	if err != nil {
		return err
	}
	return answer(q, &w)
}

func update(q *systems.Request) error {
	w, err := q.Webhook("uuid")
	if err != nil {
		return err
	}
	if w, err = q.Update(w, read(q, &w)); err != nil {
		return err
	}
	return answer(q, &w)
}

// remove answers with the webhook as it was.
func remove(q *systems.Request) error {
	w, err := q.Webhook("uuid")
	if err != nil {
		return err
	}
	if w, err = q.API.Service.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil {
		return err
	}
	return answer(q, &w)
}

// test POSTs an example to a URL now. If a webhook is registered for the URL, the example is signed with its secret.
// Otherwise it is unsigned, as no receiver can know a secret yet.
func test(q *systems.Request) error {
	address, event := q.In.Text("url"), cmp.Or(q.In.String("event"), sampleEvent)
	if event != sampleEvent {
		q.CheckEvents("event", []string{event}, nil)
	}
	if err := q.CheckURL(address); err != nil {
		return err
	}
	all, err := q.Webhooks()
	if err != nil {
		return err
	}
	var result service.TestResult
	if i := slices.IndexFunc(all, func(w models.Webhook) bool { return w.URL == *address }); i >= 0 {
		result, err = q.API.Service.SendExample(q.Ctx(), q.Tenant, all[i].ID, event)
	} else {
		result, err = q.API.Service.TestURL(q.Ctx(), q.Tenant, wire.ProfileLanguageWeaver, *address, "", event)
	}
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, gin.H{"success": result.Received})
	return nil
}
