package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

const (
	eventsPath = "/v1/tenants/{tenant}/events"
	eventPath  = eventsPath + "/{id}"
)

// Event is an event as lists show it: without its data.
type Event struct {
	ID         string            `json:"id" example:"evt_0198c0de-0000-7000-8000-000000000004"`
	Type       string            `json:"type" example:"order.created"`
	Attributes map[string]string `json:"attributes"`
	ExternalID *string           `json:"external_id" doc:"The publisher's own id for it; null = none." example:"order-4711"`
	Channels   []string          `json:"channels" example:"project-1"`
	Tags       []string          `json:"tags" example:"import"`
	CreatedAt  timestamp         `json:"created_at"`
	DataUntil  *timestamp        `json:"data_until" nullable:"true" doc:"Its data is erased then, which is earlier than the retention; null = it is kept as long as the event."`
	ErasedAt   *timestamp        `json:"erased_at" nullable:"true" doc:"When its data was erased."`
	FannedOut  bool              `json:"fanned_out" example:"true" doc:"true once all its deliveries exist. It is false for a while after the event was accepted if more than 1,000 webhooks match it, or if it came in a batch while much of the tenant waited already: the deliveries follow, to exactly the webhooks that matched at that time."`
}

// FullEvent is an event with its data and its deliveries.
type FullEvent struct {
	Event
	Data       json.RawMessage `json:"data" doc:"The data as it was posted; null once erased."`
	Deliveries []DeliveryRef   `json:"deliveries" doc:"The newest 50. The list of deliveries has all of them."`
}

// DeliveryRef is a short form of an event's delivery.
type DeliveryRef struct {
	ID        string                `json:"id" example:"dlv_0198c0de-0000-7000-8000-000000000005"`
	WebhookID string                `json:"webhook_id" example:"wh_0198c0de-0000-7000-8000-000000000002"`
	Status    models.DeliveryStatus `json:"status" enum:"pending,delivered,failed,held,canceled"`
}

// shownDeliveries is the number of deliveries shown with an event.
const shownDeliveries = 50

func eventView(e models.Event) Event {
	return Event{ID: e.ID, Type: e.Type, Attributes: orEmpty(e.Attributes), ExternalID: orNull(e.ExternalID),
		Channels: append([]string{}, e.Channels...), Tags: append([]string{}, e.Tags...), CreatedAt: timestamp(e.CreatedAt), ErasedAt: at(e.ErasedAt), DataUntil: at(e.DataUntil),
		FannedOut: !e.FanningOut}
}

// EventPage is one page of a list of events.
type EventPage struct {
	Data     []Event `json:"data"`
	Next     *string `json:"next" doc:"The value of after for the next page; null on the last page. With several filters a page looks at 2,500 entries: it may have fewer entries than limit, or none, although more pages follow."`
	Complete bool    `json:"complete" example:"true" doc:"false: a search with q stopped early. next continues from there, even if data is empty."`
}

type listEvents struct {
	OfTenant
	PageParams
	Type  string  `query:"type" doc:"Only events of this type."`
	Since instant `query:"since" doc:"Only events accepted at or after this time."`
	Until instant `query:"until" doc:"Only events accepted before this time."`

	ID             string `query:"id" maxLength:"256" doc:"Only the event with this id." example:"evt_0198c0de-0000-7000-8000-000000000004"`
	Tag            string `query:"tag" maxLength:"128" doc:"Only events with this tag." example:"import"`
	Channel        string `query:"channel" maxLength:"128" doc:"Only events with this channel." example:"project-1"`
	Attribute      string `query:"attribute" maxLength:"1101" doc:"Only events with this attribute, as name:value. The name ends at the first colon." example:"customer:c-17"`
	ExternalID     string `query:"external_id" maxLength:"256" doc:"Only the event with this external_id." example:"order-4711"`
	IdempotencyKey string `query:"idempotency_key" maxLength:"255" doc:"Only events published with this Idempotency-Key in the last 24 hours."`
	Text           string `query:"q" maxLength:"200" doc:"Only events whose data contains this text, exactly as it was posted. It requires since and until, at most a day apart. The search stops after 100,000 events or 2 seconds: see complete." example:"4711"`
}

// Resolve implements huma.Resolver.
func (in *listEvents) Resolve(huma.Context) []error {
	if in.Attribute != "" && !strings.Contains(in.Attribute, ":") {
		return []error{&huma.ErrorDetail{Location: "query.attribute", Message: "must be name:value"}}
	}
	return nil
}

// search returns the search that the query describes.
func (in *listEvents) search() service.EventSearch {
	f := models.EventFilter{Type: in.Type, Since: in.Since.bound(), Until: in.Until.bound(), Tag: in.Tag, Channel: in.Channel, ExternalID: in.ExternalID}
	if name, value, ok := strings.Cut(in.Attribute, ":"); ok {
		f.Attribute = &models.Attribute{Name: name, Value: value}
	}
	return service.EventSearch{EventFilter: f, ID: in.ID, IdempotencyKey: in.IdempotencyKey, Text: in.Text}
}

type ofEvent struct {
	OfTenant
	ID string `path:"id" doc:"The event's id."`
}

func (s *server) events() {
	const tag = tagEvents
	handle(s, readers, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: eventsPath, Tags: []string{tag}, Summary: "List events, newest first",
		Description: "All filters can be combined. All except q use an index. With several of them a page reads along the index with the fewest events, and looks at 2,500 of them: it may then have fewer entries than limit, or none, although more pages follow. since and until make such a search shorter.",
	}, s.listEvents)
	handle(s, readers, huma.Operation{
		OperationID: "get-event", Method: http.MethodGet, Path: eventPath, Tags: []string{tag}, Summary: "Read an event with its data",
	}, s.getEvent)
	handle(s, owners, huma.Operation{
		OperationID: "erase-event-payload", Method: http.MethodDelete, Path: eventPath + "/payload", Tags: []string{tag}, Summary: "Erase an event's data",
		Description: "The event's record stays. Its unfinished deliveries are canceled.",
	}, s.erasePayload)
}

func (s *server) listEvents(ctx context.Context, in *listEvents) (*answer[EventPage], error) {
	rows, next, complete, err := s.Service.Events(ctx, in.Tenant, in.search(), in.page())
	if err != nil {
		return nil, err
	}
	page := listOf(rows, next, eventView)
	return answerWith(EventPage{page.Data, page.Next, complete}), nil
}

func (s *server) getEvent(ctx context.Context, in *ofEvent) (*answer[FullEvent], error) {
	e, err := s.Service.Event(ctx, in.Tenant, in.ID) // read before the deliveries: if it says that they all exist, the next read finds all of them
	if err != nil {
		return nil, err
	}
	deliveries, _, err := s.Service.Deliveries(ctx, in.Tenant, models.DeliveryFilter{EventID: e.ID}, models.Page{Limit: shownDeliveries})
	if err != nil {
		return nil, err
	}
	v := FullEvent{Event: eventView(e), Data: raw(string(e.Data)), Deliveries: make([]DeliveryRef, len(deliveries))}
	for i, d := range deliveries {
		v.Deliveries[i] = DeliveryRef{ID: d.ID, WebhookID: d.WebhookID, Status: d.Status}
	}
	return answerWith(v), nil
}

func (s *server) erasePayload(ctx context.Context, in *ofEvent) (*struct{}, error) {
	return nil, s.Service.ErasePayload(ctx, in.Tenant, in.ID)
}
