package service

import (
	"context"
	"slices"
	"time"

	"github.com/posthorn/posthorn/models"
)

// RecoveryRequest is a request to send deliveries of a webhook again.
type RecoveryRequest struct {
	// Since and Until bound when the deliveries were made, and when the events of missed ones were accepted. Without
	// Since the window starts at the retention; held deliveries are included however old they are.
	Since, Until *time.Time
	Statuses     []models.DeliveryStatus // default: held and failed; with Missed, none
	EventTypes   []string                // only these types, wildcards allowed; empty = all
	Channel, Tag string                  // only events that have it; "" = any
	StatusClass  *int                    // only deliveries whose last answer is of this class: 4 = 400 to 499, 0 = none; nil = any
	Missed       bool                    // also create deliveries of events that match the webhook and have none
	Rate         float64                 // deliveries per second; 0 = no limit
	Wrong        []FieldError            // errors that the caller has found already: the request is refused with them and all others
}

// Recover sends deliveries of an active webhook again, and creates those that it has missed. A workflow does this page
// by page.
func (s *Service) Recover(ctx context.Context, tenant, id string, r RecoveryRequest) (models.Recovery, error) {
	p := problems(slices.Clone(r.Wrong))
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
	checkLength(&p, "channel", r.Channel, maxTag)
	checkLength(&p, "tag", r.Tag, maxTag)
	switch class := r.StatusClass; {
	case class == nil:
	case *class < 0 || *class > 5:
		p.addf("status_class", "must be from 0 to 5")
	case r.Missed:
		p.addf("status_class", "cannot be given with missed: there is no answer to what was not sent")
	}
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
	recovery := &models.Recovery{Tenant: tenant, WebhookID: id, Statuses: each(r.Statuses), EventTypes: each(r.EventTypes),
		Channel: r.Channel, Tag: r.Tag, StatusClass: r.StatusClass, Missed: r.Missed, Rate: r.Rate}
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

// eventsSince returns where a window starts for rows that the retention deletes: no earlier than the retention.
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
	s.Engine.StartRecovery(r.ID)
	return *r, nil
}

// RecoveryWorkflow returns the workflow of a recovery, and its URL in the Web UI; "" = unknown.
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

// Recovery reads a recovery's progress; tenant "" = any tenant's.
func (s *Service) Recovery(ctx context.Context, tenant, id string) (models.Recovery, error) {
	r, err := s.Store.Recovery(ctx, tenant, id)
	return r, known(err, "recovery")
}

// CancelRecovery ends a recovery; deliveries that it has released stay released.
func (s *Service) CancelRecovery(ctx context.Context, tenant, id string) (models.Recovery, error) {
	r, err := s.Store.CancelRecovery(ctx, tenant, id)
	return r, known(err, "recovery")
}

// ReleasePage releases the next page of a recovery and starts the dispatches that drive it. It is for the recovery
// workflow.
func (s *Service) ReleasePage(ctx context.Context, id string) (models.Recovery, error) {
	kept := time.Time{}
	if s.Retention > 0 {
		kept = s.Store.Now().Add(-s.Retention)
	}
	r, fresh, err := s.Store.ReleasePage(ctx, id, kept)
	if err != nil {
		return r, known(err, "recovery")
	}
	s.Engine.Launch(fresh...)
	return r, nil
}
