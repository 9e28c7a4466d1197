package hooks

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/models"
)

// RecoveryRequest asks for what was held or has failed to be sent again.
type RecoveryRequest struct {
	Since, Until *time.Time              // when the deliveries were made; nil = no bound
	Statuses     []models.DeliveryStatus // held and failed unless told otherwise
	Rate         float64                 // deliveries per second; 0 = as fast as they go
}

// Recover sends what was held for an active webhook, or has failed, by a workflow that pages through it.
func (s *Service) Recover(ctx context.Context, tenant, id string, r RecoveryRequest) (models.Recovery, error) {
	var p problems
	if len(r.Statuses) == 0 {
		r.Statuses = []models.DeliveryStatus{models.Held, models.Failed}
	}
	for i, status := range r.Statuses {
		if status != models.Held && status != models.Failed {
			p.addf(index("statuses", i), "must be held or failed")
		}
	}
	checkRate(&p, "rate", r.Rate)
	if r.Since != nil && r.Until != nil && !r.Since.Before(*r.Until) {
		p.addf("until", "must be after since")
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
	recovery := &models.Recovery{Tenant: tenant, WebhookID: id, Statuses: r.Statuses, Rate: r.Rate}
	if r.Since != nil {
		recovery.Since = new(models.Bound(*r.Since))
	}
	if r.Until != nil {
		recovery.Until = models.Bound(*r.Until)
	}
	return s.recover(ctx, recovery)
}

func (s *Service) recover(ctx context.Context, r *models.Recovery) (models.Recovery, error) {
	if err := s.Store.CreateRecovery(ctx, r); err != nil {
		return *r, known(err, "webhook")
	}
	s.Engine.Recover(r.ID)
	return *r, nil
}

// Recovery reads a recovery's progress.
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
