package service

import (
	"context"
	"errors"

	"github.com/posthorn/posthorn/models"
)

// Enable makes a webhook active from any status, and resets its failure count. Its held deliveries stay held until
// Recover. Enabling a paused webhook resumes it.
func (s *Service) Enable(ctx context.Context, tenant, id, by string) (models.Webhook, error) {
	w, err := s.Webhook(ctx, tenant, id)
	if err != nil {
		return w, err
	}
	if w.Status == models.WebhookPaused {
		return s.resume(ctx, tenant, id, by, true)
	}
	return s.setStatus(ctx, tenant, id, models.StatusChange{To: models.WebhookActive, Reset: true, By: by})
}

// Disable takes a webhook out of service until it is enabled. Deliveries that become due are held.
func (s *Service) Disable(ctx context.Context, tenant, id, reason, by string) (models.Webhook, error) {
	var p problems
	if checkLength(&p, "reason", reason, 500); p.err() != nil {
		return models.Webhook{}, p.err()
	}
	if reason == "" {
		reason = "disabled by " + by
	}
	return s.setStatus(ctx, tenant, id, models.StatusChange{To: models.WebhookDisabled, Reason: reason, By: by})
}

// Pause stops sending to an active webhook for a while. Deliveries that become due are held until Resume releases
// them.
func (s *Service) Pause(ctx context.Context, tenant, id, by string) (models.Webhook, error) {
	w, err := s.setStatus(ctx, tenant, id, models.StatusChange{To: models.WebhookPaused, Reason: "paused by " + by, By: by,
		From: []models.WebhookStatus{models.WebhookActive}})
	if err == nil && w.Status != models.WebhookPaused {
		return w, Refuse(Conflict, "the webhook is %s; only an active one can be paused", w.Status)
	}
	return w, err
}

// Resume makes a paused webhook active and releases the deliveries that the pause held.
func (s *Service) Resume(ctx context.Context, tenant, id, by string) (models.Webhook, error) {
	return s.resume(ctx, tenant, id, by, false)
}

func (s *Service) resume(ctx context.Context, tenant, id, by string, reset bool) (models.Webhook, error) {
	recovery := &models.Recovery{Tenant: tenant, WebhookID: id, Statuses: []models.DeliveryStatus{models.Held},
		Reason: models.HeldReason(models.WebhookPaused)}
	w, err := s.setStatus(ctx, tenant, id, models.StatusChange{To: models.WebhookActive, Reset: reset, By: by,
		From: []models.WebhookStatus{models.WebhookPaused}, Recover: recovery})
	if err != nil {
		return w, err
	}
	if w.Status != models.WebhookActive {
		return w, Refuse(Conflict, "the webhook is %s; only a paused one can be resumed", w.Status)
	}
	s.Engine.StartRecovery(recovery.ID)
	return w, nil
}

func (s *Service) setStatus(ctx context.Context, tenant, id string, c models.StatusChange) (models.Webhook, error) {
	w, changed, err := s.Store.SetWebhookStatus(ctx, tenant, id, c)
	s.directory.forget(tenant)
	if changed && w.Health.LastFailureAt != nil {
		s.Engine.WakeHealth(id) // so that its health workflow shows the new state
	}
	return w, known(err, "webhook")
}

// Judge checks a webhook's failure count and does what is due: it deactivates it, or records a warning. It is for the
// health workflow.
func (s *Service) Judge(ctx context.Context, id string) (models.Webhook, error) {
	w, err := s.Store.JudgeWebhook(ctx, id, s.Threshold)
	if err == nil && w.Status != models.WebhookActive {
		s.directory.forget(w.Tenant)
	}
	return w, known(err, "webhook")
}

// Gone deactivates a webhook whose receiver answered 410: it wants no more. w is the webhook as it was when the POST
// began. If it has been enabled since, the answer has no effect.
func (s *Service) Gone(ctx context.Context, w *models.Webhook) error {
	changed, err := s.Store.DeactivateInEpoch(ctx, w.ID, s.Threshold, "the receiver answered 410 Gone", w.Health.Epoch)
	if changed {
		s.directory.forget(w.Tenant)
		s.Engine.WakeHealth(w.ID)
	}
	if errors.Is(err, models.ErrNotFound) { // deleted in the meantime: there is nothing to deactivate
		return nil
	}
	return err
}
