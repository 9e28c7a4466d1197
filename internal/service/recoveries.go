package service

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/models"
)

// RecoveryRequest asks for deliveries of a webhook to be sent again.
type RecoveryRequest struct {
	// Since and Until say when the deliveries were made, and the events of missed ones accepted. Without Since the window begins
	// at the retention; what is held is taken however old it is.
	Since, Until *time.Time
	Statuses     []models.DeliveryStatus // held and failed unless told otherwise, or Missed is set
	EventTypes   []string                // only of these types, wildcards among them; empty = all
	Missed       bool                    // make deliveries of the events that the webhook wants and has none of
	Rate         float64                 // deliveries per second; 0 = as fast as they go
}

// Recover sends deliveries of an active webhook again, and makes those that it has missed, by a workflow that pages through
// them.
func (s *Service) Recover(ctx context.Context, tenant, id string, r RecoveryRequest) (models.Recovery, error) {
	var p problems
	if len(r.Statuses) == 0 && !r.Missed {
		r.Statuses = []models.DeliveryStatus{models.Held, models.Failed}
	}
	for i, status := range r.Statuses {
		switch status {
		case models.Held, models.Failed, models.Delivered, models.Canceled:
		case models.Pending:
			p.addf(index("statuses", i), "must be held, failed, delivered or canceled: pending deliveries are already being sent")
		default:
			p.addf(index("statuses", i), "must be held, failed, delivered or canceled")
		}
	}
	checkRate(&p, "rate", r.Rate)
	if r.Since != nil && r.Until != nil && !r.Since.Before(*r.Until) {
		p.addf("until", "must be after since")
	}
	if err := s.checkEventTypes(ctx, &p, &models.Webhook{Tenant: tenant}, r.EventTypes); err != nil {
		return models.Recovery{}, err
	}
	if err := p.err(); err != nil {
		return models.Recovery{}, err
	}
	w, err := s.Webhook(ctx, tenant, id)
	if err != nil {
		return models.Recovery{}, err
	}
	if w.Status != models.WebhookActive {
		return models.Recovery{}, Refuse(Conflict, "the webhook is %s; enable or resume it first", w.Status)
	}
	recovery := &models.Recovery{Tenant: tenant, WebhookID: id, Statuses: each(r.Statuses), EventTypes: each(r.EventTypes), Missed: r.Missed, Rate: r.Rate}
	if r.Since != nil {
		recovery.Since = new(models.Bound(*r.Since))
	}
	if r.Until != nil {
		recovery.Until = models.Bound(*r.Until)
	}
	if r.Missed {
		recovery.EventsSince = s.eventsSince(recovery.Since)
	}
	return s.recover(ctx, recovery)
}

// eventsSince is where a window that begins at a time begins for what the retention removes: no earlier than the retention.
func (s *Service) eventsSince(since *time.Time) *time.Time {
	if s.Retention <= 0 {
		return since
	}
	kept := s.Store.Now().Add(-s.Retention)
	if since != nil && since.After(kept) {
		return since
	}
	return &kept
}

func (s *Service) recover(ctx context.Context, r *models.Recovery) (models.Recovery, error) {
	if err := s.Store.CreateRecovery(ctx, r); err != nil {
		return *r, known(err, "webhook")
	}
	s.Engine.Recover(r.ID)
	return *r, nil
}

// RecoveryWorkflow is the workflow that makes a recovery's pages, and where the Web UI shows it; "" = nowhere.
func (s *Service) RecoveryWorkflow(r *models.Recovery) (id, url string) {
	id = s.Engine.RecoveryID(r.ID)
	return id, s.Engine.WorkflowURL(id, r.FinishedAt)
}

// Recoveries lists a tenant's recoveries, newest first; tenant "" = those of all tenants.
func (s *Service) Recoveries(ctx context.Context, tenant string, f models.RecoveryFilter, page models.Page) ([]models.Recovery, string, error) {
	return readPage(ctx, s, "recovery", func(ctx context.Context, store *models.Store) ([]models.Recovery, string, error) {
		return store.Recoveries(ctx, tenant, f, page)
	})
}

// Recovery reads a recovery's progress; tenant "" = of any tenant's.
func (s *Service) Recovery(ctx context.Context, tenant, id string) (models.Recovery, error) {
	r, err := s.Store.Recovery(ctx, tenant, id)
	return r, known(err, "recovery")
}

// CancelRecovery ends a recovery; what it has released stays released.
func (s *Service) CancelRecovery(ctx context.Context, tenant, id string) (models.Recovery, error) {
	r, err := s.Store.CancelRecovery(ctx, tenant, id)
	return r, known(err, "recovery")
}

// ReleasePage releases the next page of a recovery and starts the dispatches that drive it. For the recovery workflow.
func (s *Service) ReleasePage(ctx context.Context, id string) (models.Recovery, error) {
	r, fresh, err := s.Store.ReleasePage(ctx, id)
	if err != nil {
		return r, known(err, "recovery")
	}
	s.Engine.Launch(fresh...)
	return r, nil
}
