package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
)

// Delivery is one event owed to one webhook, in a list.
type Delivery struct {
	DeliveryState
	Attempts int `json:"attempts" doc:"POSTs made so far."`
}

// Timeline is a delivery with everything that has happened to it and everything that will.
type Timeline struct {
	DeliveryState
	AttemptCount int       `json:"attempt_count" doc:"POSTs made so far."`
	Attempts     []Attempt `json:"attempts" doc:"The newest 100 POSTs, oldest first."`
	Upcoming     []Planned `json:"upcoming" doc:"The attempts that will be made if those before them fail, soonest first."`
	WorkflowID   *string   `json:"workflow_id" doc:"The Temporal workflow that drives it; null while that is not known." example:"deliver/evt_0198c0de-0000-7000-8000-000000000004"`
	UIURL        *string   `json:"ui_url" doc:"That workflow in the Temporal Web UI; null without a link to it."`
}

// DeliveryState is what a delivery is and where it is.
type DeliveryState struct {
	ID            string                `json:"id" example:"dlv_0198c0de-0000-7000-8000-000000000005"`
	Tenant        string                `json:"tenant" example:"acme"`
	EventID       string                `json:"event_id" example:"evt_0198c0de-0000-7000-8000-000000000004"`
	EventType     string                `json:"event_type" example:"order.created"`
	WebhookID     string                `json:"webhook_id" example:"wh_0198c0de-0000-7000-8000-000000000002"`
	Status        models.DeliveryStatus `json:"status" enum:"pending,delivered,failed,held,canceled" doc:"failed: every retry is used up. held: kept for a webhook that is not active, or paused."`
	StatusReason  *string               `json:"status_reason" doc:"Why it is held or canceled, or was put off. 'paused in Temporal', of one delivery alone: it waits for somebody to resume its workflow or activity there."`
	NextAttemptAt *timestamp            `json:"next_attempt_at" nullable:"true" doc:"null unless pending."`
	CreatedAt     timestamp             `json:"created_at"`
	FinishedAt    *timestamp            `json:"finished_at" nullable:"true" doc:"null while pending or held."`
}

// Planned is an attempt that will be made if those before it fail.
type Planned struct {
	Number int       `json:"number" example:"2"`
	At     timestamp `json:"at"`
}

// Attempt is the record of one POST of a delivery.
type Attempt struct {
	ID     string `json:"id" example:"att_0198c0de-0000-7000-8000-000000000006"`
	Number int    `json:"number" doc:"From 1."`
	Exchange
}

func stateView(d *models.Delivery) DeliveryState {
	return DeliveryState{ID: d.ID, Tenant: models.TenantSlug(d.Tenant), EventID: d.EventID, EventType: d.EventType, WebhookID: d.WebhookID, Status: d.Status,
		StatusReason: orNull(d.StatusReason), NextAttemptAt: at(d.NextAttemptAt), CreatedAt: timestamp(d.CreatedAt), FinishedAt: at(d.FinishedAt)}
}

func deliveryView(d models.Delivery) Delivery {
	return Delivery{DeliveryState: stateView(&d), Attempts: d.Attempts}
}

func timelineView(ctx context.Context, t hooks.Timeline) Timeline {
	v := Timeline{DeliveryState: stateView(&t.Delivery), AttemptCount: t.Attempts, Attempts: make([]Attempt, len(t.History)),
		Upcoming: make([]Planned, len(t.Upcoming)), WorkflowID: orNull(t.WorkflowID), UIURL: orNull(t.UIURL)}
	for i := range t.History {
		a := &t.History[i]
		v.Attempts[i] = Attempt{ID: a.ID, Number: a.Number, Exchange: exchangeView(ctx, a)}
	}
	for i, planned := range t.Upcoming {
		v.Upcoming[i] = Planned{Number: planned.Number, At: timestamp(planned.At)}
	}
	return v
}

// DeliveryParams are the filters of a list of deliveries.
type DeliveryParams struct {
	PageParams
	WebhookID string                `query:"webhook_id" doc:"Only those of the webhook with this id or uid."`
	EventID   string                `query:"event_id"`
	EventType string                `query:"event_type"`
	Status    models.DeliveryStatus `query:"status" enum:"pending,delivered,failed,held,canceled"`
	Since     instant               `query:"since" doc:"Only those made at or after it."`
	Until     instant               `query:"until" doc:"Only those made before it."`
}

type listDeliveries struct {
	OfTenant
	DeliveryParams
}

// OfDelivery is the path of what is about one delivery.
type OfDelivery struct {
	OfTenant
	ID string `path:"id" doc:"The delivery's id."`
}

type actOnDelivery struct {
	OfDelivery
	Body *nothing
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
	action("retry", "Send a delivery now", "By a new workflow: a pending one without waiting for its next attempt, a finished or held one from the first step of its schedule.", s.retryDelivery)
	action("cancel", "Cancel a delivery", "One that is pending or held.", s.cancelDelivery)
	action("pause", "Put a pending delivery aside", "Until it is resumed.", s.pauseDelivery)
	action("resume", "Send a held delivery", "Now, from the first step of its schedule.", s.resumeDelivery)
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
	rows, next, err := s.Hooks.Deliveries(ctx, tenant, f, in.page())
	if err != nil {
		return nil, err
	}
	return answerWith(listOf(rows, next, deliveryView)), nil
}

func showTimeline(ctx context.Context, t hooks.Timeline, err error) (*answer[Timeline], error) {
	if err != nil {
		return nil, err
	}
	return answerWith(timelineView(ctx, t)), nil
}

func (s *server) getDelivery(ctx context.Context, in *OfDelivery) (*answer[Timeline], error) {
	t, err := s.Hooks.Delivery(ctx, in.Tenant, in.ID)
	return showTimeline(ctx, t, err)
}

func (s *server) retryDelivery(ctx context.Context, in *actOnDelivery) (*answer[Timeline], error) {
	t, err := s.Hooks.RetryDelivery(ctx, in.Tenant, in.ID)
	return showTimeline(ctx, t, err)
}

func (s *server) cancelDelivery(ctx context.Context, in *actOnDelivery) (*answer[Timeline], error) {
	t, err := s.Hooks.CancelDelivery(ctx, in.Tenant, in.ID, caller(ctx).Name)
	return showTimeline(ctx, t, err)
}

func (s *server) pauseDelivery(ctx context.Context, in *actOnDelivery) (*answer[Timeline], error) {
	t, err := s.Hooks.PauseDelivery(ctx, in.Tenant, in.ID)
	return showTimeline(ctx, t, err)
}

func (s *server) resumeDelivery(ctx context.Context, in *actOnDelivery) (*answer[Timeline], error) {
	t, err := s.Hooks.ResumeDelivery(ctx, in.Tenant, in.ID)
	return showTimeline(ctx, t, err)
}
