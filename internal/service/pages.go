package service

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/models"
)

// Notices returns the latest notifications about a webhook, newest first.
func (s *Service) Notices(ctx context.Context, tenant, webhookID string) ([]models.Notification, error) {
	return read(ctx, s, "webhook", func(ctx context.Context, store *models.Store) ([]models.Notification, error) {
		return store.Notifications(ctx, tenant, webhookID)
	})
}

// Waiting counts the waiting deliveries of a webhook, up to a bound.
func (s *Service) Waiting(ctx context.Context, tenant, webhookID string) (models.Waiting, error) {
	return read(ctx, s, "webhook", func(ctx context.Context, store *models.Store) (models.Waiting, error) {
		return store.Waiting(ctx, tenant, webhookID)
	})
}

// AllWaiting is Waiting for the whole installation. oldest is when the longest overdue delivery was due; nil if none
// is overdue.
func (s *Service) AllWaiting(ctx context.Context) (w models.Waiting, oldest *time.Time, err error) {
	w, err = read(ctx, s, "backlog", func(ctx context.Context, store *models.Store) (w models.Waiting, err error) {
		if w, err = store.Waiting(ctx, "", ""); err != nil {
			return w, err
		}
		oldest, err = store.OldestDue(ctx)
		return w, err
	})
	return w, oldest, err
}

// TenantsLike lists the tenants whose slug begins with a text.
func (s *Service) TenantsLike(ctx context.Context, text string, page models.Page) ([]models.Tenant, string, error) {
	return readPage(ctx, s, "tenant", func(ctx context.Context, store *models.Store) ([]models.Tenant, string, error) {
		return store.TenantsLike(ctx, text, page)
	})
}

// Overlap returns when the webhook's earlier secrets stop signing, and how many secrets sign in all.
func (s *Service) Overlap(w *models.Webhook) (ends []time.Time, all int) {
	o, err := s.unseal(w)
	if err != nil {
		return nil, 0
	}
	now := s.Now()
	for _, secret := range o.promised(now) {
		ends = append(ends, *secret.Until)
	}
	return ends, len(o.active(now))
}

// LastAttempts returns the last attempt of each delivery that has one, by the delivery's id, without request and
// answer.
func (s *Service) LastAttempts(ctx context.Context, deliveries []models.Delivery) (map[string]*models.Attempt, error) {
	return read(ctx, s, "delivery", func(ctx context.Context, store *models.Store) (map[string]*models.Attempt, error) {
		return store.LastAttempts(ctx, deliveries)
	})
}

// CountsSince returns what has happened at webhooks since a time, minute by minute. The last few seconds may be
// missing.
func (s *Service) CountsSince(ctx context.Context, webhooks []models.Webhook, since time.Time) ([]models.WebhookCount, error) {
	return read(ctx, s, "statistics", func(ctx context.Context, store *models.Store) ([]models.WebhookCount, error) {
		return store.CountsSince(ctx, webhooks, since)
	})
}
