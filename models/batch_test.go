package models_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// later is an acceptance of n events whose deliveries to the webhooks wait in the database.
func (s *database) later(tb testing.TB, tenant string, n int, webhooks ...models.Webhook) *models.Acceptance {
	tb.Helper()
	ids := make([]string, len(webhooks))
	for i, w := range webhooks {
		ids[i] = w.ID
	}
	members, err := models.Members(ids)
	require.NoError(tb, err)
	a := &models.Acceptance{Tenant: tenant, Version: s.Version(tb, tenant)}
	b := models.Batch{Tenant: tenant, ID: idAt(models.PrefixBatch, s.Now()), CreatedAt: s.Now(), Members: members}
	for range n {
		s.Add(a, idAt(models.PrefixEvent, s.Now()))
		e := &a.Events[len(a.Events)-1]
		e.BatchID, b.Events = b.ID, append(b.Events, e.ID)
	}
	a.Dispatches, a.Batches = nil, []models.Batch{b}
	return a
}

// statusesOf returns the statuses of the deliveries to each webhook, by event.
func (s *database) statusesOf(t *testing.T, tenant string, events []models.Event) map[string]map[string]models.DeliveryStatus {
	t.Helper()
	all := map[string]map[string]models.DeliveryStatus{}
	for _, e := range events {
		for w, d := range s.owed(t, tenant, e.ID) {
			if all[w] == nil {
				all[w] = map[string]models.DeliveryStatus{}
			}
			all[w][e.ID] = d.Status
		}
	}
	return all
}

// The deliveries of a batch follow in pages, one of each event to each webhook that matched, by what the webhook has
// become. A page that is killed half-way changes nothing. The process that did a page holds what is pending.
func TestBatch_FollowsInPages(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx, tenant, p := t.Context(), s.Tenant(t, "acme"), s.process(t)
		webhooks := []models.Webhook{s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, tenant)}
		active, paused, deleted := webhooks[0], webhooks[1], webhooks[2]
		const n = 600
		a, beside := s.later(t, tenant, n, webhooks...), s.Acceptance(t, tenant, active)
		s.mustAccept(t, a, beside)
		require.Equal(t, len(beside.Deliveries), s.Count(t, "deliveries"))
		_, _, err := s.SetWebhookStatus(ctx, tenant, paused.ID, models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)
		_, err = s.DeleteWebhook(ctx, tenant, deleted.ID)
		require.NoError(t, err)
		late := s.Webhook(t, tenant)

		var owed []models.Delivery
		pages := 0
		for done := false; !done; pages++ {
			for _, e := range []models.Event{a.Events[0], a.Events[n-1]} {
				read, err := s.Event(ctx, tenant, e.ID)
				require.NoError(t, err)
				require.True(t, read.FanningOut)
				is, err := s.IsGoingOut(ctx, tenant, e.ID)
				require.NoError(t, err)
				require.True(t, is)
			}
			other, err := s.Event(ctx, tenant, beside.Events[0].ID)
			require.NoError(t, err)
			require.False(t, other.FanningOut, "it came in the same millisecond, but not with them")

			killed, before := errors.New("killed"), s.Count(t, "deliveries")
			require.ErrorIs(t, p.Tx(ctx, func(tx *models.Store) error {
				page, err := tx.RunBatch(ctx, tenant, models.BatchRows)
				require.NoError(t, err)
				require.NotZero(t, page.Rows)
				return killed
			}), killed)
			require.Equal(t, before, s.Count(t, "deliveries"))

			page, err := p.RunBatch(ctx, tenant, models.BatchRows)
			require.NoError(t, err)
			require.Equal(t, a.Batches[0].ID, page.BatchID)
			require.LessOrEqual(t, page.Rows, models.BatchRows)
			require.Equal(t, before+page.Rows, s.Count(t, "deliveries"))
			owed, done = append(owed, page.Owed...), page.Done
			for _, d := range page.Owed {
				e := page.Events[models.DeliveryKey{Tenant: tenant, ID: d.EventID}]
				require.Equal(t, a.Events[0].Data, e.Data, "for the POST")
				require.Equal(t, p.ProcessID(), d.Process)
			}
			s.Clock.Advance(time.Second)
		}
		require.Equal(t, 3, pages)
		require.Zero(t, s.Count(t, "batches"))
		page, err := p.RunBatch(ctx, tenant, models.BatchRows)
		require.NoError(t, err)
		require.Equal(t, models.BatchPage{}, page)

		got := s.statusesOf(t, tenant, a.Events)
		require.Len(t, got, len(webhooks))
		require.NotContains(t, got, late.ID)
		for id, want := range map[string]models.DeliveryStatus{active.ID: models.Pending, webhooks[3].ID: models.Pending, paused.ID: models.Held, deleted.ID: models.Canceled} {
			require.Len(t, got[id], n)
			for _, status := range got[id] {
				require.Equal(t, want, status)
			}
		}
		require.Len(t, owed, 2*n)
		var held int
		require.NoError(t, s.DB().Raw("SELECT count(*) FROM deliveries WHERE status = 'pending' AND process = ? AND dispatch_id = ''", p.ProcessID()).Scan(&held).Error)
		require.Equal(t, 2*n, held)
		read, err := s.Event(ctx, tenant, a.Events[n-1].ID)
		require.NoError(t, err)
		require.False(t, read.FanningOut)
		s.mergeStats(t)
		require.Equal(t, int64(n+1), s.stat(t, models.StatFilter{Tenant: tenant}).Events)
	})
}

// What is erased or deleted while its deliveries wait gets none.
func TestBatch_EndsWithItsEvents(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx, tenant := t.Context(), s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		a := s.later(t, tenant, 3, w)
		s.mustAccept(t, a)
		require.NoError(t, s.EraseEvent(ctx, tenant, a.Events[1].ID))
		page, err := s.RunBatch(ctx, tenant, models.BatchRows)
		require.NoError(t, err)
		require.True(t, page.Done)
		require.Equal(t, 2, page.Rows)
		require.Empty(t, s.owed(t, tenant, a.Events[1].ID))

		s.mustAccept(t, s.later(t, tenant, 3, w))
		require.NoError(t, s.DeleteTenant(ctx, tenant))
		page, err = s.RunBatch(ctx, tenant, models.BatchRows)
		require.NoError(t, err)
		require.True(t, page.Done)
		require.Zero(t, page.Rows)
	})
}

// The retention removes no event whose deliveries are still to come, in a batch or a fan-out, however old it is.
func TestBatch_IsKeptUntilItsDeliveriesAreStored(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx, tenant := t.Context(), s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		a, none := s.later(t, tenant, 3, w), s.Acceptance(t, tenant)
		s.mustAccept(t, a, none)
		wide, _ := s.fanOut(t, s.Tenant(t, "wide"), 3)
		s.Clock.Advance(100 * 24 * time.Hour)
		s.expire(t, 100)
		for _, e := range a.Events {
			_, err := s.Event(ctx, tenant, e.ID)
			require.NoError(t, err)
		}
		_, err := s.Event(ctx, "wide", wide)
		require.NoError(t, err)
		_, err = s.Event(ctx, tenant, none.Events[0].ID)
		require.ErrorIs(t, err, models.ErrNotFound)

		page, err := s.RunBatch(ctx, tenant, models.BatchRows)
		require.NoError(t, err)
		require.Equal(t, 3, page.Rows)
		require.NoError(t, s.DB().Exec("UPDATE deliveries SET status = 'delivered', finished_at = created_at").Error)
		s.Clock.Advance(100 * 24 * time.Hour)
		s.expire(t, 100)
		_, err = s.Event(ctx, tenant, a.Events[0].ID)
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

// A page takes small data with it, for the POST, and leaves the rest to be read one by one.
func TestBatch_APageLeavesLargeData(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		a := s.later(t, tenant, 2, s.Webhook(t, tenant))
		a.Events[1].Data = []byte(`"` + strings.Repeat("x", 8<<10) + `"`)
		s.mustAccept(t, a)
		page, err := s.RunBatch(t.Context(), tenant, models.BatchRows)
		require.NoError(t, err)
		require.Len(t, page.Owed, 2)
		require.Len(t, page.Events, 1)
		require.Contains(t, page.Events, models.DeliveryKey{Tenant: tenant, ID: a.Events[0].ID})
	})
}

// A page that comes while one of its events is being erased waits for that, and makes no delivery of it.
func TestBatch_WaitsForAnErasureOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	ctx, tenant := t.Context(), s.Tenant(t, "acme")
	a := s.later(t, tenant, 3, s.Webhook(t, tenant))
	s.mustAccept(t, a)
	require.NoError(t, s.Open(t).Tx(ctx, func(tx *models.Store) error {
		require.NoError(t, tx.EraseEvent(ctx, tenant, a.Events[1].ID))
		_, err := s.RunBatch(ctx, tenant, models.BatchRows)
		require.True(t, models.IsLocked(err), "%v", err)
		return nil
	}))
	_, err := s.RunBatch(ctx, tenant, models.BatchRows)
	require.NoError(t, err)
	require.Empty(t, s.owed(t, tenant, a.Events[1].ID))
	require.Equal(t, 2, s.Count(t, "deliveries"))
}

// An event that waits in a batch is not missed by a webhook that will get it, but by one that will not.
func TestBatch_IsNotMissed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant, since := s.Tenant(t, "acme"), s.Now()
		w := s.Webhook(t, tenant)
		s.mustAccept(t, s.later(t, tenant, 5, w))
		late := s.Webhook(t, tenant)
		s.Clock.Advance(time.Minute)
		for _, c := range []struct {
			webhook models.Webhook
			want    int64
		}{{w, 0}, {late, 5}} {
			r := models.Recovery{Tenant: tenant, WebhookID: c.webhook.ID, Missed: true, EventsSince: &since}
			require.NoError(t, s.CreateRecovery(t.Context(), &r))
			require.Equal(t, c.want, s.release(t, r.ID).Released)
		}
	})
}

// Tenants are visited in the order of their ids. Each process takes the tenant's oldest batch that no other works on.
func TestBatch_TenantsAndProcessesTakeTurns(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		tenants := []string{s.Tenant(t, "acme"), s.Tenant(t, "globex")}
		slices.Sort(tenants)
		for _, tenant := range tenants {
			w := s.Webhook(t, tenant)
			for range 3 {
				s.mustAccept(t, s.later(t, tenant, 2, w))
				s.Clock.Advance(time.Second)
			}
		}
		for _, turn := range [][2]string{{"", tenants[0]}, {tenants[0], tenants[1]}, {tenants[1], ""}} {
			next, err := s.NextBatchTenant(ctx, turn[0])
			require.NoError(t, err)
			require.Equal(t, turn[1], next)
		}
		for most, want := range map[int]int64{1: 1, 3: 3, 1000: 3} {
			n, err := s.Batches(ctx, tenants[0], most)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		var oldest []string
		require.NoError(t, s.DB().Raw("SELECT id FROM batches WHERE tenant = ? ORDER BY id", tenants[0]).Scan(&oldest).Error)
		if !s.IsPostgres() {
			page, err := s.RunBatch(ctx, tenants[0], models.BatchRows)
			require.NoError(t, err)
			require.Equal(t, oldest[0], page.BatchID)
			return
		}
		other, enough := s.Open(t), errors.New("enough")
		require.ErrorIs(t, s.Tx(ctx, func(tx *models.Store) error {
			page, err := tx.RunBatch(ctx, tenants[0], models.BatchRows)
			require.NoError(t, err)
			require.Equal(t, oldest[0], page.BatchID)
			page, err = other.RunBatch(ctx, tenants[0], models.BatchRows)
			require.NoError(t, err)
			require.Equal(t, oldest[1], page.BatchID)
			return enough
		}), enough)
	})
}

// A page that comes while a webhook is being paused waits for that.
func TestBatch_GoesByTheStatusThatIsCommittedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	ctx, tenant := t.Context(), s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	a := s.later(t, tenant, 3, w)
	s.mustAccept(t, a)
	other, enough := s.Open(t), errors.New("enough")
	require.ErrorIs(t, other.Tx(ctx, func(tx *models.Store) error {
		_, _, err := tx.SetWebhookStatus(ctx, tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)
		_, err = s.RunBatch(ctx, tenant, models.BatchRows)
		require.True(t, models.IsLocked(err), "%v", err)
		return enough
	}), enough)
	require.Zero(t, s.Count(t, "deliveries"))
	_, err := s.RunBatch(ctx, tenant, models.BatchRows)
	require.NoError(t, err)
	require.Len(t, s.statusesOf(t, tenant, a.Events)[w.ID], 3)
}

// Neither a page nor an acceptance costs more statements with many batches and events, and both use indexes.
func TestBatch_CostsTheSameHoweverMuchWaits(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		var seen [][]int
		for _, others := range []int{1, 300} {
			for range others {
				s.mustAccept(t, s.later(t, tenant, 1, w))
				s.Clock.Advance(time.Millisecond)
			}
			store, o := s.Observe()
			results, err := store.Accept(t.Context(), []*models.Acceptance{s.later(t, tenant, 100, w)})
			require.NoError(t, err)
			require.NoError(t, results[0].Err)
			accepted := len(o.Statements)
			_, err = store.RunBatch(t.Context(), tenant, models.BatchRows)
			require.NoError(t, err)
			seen = append(seen, []int{accepted, len(o.Statements)})
		}
		require.Equal(t, seen[0], seen[1])
		if !s.IsPostgres() {
			return
		}
		s.patiently(t, nil, "VACUUM ANALYZE batches")
		r := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
			_, err := tx.NextBatchTenant(ctx, "")
			require.NoError(t, err)
			_, err = tx.RunBatch(ctx, tenant, models.BatchRows)
			return err
		}, "batches")
		require.Zero(t, r.Scans)
		require.LessOrEqual(t, r.Rows, int64(5), fmt.Sprint(r))
	})
}
