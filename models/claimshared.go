package models

import (
	"context"
	"slices"
	"strings"
)

// sharedAtOnce is how many shared dispatches one transaction records on their deliveries. Each has up to MaxDispatch.
const sharedAtOnce = 10

// ClaimShared records shared dispatches on their deliveries that name none yet, and returns how many dispatches it read. A
// shared dispatch is normally recorded only on the deliveries that its first attempts leave over. Until then nothing
// seems to drive its deliveries, and dispatching them again would send them twice. Each dispatch is claimed once.
func (s *Store) ClaimShared(ctx context.Context) (n int, err error) {
	return s.claimSharedPages(ctx, func(*Dispatch) bool { return true })
}

// ClaimSharedOf is ClaimShared for the shared dispatches that these processes had to start.
func (s *Store) ClaimSharedOf(ctx context.Context, processes []Process) error {
	_, err := s.claimSharedPages(ctx, func(d *Dispatch) bool {
		return slices.ContainsFunc(processes, func(p Process) bool { return p.ID == d.Process })
	})
	return err
}

func (s *Store) claimSharedPages(ctx context.Context, wanted func(*Dispatch) bool) (n int, err error) {
	for after := ""; ; {
		var page []Dispatch
		err := s.db.WithContext(ctx).Where("NOT claimed AND id > ?", after).Order("id").Limit(sharedAtOnce).Find(&page).Error
		if err != nil || len(page) == 0 {
			return n, err
		}
		size, last := len(page), page[len(page)-1].ID
		page = slices.DeleteFunc(page, func(d Dispatch) bool { return !wanted(&d) })
		if err := s.claimPage(ctx, page); err != nil {
			return n, err
		}
		n += len(page)
		if size < sharedAtOnce {
			return n, nil
		}
		after = last
	}
}

// sharedDelivery is a delivery with its shared dispatch.
type sharedDelivery struct {
	DeliveryKey
	dispatchID string
}

var sharedColumns = []column[sharedDelivery]{
	{"tenant", "text", func(a *sharedDelivery) any { return a.Tenant }},
	{"id", "text", func(a *sharedDelivery) any { return a.ID }},
	{"dispatch_id", "text", func(a *sharedDelivery) any { return a.dispatchID }},
	was[sharedDelivery](Pending),
	{"named", "text", func(*sharedDelivery) any { return "" }},
}

// claimPage locks the deliveries before the dispatches, as recording attempts does.
func (s *Store) claimPage(ctx context.Context, page []Dispatch) error {
	if len(page) == 0 {
		return nil
	}
	var deliveries []sharedDelivery
	ids := make([]string, len(page))
	for i, p := range page {
		ids[i] = p.ID
		for _, key := range p.Deliveries {
			deliveries = append(deliveries, sharedDelivery{key, p.ID})
		}
	}
	slices.SortFunc(deliveries, func(a, b sharedDelivery) int { return strings.Compare(a.ID, b.ID) }) // always in the same order
	return s.Tx(ctx, func(tx *Store) error {
		if err := bulk(ctx, tx, deliveries, sharedColumns, claim, nil); err != nil {
			return err
		}
		return bulk(ctx, tx, ids, idColumns, `UPDATE dispatches SET claimed = true FROM v WHERE dispatches.id = v.id`, nil)
	})
}
