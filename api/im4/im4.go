// Package im4 serves the webhook API of InMemory4 under /im4, as the vendor documents it: one settings object per
// client. docs/systems/im4.md lists the choices made where the document is silent.
//
// It holds only the mapping: the rules are in internal/service. It must not import another system's package.
package im4

import (
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// Mount serves the API on a router whose base path is "/".
func Mount(r gin.IRouter, o systems.Options) { API(o).Mount(r) }

// API returns the API.
func API(o systems.Options) *systems.API {
	api := systems.New(systems.Form{
		System:    wire.ProfileIM4,
		Key:       systems.Bearer,
		Challenge: "Bearer",
		Invalid:   http.StatusUnprocessableEntity,
		Fields:    map[string]string{"url": urlField},
		Refuse:    refuse,
	}, o)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: "/webhooks", Body: systems.Parameters, Fields: fields(), Roles: []models.Role{models.RoleSettings}}, save)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: "/webhooks"}, show)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: "/webhooks/test"}, test)
	return api
}

const urlField = "webhook_url"

// fields are the settings. The URL must be present, even if null or empty. An absent flag is false.
func fields() []systems.Field {
	all := []systems.Field{{Name: urlField, Required: true, Nullable: true}}
	for _, f := range flags {
		all = append(all, systems.Field{Name: f.name, Kind: systems.Switch})
	}
	return all
}

// refuse answers {"message":"…"}, and for a 422 {"message":"…","errors":{"webhook_url":["…"]}}.
func refuse(c *gin.Context, r systems.Refusal) {
	body := gin.H{"message": r.Message}
	if r.Status == http.StatusUnprocessableEntity {
		byField := map[string][]string{}
		for _, f := range r.Fields {
			byField[f.Field] = append(byField[f.Field], f.Message)
		}
		if len(r.Fields) == 0 {
			byField["body"] = []string{r.Message}
		}
		body["errors"] = byField
	}
	c.PureJSON(r.Status, body)
}

// settings is the one object of a client. A URL with all flags false is stored, and gets only the test event.
type settings struct {
	URL                 *string `json:"webhook_url"`
	ProofreadingCreated bool    `json:"webhook_proofreading_created"`
	ProofreadingChanged bool    `json:"webhook_proofreading_changed"`
	OrderCreated        bool    `json:"webhook_order_created"`
	OrderChanged        bool    `json:"webhook_order_changed"`
}

// flag is a setting that switches an event on. The vendor's documentation uses more than one name for some.
type flag struct {
	name, event string
	of          func(*settings) *bool
}

var flags = []flag{
	{"webhook_proofreading_created", "proofreading.sent", func(s *settings) *bool { return &s.ProofreadingCreated }},
	{"webhook_proofreading_changed", "proofreading.updated", func(s *settings) *bool { return &s.ProofreadingChanged }},
	{"webhook_order_created", "order.created", func(s *settings) *bool { return &s.OrderCreated }},
	{"webhook_order_changed", "order.changed", func(s *settings) *bool { return &s.OrderChanged }},
}

// eventTypes returns the events that are switched on.
func (s *settings) eventTypes() []string {
	var names []string
	for _, f := range flags {
		if *f.of(s) {
			names = append(names, f.event)
		}
	}
	if names == nil {
		return []string{models.NoEventTypes}
	}
	return names
}

// current returns the tenant's settings and the webhook that holds them, nil if the URL is null. If there are several
// webhooks of this profile, which only /v1 can create, it is the first.
func current(q *systems.Request) (settings, *models.Webhook, error) {
	var s settings
	webhooks, err := q.Webhooks()
	if err != nil {
		return s, nil, err
	}
	if len(webhooks) == 0 {
		_, err := q.API.Service.SystemSettings(q.Ctx(), q.Tenant, wire.ProfileIM4, &s)
		return s, nil, err
	}
	w := &webhooks[0]
	s.URL = &w.URL
	for _, f := range flags {
		*f.of(&s) = w.Wants(f.event)
	}
	return s, w, nil
}

func show(q *systems.Request) error {
	s, _, err := current(q)
	if err != nil {
		return err
	}
	if s.URL != nil {
		s.URL = new(q.URL(*s.URL))
	}
	q.PureJSON(http.StatusOK, s)
	return nil
}

func save(q *systems.Request) error {
	s := read(q)
	var err error
	if s.URL == nil {
		err = unset(q, s)
	} else {
		err = keep(q, s)
	}
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, gin.H{"message": "Settings updated successfully."})
	return nil
}

// unset removes the webhook, and all others of this profile, and keeps the flags.
func unset(q *systems.Request, s settings) error {
	if err := q.Err(); err != nil {
		return err
	}
	webhooks, err := q.Webhooks()
	if err != nil {
		return err
	}
	if err := q.API.Service.KeepSystemSettings(q.Ctx(), q.Tenant, wire.ProfileIM4, s); err != nil {
		return err
	}
	for _, w := range webhooks {
		if _, err := q.API.Service.DeleteWebhook(q.Ctx(), q.Tenant, w.ID); err != nil && !is(err, service.NotFound) {
			return err
		}
	}
	return nil
}

// keep creates or changes the webhook. Saving is the only way for a client of InMemory4 to reactivate a webhook that
// failed too often. A webhook that was paused or disabled through /v1 stays so. Deliveries are signed with the key
// that saves.
func keep(q *systems.Request, s settings) error {
	names, key := s.eventTypes(), q.Who.Secret()
	c := service.WebhookChange{URL: s.URL, EventTypes: &names, Secret: &key, Only: true}
	now, w, err := current(q)
	if err == nil && w == nil {
		if _, err = q.Create(c); is(err, service.Conflict) {
			conflict := err
			if now, w, err = current(q); err == nil && w == nil {
				return conflict
			} // else another request has created it in the meantime
		}
	}
	if err == nil && w != nil {
		if now.URL = s.URL; now == s { // the flags have not changed, whatever their spelling in /v1
			c.EventTypes = nil
		}
		if w.Status == models.WebhookDeactivated {
			c.Active = new(true)
		}
		_, err = q.Update(*w, c)
	}
	if err == nil {
		err = q.API.Service.KeepsKey(q.Ctx(), q.Who)
	}
	if err != nil {
		return err
	}
	return q.API.Service.KeepSystemSettings(q.Ctx(), q.Tenant, wire.ProfileIM4, nil)
}

func is(err error, code service.Code) bool {
	var refused *service.Error
	return errors.As(err, &refused) && refused.Code == code
}

// test sends {"event":"test","message":"Hello!"} now. It succeeds if the receiver got it: this is how a client
// confirms that its configuration works.
func test(q *systems.Request) error {
	_, w, err := current(q)
	switch {
	case err != nil:
		return err
	case w == nil:
		q.Problemf(urlField, "is not set")
		return q.Err()
	}
	result, err := q.API.Service.SendExample(q.Ctx(), q.Tenant, w.ID, "test")
	if err != nil {
		return err
	}
	if !result.Received {
		q.Problemf(urlField, "the test event was not received: %s", result.Attempt.Error)
		return q.Err()
	}
	q.PureJSON(http.StatusOK, gin.H{"message": "Test event sent."})
	return nil
}

// read reads the settings from the request. An empty URL is null.
func read(q *systems.Request) settings {
	var s settings
	if address := q.In.Text(urlField); address != nil && *address != "" {
		s.URL = address
	}
	for _, f := range flags {
		if on := q.In.Flag(f.name); on != nil {
			*f.of(&s) = *on
		}
	}
	return s
}
