package service

import (
	"context"
	"errors"

	"github.com/posthorn/posthorn/models"
)

// Attempts lists a tenant's attempts of one webhook or one event.
func (s *Service) Attempts(ctx context.Context, tenant string, f models.AttemptFilter, page models.Page) ([]models.ListedAttempt, string, error) {
	return readPage(ctx, s, "attempt", func(ctx context.Context, store *models.Store) ([]models.ListedAttempt, string, error) {
		return store.ListAttempts(ctx, tenant, f, page)
	})
}

// Attempt reads one attempt of a tenant.
func (s *Service) Attempt(ctx context.Context, tenant, id string) (models.ListedAttempt, error) {
	return read(ctx, s, "attempt", func(ctx context.Context, store *models.Store) (models.ListedAttempt, error) {
		return store.ListedAttempt(ctx, tenant, id)
	})
}

// LastFailure reads the attempt of the webhook that failed last, with the receiver's answer; nil if there is none, or it is no
// longer kept.
func (s *Service) LastFailure(ctx context.Context, w *models.Webhook) (*models.Attempt, error) {
	at := w.Health.LastFailureAt
	if at == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	return read(ctx, s, "attempt", func(ctx context.Context, store *models.Store) (*models.Attempt, error) {
		a, err := store.FailureAt(ctx, w.Tenant, w.ID, *at)
		if errors.Is(err, models.ErrNotFound) {
			return nil, nil // it is no longer kept
		}
		return &a, err
	})
}

// EraseAnswer removes the receiver's answer to one attempt. The attempt's outcome stays.
func (s *Service) EraseAnswer(ctx context.Context, tenant, id string) error {
	return known(s.Store.EraseAnswer(ctx, tenant, id), "attempt")
}

// EventByExternalID reads the tenant's event with this external id.
func (s *Service) EventByExternalID(ctx context.Context, tenant, externalID string) (models.Event, error) {
	if externalID == "" || len(externalID) > maxExternalID {
		return models.Event{}, Refuse(NotFound, "there is no such event")
	}
	rows, _, _, err := s.Events(ctx, tenant, EventSearch{EventFilter: models.EventFilter{ExternalID: externalID}}, models.Page{Limit: 1})
	if err != nil {
		return models.Event{}, err
	}
	if len(rows) == 0 {
		return models.Event{}, Refuse(NotFound, "there is no such event")
	}
	return s.Event(ctx, tenant, rows[0].ID)
}

// BehindEvent returns the key of a models.Page of Events that starts after an event.
func (s *Service) BehindEvent(ctx context.Context, tenant, id string) ([]string, error) {
	return read(ctx, s, "event", func(ctx context.Context, store *models.Store) ([]string, error) {
		return store.BehindEvent(ctx, tenant, id)
	})
}

// eventsAtOnce is how many events are read with their data at once.
const eventsAtOnce = 16

// EventsWithData reads events of a tenant with their data, in the order of the ids. It stops after the event with
// which the data exceeds most bytes. An event that does not exist is the zero Event.
func (s *Service) EventsWithData(ctx context.Context, tenant string, ids []string, most int) ([]models.Event, error) {
	return read(ctx, s, "event", func(ctx context.Context, store *models.Store) ([]models.Event, error) {
		events, bytes := make([]models.Event, 0, len(ids)), 0
		for len(events) < len(ids) && bytes <= most {
			begin := len(events)
			keys := []models.DeliveryKey{}
			for _, id := range ids[begin:min(begin+eventsAtOnce, len(ids))] {
				keys = append(keys, models.DeliveryKey{Tenant: tenant, ID: id})
			}
			found, err := store.EventsByID(ctx, keys)
			if err != nil {
				return nil, err
			}
			for _, key := range keys {
				e := models.Event{}
				if found[key] != nil {
					e = *found[key]
				}
				events = append(events, e)
				if bytes += len(e.Data); bytes > most {
					break
				}
			}
		}
		return events, nil
	})
}

// EventsByID returns the existing events among ids, by id, without their data.
func (s *Service) EventsByID(ctx context.Context, tenant string, ids []string) (map[string]*models.Event, error) {
	return read(ctx, s, "event", func(ctx context.Context, store *models.Store) (map[string]*models.Event, error) {
		return store.EventHeads(ctx, tenant, ids)
	})
}

// WebhooksByID returns the existing webhooks among ids, including deleted ones, by id.
func (s *Service) WebhooksByID(ctx context.Context, tenant string, ids []string) (map[string]*models.Webhook, error) {
	return read(ctx, s, "webhook", func(ctx context.Context, store *models.Store) (map[string]*models.Webhook, error) {
		return store.WebhooksByID(ctx, tenant, ids)
	})
}
