package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/models"
)

// RecoveryInput says what a recovery sends again.
type RecoveryInput struct {
	Since    *instant `json:"since,omitempty" doc:"Only deliveries made at or after it."`
	Until    *instant `json:"until,omitempty" doc:"Only deliveries made before it. Default: now." example:"\"2026-01-03T15:04:05Z\""`
	Statuses []string `json:"statuses,omitempty" enum:"held,failed" doc:"Default: both."`
	Rate     float64  `json:"rate,omitempty" minimum:"0" maximum:"10000" doc:"The most deliveries to release per second; 0 = no limit."`
}

// Recovery is a recovery and how far it has got.
type Recovery struct {
	ID         string                  `json:"id" example:"rec_0198c0de-0000-7000-8000-000000000003"`
	WebhookID  string                  `json:"webhook_id"`
	Status     models.RecoveryStatus   `json:"status" enum:"running,completed,canceled,stopped" doc:"stopped: the webhook was not active any more."`
	Total      *int64                  `json:"total" nullable:"true" doc:"Deliveries to release, as counted at the start; null until they are counted."`
	Released   int64                   `json:"released" doc:"Deliveries released so far."`
	Rate       *float64                `json:"rate" doc:"Deliveries per second; null = no limit."`
	Statuses   []models.DeliveryStatus `json:"statuses" enum:"held,failed"`
	Since      *timestamp              `json:"since" nullable:"true"`
	Until      timestamp               `json:"until"`
	CreatedAt  timestamp               `json:"created_at"`
	FinishedAt *timestamp              `json:"finished_at" nullable:"true"`
}

func recoveryView(r models.Recovery) Recovery {
	var total *int64
	if r.Total != models.TotalUnknown {
		total = &r.Total
	}
	return Recovery{ID: r.ID, WebhookID: r.WebhookID, Status: r.Status, Total: total, Released: r.Released, Rate: orNull(r.Rate),
		Statuses: r.Statuses, Since: at(r.Since), Until: timestamp(r.Until), CreatedAt: timestamp(r.CreatedAt), FinishedAt: at(r.FinishedAt)}
}

// OfRecovery is the path of what is about one recovery.
type OfRecovery struct {
	OfTenant
	ID string `path:"id" doc:"The recovery's id."`
}

type cancelRecovery struct {
	OfRecovery
	Body *nothing
}

func (s *server) recoveries() {
	const path = "/v1/tenants/{tenant}/recoveries/{id}"
	handle(s, readers, huma.Operation{
		OperationID: "get-recovery", Method: http.MethodGet, Path: path, Tags: []string{tagRecoveries}, Summary: "Read a recovery's progress",
	}, s.getRecovery)
	handle(s, owners, huma.Operation{
		OperationID: "cancel-recovery", Method: http.MethodPost, Path: path + "/cancel", Tags: []string{tagRecoveries}, Summary: "Cancel a recovery",
		Description: "What it has released stays released. One that is finished stays as it is.",
	}, s.cancelRecovery)
}

func (s *server) getRecovery(ctx context.Context, in *OfRecovery) (*answer[Recovery], error) {
	r, err := s.Hooks.Recovery(ctx, in.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	return answerWith(recoveryView(r)), nil
}

func (s *server) cancelRecovery(ctx context.Context, in *cancelRecovery) (*answer[Recovery], error) {
	r, err := s.Hooks.CancelRecovery(ctx, in.Tenant, in.ID)
	if err != nil {
		return nil, err
	}
	return answerWith(recoveryView(r)), nil
}
