package service

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/models"
)

// Event reads one event.
func (s *Service) Event(ctx context.Context, tenant, id string) (models.Event, error) {
	return read(ctx, s, "event", func(ctx context.Context, store *models.Store) (models.Event, error) {
		return store.Event(ctx, tenant, id)
	})
}

// Events lists a tenant's events without their data. complete is false if a text search has stopped early.
func (s *Service) Events(ctx context.Context, tenant string, search EventSearch, page models.Page) (rows []models.Event, next string, complete bool, err error) {
	if err := search.check(); err != nil {
		return nil, "", false, err
	}
	complete = true
	rows, next, err = readPage(ctx, s, "event", func(ctx context.Context, store *models.Store) (rows []models.Event, next string, err error) {
		f := search.EventFilter
		if search.Text != "" {
			rows, next, complete, err = store.EventsWithText(ctx, tenant, f, search.Text, page)
			return rows, next, err
		}
		if search.IdempotencyKey != "" {
			if f.IDs, err = publishedWith(ctx, store, tenant, search.IdempotencyKey); err != nil {
				return nil, "", err
			}
			f.IDsOf = search.IdempotencyKey
		}
		if search.ID != "" {
			if f.IDs == nil || slices.Contains(f.IDs, search.ID) {
				f.IDs = []string{search.ID}
			} else {
				f.IDs = []string{}
			}
		}
		return store.Events(ctx, tenant, f, page)
	})
	return rows, next, complete, err
}

// publishedWith returns the ids of the events that were published with an idempotency key; none once the key has
// expired.
func publishedWith(ctx context.Context, store *models.Store, tenant, key string) ([]string, error) {
	answer, err := store.KeyAnswer(ctx, tenant, key)
	if errors.Is(err, models.ErrNotFound) {
		return []string{}, nil
	}
	if err != nil {
		return nil, err
	}
	first, err := replayed(answer)
	ids := make([]string, len(first))
	for i, p := range first {
		ids[i] = p.ID
	}
	return ids, err
}

// ErasePayload removes an event's data, keeps its record, and cancels its unfinished deliveries.
func (s *Service) ErasePayload(ctx context.Context, tenant, id string) error {
	return known(s.Store.EraseEvent(ctx, tenant, id), "event")
}

// Wanted reports whether an active webhook would get an event of this type and with these channels now.
func (s *Service) Wanted(ctx context.Context, tenant, eventType string, channels []string) (bool, error) {
	v, err := s.directory.load(ctx, tenant)
	if err != nil {
		return false, err
	}
	var p problems
	if v.eventType(eventType) == nil {
		p.addf("type", "%q is not a known event type", cut.Text(eventType, shownName))
	}
	checkChannels(&p, "channels", channels, maxEventChannels)
	if err := p.err(); err != nil {
		return false, err
	}
	return slices.ContainsFunc(v.match(eventType, channels), func(e *entry) bool { return e.webhook.Status == models.WebhookActive }), nil
}

// Match says what would happen to an event at one webhook. Of the webhook it has what sending needs.
type Match struct {
	Webhook models.Webhook
	Matched bool
	Reason  string
}

// MatchEvent lists which webhooks would get an event and which would not, and why, oldest first, a page at a time. It
// sends and stores nothing.
func (s *Service) MatchEvent(ctx context.Context, tenant string, in EventInput, page models.Page) (matches []Match, next string, err error) {
	v, err := s.directory.load(ctx, tenant)
	if err != nil {
		return nil, "", err
	}
	var p problems
	if err := s.checkEvent(ctx, &p, v, "", in, s.checkBudget(in)); err != nil {
		return nil, "", err
	}
	if err := p.err(); err != nil {
		return nil, "", err
	}
	ids, next, err := models.PageOfIDs(slices.Sorted(maps.Keys(v.webhooks)), page, "matches", append([]string{tenant, in.Type}, in.Channels...)...)
	if err != nil {
		return nil, "", known(err, "webhook")
	}
	matches = make([]Match, len(ids))
	for i, id := range ids {
		w := v.webhooks[id].webhook
		m := Match{Webhook: w, Matched: w.Wants(in.Type) && w.Hears(in.Channels)}
		switch {
		case m.Matched && w.Status != models.WebhookActive:
			m.Reason = "registered for it, but " + string(w.Status) + ": the delivery would be held"
		case m.Matched && len(w.EventTypes) == 0:
			m.Reason = "registered for every event type"
		case m.Matched:
			m.Reason = "registered for it"
		case w.Wants(in.Type):
			m.Reason = "registered for it, but only on channels that the event does not have"
		default:
			m.Reason = "not registered for " + in.Type
		}
		matches[i] = m
	}
	return matches, next, nil
}
