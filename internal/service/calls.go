package service

import (
	"context"
	"slices"

	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// Call is an entry of a system's call log. Body is the posted body, nil once the event's payload has been erased.
type Call struct {
	models.Call
	Body []byte
}

// MaxReplay is the most calls that one request may replay.
const MaxReplay = 100

// Calls lists a tenant's calls: limit of them from offset on, and their total number, as models.Store.Calls counts it.
// Held calls, which are still to be made, come first, then those that were made; newest first.
func (s *Service) Calls(ctx context.Context, tenant string, f models.CallFilter, limit, offset int) ([]Call, int64, error) {
	var rows []models.Call
	var total int64
	var keys []models.DeliveryKey
	var events map[models.DeliveryKey]*models.Event
	err := s.Store.Read(ctx, func(ctx context.Context, store *models.Store) (err error) {
		if rows, total, err = allCalls(ctx, store, tenant, f, limit, offset); err != nil {
			return err
		}
		keys = make([]models.DeliveryKey, len(rows))
		for i, r := range rows {
			keys[i] = models.DeliveryKey{Tenant: tenant, ID: r.EventID}
		}
		events, err = store.EventsByID(ctx, keys)
		return err
	})
	if err != nil {
		return nil, 0, known(err, "call")
	}
	calls := make([]Call, len(rows))
	for i, r := range rows {
		calls[i].Call = r
		e := events[keys[i]]
		if e == nil || e.ErasedAt != nil {
			continue
		}
		// The same event makes the same body on every attempt, so it is built again rather than stored with each.
		w := wire.Webhook{ID: r.WebhookID, Tenant: models.TenantSlug(tenant), URL: r.URL, Profile: f.Profile}
		if calls[i].Body, err = wire.Body(w, onWire(e)); err != nil {
			return nil, 0, err
		}
	}
	return calls, total, nil
}

// allCalls lists held calls before those that were made.
func allCalls(ctx context.Context, store *models.Store, tenant string, f models.CallFilter, limit, offset int) ([]models.Call, int64, error) {
	held, waiting, err := store.HeldCalls(ctx, tenant, f, limit, offset)
	if err != nil {
		return nil, 0, err
	}
	made, total, err := store.Calls(ctx, tenant, f, limit, max(0, offset-int(waiting)))
	return append(held, made[:min(len(made), limit-len(held))]...), waiting + total, err
}

// ReplayCalls makes the deliveries of the named calls again, starting them in the given order. Each is a separate
// delivery, so a slow receiver may get the next one before it has answered the one before. Either all are replayed or
// none: the error then names those that cannot be, as "calls[i]".
func (s *Service) ReplayCalls(ctx context.Context, tenant, profile string, ids []string) error {
	var p problems
	if len(ids) == 0 || len(ids) > MaxReplay {
		p.addf("calls", "must be 1 to %d", MaxReplay)
		return p.err()
	}
	rows, err := s.called(ctx, tenant, models.CallFilter{Profile: profile, IDs: ids}, len(ids))
	if err != nil {
		return err
	}
	unwanted, err := s.unwanted(ctx, tenant)
	if err != nil {
		return err
	}
	calls := make([]models.Call, 0, len(ids))
	for i, id := range ids {
		k := slices.IndexFunc(rows, func(c models.Call) bool { return c.ID == id })
		switch {
		case k < 0:
			p.addf(index("calls", i), "there is no such call")
		case rows[k].Obstacle == models.ObstacleDeleted:
			p.addf(index("calls", i), "its webhook has been deleted")
		case rows[k].Obstacle == models.ObstacleInactive:
			p.addf(index("calls", i), "its webhook is not active")
		case rows[k].Obstacle == models.ObstacleErased:
			p.addf(index("calls", i), "its event's payload has been erased")
		case unwanted(rows[k]):
			p.addf(index("calls", i), "its webhook is not registered for its event any more")
		default:
			calls = append(calls, rows[k])
		}
	}
	if err := p.err(); err != nil {
		return err
	}
	return s.replay(ctx, tenant, calls)
}

// ReplayLatest makes the deliveries of the latest n calls that match the filter again, oldest first. Held calls count
// as the latest. Of a delivery that was tried several times, its last call counts. A delivery that cannot be replayed
// now is skipped.
func (s *Service) ReplayLatest(ctx context.Context, tenant string, f models.CallFilter, n int) error {
	f.Latest = true
	calls, err := s.called(ctx, tenant, f, n)
	if err != nil {
		return err
	}
	unwanted, err := s.unwanted(ctx, tenant)
	if err != nil {
		return err
	}
	calls = slices.DeleteFunc(calls, unwanted)
	slices.Reverse(calls)
	return s.replay(ctx, tenant, calls)
}

// unwanted returns a function that reports whether a call's webhook is no longer registered for its event type. Such a
// call would be canceled instead of repeated.
func (s *Service) unwanted(ctx context.Context, tenant string) (func(models.Call) bool, error) {
	v, err := s.directory.load(ctx, tenant)
	return func(c models.Call) bool {
		e, ok := v.webhooks[c.WebhookID]
		return ok && !e.webhook.Wants(c.EventType)
	}, err
}

// called returns the latest n calls that match the filter, held ones first.
func (s *Service) called(ctx context.Context, tenant string, f models.CallFilter, n int) ([]models.Call, error) {
	return read(ctx, s, "call", func(ctx context.Context, store *models.Store) ([]models.Call, error) {
		rows, _, err := allCalls(ctx, store, tenant, f, n, 0)
		return rows, err
	})
}

// replay retries the calls' deliveries in order, each delivery once, and marks every call as replayed.
func (s *Service) replay(ctx context.Context, tenant string, calls []models.Call) error {
	started := make(map[string]bool, len(calls))
	// The audit entry is that of the first delivery's change, for all of them.
	noted := models.WithAuditNote(ctx, &models.AuditNote{Action: models.AuditDeliveryReplayed, Changes: models.AuditChanges{"calls": len(calls)}})
	for _, c := range calls {
		if !started[c.DeliveryID] {
			if _, err := s.RetryDelivery(noted, tenant, c.DeliveryID); err != nil {
				return err
			}
			started[c.DeliveryID], noted = true, models.Unaudited(ctx)
		}
		if c.ID == c.DeliveryID { // it was held: there is no attempt to mark
			continue
		}
		if err := s.Store.NoteReplay(ctx, tenant, c.ID); err != nil {
			return err
		}
	}
	return nil
}
