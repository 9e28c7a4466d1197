package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/models"
)

// RecoveryInput selects what a recovery sends again.
type RecoveryInput struct {
	Since       *instant `json:"since,omitempty" doc:"Only deliveries made and events accepted at or after this time. Default: as far back as the retention; held deliveries are included however old they are."`
	Until       *instant `json:"until,omitempty" doc:"Only deliveries made before this time. Default: now." example:"\"2026-01-03T15:04:05Z\""`
	Statuses    []string `json:"statuses,omitempty" enum:"held,failed,delivered,canceled" doc:"Default: held and failed; with missed, none. A delivery keeps its id, and its schedule starts again."`
	EventTypes  []string `json:"event_types,omitempty" doc:"Only these types. Wildcards such as order.* work. Default: all."`
	Channel     string   `json:"channel,omitempty" maxLength:"128" doc:"Only of events with this channel." example:"project-1"`
	Tag         string   `json:"tag,omitempty" maxLength:"128" doc:"Only of events with this tag." example:"import"`
	StatusClass *int     `json:"status_class,omitempty" minimum:"0" maximum:"5" doc:"Only deliveries whose last answer is of this class: 4 = 400 to 499, 0 = no answer. Not with missed."`
	Missed      bool     `json:"missed,omitempty" doc:"Also creates deliveries of events in the window that match the webhook and have no delivery to it, because it was created later or its types were widened. Without statuses, only these."`
	Rate        float64  `json:"rate,omitempty" minimum:"0" maximum:"10000" doc:"The most deliveries to release per second; 0 = no limit."`
}

// Recovery is a recovery with its progress.
type Recovery struct {
	ID          string                  `json:"id" example:"rec_0198c0de-0000-7000-8000-000000000003"`
	Tenant      string                  `json:"tenant" example:"acme"`
	WebhookID   *string                 `json:"webhook_id" doc:"null = it replays one event to many webhooks." example:"wh_0198c0de-0000-7000-8000-000000000002"`
	EventID     *string                 `json:"event_id" doc:"The event that is replayed; null = it is a webhook's recovery." example:"evt_0198c0de-0000-7000-8000-000000000004"`
	Status      models.RecoveryStatus   `json:"status" enum:"running,completed,canceled,stopped" doc:"stopped: the webhook was no longer active."`
	Total       *int64                  `json:"total" nullable:"true" doc:"Deliveries to release, as counted at the start; null until they are counted."`
	Released    int64                   `json:"released" doc:"Deliveries released so far."`
	Skipped     int64                   `json:"skipped" doc:"Deliveries that are not sent again: their event was erased, their webhook was deleted, or they were delivered and the webhook no longer matches their type. In a replay also pending ones."`
	Delivered   int64                   `json:"delivered" doc:"How many of the released deliveries have been delivered, as last counted. A delivery that a later recovery released again counts there."`
	Failed      int64                   `json:"failed" doc:"How many of the released deliveries have failed, as last counted."`
	Rate        *float64                `json:"rate" doc:"Deliveries per second; null = no limit."`
	Statuses    []models.DeliveryStatus `json:"statuses" enum:"held,failed,delivered,canceled"`
	EventTypes  []string                `json:"event_types" doc:"Empty = all." example:"order.*"`
	Channel     *string                 `json:"channel" doc:"null = any." example:"project-1"`
	Tag         *string                 `json:"tag" doc:"null = any." example:"import"`
	StatusClass *int                    `json:"status_class" doc:"The class of the last answer; null = any."`
	Missed      bool                    `json:"missed"`
	Since       *timestamp              `json:"since" nullable:"true"`
	Until       timestamp               `json:"until"`
	CreatedAt   timestamp               `json:"created_at"`
	FinishedAt  *timestamp              `json:"finished_at" nullable:"true"`
	WorkflowID  string                  `json:"workflow_id" doc:"The Temporal workflow that runs it." example:"recover/rec_0198c0de-0000-7000-8000-000000000003"`
	UIURL       *string                 `json:"ui_url" doc:"A link to that workflow in the Temporal Web UI; null if there is none."`
}

func (s *server) recoveryView(r models.Recovery) Recovery {
	var total *int64
	if r.Total != models.TotalUnknown {
		total = &r.Total
	}
	since := r.Since
	if since == nil && s.Service.Retention > 0 && r.WebhookID != "" && r.Reason == "" {
		since = new(r.CreatedAt.Add(-s.Service.Retention))
	}
	workflowID, url := s.Service.RecoveryWorkflow(&r)
	return Recovery{ID: r.ID, Tenant: models.TenantSlug(r.Tenant), WebhookID: orNull(r.WebhookID), EventID: orNull(r.EventID), Status: r.Status, Total: total,
		Released: r.Released, Skipped: r.Skipped, Delivered: r.Delivered, Failed: r.Failed, Rate: orNull(r.Rate), Statuses: orEmptyList(r.Statuses),
		EventTypes: orEmptyList(r.EventTypes), Channel: orNull(r.Channel), Tag: orNull(r.Tag), StatusClass: r.StatusClass, Missed: r.Missed, Since: at(since), Until: timestamp(r.Until), CreatedAt: timestamp(r.CreatedAt),
		FinishedAt: at(r.FinishedAt), WorkflowID: workflowID, UIURL: orNull(url)}
}

// orEmptyList returns the list, or an empty one for nil.
func orEmptyList[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// OfRecovery holds the path parameters of the operations on one recovery.
type OfRecovery struct {
	OfTenant
	ID string `path:"id" doc:"The recovery's id."`
}

// RecoveryParams are the filters of a list of recoveries.
type RecoveryParams struct {
	PageParams
	WebhookID string `query:"webhook_id" doc:"Only recoveries of this webhook."`
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
		Description: "Deliveries that it has released stay released. A finished recovery stays as it is.",
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
	rows, next, err := s.Service.Recoveries(ctx, tenant, models.RecoveryFilter{WebhookID: webhookID}, in.page())
	if err != nil {
		return nil, err
	}
	return answerWith(listOf(rows, next, s.recoveryView)), nil
}

func (s *server) getRecovery(ctx context.Context, in *OfRecovery) (*answer[Recovery], error) {
	r, err := s.Service.Recovery(ctx, in.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	return answerWith(s.recoveryView(r)), nil
}

func (s *server) cancelRecovery(ctx context.Context, in *cancelRecovery) (*answer[Recovery], error) {
	r, err := s.Service.CancelRecovery(ctx, in.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	return answerWith(s.recoveryView(r)), nil
}
