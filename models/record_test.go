package models_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/groupcommit"
	"github.com/posthorn/posthorn/models"
)

func (s *database) health(tb testing.TB, w models.Webhook) models.WebhookHealth {
	tb.Helper()
	now, err := s.Store.Webhook(tb.Context(), w.Tenant, w.ID)
	require.NoError(tb, err)
	return now.Health
}

func TestRecord_MovesTheDeliveryAndKeepsTheAttempt(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		d := s.Publish(t, tenant, w)[0]

		first := s.Attempted(d, models.Pending)
		first.DispatchID = "shared"
		first.Attempt.RequestHeaders = map[string]string{"webhook-id": d.EventID}
		first.Attempt.ResponseHeaders = map[string]string{"retry-after": "60"}
		first.Attempt.ResponseBody = []byte{0, 0xff, 'x'}
		first.Attempt.URL = "https://then.example/?a=b"
		first.Attempt.Detail = models.AttemptDetail{BodyTruncated: true, Repeated: map[string][]string{"Via": {"a", "b"}},
			Tries: []models.Try{{StartedAt: s.Now(), Error: "refused"}, {StartedAt: s.Now()}}}
		require.Equal(t, []models.Recorded{{Applied: true, Failed: 1}}, s.MustRecord(t, first))
		after := s.Reload(t, d)
		require.Equal(t, models.Pending, after.Status)
		require.Equal(t, 1, after.Attempts)
		require.Equal(t, 1, after.Failures)
		require.Equal(t, first.NextAttemptAt, *after.NextAttemptAt)
		require.Equal(t, "shared", after.DispatchID)
		require.Nil(t, after.FinishedAt)

		s.Clock.Advance(time.Minute)
		second := s.Attempted(d, models.Delivered)
		require.Equal(t, []models.Recorded{{Applied: true}}, s.MustRecord(t, second))
		after = s.Reload(t, d)
		require.Equal(t, models.Delivered, after.Status)
		require.Equal(t, 2, after.Attempts)
		require.Equal(t, 1, after.Failures, "a reception is no failure")
		require.Nil(t, after.NextAttemptAt)
		require.Equal(t, s.Now().Add(40*time.Millisecond), *after.FinishedAt)

		attempts, err := s.Attempts(t.Context(), tenant, d.ID)
		require.NoError(t, err)
		require.Empty(t, attempts[1].ResponseBody)
		attempts[1].ResponseBody = nil
		require.Equal(t, 1, first.Attempt.Number)
		second.Attempt.Number = 2
		require.Equal(t, []models.Attempt{first.Attempt, second.Attempt}, attempts)
	})
}

func TestRecord_CountsFailures(t *testing.T) {
	const ok, bad = models.Delivered, models.Pending
	cases := []struct {
		name   string
		total  bool // counts in total
		before int64
		group  []models.DeliveryStatus
		want   int64
	}{
		{"failures add up", false, 2, []models.DeliveryStatus{bad, models.Failed, bad}, 5},
		{"a success resets", false, 2, []models.DeliveryStatus{ok}, 0},
		{"failures after a success", false, 2, []models.DeliveryStatus{bad, ok, bad, bad}, 2},
		{"failures before a success", false, 2, []models.DeliveryStatus{bad, bad, ok}, 0},
		{"in total: a success changes nothing", true, 2, []models.DeliveryStatus{ok}, 2},
		{"in total: failures on both sides", true, 2, []models.DeliveryStatus{bad, ok, bad}, 4},
		{"nothing to count", false, 0, []models.DeliveryStatus{ok, ok}, 0},
	}
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		for _, tt := range cases {
			t.Run(tt.name, func(t *testing.T) {
				w, neighbour := s.Webhook(t, tenant), s.Webhook(t, tenant)
				for range tt.before {
					s.MustRecord(t, s.Attempted(s.Publish(t, tenant, w)[0], models.Failed))
				}
				require.Equal(t, tt.before, s.health(t, w).Failed)
				var group []*models.Record
				failed := false
				for _, status := range tt.group {
					r := s.Attempted(s.Publish(t, tenant, w)[0], status)
					r.CountsInTotal = tt.total
					group = append(group, r)
					failed = failed || status != ok
				}
				group = append(group, s.Attempted(s.Publish(t, tenant, neighbour)[0], bad))
				results := s.MustRecord(t, group...)
				require.Equal(t, tt.want, s.health(t, w).Failed)
				told := tt.want
				if !failed {
					told = 0 // no failure of this group to report
				}
				require.Equal(t, told, results[0].Failed)
				require.Equal(t, int64(1), results[len(results)-1].Failed, "counted apart")
				require.Equal(t, int64(1), s.health(t, neighbour).Failed)
			})
		}
	})
}

func TestRecord_NotesTheLastFailureAndSuccess(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		record := func(status models.DeliveryStatus) {
			s.MustRecord(t, s.Attempted(s.Publish(t, tenant, w)[0], status))
		}
		success := s.Now()
		record(models.Delivered)
		require.Equal(t, models.WebhookHealth{WebhookID: w.ID, LastSuccessAt: &success}, s.health(t, w))

		s.Clock.Advance(5 * time.Second)
		record(models.Delivered)
		require.Equal(t, success, *s.health(t, w).LastSuccessAt, "fresh enough: the row is left alone")

		s.Clock.Advance(6 * time.Second)
		success = s.Now()
		record(models.Delivered)
		require.Equal(t, success, *s.health(t, w).LastSuccessAt)

		s.Clock.Advance(time.Second)
		failure := s.Now()
		record(models.Failed)
		want := models.WebhookHealth{WebhookID: w.ID, Failed: 1, LastFailureAt: &failure, LastStatus: 500,
			LastError: "the receiver answered 500", LastSuccessAt: &success}
		require.Equal(t, want, s.health(t, w))

		s.Clock.Advance(time.Second)
		recovered := s.Now()
		record(models.Delivered)
		want.Failed, want.LastSuccessAt = 0, &recovered
		require.Equal(t, want, s.health(t, w), "a success that resets the count is noted at once; the last failure stays on record")
	})
}

func TestRecord_TakesOneDeliveryTwice(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		twice, once := s.Publish(t, tenant, w)[0], s.Publish(t, tenant, w)[0]
		group := []*models.Record{s.Attempted(twice, models.Pending), s.Attempted(once, models.Failed), s.Attempted(twice, models.Delivered),
			s.Attempted(twice, models.Delivered)}
		results := s.MustRecord(t, group...)
		require.Equal(t, []bool{true, true, true, false}, []bool{results[0].Applied, results[1].Applied, results[2].Applied, results[3].Applied})
		require.Equal(t, []int{1, 1, 2, 3}, []int{group[0].Attempt.Number, group[1].Attempt.Number, group[2].Attempt.Number, group[3].Attempt.Number})
		require.Equal(t, models.Delivered, s.Reload(t, twice).Status)
		require.Equal(t, 3, s.Reload(t, twice).Attempts)
		require.Equal(t, models.Failed, s.Reload(t, once).Status)
	})
}

func TestRecord_RemovesTheDispatchesThatAreDone(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		a, b, c := s.Publish(t, tenant, w)[0], s.Publish(t, tenant, w)[0], s.Publish(t, tenant, w)[0]
		_, err := s.Record(t.Context(), []*models.Record{s.Attempted(a, models.Delivered), s.Attempted(b, models.Delivered), s.Attempted(c, models.Pending)},
			[]string{a.DispatchID, b.DispatchID})
		require.NoError(t, err)
		for _, d := range []models.Delivery{a, b} {
			_, err = s.Dispatch(t.Context(), d.DispatchID)
			require.ErrorIs(t, err, models.ErrNotFound)
		}
		_, err = s.Dispatch(t.Context(), c.DispatchID)
		require.NoError(t, err)
	})
}

// The tenant may have been deleted during the POST. Nothing of it comes back.
func TestRecord_LeavesNothingOfADeliveryThatIsGone(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		gone, there := s.Tenant(t, "gone"), s.Tenant(t, "there")
		lost, kept := s.Publish(t, gone, s.Webhook(t, gone))[0], s.Publish(t, there, s.Webhook(t, there))[0]
		require.NoError(t, s.DeleteTenant(t.Context(), gone))
		s.runJobs(t)
		results := s.MustRecord(t, s.Attempted(lost, models.Pending), s.Attempted(kept, models.Pending))
		require.Equal(t, []models.Recorded{{}, {Applied: true, Failed: 1}}, results)
		require.Equal(t, 1, s.Count(t, "attempts"))
	})
}

func TestRecord_TakesALargeGroup(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant)}
		for i := range 3000 {
			s.Add(a, fmt.Sprint(i), w)
		}
		s.mustAccept(t, a)
		var group []*models.Record
		for _, d := range a.Deliveries {
			group = append(group, s.Attempted(d, models.Pending))
		}
		for i, r := range s.MustRecord(t, group...) {
			require.True(t, r.Applied)
			require.Equal(t, int64(3000), r.Failed)
			require.Equal(t, 1, group[i].Attempt.Number)
		}
		require.Equal(t, 3000, s.Count(t, "attempts"))
	})
}

// Two processes record failures and successes of the same webhooks at once. The important counts are exact, and no
// caller waited for a deadlock.
func TestRecord_CountsExactlyUnderConcurrency(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		const callers, each, webhooks = 32, 12, 6
		s.AlwaysAtOnce()
		tenant := s.Tenant(t, "acme")
		var all []models.Webhook
		for range webhooks {
			all = append(all, s.Webhook(t, tenant))
		}
		a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant)}
		for i := range callers * each {
			s.Add(a, fmt.Sprint(i), all...)
		}
		s.mustAccept(t, a)

		others := []*models.Store{s.Open(t)}
		var groups []*groupcommit.Group[*models.Record, models.Recorded]
		for _, store := range append(others, s.Store) {
			groups = append(groups, groupcommit.New(func(ctx context.Context, group []*models.Record) ([]models.Recorded, error) {
				return store.Record(ctx, group, nil)
			}, groupcommit.Options[*models.Record]{Flushes: 2, MaxGroup: 24}))
		}
		// The first half of the webhooks counts in total, so that its count is known in the end whatever the order.
		total := map[string]bool{}
		for _, w := range all[:webhooks/2] {
			total[w.ID] = true
		}
		var mu sync.Mutex
		failures := map[string]int64{}
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(2, uint64(caller)))
				mine := a.Deliveries[caller*each*webhooks : (caller+1)*each*webhooks]
				for _, i := range random.Perm(len(mine)) {
					status := models.Delivered
					if random.IntN(2) == 0 {
						status = models.Pending
					}
					r := s.Attempted(mine[i], status)
					r.CountsInTotal = total[mine[i].WebhookID]
					result, err := groups[random.IntN(2)].Do(context.WithoutCancel(t.Context()), r)
					if err != nil || !result.Applied {
						t.Errorf("applied: %v, error: %v", result.Applied, err)
						return
					}
					if status == models.Pending {
						mu.Lock()
						failures[mine[i].WebhookID]++
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		for _, w := range all {
			if total[w.ID] {
				require.Equal(t, failures[w.ID], s.health(t, w).Failed)
			} else {
				require.LessOrEqual(t, s.health(t, w).Failed, failures[w.ID])
			}
		}
		require.Equal(t, callers*each*webhooks, s.Count(t, "attempts"))
		require.Zero(t, s.Deadlocks(t, others...))
	})
}

// All acts that lock many rows run at the same time. A transaction that PostgreSQL aborts is run again, and no caller
// notices it.
func TestRecord_RecordingHoldingAndReconcilingAtOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		webhooks := []models.Webhook{s.Webhook(t, tenant), s.Webhook(t, tenant)}
		other := s.Open(t)
		const rounds = 12
		for range rounds {
			a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant)}
			for range 20 {
				s.Add(a, idAt(models.PrefixEvent, s.Now()), webhooks...)
			}
			s.mustAccept(t, a)
			s.Clock.Advance(time.Hour)
			var group []*models.Record
			for _, i := range rand.New(rand.NewPCG(3, 3)).Perm(len(a.Deliveries)) {
				group = append(group, s.Attempted(a.Deliveries[i], models.Failed))
			}
			var wg sync.WaitGroup
			at := func(happen func() error) {
				wg.Go(func() {
					if err := happen(); err != nil {
						t.Error(err)
					}
				})
			}
			before := s.Now().Add(-time.Minute)
			at(func() error { _, err := s.Record(t.Context(), group, nil); return err })
			at(func() error { _, err := redispatch(t.Context(), other, nil, before, 1000); return err })
			at(func() error {
				_, err := redispatch(t.Context(), s.Store, []string{a.Dispatches[1].ID, a.Dispatches[0].ID}, before, 1000)
				return err
			})
			at(func() error {
				_, _, err := other.SetWebhookStatus(t.Context(), tenant, webhooks[0].ID, models.StatusChange{To: models.WebhookPaused})
				return err
			})
			at(func() error { return s.EraseEvent(t.Context(), tenant, a.Events[3].ID) })
			wg.Wait()
			for _, d := range a.Deliveries {
				now := s.Reload(t, d)
				require.Equal(t, 1, now.Attempts)
				require.NotEqual(t, models.Delivered, now.Status)
			}
			_, _, err := s.SetWebhookStatus(t.Context(), tenant, webhooks[0].ID, models.StatusChange{To: models.WebhookActive})
			require.NoError(t, err)
		}
		require.Equal(t, rounds*40, s.Count(t, "attempts"))
	})
}

// An attempt recorded by a process that knows nothing of its newer columns can be read.
func TestRecord_AttemptsOfOlderProcessesCanBeRead(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		d := s.Publish(t, tenant, w)[0]
		record := s.Attempted(d, models.Delivered)
		record.Attempt.URL = "https://then.example/"
		s.MustRecord(t, record)
		calls, _, err := s.Calls(t.Context(), tenant, models.CallFilter{}, 10, 0)
		require.NoError(t, err)
		require.Equal(t, "https://then.example/", calls[0].URL)
		require.NoError(t, s.DB().Exec("UPDATE attempts SET url = NULL, detail = NULL").Error)
		attempts, err := s.Attempts(t.Context(), tenant, d.ID)
		require.NoError(t, err)
		require.Empty(t, attempts[0].URL)
		require.Equal(t, models.AttemptDetail{}, attempts[0].Detail)
		calls, _, err = s.Calls(t.Context(), tenant, models.CallFilter{}, 10, 0)
		require.NoError(t, err)
		require.Equal(t, w.URL, calls[0].URL)
		profile, err := s.Profile(t.Context(), w.ID)
		require.NoError(t, err)
		require.Equal(t, w.Profile, profile)
		_, err = s.Profile(t.Context(), "wh_none")
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

func TestRecord_TheNewestAttemptsAreListed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		d := s.Publish(t, s.Tenant(t, "acme"), s.Webhook(t, "acme"))[0]
		for range models.AttemptsShown + 2 {
			s.MustRecord(t, s.Attempted(d, models.Pending))
		}
		attempts, err := s.Attempts(t.Context(), "acme", d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, models.AttemptsShown)
		require.Equal(t, 3, attempts[0].Number)
		require.Equal(t, models.AttemptsShown+2, attempts[models.AttemptsShown-1].Number)
	})
}
