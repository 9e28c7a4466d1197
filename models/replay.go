package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrErased is returned for an event whose data has been erased.
var ErrErased = errors.New("models: the event's payload has been erased")

// Replay sends an event again to webhooks: by the existing delivery to each, from the first step of its schedule, or
// by a new one. A pending delivery is left alone, and one to an inactive webhook is held. It returns the deliveries,
// in the order of their webhooks' ids, and the dispatches for the caller to start. ErrErased if there is nothing to
// send.
func (s *Store) Replay(ctx context.Context, tenant, eventID string, webhookIDs []string) (deliveries []Delivery, fresh []Dispatch, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		r, err := tx.replay(ctx, tenant, eventID, "", webhookIDs)
		if err != nil {
			return err
		}
		fresh, deliveries = r.fresh, nil
		rows, err := tx.DeliveriesByID(ctx, r.deliveries)
		if err != nil {
			return err
		}
		deliveries = slices.SortedFunc(slices.Values(rows), func(a, b Delivery) int { return strings.Compare(a.WebhookID, b.WebhookID) })
		if r.changed == 0 {
			return nil
		}
		return tx.audit(ctx, tenant, AuditEventReplayed, AuditTarget{"event", eventID}, AuditChanges{"deliveries": r.changed})
	})
	return deliveries, fresh, err
}

// replayed is the result of a replay to some webhooks.
type replayed struct {
	deliveries []DeliveryKey
	fresh      []Dispatch
	changed    int
}

func (s *Store) replay(ctx context.Context, tenant, eventID, recoveryID string, webhookIDs []string) (r replayed, err error) {
	if err := s.holdTenant(ctx, tenant); err != nil {
		return r, err
	}
	webhooks, err := s.statusesOf(ctx, tenant, webhookIDs)
	if err != nil {
		return r, err
	}
	var e Event
	if err := found(s.forUpdate(s.db.WithContext(ctx)).Omit("data").Take(&e, "tenant = ? AND id = ?", tenant, eventID).Error); err != nil {
		return r, err
	}
	if e.ErasedAt != nil {
		return r, ErrErased
	}
	existing, err := s.ofWebhooks(ctx, &e, webhooks)
	if err != nil {
		return r, err
	}
	now := s.now()
	var release, hold, add []Delivery
	for _, w := range webhooks {
		d, ok := existing[w.ID]
		if !ok {
			d = Delivery{Tenant: tenant, ID: NewID(PrefixDelivery), EventID: e.ID, EventType: e.Type, WebhookID: w.ID,
				Status: Pending, Asked: 1, CreatedAt: now, NextAttemptAt: &now}
		}
		r.deliveries = append(r.deliveries, d.Key())
		d.RecoveryID = recoveryID
		switch active := w.Status == WebhookActive; {
		case !ok && !active:
			d.Status, d.StatusReason, d.NextAttemptAt = Held, HeldReason(w.Status), nil
			add = append(add, d)
		case !ok:
			add = append(add, d)
		case d.Status == Pending, d.Status == Held && !active:
		case active:
			release = append(release, d)
		default:
			d.StatusReason = HeldReason(w.Status)
			hold = append(hold, d)
		}
	}
	r.changed = len(release) + len(hold) + len(add)
	if r.fresh, err = s.dispatchAnew(ctx, release, restarted); err != nil {
		return r, err
	}
	if err := s.holdAgain(ctx, hold); err != nil {
		return r, err
	}
	counted := statDeltas{}
	for i := range add {
		counted.owed(e.CreatedAt, &add[i])
	}
	for _, d := range hold {
		counted.at(now, tenant, d.WebhookID, d.EventType).Held++
	}
	if err := s.appendStats(ctx, counted); err != nil {
		return r, err
	}
	dispatches := s.fanOutDispatches(add)
	r.fresh = append(r.fresh, dispatches...)
	return r, s.insertLater(ctx, add, dispatches)
}

// statusesOf reads the statuses of the existing webhooks, in the order of their ids, and on PostgreSQL locks them
// until the transaction ends: a change of one then finds all its deliveries.
func (s *Store) statusesOf(ctx context.Context, tenant string, ids []string) (webhooks []Webhook, err error) {
	keys := keysOf(tenant, ids)
	query := "SELECT w.id, w.status FROM v JOIN webhooks w ON w.id = v.id AND w.tenant = v.tenant AND w.deleted_at IS NULL ORDER BY w.id"
	if s.postgres {
		query += " FOR SHARE OF w"
	}
	err = bulk(ctx, s, keys, rowKeyColumns, query, func(rows *sql.Rows) error {
		w := Webhook{Tenant: tenant}
		err := rows.Scan(&w.ID, &w.Status)
		webhooks = append(webhooks, w)
		return err
	})
	return webhooks, err
}

// ofWebhooks reads and locks the deliveries of an event to webhooks, the newest of each.
func (s *Store) ofWebhooks(ctx context.Context, e *Event, webhooks []Webhook) (map[string]Delivery, error) {
	columns := []column[Webhook]{
		{"tenant", "text", func(*Webhook) any { return e.Tenant }},
		{"event", "text", func(*Webhook) any { return e.ID }},
		{"webhook", "text", func(w *Webhook) any { return w.ID }},
	}
	query := "SELECT d.* FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.event_id = v.event AND d.webhook_id = v.webhook ORDER BY d.id"
	if s.postgres {
		query += " FOR UPDATE OF d"
	}
	all := make(map[string]Delivery, len(webhooks))
	err := bulk(ctx, s, webhooks, columns, query, func(rows *sql.Rows) error {
		var d Delivery
		err := s.db.ScanRows(rows, &d)
		all[d.WebhookID] = d
		return err
	})
	return all, err
}

// holdAgain holds locked deliveries that had ended, to be sent from the first step of their schedules.
func (s *Store) holdAgain(ctx context.Context, rows []Delivery) error {
	columns := append(slices.Clone(deliveryColumns[:2]), column[Delivery]{"reason", "text", func(d *Delivery) any { return d.StatusReason }}, recoveryColumn)
	return bulk(ctx, s, rows, columns, `UPDATE deliveries SET status = 'held', status_reason = v.reason, failures = 0, generation = generation + 1,
		next_attempt_at = NULL, finished_at = NULL, recovery_id = COALESCE(NULLIF(v.recovery, ''), recovery_id)
		FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id`, nil)
}

// releaseReplay does a page of the replay of an event to many webhooks. more reports whether there may be another.
func (s *Store) releaseReplay(ctx context.Context, r *Recovery) (fresh []Dispatch, more bool, err error) {
	done := 0
	if r.Position != "" {
		if done, err = strconv.Atoi(r.Position); err != nil {
			return nil, false, fmt.Errorf("models: position of recovery %s: %w", r.ID, err)
		}
	}
	ids, size, err := s.membersOf(ctx, "recoveries", r.ID, done, r.PageSize())
	if err != nil || len(ids) == 0 {
		return nil, false, err
	}
	page, err := s.replay(ctx, r.Tenant, r.EventID, r.ID, ids)
	switch {
	case errors.Is(err, ErrErased), errors.Is(err, ErrNotFound):
		r.Skipped += int64(size - done)
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	done += len(ids)
	r.Position = strconv.Itoa(done)
	r.Released += int64(page.changed)
	r.Skipped += int64(len(ids) - page.changed)
	return page.fresh, done < size, nil
}
