package models

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// DeleteFinished removes what is older than before and finished, in one bounded step: up to limit deliveries with
// their attempts, and the events of which no delivery is left. Once there are fewer than limit it removes events that
// nobody was owed, and sent notifications, finished recoveries and replays, up to limit of each. It returns how many
// rows went; 0 = nothing is left to remove.
//
// What is pending or held stays however old, with its attempts and its event. Each step finds its rows by an index on
// when they were finished, so that its cost does not grow with what stays.
func (s *Store) DeleteFinished(ctx context.Context, before time.Time, limit int) (int64, error) {
	before = before.UTC()
	n, full, err := s.deleteDeliveries(ctx, before, limit)
	if err == nil && !full {
		var rest int64
		rest, err = s.deleteRest(ctx, before, limit)
		n += rest
	}
	if err != nil {
		return n, fmt.Errorf("models: retention: %w", err)
	}
	return n, nil
}

// deleteDeliveries removes up to limit deliveries and what belongs to them. full says that there may be more.
func (s *Store) deleteDeliveries(ctx context.Context, before time.Time, limit int) (n int64, full bool, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		n = 0
		query := `SELECT tenant, id, event_id FROM deliveries
			WHERE finished_at < ? AND status NOT IN ('pending', 'held') ORDER BY finished_at LIMIT ?`
		if tx.postgres {
			query += ` FOR UPDATE SKIP LOCKED`
		}
		var old []Delivery
		if err := tx.db.WithContext(ctx).Raw(query, before, limit).Scan(&old).Error; err != nil {
			return err
		}
		full = len(old) == limit
		count := func(*sql.Rows) error { n++; return nil }
		for _, statement := range []string{
			`DELETE FROM attempts WHERE (tenant, delivery_id) IN (SELECT tenant, id FROM v) RETURNING id`,
			`DELETE FROM deliveries WHERE (tenant, id) IN (SELECT tenant, id FROM v) RETURNING id`,
			`DELETE FROM events WHERE (tenant, id) IN (SELECT tenant, event_id FROM v) AND NOT EXISTS (
				SELECT 1 FROM deliveries d WHERE d.tenant = events.tenant AND d.event_id = events.id) RETURNING id`,
		} {
			if err := bulk(ctx, tx, old, deliveryColumns[:3], statement, count); err != nil {
				return err
			}
		}
		return nil
	})
	return n, full, err
}

// deleteRest removes what no delivery keeps.
func (s *Store) deleteRest(ctx context.Context, before time.Time, limit int) (n int64, err error) {
	for _, statement := range []string{
		`DELETE FROM events WHERE (tenant, id) IN (SELECT e.tenant, e.id FROM events e WHERE e.created_at < ? AND NOT EXISTS (
			SELECT 1 FROM deliveries d WHERE d.tenant = e.tenant AND d.event_id = e.id) ORDER BY e.created_at LIMIT ?)`,
		`DELETE FROM notifications WHERE id IN (SELECT id FROM notifications WHERE created_at < ? AND sent_at IS NOT NULL LIMIT ?)`,
		`DELETE FROM recoveries WHERE id IN (SELECT id FROM recoveries WHERE finished_at < ? LIMIT ?)`,
		`DELETE FROM replays WHERE (tenant, attempt_id) IN (SELECT tenant, attempt_id FROM replays WHERE replayed_at < ? LIMIT ?)`,
	} {
		result := s.db.WithContext(ctx).Exec(statement, before, limit)
		if result.Error != nil {
			return n, result.Error
		}
		n += result.RowsAffected
	}
	return n, nil
}
