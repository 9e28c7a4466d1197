package models_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// overdueCrowd fills the tables of PostgreSQL with n overdue deliveries to a webhook, each with an event and a dispatch of
// its own that never started.
func (s *database) overdueCrowd(t *testing.T, w models.Webhook, n int) {
	t.Helper()
	s.patiently(t, map[string]any{"tenant": w.Tenant, "webhook": w.ID, "n": n, "due": s.Now().Add(-time.Hour)},
		`INSERT INTO events (tenant, id, type, data, attributes, created_at)
			SELECT @tenant, 'evt_' || n, 'order.created', '{}', 'null', CAST(@due AS timestamptz) + n / 7 * interval '1 millisecond'
			FROM generate_series(1, @n) n`,
		`INSERT INTO dispatches (id, deliveries, created_at, checked_at, claimed)
			SELECT 'evt_' || n, '[{"t":"' || @tenant || '","d":"dlv_' || n || '"}]', @due, @due, true FROM generate_series(1, @n) n`,
		`INSERT INTO deliveries (tenant, id, event_id, event_type, webhook_id, status, status_reason, attempts, failures, generation,
				dispatch_id, next_attempt_at, created_at)
			SELECT @tenant, 'dlv_' || n, 'evt_' || n, 'order.created', @webhook, 'pending', '', 0, 0, 0, 'evt_' || n,
				CAST(@due AS timestamptz) + n / 7 * interval '1 millisecond', @due FROM generate_series(1, @n) n`)
	s.patiently(t, nil, "ANALYZE")
}

// A page costs the same however many deliveries are overdue, at every position among them.
func TestOverdue_APageOfTheOverdueDoesNotGrowWithThemOnPostgres(t *testing.T) {
	t.Parallel()
	const limit = 100
	tables := []string{"deliveries", "dispatches", "events", "webhooks"}
	var found, taken []reads
	for _, n := range []int{5000, 20_000} {
		s := postgres(t)
		s.overdueCrowd(t, s.Webhook(t, s.Tenant(t, "acme")), n)
		before := s.Now().Add(-time.Minute)
		var at models.Mark
		for p := range 5 {
			var page models.Overdue
			got := s.countingOf(t, func(ctx context.Context, tx *models.Store) (err error) {
				page, err = tx.Overdue(ctx, before, at, limit)
				return err
			}, tables...)
			require.Len(t, page.Deliveries, limit)
			require.Len(t, page.Doubtful(before), limit)
			require.Zero(t, got.Scans)
			require.LessOrEqual(t, got.Rows, int64(2*limit+2), "page %d of %d overdue", p, n)
			found = append(found, got)
			got = s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
				fresh, err := tx.TakeOver(ctx, page.Undriven(page.Doubtful(before)), before, models.MaxDispatch)
				require.Len(t, fresh, 1)
				return err
			}, tables...)
			taken = append(taken, got)
			at = page.Next
		}
	}
	t.Logf("%v\n%v", found, taken)
	for i := range 5 {
		require.InDelta(t, taken[0].Rows, taken[5+i].Rows, limit, "rows read to take over a page")
	}
}

// counted returns another Store whose statements are counted.
func (s *database) counted(t *testing.T) (*models.Store, *int) {
	t.Helper()
	store, n := s.Open(t), new(int)
	store.Watch(func(string, int) { *n++ })
	return store, n
}

// How many statements a page takes depends neither on its size nor on how large dispatches may be.
func TestOverdue_APageOfTheOverdueTakesAFewStatements(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		watched, count := s.counted(t)
		var counts []int
		for _, n := range []int{10, 200} {
			for _, most := range []int{1, models.MaxDispatch} {
				s.Clock.Advance(time.Second)
				from := models.Mark{At: s.Now().Add(-time.Millisecond)}
				s.undispatched(t, n, w)
				s.Clock.Advance(2 * time.Minute)
				before := s.Now().Add(-time.Minute)
				*count = 0
				page, err := watched.Overdue(t.Context(), before, from, 1000)
				require.NoError(t, err)
				require.Len(t, page.Deliveries, n)
				fresh, err := watched.TakeOver(t.Context(), page.Deliveries, before, most)
				require.NoError(t, err)
				require.Len(t, fresh, (n+most-1)/most)
				counts = append(counts, *count)
			}
		}
		require.Equal(t, []int{counts[0], counts[0], counts[0], counts[0]}, counts)
		require.LessOrEqual(t, counts[0], 6)
	})
}

// Deliveries that fall due at the same moment are on one page each, once.
func TestOverdue_PagesOfTheOverdueHaveEachOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		for range 3 {
			s.undispatched(t, 50, w)
			s.Clock.Advance(time.Millisecond)
		}
		s.Clock.Advance(2 * time.Minute)
		seen := map[string]int{}
		pages := 0
		for at := (models.Mark{}); ; pages++ {
			page, err := s.Overdue(t.Context(), s.Now().Add(-time.Minute), at, 20)
			require.NoError(t, err)
			for _, d := range page.Deliveries {
				seen[d.ID]++
			}
			if at = page.Next; !page.More {
				break
			}
		}
		require.Equal(t, 7, pages)
		require.Len(t, seen, 150)
		for id, n := range seen {
			require.Equal(t, 1, n, id)
		}
	})
}

// A delivery that has changed since it was read is left alone, and one that cannot be sent gets no dispatch.
func TestOverdue_TakeOverChecksAgain(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w, paused, deleted := s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, tenant)
		due := s.undispatched(t, 6, w)
		toPaused, toDeleted := s.undispatched(t, 1, paused)[0], s.undispatched(t, 1, deleted)[0]
		s.Clock.Advance(2 * time.Minute)
		before := s.Now().Add(-time.Minute)
		page, err := s.Overdue(t.Context(), before, models.Mark{}, 100)
		require.NoError(t, err)
		require.Len(t, page.Deliveries, 8)

		_, _, err = s.ChangeDelivery(t.Context(), tenant, due[0].ID, func(d *models.Delivery, _ models.WebhookStatus) error {
			d.Release(s.Now())
			return nil
		})
		require.NoError(t, err)
		s.MustRecord(t, s.Attempted(due[1], models.Delivered))
		require.NoError(t, s.Claim(t.Context(), "another", due[2:3]))
		s.MustRecord(t, s.Attempted(due[3], models.Pending))
		// Large acts whose pages have not reached these deliveries yet.
		for _, statement := range []string{
			`UPDATE webhooks SET status = 'paused' WHERE id = '` + paused.ID + `'`,
			`UPDATE webhooks SET deleted_at = updated_at WHERE id = '` + deleted.ID + `'`,
			`UPDATE events SET erased_at = created_at, data = NULL WHERE id = '` + due[4].EventID + `'`,
		} {
			require.NoError(t, s.DB().Exec(statement).Error)
		}
		fresh, err := s.TakeOver(t.Context(), page.Deliveries, before, 1)
		require.NoError(t, err)
		require.Len(t, fresh, 1)
		require.Equal(t, keysOf(due[5]), fresh[0].Deliveries)
		for _, tt := range []struct {
			d      models.Delivery
			status models.DeliveryStatus
			reason string
		}{{toPaused, models.Held, "webhook paused"}, {toDeleted, models.Canceled, "webhook deleted"}, {due[4], models.Canceled, "payload erased"}} {
			after := s.Reload(t, tt.d)
			require.Equal(t, tt.status, after.Status)
			require.Equal(t, tt.reason, after.StatusReason)
			require.Empty(t, after.DispatchID)
		}
		again, err := s.TakeOver(t.Context(), page.Deliveries, before, 1)
		require.NoError(t, err)
		require.Empty(t, again, "each is taken over once")
	})
}

func TestOverdue_TakeOverPassesOverWhatIsLockedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	due := s.undispatched(t, 3, w)
	s.Clock.Advance(2 * time.Minute)
	unlock := s.lock(t, due[1])
	require.ElementsMatch(t, keysOf(due[0], due[2]), s.redispatch(t)[0].Deliveries)
	unlock()
	require.Equal(t, keysOf(due[1]), s.redispatch(t)[0].Deliveries)
}

// Each shared dispatch is read and noted on its deliveries once.
func TestOverdue_ASharedDispatchIsClaimedOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		all := map[string][]models.Delivery{}
		claim := func(want int) {
			n, err := s.ClaimShared(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		claim(0)
		for range 23 {
			due := s.undispatched(t, 3, w)
			p, err := s.CreateSharedDispatch(t.Context(), keysOf(due...))
			require.NoError(t, err)
			all[p.ID] = due
		}
		s.Publish(t, "acme", w) // its own is noted from the beginning
		claim(23)
		claim(0)
		for id, due := range all {
			for _, d := range due {
				after := s.Reload(t, d)
				require.Equal(t, id, after.DispatchID)
				require.Equal(t, d.Generation, after.Generation)
			}
		}
		_, err := s.CreateSharedDispatch(t.Context(), keysOf(s.undispatched(t, 3, w)...))
		require.NoError(t, err)
		claim(1)
	})
}

// The sweep goes through the outbox from end to end, however much of it stays.
func TestOverdue_TheSweepRemembersWhereItWas(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		for i := range 10 { // what stays comes first
			d := s.Publish(t, "acme", w)[0]
			if i == 9 {
				require.NoError(t, s.CancelDelivery(t.Context(), &d, "not wanted"))
			}
		}
		s.Clock.Advance(2 * time.Hour)
		var swept []int64
		for after := ""; ; {
			n, next, err := s.SweepDispatches(t.Context(), after, s.Now().Add(-time.Hour), 3)
			require.NoError(t, err)
			swept = append(swept, n)
			if after = next; after == "" {
				break
			}
		}
		require.Len(t, swept, 4)
		require.Equal(t, 9, s.Count(t, "dispatches"))
	})
}

// However many webhooks need work, the walk reaches all of them.
func TestOverdue_NeedHealthCheckGoesRound(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		for range 5 {
			s.fail(t, s.Webhook(t, tenant), 9)
			s.Webhook(t, tenant)
		}
		seen := map[string]int{}
		after := ""
		for _, want := range []int{2, 2, 1} {
			ids, next, err := s.NeedHealthCheck(t.Context(), 10, after, 2)
			require.NoError(t, err)
			require.Len(t, ids, want)
			for _, id := range ids {
				seen[id]++
			}
			after = next
		}
		require.Empty(t, after, "from the beginning again")
		require.Len(t, seen, 5)
	})
}

func TestOverdue_AWebhookThatIsGoneNeedsNothing(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.fail(t, w, 12)
		s.judge(t, w, 10)
		s.Clock.Advance(2 * time.Minute)
		need := func() []string {
			ids, next, err := s.NeedHealthCheck(t.Context(), 10, "", 100)
			require.NoError(t, err)
			require.Empty(t, next)
			return ids
		}
		require.Equal(t, []string{w.ID}, need(), "its notification has not gone out")
		_, err := s.DeleteWebhook(t.Context(), "acme", w.ID)
		require.NoError(t, err)
		require.Empty(t, need(), "nobody is left to tell")
		unsent, err := s.UnsentNotifications(t.Context(), w.ID)
		require.NoError(t, err)
		require.Empty(t, unsent)
	})
}

// A statement checks a thousand webhooks, however many a tenant has.
func TestOverdue_HealthIsLookedAtInPagesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	s.fail(t, w, 12)
	s.patiently(t, nil,
		`INSERT INTO webhooks SELECT w2.* FROM webhooks w, generate_series(1, 4999) n, LATERAL (
			SELECT (jsonb_populate_record(w, jsonb_build_object('id', 'wh_' || (100000 + n)))).*) w2`,
		`INSERT INTO webhook_health SELECT h2.* FROM webhook_health h, webhooks w, LATERAL (
			SELECT (jsonb_populate_record(h, jsonb_build_object('webhook_id', w.id))).*) h2 WHERE w.id <> h.webhook_id`,
		"VACUUM ANALYZE")
	seen := map[string]int{}
	pages := 0
	for after := ""; ; pages++ {
		var ids []string
		next := ""
		got := s.countingOf(t, func(ctx context.Context, tx *models.Store) (err error) {
			ids, next, err = tx.NeedHealthCheck(ctx, 10, after, 100)
			return err
		}, "webhooks", "webhook_health")
		t.Logf("%+v", got)
		require.Zero(t, got.Scans, fmt.Sprint(pages))
		require.LessOrEqual(t, got.Rows, int64(3100), fmt.Sprint(pages))
		for _, id := range ids {
			seen[id]++
		}
		if after = next; after == "" {
			break
		}
	}
	require.Len(t, seen, 5000)
	for id, n := range seen {
		require.Equal(t, 1, n, id)
	}
}

func TestOverdue_RunningRecoveriesGoRound(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		for range 5 {
			require.NoError(t, s.CreateRecovery(t.Context(), &models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed}))
		}
		seen := map[string]int{}
		after := ""
		for _, want := range []int{2, 2, 1} {
			ids, next, err := s.RunningRecoveries(t.Context(), after, 2)
			require.NoError(t, err)
			require.Len(t, ids, want)
			for _, id := range ids {
				seen[id]++
			}
			after = next
		}
		require.Empty(t, after)
		require.Len(t, seen, 5)
	})
}
