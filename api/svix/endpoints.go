package svix

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// endpointFields returns the fields of an endpoint. Headers are set when it is created, and later by a call of their
// own.
func endpointFields(required bool, more ...systems.Field) []systems.Field {
	return append([]systems.Field{
		{Name: "url", Required: required},
		{Name: "description"},
		{Name: "disabled", Kind: systems.Flag},
		{Name: "filterTypes", Alias: "eventTypes", Kind: systems.Names, Nullable: true},
		{Name: "rateLimit", Alias: "throttleRate", Kind: systems.Number, Min: 1, Max: maxRate, Nullable: true},
		{Name: "channels", Kind: systems.Names, Nullable: true},
		{Name: "metadata", Kind: systems.Map},
		{Name: "uid", Nullable: true},
		{Name: "version", Kind: systems.Number, ReadOnly: true},
		{Name: "id", ReadOnly: true},
		{Name: "createdAt", ReadOnly: true},
		{Name: "updatedAt", ReadOnly: true},
	}, more...)
}

func endpoints(api *systems.API) {
	secret := systems.Field{Name: "secret"}
	api.Handle(systems.Operation{Method: http.MethodGet, Path: endpointsOf, Query: sorting}, listEndpoints)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: endpointsOf, Body: systems.JSON,
		Fields: endpointFields(true, secret, systems.Field{Name: "headers", Kind: systems.Map})}, createEndpoint)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneEndpoint}, showEndpoint)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: oneEndpoint, Body: systems.JSON, Fields: endpointFields(true)}, putEndpoint)
	api.Handle(systems.Operation{Method: http.MethodPatch, Path: oneEndpoint, Body: systems.JSON, Fields: endpointFields(false, secret)}, patchEndpoint)
	api.Handle(systems.Operation{Method: http.MethodDelete, Path: oneEndpoint}, deleteEndpoint)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: oneEndpoint + "/send-example", Body: systems.JSON,
		Fields: []systems.Field{{Name: "eventType", Required: true}, {Name: "exampleIndex", Kind: systems.Number, Max: maxExamples}}}, sendExample)
}

type endpoint struct {
	ID           string            `json:"id"`
	UID          *string           `json:"uid"`
	URL          string            `json:"url"`
	Description  string            `json:"description"`
	Disabled     bool              `json:"disabled"`
	FilterTypes  []string          `json:"filterTypes"` // null = every type
	EventTypes   []string          `json:"eventTypes"`
	Channels     []string          `json:"channels"`
	RateLimit    *int              `json:"rateLimit"`
	ThrottleRate *int              `json:"throttleRate"`
	Metadata     map[string]string `json:"metadata"`
	Version      int               `json:"version"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`
}

func endpointOf(q *systems.Request, w *models.Webhook) endpoint {
	e := endpoint{ID: endpointID(w.ID), UID: orNil(w.UID), URL: q.URL(w.URL), Description: w.Description, Disabled: w.Status != models.WebhookActive,
		Metadata: map[string]string{}, Version: 1, CreatedAt: w.CreatedAt.UTC(), UpdatedAt: w.UpdatedAt.UTC()}
	if len(w.EventTypes) > 0 {
		e.FilterTypes, e.EventTypes = w.EventTypes, w.EventTypes
	}
	if len(w.Channels) > 0 {
		e.Channels = w.Channels
	}
	maps.Copy(e.Metadata, w.Metadata)
	e.RateLimit = wholeRate(w.RateLimit)
	e.ThrottleRate = e.RateLimit
	return e
}

// wholeRate is a rate as Svix shows it: /v1 knows less than one a second.
func wholeRate(rate float64) *int {
	if rate == 0 {
		return nil
	}
	return new(int(math.Ceil(rate)))
}

func answerEndpoint(q *systems.Request, status int, w models.Webhook, err error) error {
	if err != nil {
		return err
	}
	q.PureJSON(status, endpointOf(q, &w))
	return nil
}

// endpointNamed reads the webhook whose id or uid is in the path. All webhooks of the tenant are endpoints, whichever
// API created them.
func endpointNamed(q *systems.Request) (models.Webhook, error) {
	id, err := webhookID(q, q.Param("endpoint_id"))
	if err != nil {
		return models.Webhook{}, err
	}
	return q.API.Service.Webhook(q.Ctx(), q.Tenant, id)
}

// webhookID returns the id of the webhook with this uid or this id in Svix's form. An endpoint that was imported from
// Svix without a uid has its former id, with its ep_, as its uid. NotFound if no webhook matches.
func webhookID(q *systems.Request, name string) (string, error) {
	if id := native(name, prefixEndpoint, models.PrefixWebhook); id != "" {
		return id, nil
	}
	id, err := q.API.Service.WebhookID(q.Ctx(), q.Tenant, strings.TrimPrefix(name, prefixEndpoint))
	if err == nil && !models.HasIDForm(models.PrefixWebhook, id) {
		err = service.Refuse(service.NotFound, "there is no such endpoint")
	}
	return id, err
}

func listEndpoints(q *systems.Request) error {
	w, err := wholeWindowOf(q, ascending, ascending, keyOf(prefixEndpoint, models.PrefixWebhook))
	if err != nil {
		return err
	}
	webhooks, next, err := q.API.Service.Webhooks(q.Ctx(), q.Tenant, models.WebhookFilter{}, w.page)
	if err != nil {
		return err
	}
	data := make([]endpoint, len(webhooks))
	for i := range webhooks {
		data[i] = endpointOf(q, &webhooks[i])
	}
	return answerList(q, w, data, func(e *endpoint) string { return e.ID }, next != "")
}

// keyOf returns a function that makes the sort key of a list that is sorted by ids.
func keyOf(svix, own string) func(id string) ([]string, error) {
	return func(id string) ([]string, error) {
		if id = native(id, svix, own); id == "" {
			return nil, nil
		}
		return []string{id}, nil
	}
}

// read reads an endpoint from the body. whole: an absent field gets its default; otherwise it stays as it is.
func read(q *systems.Request, whole bool) service.WebhookChange {
	c := service.WebhookChange{URL: q.In.Text("url"), Description: q.In.Text("description"), EventTypes: q.In.Names("filterTypes"),
		UID: q.In.Text("uid"), Channels: q.In.Names("channels"), By: q.Who.Name}
	if disabled := q.In.Flag("disabled"); disabled != nil || whole {
		c.Active = new(disabled == nil || !*disabled)
	}
	if c.Description == nil && whole {
		c.Description = new("")
	}
	if c.EventTypes == nil && (whole || q.In.IsNull("filterTypes")) {
		c.EventTypes = &[]string{}
	}
	if rate := q.In.Number("rateLimit", 0); rate > 0 || whole || q.In.IsNull("rateLimit") {
		c.RateLimit = new(float64(rate))
	}
	if secret := q.In.Text("secret"); secret != nil {
		c.Secret = new(prefixed(*secret))
	}
	if c.UID == nil && (whole || q.In.IsNull("uid")) {
		c.UID = new("")
	}
	if metadata := q.In.Map("metadata"); metadata != nil || whole {
		c.Metadata = new(texts(metadata))
	}
	switch {
	case c.Channels != nil && len(*c.Channels) == 0:
		q.Problemf("channels", "must not be empty: null means all")
	case c.Channels == nil && (whole || q.In.IsNull("channels")):
		c.Channels = &[]string{}
	}
	c.Wrong = q.Wrong()
	return c
}

// prefixed adds the prefix to a secret. Svix also accepts secrets without it.
func prefixed(secret string) string {
	if secret == "" || strings.HasPrefix(secret, "whsec_") || strings.HasPrefix(secret, "whsk_") {
		return secret
	}
	return "whsec_" + secret
}

func createEndpoint(q *systems.Request) error { return makeEndpoint(q, read(q, true)) }

func makeEndpoint(q *systems.Request, c service.WebhookChange) error {
	if c.URL == nil { // the use case would report it a second time, in other words
		return q.Err()
	}
	c.Profile = wire.ProfileSvix
	if headers := q.In.Map("headers"); headers != nil {
		c.Headers = new(texts(headers))
	}
	w, _, err := q.API.Service.CreateWebhook(q.Ctx(), q.Tenant, c)
	return answerEndpoint(q, http.StatusCreated, w, err)
}

// texts returns an object without its nulls.
func texts(of map[string]*string) map[string]string {
	all := map[string]string{}
	for name, text := range of {
		if text != nil {
			all[name] = *text
		}
	}
	return all
}

func showEndpoint(q *systems.Request) error {
	w, err := endpointNamed(q)
	return answerEndpoint(q, http.StatusOK, w, err)
}

// putEndpoint replaces an endpoint. If no endpoint has the uid in the path, it creates one, with that uid unless the
// body has another.
func putEndpoint(q *systems.Request) error {
	w, err := endpointNamed(q)
	name := q.Param("endpoint_id")
	if isNotFound(err) && !strings.HasPrefix(name, prefixEndpoint) && !strings.HasPrefix(name, models.PrefixWebhook) {
		c := read(q, true)
		if *c.UID == "" {
			c.UID = &name
		}
		return makeEndpoint(q, c)
	}
	if err != nil {
		return err
	}
	changed, err := change(q, &w, read(q, true))
	return answerEndpoint(q, http.StatusOK, changed, err)
}

func patchEndpoint(q *systems.Request) error {
	w, err := endpointNamed(q)
	if err != nil {
		return err
	}
	changed, err := change(q, &w, read(q, false))
	return answerEndpoint(q, http.StatusOK, changed, err)
}

// change changes a webhook. A webhook that is not active for any reason counts as disabled here. It keeps its status
// if the request says disabled too.
func change(q *systems.Request, w *models.Webhook, c service.WebhookChange) (models.Webhook, error) {
	if c.Active != nil && *c.Active == (w.Status == models.WebhookActive) {
		c.Active = nil
	}
	if c.RateLimit != nil && *c.RateLimit == math.Ceil(w.RateLimit) { // the value as it is shown
		c.RateLimit = nil
	}
	return q.API.Service.UpdateWebhook(q.Ctx(), q.Tenant, w.ID, c)
}

func deleteEndpoint(q *systems.Request) error {
	w, err := endpointNamed(q)
	if err == nil {
		_, err = q.API.Service.DeleteWebhook(q.Ctx(), q.Tenant, w.ID)
	}
	if err != nil {
		return err
	}
	return nothing(q)
}

// The example that every installation has.
const (
	pingType    = "svix.ping"
	pingPayload = `{"success":true}`
	maxExamples = 1000
)

// exampleOf returns an example of an event type: of those in its schema the requested one, or else the type's own, or else an
// empty one.
func exampleOf(q *systems.Request, t *models.EventType) (string, error) {
	var schema struct {
		Examples []json.RawMessage `json:"examples"`
	}
	_ = json.Unmarshal([]byte(t.Schema), &schema) // it may have no list of examples
	if len(schema.Examples) == 0 {
		return cmp.Or(t.Example, "{}"), nil
	}
	index := q.In.Number("exampleIndex", 0)
	if index >= len(schema.Examples) {
		q.Problemf("exampleIndex", "must be less than %d, the number of examples in the schema", len(schema.Examples))
		return "", q.Err()
	}
	return string(schema.Examples[index]), nil
}

// sendExample POSTs an example of an event type now.
func sendExample(q *systems.Request) error {
	w, err := endpointNamed(q)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return err
	}
	name, payload := q.In.String("eventType"), pingPayload
	if name != pingType {
		t, err := q.API.Service.EventType(q.Ctx(), q.Tenant, name)
		if err != nil {
			return err
		}
		if payload, err = exampleOf(q, &t); err != nil {
			return err
		}
	}
	test, err := q.API.Service.SendSample(q.Ctx(), q.Tenant, w.ID, name, []byte(payload))
	if err != nil {
		return err
	}
	if !test.Received {
		return &systems.Refusal{Status: http.StatusBadRequest, Message: "the example was not received: " + test.Attempt.Error}
	}
	id := test.Attempt.RequestHeaders["Webhook-Id"]
	if !strings.HasPrefix(id, prefixMessage) { // an endpoint of another profile
		id = wire.MessageID(cmp.Or(id, models.NewID(models.PrefixEvent)))
	}
	q.PureJSON(http.StatusOK, message{ID: id, EventType: name, Payload: object([]byte(payload)), Timestamp: test.Attempt.StartedAt.UTC()})
	return nil
}
