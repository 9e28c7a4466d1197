package models

import (
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"
)

// Mark is a place among the pending deliveries in the order in which they fall due. The zero Mark comes before all of
// them.
type Mark struct {
	At time.Time
	ID string
}

// Overdue is a page of pending deliveries whose attempt should already have been made.
type Overdue struct {
	Deliveries []Delivery
	// Checked says, for the existing dispatches that the deliveries name, when each was last known to be driven.
	Checked map[string]time.Time
	// Starter says, for the same dispatches, which process has to start them; 0 = unknown.
	Starter map[string]int64
	// Unchecked has those of them that have never been checked: their age says nothing about who drives them.
	Unchecked map[string]bool
	// Next is the start of the next page. More reports whether there may be one.
	Next Mark
	More bool
}

// Overdue reads a page of the deliveries that have been due since before: those after the mark, the longest waiting
// first. Its cost does not depend on their number.
func (s *Store) Overdue(ctx context.Context, before time.Time, after Mark, limit int) (Overdue, error) {
	page := Overdue{Checked: map[string]time.Time{}, Starter: map[string]int64{}, Unchecked: map[string]bool{}, Next: after}
	err := s.db.WithContext(ctx).Where("status = 'pending' AND next_attempt_at < ? AND (next_attempt_at, id) > (?, ?)",
		before.UTC(), after.At.UTC(), after.ID).Order("next_attempt_at, id").Limit(limit).Find(&page.Deliveries).Error
	if err != nil || len(page.Deliveries) == 0 {
		return page, err
	}
	last := page.Deliveries[len(page.Deliveries)-1]
	page.Next, page.More = Mark{*last.NextAttemptAt, last.ID}, len(page.Deliveries) == limit
	named := map[string]bool{}
	for _, d := range page.Deliveries {
		if d.DispatchID != "" {
			named[d.DispatchID] = true
		}
	}
	err = bulk(ctx, s, slices.Sorted(maps.Keys(named)), idColumns, `SELECT p.id, p.checked_at, COALESCE(p.process, 0), p.checked_at = p.created_at FROM v JOIN dispatches p ON p.id = v.id`, func(rows *sql.Rows) error {
		var id string
		var at time.Time
		var process int64
		var unchecked bool
		err := rows.Scan(&id, &at, &process, &unchecked)
		page.Checked[id], page.Starter[id], page.Unchecked[id] = at, process, unchecked
		return err
	})
	return page, err
}

// HeldBy returns the deliveries of the page that gone processes held: those that waited in their memory, and those
// whose dispatch they had to start. It also returns deliveries whose dispatch an interrupted walk has removed as dead.
func (o *Overdue) HeldBy(gone []Process) Overdue {
	is := make(map[int64]bool, len(gone))
	for _, p := range gone {
		is[p.ID] = true
	}
	held := Overdue{Checked: map[string]time.Time{}, Starter: o.Starter, Next: o.Next, More: o.More}
	for id, process := range o.Starter {
		switch {
		case !is[process]:
		case o.Unchecked[id]: // a process may still commit after it has been declared gone
			held.Checked[id] = time.Time{}
		default:
			held.Checked[id] = o.Checked[id]
		}
	}
	for _, d := range o.Deliveries {
		starter, exists := o.Starter[d.DispatchID]
		switch {
		case d.DispatchID == "" && is[d.Process], d.DispatchID != "" && !exists, is[starter]:
			held.Deliveries = append(held.Deliveries, d)
		}
	}
	return held
}

// Doubtful returns the dispatches that have not been known to be driven since before: their workflows must be checked.
func (o *Overdue) Doubtful(before time.Time) []string {
	ids := slices.Sorted(maps.Keys(o.Checked))
	return slices.DeleteFunc(ids, func(id string) bool { return !o.Checked[id].Before(before) })
}

// Nameless reports whether a delivery names no dispatch: a shared one may drive it.
func (o *Overdue) Nameless() bool {
	return slices.ContainsFunc(o.Deliveries, func(d Delivery) bool { return d.DispatchID == "" })
}

// Undriven returns the deliveries that nothing drives: their dispatch does not exist, or is among the dead.
func (o *Overdue) Undriven(dead []string) []Delivery {
	driven := maps.Clone(o.Checked)
	for _, id := range dead {
		delete(driven, id)
	}
	var rows []Delivery
	for _, d := range o.Deliveries {
		if _, ok := driven[d.DispatchID]; !ok {
			rows = append(rows, d)
		}
	}
	return rows
}

// DispatchesChecked records that the dispatches are driven, so that they are not checked again at once.
func (s *Store) DispatchesChecked(ctx context.Context, ids []string) error {
	now := s.now()
	columns := append(slices.Clone(idColumns), column[string]{"now", "timestamptz", func(*string) any { return &now }})
	ids = slices.Sorted(slices.Values(ids)) // always in the same order
	return s.again(ctx, func() error {
		return bulk(ctx, s, ids, columns, `UPDATE dispatches SET checked_at = v.now FROM v WHERE dispatches.id = v.id`, nil)
	})
}

// ForgetDispatches removes outbox entries that nothing drives. Their unfinished deliveries are found because they have
// no dispatch.
func (s *Store) ForgetDispatches(ctx context.Context, ids []string) error {
	ids = slices.Sorted(slices.Values(ids)) // always in the same order
	return s.again(ctx, func() error {
		return bulk(ctx, s, ids, idColumns, `DELETE FROM dispatches WHERE id IN (SELECT id FROM v)`, nil)
	})
}

// takenOver is a delivery that nothing drives, and whether it can be sent: its webhook is active and its event has
// data.
type takenOver struct {
	Delivery
	Sendable bool
}

// GroupMax is the most deliveries of several events that the operator allows in one dispatch.
func (s *Store) GroupMax() int { return s.groupMax }

// TakeOver puts deliveries that nothing drives into new dispatches of at most most, for the caller to start. It skips
// deliveries that have changed since they were read, are no longer overdue since before, or are locked by another
// process. Those that cannot be sent are set aside.
func (s *Store) TakeOver(ctx context.Context, deliveries []Delivery, before time.Time, most int) (fresh []Dispatch, err error) {
	before = before.UTC()
	columns := append(slices.Clone(foundColumns), column[Delivery]{"dispatch_id", "text", func(d *Delivery) any { return d.DispatchID }},
		column[Delivery]{"before", "timestamptz", func(*Delivery) any { return &before }})
	deliveries = slices.SortedFunc(slices.Values(deliveries), func(a, b Delivery) int { return strings.Compare(a.ID, b.ID) })
	var aside []Delivery
	err = s.Tx(ctx, func(tx *Store) error {
		aside, fresh = nil, nil
		lock := ""
		if tx.postgres {
			lock = " FOR UPDATE OF d SKIP LOCKED"
		}
		var rows []Delivery
		err := bulk(ctx, tx, deliveries, columns, `SELECT d.*, w.status = 'active' AND w.deleted_at IS NULL AND e.erased_at IS NULL
			AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = d.tenant AND t.deleted_at IS NOT NULL) AS sendable
			FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.id = v.id AND d.status = v.was AND d.generation = v.generation
				AND d.dispatch_id = v.dispatch_id AND d.next_attempt_at < v.before
			JOIN webhooks w ON w.id = d.webhook_id JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id
			WHERE `+noJob+`
			ORDER BY d.id`+lock, func(result *sql.Rows) error {
			var d takenOver
			if err := tx.db.ScanRows(result, &d); err != nil {
				return err
			}
			if d.Sendable {
				rows = append(rows, d.Delivery)
			} else {
				aside = append(aside, d.Delivery)
			}
			return nil
		})
		if err != nil {
			return err
		}
		fresh, err = tx.dispatchIn(ctx, rows, most, goesOn)
		return err
	})
	if err != nil {
		return nil, err
	}
	_, err = s.SetAside(ctx, aside) // those that can be sent after all are found in the next round
	return fresh, err
}

// SweepDispatches examines a page of the outbox and removes the entries older than before that have no pending
// delivery any more: those whose last deliveries were held or canceled rather than recorded. next is where the
// following page starts, "" after the last.
func (s *Store) SweepDispatches(ctx context.Context, after string, before time.Time, limit int) (n int64, next string, err error) {
	var page []Dispatch
	if err := s.db.WithContext(ctx).Where("id > ?", after).Order("id").Limit(limit).Find(&page).Error; err != nil {
		return 0, "", err
	}
	if len(page) == limit {
		next = page[limit-1].ID
	}
	old := map[string]bool{}
	var owed []sharedDelivery
	for _, p := range page {
		if !p.CreatedAt.Before(before) || !p.CheckedAt.Before(before) {
			continue
		}
		old[p.ID] = true
		for _, key := range p.Deliveries {
			owed = append(owed, sharedDelivery{key, p.ID})
		}
	}
	err = bulk(ctx, s, owed, sharedColumns, `SELECT v.dispatch_id FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.id = v.id
		AND d.status = v.was AND d.dispatch_id IN (v.dispatch_id, '')`, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		delete(old, id)
		return err
	})
	if err != nil {
		return 0, "", err
	}
	err = s.ForgetDispatches(ctx, slices.Sorted(maps.Keys(old)))
	return int64(len(old)), next, err
}
