package svix

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// withContent says whether the answer contains the payloads, which is the default.
var withContent = systems.Field{Name: "with_content", Kind: systems.Flag}

// expanded says whether the answer distinguishes canceled from success. Newer clients always ask for this.
var expanded = systems.Field{Name: "expanded_statuses", Kind: systems.Flag}

// bounds restrict a list of messages or attempts.
var bounds = []systems.Field{{Name: "before"}, {Name: "after"}, {Name: "event_types", Kind: systems.JoinedNames}, {Name: "channel"}, {Name: "tag"},
	withContent, expanded}

func messages(api *systems.API) {
	api.Handle(systems.Operation{Method: http.MethodGet, Path: messagesOf, Query: slices.Concat(paging, bounds)}, listMessages)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: messagesOf, Roles: []models.Role{models.RolePublish}, Publishes: true, MakesTenant: true,
		Query: []systems.Field{withContent, expanded}, Body: systems.JSON, Fields: []systems.Field{
			{Name: "eventType", Required: true},
			{Name: "payload", Kind: systems.Raw, Required: true},
			{Name: "eventId"},
			{Name: "channels", Kind: systems.Names},
			{Name: "tags", Kind: systems.Names},
			{Name: "deliverAt"},
			{Name: "payloadRetentionPeriod", Kind: systems.Number, Min: 5, Max: 90},
			{Name: "payloadRetentionHours", Kind: systems.Number, Min: 1, Max: 90 * 24},
			{Name: "transformationsParams", Kind: systems.Nested, Of: []systems.Field{{Name: "rawPayload"}, {Name: "headers", Kind: systems.Map}}},
			{Name: "application", Kind: systems.Nested, Of: applicationFields(true)},
		}}, createMessage)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: messagesOf + "/precheck/active", Roles: []models.Role{models.RolePublish}, Body: systems.JSON,
		Fields: []systems.Field{{Name: "eventType", Required: true}, {Name: "channels", Kind: systems.Names}}}, precheck)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: messagesOf + "/bulk-expunge", Body: systems.JSON,
		Fields: []systems.Field{{Name: "ids", Kind: systems.Names}}}, expungeMessages)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneMessage, Query: []systems.Field{withContent, expanded}}, showMessage)
	api.Handle(systems.Operation{Method: http.MethodDelete, Path: oneMessage + "/content"}, expungeMessage)
}

type message struct {
	ID        string          `json:"id"`
	EventID   *string         `json:"eventId"`
	EventType string          `json:"eventType"`
	Payload   json.RawMessage `json:"payload"`
	Channels  []string        `json:"channels"`
	Tags      []string        `json:"tags"`
	Timestamp time.Time       `json:"timestamp"`
	// PayloadExpiresAt is there if the message asked for a time. Svix does not show it.
	PayloadExpiresAt *time.Time `json:"payloadExpiresAt,omitempty"`
}

// The stand-ins for a payload that is not shown and for an erased one.
var (
	hidden  = json.RawMessage(`{}`)
	expired = json.RawMessage(`{"expired":true}`)
)

func messageOf(e *models.Event, content bool) message {
	m := message{ID: wire.MessageID(e.ID), EventID: orNil(e.ExternalID), EventType: e.Type, Payload: hidden, Channels: e.Channels, Tags: e.Tags,
		Timestamp: e.CreatedAt.UTC()}
	if e.DataUntil != nil {
		m.PayloadExpiresAt = new(e.DataUntil.UTC())
	}
	switch {
	case e.ErasedAt != nil:
		m.Payload = expired
	case content:
		m.Payload = object(e.Data)
	}
	return m
}

// object returns an event's data as a payload. Clients rely on a payload being an object; other data can only come
// through /v1.
func object(data []byte) json.RawMessage {
	data = bytes.TrimSpace(data)
	if len(data) > 0 && data[0] == '{' {
		return data
	}
	return slices.Concat(json.RawMessage(`{"data":`), data, json.RawMessage(`}`))
}

// eventNamed reads the event that a path parameter names.
func eventNamed(q *systems.Request) (models.Event, error) {
	return eventOf(q, q.Param("msg_id"), q.API.Service.Event)
}

// eventOf reads something about a message's event, by its id or its eventId.
func eventOf[T any](q *systems.Request, id string, read func(ctx context.Context, tenant, id string) (T, error)) (found T, err error) {
	for _, id := range eventIDs(id) {
		found, err = read(q.Ctx(), q.Tenant, id)
		if !isNotFound(err) {
			return found, err
		}
	}
	e, err := q.API.Service.EventByExternalID(q.Ctx(), q.Tenant, id)
	if err != nil {
		return found, err
	}
	return read(q.Ctx(), q.Tenant, e.ID)
}

// messageUID is the form of a caller's own id of a message: it is used in paths.
var messageUID = regexp.MustCompile(`^[a-zA-Z0-9\-_.]{1,256}$`)

// createMessage publishes an event. It creates the tenant first if the body has an application that does not exist.
func createMessage(q *systems.Request) error {
	payload, err := payloadOf(q)
	if err != nil {
		return err
	}
	uid := q.In.String("eventId")
	if uid != "" && (!messageUID.MatchString(uid) || strings.HasPrefix(uid, prefixMessage)) {
		q.Problemf("eventId", "must be 1 to 256 letters, digits, dots, dashes or underscores, and must not begin with %s", prefixMessage)
	}
	if err := check(q, ofMessage); err != nil {
		return err
	}
	keep, err := retention(q)
	if err != nil {
		return err
	}
	tenant, err := inlineApplication(q)
	if err != nil {
		return err
	}
	published, err := q.API.Service.Publish(q.Ctx(), tenant, service.PublishRequest{
		Events: []service.EventInput{{Type: q.In.String("eventType"), Data: payload, ExternalID: uid, Channels: q.In.List("channels"), Tags: q.In.List("tags"), KeepData: keep}},
		Key:    q.GetHeader("Idempotency-Key"), Body: payload, AnyBody: true, By: q.Who})
	if err != nil {
		return err
	}
	if published[0].Replayed {
		q.Header("Idempotency-Replayed", "true")
	}
	e, err := q.API.Service.Event(q.Ctx(), tenant, published[0].ID)
	if err != nil {
		return err
	}
	m := messageOf(&e, flag(q, "with_content", true))
	if kept := q.API.Service.Retention; keep > 0 && e.DataUntil == nil && kept > 0 {
		m.PayloadExpiresAt = new(m.Timestamp.Add(kept))
	}
	q.PureJSON(http.StatusAccepted, m)
	return nil
}

// payloadOf returns the body that receivers get: the payload as it was posted, or the raw one that the client set next
// to it.
func payloadOf(q *systems.Request) (json.RawMessage, error) {
	payload := q.In.Raw("payload")
	if payload != nil && payload[0] != '{' {
		q.Problemf("payload", "must be an object")
	}
	given := q.In.Nested("transformationsParams")
	raw := given.Text("rawPayload")
	for name, value := range given.Map("headers") {
		if value != nil && (!strings.EqualFold(name, "content-type") || *value != "application/json") {
			return nil, notYet("a message cannot set headers: receivers always get application/json")
		}
	}
	if raw == nil {
		return payload, nil
	}
	if !json.Valid([]byte(*raw)) {
		q.Problemf("transformationsParams.rawPayload", "must be JSON: Posthorn delivers only JSON")
	}
	return json.RawMessage(*raw), nil
}

// retention returns how long the payload is to be kept; 0 = the message does not say.
func retention(q *systems.Request) (time.Duration, error) {
	hours := q.In.Number("payloadRetentionHours", 0)
	if days := q.In.Number("payloadRetentionPeriod", 0); days > 0 {
		if hours > 0 {
			q.Problemf("payloadRetentionHours", "cannot be given together with payloadRetentionPeriod")
		}
		hours = days * 24
	}
	return time.Duration(hours) * time.Hour, q.Err()
}

// precheck reports whether any endpoint would get a message now.
func precheck(q *systems.Request) error {
	if err := q.Err(); err != nil {
		return err
	}
	wanted, err := q.API.Service.Wanted(q.Ctx(), q.Tenant, q.In.String("eventType"), q.In.List("channels"))
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, struct {
		Active bool `json:"active"`
	}{wanted})
	return nil
}

func showMessage(q *systems.Request) error {
	e, err := eventNamed(q)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, messageOf(&e, flag(q, "with_content", true)))
	return nil
}

// maxContent is about how many bytes of payloads one page of a list holds. A page with more ends early.
const maxContent = 4 << 20

func listMessages(q *systems.Request) error {
	w, err := windowOf(q, descending, descending, func(id string) ([]string, error) {
		key, err := eventOf(q, id, q.API.Service.BehindEvent)
		if isNotFound(err) {
			return nil, nil
		}
		return key, err
	})
	if err != nil {
		return err
	}
	f := models.EventFilter{Types: q.In.List("event_types"), Channel: q.In.String("channel"), Tag: q.In.String("tag"),
		Since: instant(q, "after"), Until: instant(q, "before")}
	if err := q.Err(); err != nil {
		return err
	}
	events, next, _, err := q.API.Service.Events(q.Ctx(), q.Tenant, service.EventSearch{EventFilter: f}, w.page)
	if err != nil {
		return err
	}
	content, more, behind := flag(q, "with_content", true), next != "", ""
	if key := models.CursorKey(next); len(key) == 2 {
		behind = wire.MessageID(key[1])
	}
	if content {
		whole, err := withData(q, events, func(e *models.Event) string { return e.ID })
		if err != nil {
			return err
		}
		for i := range whole {
			events[i].Data, events[i].ErasedAt = whole[i].Data, whole[i].ErasedAt
		}
		if len(whole) < len(events) { // what is left out comes next
			more, events, behind = true, events[:len(whole)], ""
		}
	}
	data := make([]message, len(events))
	for i := range events {
		data[i] = messageOf(&events[i], content && events[i].Data != nil)
	}
	return answerLooked(q, w, data, func(m *message) string { return m.ID }, more, behind)
}

// withData reads the events of rows with their data, as many as a page may show.
func withData[T any](q *systems.Request, rows []T, id func(*T) string) ([]models.Event, error) {
	ids := make([]string, len(rows))
	for i := range rows {
		ids[i] = id(&rows[i])
	}
	return q.API.Service.EventsWithData(q.Ctx(), q.Tenant, ids, maxContent)
}

func expungeMessage(q *systems.Request) error {
	e, err := eventNamed(q)
	if err == nil {
		err = q.API.Service.ErasePayload(q.Ctx(), q.Tenant, e.ID)
	}
	if err != nil {
		return err
	}
	return nothing(q)
}

// maxExpunged is how many messages one request may erase: each one is a separate transaction.
const maxExpunged = 100

// The result for each message in the answer to erasing messages.
const (
	expungedMessage = "expunged"
	unknownMessage  = "not-found"
)

// expungeMessages erases the payloads of the messages in the body. After a failure it can be repeated, and continues
// with the rest.
func expungeMessages(q *systems.Request) error {
	names := q.In.List("ids")
	if len(names) > maxExpunged {
		q.Problemf("ids", "must be at most %d", maxExpunged)
	}
	if err := q.Err(); err != nil {
		return err
	}
	results := make(map[string]string, len(names))
	for _, name := range names {
		if results[name] != "" {
			continue
		}
		key, err := eventOf(q, name, q.API.Service.BehindEvent)
		if err == nil {
			err = q.API.Service.ErasePayload(q.Ctx(), q.Tenant, key[len(key)-1])
		}
		switch {
		case isNotFound(err):
			results[name] = unknownMessage
		case err != nil:
			return err
		default:
			results[name] = expungedMessage
		}
	}
	q.PureJSON(http.StatusOK, struct {
		Results map[string]string `json:"results"`
	}{results})
	return nil
}
