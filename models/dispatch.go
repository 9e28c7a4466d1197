package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxDispatch is the most deliveries one dispatch may have; it bounds a workflow's input, timers and history.
const MaxDispatch = 256

// Dispatch is an entry of the outbox: the promise that one workflow will drive these deliveries. Its row goes
// when the last of them is finished.
type Dispatch struct {
	ID         string
	Deliveries []DeliveryKey `gorm:"serializer:json;not null"`
	CreatedAt  time.Time
	CheckedAt  time.Time
	// Claimed says that the dispatch is noted on its deliveries. A shared one begins without: see adopt.go.
	Claimed bool
	// Owed is the deliveries themselves, where they are at hand: for what the Web UI shows of it.
	Owed []Delivery `gorm:"-"`
}

// newDispatch names the dispatch after what it is for, so that it is found in the Web UI, and after the generation,
// so that the workflow of an earlier one is another. Generation 0 is the event's first dispatch.
func (s *Store) newDispatch(name string, generation int, deliveries []Delivery) *Dispatch {
	now := s.now()
	d := &Dispatch{ID: name, CreatedAt: now, CheckedAt: now, Claimed: true, Owed: deliveries}
	if generation > 0 {
		d.ID = fmt.Sprintf("%s/%d", name, generation)
	}
	for _, delivery := range deliveries {
		d.Deliveries = append(d.Deliveries, delivery.Key())
	}
	return d
}

func (s *Store) createDispatch(ctx context.Context, d *Dispatch) error {
	return s.db.WithContext(ctx).Create(d).Error
}

// CreateSharedDispatch writes a dispatch for deliveries that were accepted without one.
func (s *Store) CreateSharedDispatch(ctx context.Context, keys []DeliveryKey) (Dispatch, error) {
	now := s.now()
	d := Dispatch{ID: NewID(PrefixDispatch), Deliveries: keys, CreatedAt: now, CheckedAt: now}
	return d, s.createDispatch(ctx, &d)
}

// Dispatch reads one entry of the outbox. ErrNotFound if nothing of it is left to do.
func (s *Store) Dispatch(ctx context.Context, id string) (Dispatch, error) {
	var d Dispatch
	err := s.db.WithContext(ctx).Take(&d, "id = ?", id).Error
	return d, found(err)
}

// Claim notes on deliveries which dispatch drives them, where that is not known yet: those that a shared dispatch
// leaves waiting. What has been dispatched anew meanwhile has a dispatch, and is left alone.
func (s *Store) Claim(ctx context.Context, dispatchID string, deliveries []Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	columns := append(slices.Clone(deliveryColumns[:2]), was[Delivery](Pending),
		column[Delivery]{"dispatch_id", "text", func(*Delivery) any { return dispatchID }})
	deliveries = slices.SortedFunc(slices.Values(deliveries), func(a, b Delivery) int { return strings.Compare(a.ID, b.ID) }) // in one order everywhere
	return bulk(ctx, s, deliveries, columns, `UPDATE deliveries SET dispatch_id = v.dispatch_id FROM v
		WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id AND deliveries.status = v.was AND deliveries.dispatch_id = ''`, nil)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// OverdueDispatches gives the ids of dispatches that pending deliveries overdue since before name and that have not
// been checked since then: the workflows the reconciler must look at.
func (s *Store) OverdueDispatches(ctx context.Context, before time.Time, limit int) ([]string, error) {
	var ids []string
	err := s.db.WithContext(ctx).Raw(`SELECT DISTINCT d.dispatch_id FROM deliveries d
		JOIN dispatches p ON p.id = d.dispatch_id
		WHERE d.status = 'pending' AND d.next_attempt_at < ? AND p.checked_at < ? LIMIT ?`,
		before.UTC(), before.UTC(), limit).Scan(&ids).Error
	return ids, err
}

// DispatchChecked notes that the dispatches' workflows are alive, so that they are not looked at again at once.
func (s *Store) DispatchChecked(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	ids = slices.Sorted(slices.Values(ids)) // in one order everywhere
	return s.db.WithContext(ctx).Exec(`UPDATE dispatches SET checked_at = ? WHERE id IN ?`, s.now(), ids).Error
}

// Redispatch gives up the dead dispatches and puts what is pending of them, and whatever is pending and overdue
// since before without a dispatch, into new ones. Rows another reconciler holds are skipped, and what a shared dispatch
// has not noted itself on yet is noted as its. It returns the new dispatches for the caller to start, at most limit
// deliveries in all.
func (s *Store) Redispatch(ctx context.Context, dead []string, before time.Time, limit int) ([]Dispatch, error) {
	var fresh []Dispatch
	if len(dead) == 0 {
		dead = []string{""}
	}
	dead = slices.Sorted(slices.Values(dead)) // in one order everywhere: two reconcilers cannot deadlock
	err := s.Tx(ctx, func(tx *Store) error {
		fresh = nil
		var rows []Delivery
		q := `SELECT d.* FROM deliveries d WHERE d.status = 'pending' AND d.next_attempt_at < ? AND (d.dispatch_id IN ?
			OR NOT EXISTS (SELECT 1 FROM dispatches p WHERE p.id = d.dispatch_id)) ORDER BY d.next_attempt_at LIMIT ?`
		if tx.postgres {
			q += ` FOR UPDATE OF d SKIP LOCKED`
		}
		if err := tx.db.WithContext(ctx).Raw(q, before.UTC(), dead, limit).Scan(&rows).Error; err != nil {
			return err
		}
		rows, err := tx.adopt(ctx, rows)
		if err != nil {
			return err
		}
		if fresh, err = tx.dispatchAnew(ctx, rows, false); err != nil {
			return err
		}
		// What is pending of a dead dispatch and not here (not due yet, locked, over the limit) is found later, by
		// having no dispatch.
		return tx.db.WithContext(ctx).Exec(`DELETE FROM dispatches WHERE id IN ?`, dead).Error
	})
	return fresh, err
}

// dispatchAnew puts locked deliveries that are to be pending into new dispatches, with the next generation each.
// restart begins their retry schedules from the first step.
func (s *Store) dispatchAnew(ctx context.Context, rows []Delivery, restart bool) ([]Dispatch, error) {
	schedule := ""
	if restart {
		schedule = "failures = 0, "
	}
	var fresh []Dispatch
	for chunk := range slices.Chunk(rows, s.groupMax) {
		p := s.newDispatch(NewID(PrefixDispatch), 0, chunk)
		if len(chunk) == 1 {
			p = s.newDispatch(chunk[0].EventID+"/"+chunk[0].ID[len(PrefixDelivery):], chunk[0].Generation+1, chunk)
		}
		if err := s.createDispatch(ctx, p); err != nil {
			return nil, err
		}
		now := s.now()
		columns := append(slices.Clone(deliveryColumns[:2]), column[Delivery]{"dispatch_id", "text", func(*Delivery) any { return p.ID }},
			column[Delivery]{"now", "timestamptz", func(*Delivery) any { return &now }})
		if err := bulk(ctx, s, chunk, columns, `UPDATE deliveries SET `+schedule+`dispatch_id = v.dispatch_id, generation = generation + 1,
			status = 'pending', status_reason = '', finished_at = NULL, next_attempt_at = v.now
			FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id`, nil); err != nil {
			return nil, err
		}
		fresh = append(fresh, *p)
	}
	return fresh, nil
}

// SweepDispatches removes outbox entries older than before of which nothing is pending any more: those whose last
// deliveries were held or canceled rather than recorded.
func (s *Store) SweepDispatches(ctx context.Context, before time.Time, limit int) (int64, error) {
	var old []Dispatch
	err := s.db.WithContext(ctx).Where("created_at < ? AND checked_at < ?", before.UTC(), before.UTC()).Limit(limit).Find(&old).Error
	if err != nil || len(old) == 0 {
		return 0, err
	}
	var done, busy []string
	for _, p := range old {
		left, err := s.isLeft(ctx, &p)
		switch {
		case err != nil:
			return 0, err
		case left:
			busy = append(busy, p.ID)
		default:
			done = append(done, p.ID)
		}
	}
	if err := s.DispatchChecked(ctx, busy); err != nil || len(done) == 0 {
		return 0, err
	}
	result := s.db.WithContext(ctx).Exec("DELETE FROM dispatches WHERE id IN ?", done)
	return result.RowsAffected, result.Error
}

// FinishDispatch removes an outbox entry, unless something of it is pending still.
func (s *Store) FinishDispatch(ctx context.Context, id string) error {
	p, err := s.Dispatch(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if left, err := s.isLeft(ctx, &p); err != nil || left {
		return err
	}
	return s.db.WithContext(ctx).Exec("DELETE FROM dispatches WHERE id = ?", id).Error
}

// isLeft tells whether any of a dispatch's deliveries is pending and still its own. What once is not never will be
// again: whatever becomes pending anew has a new dispatch.
func (s *Store) isLeft(ctx context.Context, p *Dispatch) (bool, error) {
	rows, err := s.DeliveriesByID(ctx, p.Deliveries)
	return slices.ContainsFunc(rows, func(d Delivery) bool { return d.LeftOf(p.ID) }), err
}
