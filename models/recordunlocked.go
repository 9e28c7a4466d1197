package models

import (
	"context"
	"database/sql"
	"slices"
)

// recordUnlocked records the part of a group whose rows no other transaction has locked. It waits for no lock. It is for PostgreSQL,
// after Record has waited for a lock in vain.
func (s *Store) recordUnlocked(ctx context.Context, group []*Record, done []string) ([]Recorded, error) {
	var results []Recorded
	err := s.tx(ctx, isGivenUp, func(tx *Store) error {
		results = make([]Recorded, len(group))
		locked, err := tx.lockedOf(ctx, group)
		if err != nil {
			return err
		}
		var free []*Record
		var index []int
		unfinished := map[string]bool{}
		for i, record := range group {
			if results[i].Locked = locked[i]; locked[i] {
				unfinished[record.DispatchID] = true
				continue
			}
			free, index = append(free, record), append(index, i)
		}
		done := slices.DeleteFunc(slices.Clone(done), func(id string) bool { return unfinished[id] })
		if done, err = tx.lockDispatches(ctx, done); err != nil {
			return err
		}
		r := recorder{Store: tx, group: free, results: make([]Recorded, len(free))}
		err = r.run(ctx, done)
		for k, i := range index {
			results[i] = r.results[k]
		}
		return err
	})
	if IsLocked(err) { // a whole table is locked
		for i := range results {
			results[i] = Recorded{Locked: true}
		}
		return results, nil
	}
	return results, err
}

// lockedOf locks the rows that a group's records change, as far as they are free, and reports for which records some
// row is locked by others.
func (s *Store) lockedOf(ctx context.Context, group []*Record) ([]bool, error) {
	keys := make([]DeliveryKey, len(group))
	var webhooks []string
	for i, record := range group {
		keys[i] = record.DeliveryKey()
		webhooks = append(webhooks, record.Attempt.WebhookID)
	}
	slices.Sort(webhooks)
	webhooks = slices.Compact(webhooks)
	held, err := lockRows(ctx, s, keys, rowKeyColumns,
		"SELECT d.tenant, d.id FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.id = v.id", "d", func(rows *sql.Rows) (k DeliveryKey, err error) {
			return k, rows.Scan(&k.Tenant, &k.ID)
		})
	if err != nil {
		return nil, err
	}
	unwell, err := lockRows(ctx, s, webhooks, idColumns,
		"SELECT h.webhook_id FROM v JOIN webhook_health h ON h.webhook_id = v.id", "h", func(rows *sql.Rows) (id string, err error) {
			return id, rows.Scan(&id)
		})
	if err != nil {
		return nil, err
	}
	locked := make([]bool, len(group))
	for i, record := range group {
		locked[i] = held[record.DeliveryKey()] || unwell[record.Attempt.WebhookID]
	}
	return locked, nil
}

// lockRows locks the rows of a query that no other transaction has locked, and returns the keys of the rest.
func lockRows[V any, K comparable](ctx context.Context, s *Store, values []V, columns []column[V], query, table string, key func(*sql.Rows) (K, error)) (map[K]bool, error) {
	others := map[K]bool{}
	err := bulk(ctx, s, values, columns, query, func(rows *sql.Rows) error {
		k, err := key(rows)
		others[k] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	err = bulk(ctx, s, values, columns, query+" FOR UPDATE OF "+table+" SKIP LOCKED", func(rows *sql.Rows) error {
		k, err := key(rows)
		delete(others, k)
		return err
	})
	return others, err
}

// lockDispatches locks the free ones of the outbox entries; the others are swept later.
func (s *Store) lockDispatches(ctx context.Context, ids []string) (free []string, err error) {
	err = bulk(ctx, s, ids, idColumns, "SELECT d.id FROM v JOIN dispatches d ON d.id = v.id ORDER BY d.id FOR UPDATE OF d SKIP LOCKED", func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		free = append(free, id)
		return err
	})
	return free, err
}
