package models

import (
	"context"
	"slices"
	"strings"
)

// adoptedAtOnce is how many shared dispatches one transaction notes on their deliveries, of which each has up to MaxDispatch.
const adoptedAtOnce = 10

// Adopt notes shared dispatches on their deliveries that name none yet, and returns how many dispatches it read. A shared
// dispatch is noted only on deliveries that its first attempts leave waiting. Until then nothing seems to drive its
// deliveries, and they would be sent twice if they were dispatched again. Each is adopted once.
func (s *Store) Adopt(ctx context.Context) (n int, err error) {
	return s.adoptAll(ctx, func(*Dispatch) bool { return true })
}

// AdoptOf is Adopt for the shared dispatches that some processes had to start.
func (s *Store) AdoptOf(ctx context.Context, processes []Process) error {
	_, err := s.adoptAll(ctx, func(d *Dispatch) bool {
		return slices.ContainsFunc(processes, func(p Process) bool { return p.ID == d.Process })
	})
	return err
}

func (s *Store) adoptAll(ctx context.Context, wanted func(*Dispatch) bool) (n int, err error) {
	for after := ""; ; {
		var page []Dispatch
		err := s.db.WithContext(ctx).Where("NOT claimed AND id > ?", after).Order("id").Limit(adoptedAtOnce).Find(&page).Error
		if err != nil || len(page) == 0 {
			return n, err
		}
		size, last := len(page), page[len(page)-1].ID
		page = slices.DeleteFunc(page, func(d Dispatch) bool { return !wanted(&d) })
		if err := s.adopt(ctx, page); err != nil {
			return n, err
		}
		n += len(page)
		if size < adoptedAtOnce {
			return n, nil
		}
		after = last
	}
}

// adopted is a delivery and the shared dispatch that it is of.
type adopted struct {
	DeliveryKey
	dispatchID string
}

var adoptedColumns = []column[adopted]{
	{"tenant", "text", func(a *adopted) any { return a.Tenant }},
	{"id", "text", func(a *adopted) any { return a.ID }},
	{"dispatch_id", "text", func(a *adopted) any { return a.dispatchID }},
	was[adopted](Pending),
}

// adopt locks the deliveries before the dispatches, like what records attempts.
func (s *Store) adopt(ctx context.Context, page []Dispatch) error {
	if len(page) == 0 {
		return nil
	}
	var deliveries []adopted
	ids := make([]string, len(page))
	for i, p := range page {
		ids[i] = p.ID
		for _, key := range p.Deliveries {
			deliveries = append(deliveries, adopted{key, p.ID})
		}
	}
	slices.SortFunc(deliveries, func(a, b adopted) int { return strings.Compare(a.ID, b.ID) }) // in one order everywhere
	return s.Tx(ctx, func(tx *Store) error {
		if err := bulk(ctx, tx, deliveries, adoptedColumns, claim, nil); err != nil {
			return err
		}
		return bulk(ctx, tx, ids, idColumns, `UPDATE dispatches SET claimed = true FROM v WHERE dispatches.id = v.id`, nil)
	})
}
