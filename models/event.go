package models

import (
	"context"
	"fmt"
	"time"
)

// Event is something that happened, as it was posted. Data holds the very bytes of the post, and is nil once erased.
type Event struct {
	Tenant     string
	ID         string
	Type       string
	Data       []byte
	Attributes map[string]string `gorm:"serializer:json"`
	CreatedAt  time.Time
	ErasedAt   *time.Time
}

// Event reads one event.
func (s *Store) Event(ctx context.Context, tenant, id string) (Event, error) {
	var e Event
	err := s.db.WithContext(ctx).Take(&e, "tenant = ? AND id = ?", tenant, id).Error
	return e, found(err)
}

// EventFilter narrows a list of events; zero values do not. Since is inclusive, Until exclusive.
type EventFilter struct {
	Type         string
	Since, Until time.Time
}

// Events lists a tenant's events without their data, newest first.
func (s *Store) Events(ctx context.Context, tenant string, f EventFilter, p Page) ([]Event, string, error) {
	q := s.db.WithContext(ctx).Omit("data").Where("tenant = ?", tenant).Order("created_at DESC, id DESC").Limit(p.Limit + 1)
	if f.Type != "" {
		q = q.Where("type = ?", f.Type)
	}
	if !f.Since.IsZero() {
		q = q.Where("created_at >= ?", f.Since.UTC())
	}
	if !f.Until.IsZero() {
		q = q.Where("created_at < ?", f.Until.UTC())
	}
	if p.After != "" {
		parts, err := parseCursor(p.After, 2)
		if err != nil {
			return nil, "", err
		}
		at, err := time.Parse(time.RFC3339Nano, parts[0])
		if err != nil {
			return nil, "", ErrBadCursor
		}
		q = q.Where("(created_at, id) < (?, ?)", at.UTC(), parts[1])
	}
	var rows []Event
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(e Event) string {
		return cursor(e.CreatedAt.UTC().Format(time.RFC3339Nano), e.ID)
	})
	return rows, next, nil
}

// EraseEvent removes the event's data and attributes, keeps its record, and cancels what is still owed of it.
func (s *Store) EraseEvent(ctx context.Context, tenant, id string) error {
	return s.Tx(ctx, func(tx *Store) error {
		var e Event
		if err := found(tx.forUpdate(tx.db.WithContext(ctx)).Omit("data").Take(&e, "tenant = ? AND id = ?", tenant, id).Error); err != nil {
			return err
		}
		err := tx.db.WithContext(ctx).Exec("UPDATE events SET data = NULL, attributes = 'null', erased_at = COALESCE(erased_at, ?) WHERE tenant = ? AND id = ?",
			tx.now(), tenant, id).Error
		if err != nil {
			return err
		}
		return tx.cancelOwed(ctx, "tenant = ? AND event_id = ?", "payload erased", tenant, id)
	})
}

// DeleteFinished removes up to limit of each of: attempts, deliveries and events older than before that nothing is
// owed of any more. It returns how many rows went; 0 = nothing is left to remove.
func (s *Store) DeleteFinished(ctx context.Context, before time.Time, limit int) (int64, error) {
	before = before.UTC()
	steps := []struct {
		query string
		args  []any
	}{
		// What is pending or held stays however old, with its attempts and its event.
		{`DELETE FROM attempts WHERE (tenant, id) IN (SELECT a.tenant, a.id FROM attempts a
			LEFT JOIN deliveries d ON d.tenant = a.tenant AND d.id = a.delivery_id
			WHERE a.id < ? AND (d.id IS NULL OR (d.status NOT IN ('pending', 'held') AND d.finished_at < ?)) LIMIT ?)`,
			[]any{IDBefore(PrefixAttempt, before), before, limit}},
		{`DELETE FROM deliveries WHERE (tenant, id) IN (SELECT d.tenant, d.id FROM deliveries d
			WHERE d.id < ? AND d.status NOT IN ('pending', 'held') AND d.finished_at < ?
			AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.delivery_id = d.id) LIMIT ?)`,
			[]any{IDBefore(PrefixDelivery, before), before, limit}},
		{`DELETE FROM events WHERE (tenant, id) IN (SELECT e.tenant, e.id FROM events e
			WHERE e.created_at < ? AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.tenant = e.tenant AND d.event_id = e.id) LIMIT ?)`,
			[]any{before, limit}},
		{`DELETE FROM notifications WHERE id IN (SELECT id FROM notifications WHERE created_at < ? AND sent_at IS NOT NULL LIMIT ?)`,
			[]any{before, limit}},
		{`DELETE FROM recoveries WHERE id IN (SELECT id FROM recoveries WHERE finished_at < ? LIMIT ?)`, []any{before, limit}},
		{`DELETE FROM replays WHERE (tenant, attempt_id) IN (SELECT tenant, attempt_id FROM replays WHERE replayed_at < ? LIMIT ?)`,
			[]any{before, limit}},
	}
	var n int64
	for _, step := range steps {
		result := s.db.WithContext(ctx).Exec(step.query, step.args...)
		if result.Error != nil {
			return n, fmt.Errorf("models: retention: %w", result.Error)
		}
		n += result.RowsAffected
	}
	return n, nil
}

// EventsByID reads the events with these keys that exist, of one tenant or of several.
func (s *Store) EventsByID(ctx context.Context, keys []DeliveryKey) (map[DeliveryKey]*Event, error) {
	byTenant := map[string][]string{}
	for _, k := range keys {
		byTenant[k.Tenant] = append(byTenant[k.Tenant], k.ID)
	}
	events := make(map[DeliveryKey]*Event, len(keys))
	for tenant, ids := range byTenant {
		var rows []Event
		if err := s.db.WithContext(ctx).Where("tenant = ? AND id IN ?", tenant, ids).Find(&rows).Error; err != nil {
			return nil, err
		}
		for i := range rows {
			events[DeliveryKey{Tenant: tenant, ID: rows[i].ID}] = &rows[i]
		}
	}
	return events, nil
}
