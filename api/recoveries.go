package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/models"
)

// RecoveryInput says what a recovery sends again.
type RecoveryInput struct {
	Since      *instant `json:"since,omitempty" doc:"Only deliveries made at or after it, and events accepted since. Default: the retention; what is held is taken however old it is."`
	Until      *instant `json:"until,omitempty" doc:"Only deliveries made before it. Default: now." example:"\"2026-01-03T15:04:05Z\""`
	Statuses   []string `json:"statuses,omitempty" enum:"held,failed,delivered,canceled" doc:"Default: held and failed, or none with missed. A delivery keeps its id, and its schedule starts again."`
	EventTypes []string `json:"event_types,omitempty" doc:"Only these types, wildcards as in order.* included. Default: all."`
	Missed     bool     `json:"missed,omitempty" doc:"Also make deliveries of the events of the window that the webhook wants and has no delivery of: it was made later, or its types were widened. Without statuses, only these."`
	Rate       float64  `json:"rate,omitempty" minimum:"0" maximum:"10000" doc:"The most deliveries to release per second; 0 = no limit."`
}

// Recovery is a recovery and how far it has got.
type Recovery struct {
	ID         string                  `json:"id" example:"rec_0198c0de-0000-7000-8000-000000000003"`
	Tenant     string                  `json:"tenant" example:"acme"`
	WebhookID  *string                 `json:"webhook_id" doc:"null = it is the replay of an event to many webhooks." example:"wh_0198c0de-0000-7000-8000-000000000002"`
	EventID    *string                 `json:"event_id" doc:"The event that is replayed; null = it is a webhook's." example:"evt_0198c0de-0000-7000-8000-000000000004"`
	Status     models.RecoveryStatus   `json:"status" enum:"running,completed,canceled,stopped" doc:"stopped: the webhook was not active any more."`
	Total      *int64                  `json:"total" nullable:"true" doc:"Deliveries to release, as counted at the start; null until they are counted."`
	Released   int64                   `json:"released" doc:"Deliveries released so far."`
	Skipped    int64                   `json:"skipped" doc:"Those that are not sent again: their event was erased, their webhook deleted, or they were delivered and their type is not wanted any more; in a replay also what was pending."`
	Delivered  int64                   `json:"delivered" doc:"How many of the released were delivered since, as last counted. What a later recovery released again counts there."`
	Failed     int64                   `json:"failed" doc:"How many of them have failed since, as last counted."`
	Rate       *float64                `json:"rate" doc:"Deliveries per second; null = no limit."`
	Statuses   []models.DeliveryStatus `json:"statuses" enum:"held,failed,delivered,canceled"`
	EventTypes []string                `json:"event_types" doc:"Empty = all." example:"order.*"`
	Missed     bool                    `json:"missed"`
	Since      *timestamp              `json:"since" nullable:"true"`
	Until      timestamp               `json:"until"`
	CreatedAt  timestamp               `json:"created_at"`
	FinishedAt *timestamp              `json:"finished_at" nullable:"true"`
	WorkflowID string                  `json:"workflow_id" doc:"The Temporal workflow that makes its pages." example:"recover/rec_0198c0de-0000-7000-8000-000000000003"`
	UIURL      *string                 `json:"ui_url" doc:"That workflow in the Temporal Web UI; null without a link to it."`
}

func (s *server) recoveryView(r models.Recovery) Recovery {
	var total *int64
	if r.Total != models.TotalUnknown {
		total = &r.Total
	}
	since := r.Since
	if since == nil && s.Hooks.Retention > 0 && r.WebhookID != "" && r.Reason == "" {
		since = new(r.CreatedAt.Add(-s.Hooks.Retention))
	}
	workflowID, url := s.Hooks.RecoveryWorkflow(&r)
	return Recovery{ID: r.ID, Tenant: models.TenantSlug(r.Tenant), WebhookID: orNull(r.WebhookID), EventID: orNull(r.EventID), Status: r.Status, Total: total,
		Released: r.Released, Skipped: r.Skipped, Delivered: r.Delivered, Failed: r.Failed, Rate: orNull(r.Rate), Statuses: orEmptyList(r.Statuses),
		EventTypes: orEmptyList(r.EventTypes), Missed: r.Missed, Since: at(since), Until: timestamp(r.Until), CreatedAt: timestamp(r.CreatedAt),
		FinishedAt: at(r.FinishedAt), WorkflowID: workflowID, UIURL: orNull(url)}
}

// orEmptyList is the list, or an empty one where there is none.
func orEmptyList[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// OfRecovery is the path of what is about one recovery.
type OfRecovery struct {
	OfTenant
	ID string `path:"id" doc:"The recovery's id."`
}

// RecoveryParams are the filters of a list of recoveries.
type RecoveryParams struct {
	PageParams
	WebhookID string `query:"webhook_id" doc:"Only those of this webhook."`
}

type listRecoveries struct {
	OfTenant
	RecoveryParams
}

type cancelRecovery struct {
	OfRecovery
	Body *nothing
}

func (s *server) recoveries() {
	const all = "/v1/tenants/{tenant}/recoveries"
	const path = all + "/{id}"
	handle(s, readers, huma.Operation{
		OperationID: "list-recoveries", Method: http.MethodGet, Path: all, Tags: []string{tagRecoveries}, Summary: "List recoveries, newest first",
	}, s.listRecoveries)
	handle(s, readers, huma.Operation{
		OperationID: "get-recovery", Method: http.MethodGet, Path: path, Tags: []string{tagRecoveries}, Summary: "Read a recovery's progress",
	}, s.getRecovery)
	handle(s, owners, huma.Operation{
		OperationID: "cancel-recovery", Method: http.MethodPost, Path: path + "/cancel", Tags: []string{tagRecoveries}, Summary: "Cancel a recovery",
		Description: "What it has released stays released. One that is finished stays as it is.",
	}, s.cancelRecovery)
}

func (s *server) listRecoveries(ctx context.Context, in *listRecoveries) (*answer[list[Recovery]], error) {
	return s.recoveriesOf(ctx, in.Tenant, in.RecoveryParams)
}

func (s *server) recoveriesOf(ctx context.Context, tenant string, in RecoveryParams) (*answer[list[Recovery]], error) {
	webhookID, err := s.webhookFilter(ctx, tenant, in.WebhookID)
	if err != nil {
		return nil, err
	}
	rows, next, err := s.Hooks.Recoveries(ctx, tenant, models.RecoveryFilter{WebhookID: webhookID}, in.page())
	if err != nil {
		return nil, err
	}
	return answerWith(listOf(rows, next, s.recoveryView)), nil
}

func (s *server) getRecovery(ctx context.Context, in *OfRecovery) (*answer[Recovery], error) {
	r, err := s.Hooks.Recovery(ctx, in.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	return answerWith(s.recoveryView(r)), nil
}

func (s *server) cancelRecovery(ctx context.Context, in *cancelRecovery) (*answer[Recovery], error) {
	r, err := s.Hooks.CancelRecovery(ctx, in.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	return answerWith(s.recoveryView(r)), nil
}
