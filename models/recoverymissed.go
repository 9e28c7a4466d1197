package models

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// markTime is the format of an event's time in a mark. Its texts sort by time.
const markTime = "2006-01-02T15:04:05.000Z"

// markOf returns an event's place in the order of the list of events.
func markOf(e *Event) string { return e.CreatedAt.UTC().Format(markTime) + " " + e.ID }

// eventsAfter restricts a query of events to those after a mark, oldest first; "" = all.
func eventsAfter(q *gorm.DB, mark string) (*gorm.DB, error) {
	if mark != "" {
		text, id, _ := strings.Cut(mark, " ")
		at, err := time.Parse(markTime, text)
		if err != nil {
			return nil, err
		}
		q = q.Where("(created_at, id) > (?, ?)", at.UTC(), id)
	}
	return q.Order("created_at, id"), nil
}

// events reads the next events of the window in which a recovery searches for missed ones, without their data.
func (r *Recovery) events(db *gorm.DB, after string, limit int) (rows []Event, err error) {
	q, err := eventsAfter(db.Omit("data").Where("tenant = ? AND created_at < ?", r.Tenant, r.Until), after)
	if err != nil {
		return nil, err
	}
	if r.EventsSince != nil {
		q = q.Where("created_at >= ?", *r.EventsSince)
	}
	err = q.Limit(limit).Find(&rows).Error
	return rows, err
}

// wanted returns the events that the recovery selects and that match the webhook.
func (r *Recovery) wanted(w *Webhook, events []Event) (kept []Event) {
	for i := range events {
		e := &events[i]
		if r.Channel != "" && !slices.Contains(e.Channels, r.Channel) || r.Tag != "" && !slices.Contains(e.Tags, r.Tag) {
			continue
		}
		if r.ofType(events[i].Type) && w.Wants(events[i].Type) && w.Hears(events[i].Channels) {
			kept = append(kept, events[i])
		}
	}
	return kept
}

// missedBy returns the events that have no delivery to the webhook, and get none from a fan-out or a batch.
func (s *Store) missedBy(ctx context.Context, w *Webhook, events []Event) ([]Event, error) {
	id := uuid.MustParse(w.ID[len(PrefixWebhook):])
	columns := append(slices.Clone(eventColumns[:2]), column[Event]{"batch_id", "text", func(e *Event) any { return e.BatchID }},
		column[Event]{"webhook", "text", func(*Event) any { return w.ID }}, column[Event]{"member", "bytea", func(*Event) any { return id[:] }})
	contains := "instr(members, v.member)"
	if s.postgres {
		contains = "position(v.member IN members)"
	}
	missed := map[string]bool{}
	// An index lookup for each event, because NOT EXISTS may scan a whole table instead.
	err := bulk(ctx, s, events, columns, `SELECT v.id FROM v WHERE
		(SELECT d.id FROM deliveries d WHERE d.tenant = v.tenant AND d.event_id = v.id AND d.webhook_id = v.webhook LIMIT 1) IS NULL
		AND (SELECT j.id FROM jobs j WHERE j.tenant = v.tenant AND j.event_id = v.id AND j.kind = 'fanout' AND `+contains+` > 0 LIMIT 1) IS NULL
		AND (SELECT b.id FROM batches b WHERE b.tenant = v.tenant AND b.id = v.batch_id AND `+contains+` > 0) IS NULL`,
		func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			missed[id] = true
			return err
		})
	kept := make([]Event, 0, len(missed))
	for i := range events {
		if missed[events[i].ID] {
			kept = append(kept, events[i])
		}
	}
	return kept, err
}

// nextMissed finds the events of the next page, and moves the recovery behind them. It reads few events first, so that a slow
// recovery, whose pages are small, does not read the same events for each of them. looked is how many it has read.
func (s *Store) nextMissed(ctx context.Context, r *Recovery, w *Webhook) (missed []Event, looked int, err error) {
	most := r.PageSize()
	for size := most; looked < lookedFor && len(missed) < most; size *= 2 {
		limit := min(size, lookedFor-looked)
		window, err := r.events(s.db.WithContext(ctx), r.Position, limit)
		if err != nil {
			return nil, 0, err
		}
		if len(window) == 0 {
			break
		}
		found, err := s.missedBy(ctx, w, r.wanted(w, window))
		if err != nil {
			return nil, 0, err
		}
		missed, looked, r.Position = append(missed, found...), looked+len(window), markOf(&window[len(window)-1])
		if len(window) < limit {
			break
		}
	}
	if len(missed) > most {
		missed, r.Position = missed[:most], markOf(&missed[most-1])
	}
	return missed, looked, nil
}

// releaseMissed creates deliveries of events that have none to the webhook. The caller holds the tenant and has locked
// the webhook. The events are locked before the check is repeated: a replay may have created one in the meantime.
func (s *Store) releaseMissed(ctx context.Context, r *Recovery, w *Webhook) (fresh []Dispatch, looked int, err error) {
	missed, looked, err := s.nextMissed(ctx, r, w)
	if err != nil || looked == 0 {
		return nil, 0, err
	}
	erased, err := s.lockEvents(ctx, missed)
	if err != nil {
		return nil, 0, err
	}
	if missed, err = s.missedBy(ctx, w, missed); err != nil {
		return nil, 0, err
	}
	now, counted := s.now(), statDeltas{}
	var deliveries []Delivery
	for i := range missed {
		e := &missed[i]
		if erased[e.ID] {
			r.Skipped++
			continue
		}
		deliveries = append(deliveries, Delivery{Tenant: e.Tenant, ID: NewID(PrefixDelivery), EventID: e.ID, EventType: e.Type, WebhookID: w.ID,
			Status: Pending, Asked: 1, CreatedAt: now, NextAttemptAt: &now, RecoveryID: r.ID})
		counted.owed(e.CreatedAt, &deliveries[len(deliveries)-1])
	}
	if err := s.appendStats(ctx, counted); err != nil {
		return nil, 0, err
	}
	r.Released += int64(len(deliveries))
	fresh = s.fanOutDispatches(deliveries)
	return fresh, looked, s.insertLater(ctx, deliveries, fresh)
}

// lockEvents keeps events from being erased or replayed until the transaction ends, and returns which have been erased
// or are gone.
func (s *Store) lockEvents(ctx context.Context, events []Event) (erased map[string]bool, err error) {
	keys := make([]DeliveryKey, len(events))
	erased = make(map[string]bool, len(events))
	for i := range events {
		keys[i], erased[events[i].ID] = keyOf(&events[i]), true
	}
	query := "SELECT e.id, e.erased_at IS NOT NULL FROM v JOIN events e ON e.tenant = v.tenant AND e.id = v.id ORDER BY e.id"
	if s.postgres {
		query += " FOR SHARE OF e"
	}
	err = bulk(ctx, s, keys, rowKeyColumns, query, func(rows *sql.Rows) error {
		var id string
		var gone bool
		err := rows.Scan(&id, &gone)
		erased[id] = gone
		return err
	})
	return erased, err
}
