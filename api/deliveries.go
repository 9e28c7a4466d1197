package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Delivery is one event for one webhook, as a list shows it.
type Delivery struct {
	DeliveryState
	Attempts int `json:"attempts" doc:"The same as attempt_count."`
}

// Timeline is a delivery with all its attempts and all planned ones.
type Timeline struct {
	DeliveryState
	Attempts   []Attempt `json:"attempts" doc:"The newest 100 POSTs, oldest first."`
	Upcoming   []Planned `json:"upcoming" doc:"The attempts that follow if each one before them fails, soonest first."`
	WorkflowID *string   `json:"workflow_id" doc:"The Temporal workflow that drives it; null while there is none." example:"deliver/evt_0198c0de-0000-7000-8000-000000000004"`
	UIURL      *string   `json:"ui_url" doc:"A link to that workflow in the Temporal Web UI; null if there is none."`
}

// DeliveryState is a delivery's identity and current state.
type DeliveryState struct {
	ID            string                `json:"id" example:"dlv_0198c0de-0000-7000-8000-000000000005"`
	Tenant        string                `json:"tenant" example:"acme"`
	EventID       string                `json:"event_id" example:"evt_0198c0de-0000-7000-8000-000000000004"`
	EventType     string                `json:"event_type" example:"order.created"`
	WebhookID     string                `json:"webhook_id" example:"wh_0198c0de-0000-7000-8000-000000000002"`
	Status        models.DeliveryStatus `json:"status" enum:"pending,delivered,failed,held,canceled" doc:"failed: every retry is used up. held: kept for a webhook that is not active, or paused."`
	StatusReason  *string               `json:"status_reason" doc:"Why it is held, canceled or postponed. 'paused in Temporal', on a single delivery, means that it waits until its workflow or activity is resumed there."`
	AttemptCount  int                   `json:"attempt_count" doc:"POSTs made so far."`
	LastAttempt   maybe[LastAttempt]    `json:"last_attempt"`
	NextAttemptAt *timestamp            `json:"next_attempt_at" nullable:"true" doc:"null unless pending."`
	CreatedAt     timestamp             `json:"created_at"`
	FinishedAt    *timestamp            `json:"finished_at" nullable:"true" doc:"null while pending or held."`
	Test          bool                  `json:"test" doc:"true for the POST of a test, whose event is not stored. It is delivered if it was received, else failed. No action works on it."`
}

// LastAttempt is a short form of a delivery's latest attempt.
type LastAttempt struct {
	At         timestamp `json:"at"`
	StatusCode *int      `json:"status_code" doc:"null = no answer came." example:"503"`
	Error      *string   `json:"error" doc:"null = received." example:"503 Service Unavailable"`
}

// Planned is an attempt that follows if all before it fail.
type Planned struct {
	Number int       `json:"number" example:"2"`
	At     timestamp `json:"at"`
}

// Attempt is the record of one POST of a delivery.
type Attempt struct {
	ID     string `json:"id" example:"att_0198c0de-0000-7000-8000-000000000006"`
	Number int    `json:"number" doc:"Counted from 1."`
	Manual bool   `json:"manual" doc:"Somebody has asked for it, by a retry, a replay or a recovery. Others are made by the schedule."`
	Exchange
}

// stateView shows a delivery. last is its latest attempt, nil if there was none.
func stateView(d *models.Delivery, last *models.Attempt) DeliveryState {
	v := DeliveryState{ID: d.ID, Tenant: models.TenantSlug(d.Tenant), EventID: d.EventID, EventType: d.EventType, WebhookID: d.WebhookID, Status: d.Status,
		StatusReason: orNull(d.StatusReason), AttemptCount: d.Attempts, NextAttemptAt: at(d.NextAttemptAt), CreatedAt: timestamp(d.CreatedAt), FinishedAt: at(d.FinishedAt), Test: d.Test}
	if last != nil {
		v.LastAttempt.object = &LastAttempt{At: timestamp(last.StartedAt), StatusCode: orNull(last.StatusCode), Error: orNull(last.Error)}
	}
	return v
}

// deliveriesView shows deliveries as lists do, each with its latest attempt.
func (s *server) deliveriesView(ctx context.Context, rows []models.Delivery, next string) (list[Delivery], error) {
	last, err := s.Service.LastAttempts(ctx, rows)
	return deliveryList(rows, last, next), err
}

func deliveryList(rows []models.Delivery, last map[string]*models.Attempt, next string) list[Delivery] {
	return listOf(rows, next, func(d models.Delivery) Delivery {
		return Delivery{DeliveryState: stateView(&d, last[d.ID]), Attempts: d.Attempts}
	})
}

func timelineView(ctx context.Context, t service.Timeline) Timeline {
	var last *models.Attempt
	if n := len(t.History); n > 0 {
		last = &t.History[n-1]
	}
	v := Timeline{DeliveryState: stateView(&t.Delivery, last), Attempts: make([]Attempt, len(t.History)),
		Upcoming: make([]Planned, len(t.Upcoming)), WorkflowID: orNull(t.WorkflowID), UIURL: orNull(t.UIURL)}
	for i := range t.History {
		a := &t.History[i]
		v.Attempts[i] = Attempt{ID: a.ID, Number: a.Number, Manual: a.Manual, Exchange: exchangeView(ctx, a)}
	}
	for i, planned := range t.Upcoming {
		v.Upcoming[i] = Planned{Number: planned.Number, At: timestamp(planned.At)}
	}
	return v
}

// DeliveryParams are the filters of a list of deliveries.
type DeliveryParams struct {
	PageParams
	WebhookID string                `query:"webhook_id" doc:"Only deliveries to the webhook with this id or uid."`
	EventID   string                `query:"event_id"`
	EventType string                `query:"event_type"`
	Status    models.DeliveryStatus `query:"status" enum:"pending,delivered,failed,held,canceled"`
	Since     instant               `query:"since" doc:"Only deliveries made at or after this time."`
	Until     instant               `query:"until" doc:"Only deliveries made before this time."`
	Name      string                `query:"q" maxLength:"256" doc:"Only deliveries that this finds: the whole id of a delivery, or the whole id, external_id or tag of an event. The first of these that exists counts. A tag is searched in one tenant only. Deliveries of a tag are listed in the order of their events, newest first; a page may have fewer entries than limit, even none, while next is set." example:"order-4711"`
	Test      bool                  `query:"test" doc:"true lists the POSTs of tests, which no other list shows. They are kept as long as finished deliveries. It cannot be combined with q."`
}

type listDeliveries struct {
	OfTenant
	DeliveryParams
}

// OfDelivery holds the path parameters of the operations on one delivery.
type OfDelivery struct {
	OfTenant
	ID string `path:"id" doc:"The delivery's id."`
}

type actOnDelivery struct {
	OfDelivery
	Body *nothing
}

// Resolve implements huma.Resolver.
func (in *DeliveryParams) Resolve(huma.Context) []error {
	if in.Test && in.Name != "" {
		return []error{&huma.ErrorDetail{Location: "query.q", Message: "cannot be combined with test"}}
	}
	return nil
}

func (s *server) deliveries() {
	const path = "/v1/tenants/{tenant}/deliveries"
	handle(s, readers, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: path, Tags: []string{tagDeliveries}, Summary: "List deliveries, newest first",
	}, s.listDeliveries)
	handle(s, readers, huma.Operation{
		OperationID: "get-delivery", Method: http.MethodGet, Path: path + "/{id}", Tags: []string{tagDeliveries}, Summary: "Read a delivery's timeline",
	}, s.getDelivery)
	action := func(name, summary, description string, do func(context.Context, *actOnDelivery) (*answer[Timeline], error)) {
		handle(s, owners, huma.Operation{OperationID: name + "-delivery", Method: http.MethodPost, Path: path + "/{id}/" + name,
			Tags: []string{tagDeliveries}, Summary: summary, Description: description}, do)
	}
	action("retry", "Send a delivery now", "Starts a new workflow. A pending delivery does not wait for its next attempt; a finished or held one starts again at the first step of its schedule.", s.retryDelivery)
	action("cancel", "Cancel a delivery", "The delivery must be pending or held.", s.cancelDelivery)
	action("pause", "Pause a pending delivery", "The delivery is held until it is resumed.", s.pauseDelivery)
	action("resume", "Send a held delivery", "It is sent now, from the first step of its schedule.", s.resumeDelivery)
}

func (s *server) listDeliveries(ctx context.Context, in *listDeliveries) (*answer[list[Delivery]], error) {
	return s.deliveriesOf(ctx, in.Tenant, in.DeliveryParams)
}

func (s *server) deliveriesOf(ctx context.Context, tenant string, in DeliveryParams) (*answer[list[Delivery]], error) {
	webhookID, err := s.webhookFilter(ctx, tenant, in.WebhookID)
	if err != nil {
		return nil, err
	}
	f := models.DeliveryFilter{WebhookID: webhookID, EventID: in.EventID, EventType: in.EventType, Status: in.Status,
		Since: in.Since.bound(), Until: in.Until.bound()}
	if in.Test {
		rows, last, next, err := s.Service.Tests(ctx, tenant, f, in.page())
		if err != nil {
			return nil, err
		}
		return answerWith(deliveryList(rows, last, next)), nil
	}
	rows, next, err := s.Service.DeliveriesNamed(ctx, tenant, f, in.Name, in.page())
	if err != nil {
		return nil, err
	}
	page, err := s.deliveriesView(ctx, rows, next)
	if err != nil {
		return nil, err
	}
	return answerWith(page), nil
}

func showTimeline(ctx context.Context, t service.Timeline, err error) (*answer[Timeline], error) {
	if err != nil {
		return nil, err
	}
	return answerWith(timelineView(ctx, t)), nil
}

func (s *server) getDelivery(ctx context.Context, in *OfDelivery) (*answer[Timeline], error) {
	t, err := s.Service.Delivery(ctx, in.Tenant, in.ID)
	return showTimeline(ctx, t, err)
}

func (s *server) retryDelivery(ctx context.Context, in *actOnDelivery) (*answer[Timeline], error) {
	t, err := s.Service.RetryDelivery(ctx, in.Tenant, in.ID)
	return showTimeline(ctx, t, err)
}

func (s *server) cancelDelivery(ctx context.Context, in *actOnDelivery) (*answer[Timeline], error) {
	t, err := s.Service.CancelDelivery(ctx, in.Tenant, in.ID, caller(ctx).Name)
	return showTimeline(ctx, t, err)
}

func (s *server) pauseDelivery(ctx context.Context, in *actOnDelivery) (*answer[Timeline], error) {
	t, err := s.Service.PauseDelivery(ctx, in.Tenant, in.ID)
	return showTimeline(ctx, t, err)
}

func (s *server) resumeDelivery(ctx context.Context, in *actOnDelivery) (*answer[Timeline], error) {
	t, err := s.Service.ResumeDelivery(ctx, in.Tenant, in.ID)
	return showTimeline(ctx, t, err)
}
