package models_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func keysOf(deliveries ...models.Delivery) []models.DeliveryKey {
	var keys []models.DeliveryKey
	for _, d := range deliveries {
		keys = append(keys, models.DeliveryKey{Tenant: d.Tenant, ID: d.ID})
	}
	return keys
}

// undispatched accepts n events that wait for a shared dispatch.
func (s *database) undispatched(tb testing.TB, n int, webhooks ...models.Webhook) []models.Delivery {
	tb.Helper()
	a := &models.Acceptance{Tenant: webhooks[0].Tenant, Version: s.Version(tb, webhooks[0].Tenant)}
	for range n {
		s.Add(a, idAt(models.PrefixEvent, s.Now()), webhooks...)
	}
	a.Dispatches = nil
	for i := range a.Deliveries {
		a.Deliveries[i].DispatchID = ""
	}
	s.mustAccept(tb, a)
	return a.Deliveries
}

// overdue returns the dispatches to check.
func (s *database) overdue(tb testing.TB) []string {
	tb.Helper()
	before := s.Now().Add(-time.Minute)
	page, err := s.Overdue(tb.Context(), before, models.Mark{}, 1000)
	require.NoError(tb, err)
	return page.Doubtful(before)
}

func (s *database) redispatch(tb testing.TB, dead ...string) []models.Dispatch {
	tb.Helper()
	fresh, err := redispatch(tb.Context(), s.Store, dead, s.Now().Add(-time.Minute), 1000)
	require.NoError(tb, err)
	return fresh
}

// redispatch takes over the overdue deliveries of the first page, as the reconciler does. All dispatches except dead
// are alive.
func redispatch(ctx context.Context, s *models.Store, dead []string, before time.Time, limit int) ([]models.Dispatch, error) {
	page, err := s.Overdue(ctx, before, models.Mark{}, limit)
	if err != nil {
		return nil, err
	}
	if page.Nameless() {
		if _, err := s.ClaimShared(ctx); err != nil {
			return nil, err
		}
		if page, err = s.Overdue(ctx, before, models.Mark{}, limit); err != nil {
			return nil, err
		}
	}
	fresh, err := s.TakeOver(ctx, page.Undriven(dead), before, s.GroupMax())
	if err != nil {
		return nil, err
	}
	return fresh, s.ForgetDispatches(ctx, dead)
}

func TestDispatch_IsOverdueWithItsDeliveries(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		retrying, forgotten := s.Publish(t, w.Tenant, w)[0], s.Publish(t, w.Tenant, w, w)[0]
		s.Clock.Advance(time.Minute)
		require.Empty(t, s.overdue(t), "by less than a minute")

		s.MustRecord(t, s.Attempted(retrying, models.Pending)) // again in a minute
		s.Clock.Advance(time.Second)
		require.Equal(t, []string{forgotten.DispatchID}, s.overdue(t), "once, however many of its deliveries are")

		require.NoError(t, s.DispatchesChecked(t.Context(), s.overdue(t)))
		require.Empty(t, s.overdue(t), "alive")
		s.Clock.Advance(2 * time.Minute)
		both := []string{retrying.DispatchID, forgotten.DispatchID}
		slices.Sort(both)
		require.Equal(t, both, s.overdue(t), "to be looked at again")
		one, err := s.Overdue(t.Context(), s.Now().Add(-time.Minute), models.Mark{}, 1)
		require.NoError(t, err)
		require.Len(t, one.Deliveries, 1)
		require.True(t, one.More)
		require.NoError(t, s.DispatchesChecked(t.Context(), nil))
	})
}

func TestDispatch_RedispatchTakesWhatNobodyDrives(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		dead, alive := s.Publish(t, w.Tenant, w)[0], s.Publish(t, w.Tenant, w)[0]
		lost := s.undispatched(t, 1, w)[0]
		held := s.undispatched(t, 1, w)[0]
		require.NoError(t, s.HoldDelivery(t.Context(), &held, models.WebhookPaused))
		s.MustRecord(t, s.Attempted(dead, models.Pending))
		dead = s.Reload(t, dead)
		s.Clock.Advance(3 * time.Minute)
		recent := s.undispatched(t, 1, w)[0]

		fresh := s.redispatch(t, dead.DispatchID)
		require.Len(t, fresh, 1)
		require.ElementsMatch(t, keysOf(dead, lost), fresh[0].Deliveries)
		stored, err := s.Dispatch(t.Context(), fresh[0].ID)
		require.NoError(t, err)
		require.Equal(t, fresh[0].Deliveries, stored.Deliveries)
		_, err = s.Dispatch(t.Context(), dead.DispatchID)
		require.ErrorIs(t, err, models.ErrNotFound)

		for _, before := range []models.Delivery{dead, lost} {
			after := s.Reload(t, before)
			require.Equal(t, fresh[0].ID, after.DispatchID)
			require.Equal(t, before.Generation+1, after.Generation, "the workflow that drove it before has nothing to say any more")
			require.Equal(t, before.Failures, after.Failures, "the schedule goes on where it was")
			require.Equal(t, s.Now(), *after.NextAttemptAt)
		}
		for _, d := range []models.Delivery{alive, recent} {
			require.Equal(t, d, s.Reload(t, d), "left alone")
		}
		require.Equal(t, models.Held, s.Reload(t, held).Status)
		require.Empty(t, s.redispatch(t), "once")
	})
}

// A delivery of a dead dispatch whose next attempt is not due yet is found when it is.
func TestDispatch_WhatIsNotDueOfADeadDispatchFollows(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		pair := s.Publish(t, w.Tenant, w, w)
		s.Clock.Advance(2 * time.Minute)
		s.MustRecord(t, s.Attempted(pair[1], models.Pending))
		require.Equal(t, keysOf(pair[0]), s.redispatch(t, pair[0].DispatchID)[0].Deliveries)
		s.Clock.Advance(150 * time.Second)
		require.Empty(t, s.overdue(t)[1:])
		fresh := s.redispatch(t)
		require.Len(t, fresh, 1)
		require.Equal(t, keysOf(pair[1]), fresh[0].Deliveries)
		require.Equal(t, 1, s.Reload(t, pair[1]).Failures)
	})
}

func TestDispatch_RedispatchIsBounded(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.undispatched(t, 700, w)
		s.Clock.Advance(time.Hour)
		var sizes []int
		for _, limit := range []int{600, 600, 600} {
			fresh, err := redispatch(t.Context(), s.Store, nil, s.Now().Add(-time.Minute), limit)
			require.NoError(t, err)
			for _, p := range fresh {
				sizes = append(sizes, len(p.Deliveries))
			}
		}
		require.Equal(t, []int{256, 256, 88, 100}, sizes)
	})
}

func TestDispatch_ReconcilersAtOnceNeverTakeTheSame(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		var dead []string
		for range 60 {
			dead = append(dead, s.Publish(t, w.Tenant, w)[0].DispatchID)
		}
		s.undispatched(t, 600, w)
		s.Clock.Advance(time.Hour)
		others := []*models.Store{s.Open(t)}
		var mu sync.Mutex
		taken := map[models.DeliveryKey]int{}
		var wg sync.WaitGroup
		for i := range 6 {
			store := []*models.Store{s.Store, others[0]}[i%2]
			order := slices.Clone(dead)
			if i%2 == 0 {
				slices.Reverse(order)
			}
			wg.Go(func() {
				for range 8 {
					fresh, err := redispatch(t.Context(), store, order, s.Now().Add(-time.Minute), 50)
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					for _, p := range fresh {
						for _, key := range p.Deliveries {
							taken[key]++
						}
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		s.redispatchAll(t, taken)
		require.Len(t, taken, 660)
		for key, n := range taken {
			require.Equal(t, 1, n, "%v", key)
			d, err := s.Delivery(t.Context(), key.Tenant, key.ID)
			require.NoError(t, err)
			require.Equal(t, 1, d.Generation)
		}
		require.Zero(t, s.Deadlocks(t, others...))
	})
}

// redispatchAll also takes the deliveries that others skipped because a neighbour had locked them.
func (s *database) redispatchAll(tb testing.TB, taken map[models.DeliveryKey]int) {
	tb.Helper()
	for _, p := range s.redispatch(tb) {
		for _, key := range p.Deliveries {
			taken[key]++
		}
	}
}

func TestDispatch_ASharedDispatchClaimsWhatHasNone(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme, globex := s.Webhook(t, s.Tenant(t, "acme")), s.Webhook(t, s.Tenant(t, "globex"))
		waiting := append(s.undispatched(t, 2, acme), s.undispatched(t, 1, globex)...)
		own := s.Publish(t, "acme", acme)[0]
		held := s.undispatched(t, 1, acme)[0]
		require.NoError(t, s.HoldDelivery(t.Context(), &held, models.WebhookPaused))

		p, err := s.CreateSharedDispatch(t.Context(), keysOf(waiting...))
		require.NoError(t, err)
		require.True(t, models.HasIDForm(models.PrefixDispatch, p.ID))
		stored, err := s.Dispatch(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, p, stored)

		stale := own // as it was before its dispatch was recorded
		stale.DispatchID = ""
		require.NoError(t, s.Claim(t.Context(), p.ID, append(waiting, stale, held)))
		require.NoError(t, s.Claim(t.Context(), p.ID, nil))
		for _, d := range waiting {
			after := s.Reload(t, d)
			require.Equal(t, p.ID, after.DispatchID)
			require.Equal(t, d.Generation, after.Generation)
		}
		require.Equal(t, own, s.Reload(t, own))
		require.Empty(t, s.Reload(t, held).DispatchID)
	})
}

func TestDispatch_FinishDispatch(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		pair := s.Publish(t, w.Tenant, w, w)
		unclaimed := s.undispatched(t, 1, w)
		shared, err := s.CreateSharedDispatch(t.Context(), keysOf(unclaimed...))
		require.NoError(t, err)
		finish := func(id string) bool {
			require.NoError(t, s.FinishDispatch(t.Context(), id))
			_, err := s.Dispatch(t.Context(), id)
			return err != nil
		}
		s.MustRecord(t, s.Attempted(pair[0], models.Delivered), s.Attempted(pair[1], models.Pending))
		require.False(t, finish(pair[0].DispatchID), "one is pending still")
		_, _, err = s.ChangeDelivery(t.Context(), w.Tenant, pair[1].ID, func(d *models.Delivery, _ models.WebhookStatus) error {
			d.Release(s.Now())
			return nil
		})
		require.NoError(t, err)
		require.True(t, finish(pair[0].DispatchID), "it is another's now")
		require.True(t, finish(pair[0].DispatchID), "finished before")

		require.False(t, finish(shared.ID), "what it has not claimed yet is its own too")
		require.NoError(t, s.CancelDelivery(t.Context(), &unclaimed[0], "not wanted"))
		require.True(t, finish(shared.ID))
	})
}

func TestDispatch_SweepDispatches(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		canceled, pending := s.Publish(t, w.Tenant, w)[0], s.Publish(t, w.Tenant, w)[0]
		unclaimed, err := s.CreateSharedDispatch(t.Context(), keysOf(s.undispatched(t, 1, w)...))
		require.NoError(t, err)
		s.Clock.Advance(2 * time.Hour)
		recent := s.Publish(t, w.Tenant, w)[0]
		for _, d := range []models.Delivery{canceled, recent} {
			require.NoError(t, s.CancelDelivery(t.Context(), &d, "not wanted"))
		}
		for _, want := range []int64{1, 0} {
			n, next, err := s.SweepDispatches(t.Context(), "", s.Now().Add(-time.Hour), 100)
			require.NoError(t, err)
			require.Empty(t, next)
			require.Equal(t, want, n)
		}
		_, err = s.Dispatch(t.Context(), canceled.DispatchID)
		require.ErrorIs(t, err, models.ErrNotFound)
		for _, id := range []string{pending.DispatchID, unclaimed.ID, recent.DispatchID} {
			_, err = s.Dispatch(t.Context(), id)
			require.NoError(t, err)
		}
	})
}

func TestDispatch_Backlog(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		b, top, err := s.Backlog(t.Context(), 5)
		require.NoError(t, err)
		require.Equal(t, models.Backlog{}, b)
		require.Empty(t, top)

		short, long := s.Webhook(t, tenant), s.Webhook(t, tenant)
		oldest := s.Now()
		s.undispatched(t, 3, long)
		s.Clock.Advance(time.Second)
		s.undispatched(t, 1, short)
		held := s.undispatched(t, 1, short)[0]
		require.NoError(t, s.HoldDelivery(t.Context(), &held, models.WebhookPaused))
		for _, status := range []models.DeliveryStatus{models.Delivered, models.Failed, models.Canceled} {
			s.deliveryIn(t, tenant, status)
		}
		s.Clock.Advance(time.Second)
		b, top, err = s.Backlog(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, models.Backlog{Pending: 4, Held: 1}, b)
		due, err := s.OldestDue(t.Context())
		require.NoError(t, err)
		require.Equal(t, &oldest, due)
		require.Equal(t, []models.WebhookBacklog{{WebhookID: long.ID, Pending: 3}}, top)
	})
}
