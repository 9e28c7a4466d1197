package models_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// mergeStats merges all appended counts.
func (s *database) mergeStats(tb testing.TB) (merged int) {
	tb.Helper()
	for after := (models.DeliveryKey{}); ; {
		n, next, err := s.MergeStats(tb.Context(), after)
		require.NoError(tb, err)
		if merged += n; next == (models.DeliveryKey{}) {
			return merged
		}
		after = next
	}
}

// stat returns the counts of a day around now, without percentiles.
func (s *database) stat(tb testing.TB, f models.StatFilter) (sum models.Counts) {
	tb.Helper()
	f.Since, f.Bucket = s.Now().Truncate(time.Hour).Add(-12*time.Hour), time.Hour
	f.Until = f.Since.Add(24 * time.Hour)
	buckets, err := s.Stats(tb.Context(), f)
	require.NoError(tb, err)
	for i := range buckets {
		sum.Add(&buckets[i])
	}
	return sum.Plain()
}

// published accepts an event of a type for webhooks, held for those that are not active.
func (s *database) published(tb testing.TB, tenant, eventType string, webhooks ...models.Webhook) []models.Delivery {
	tb.Helper()
	a := s.Acceptance(tb, tenant, webhooks...)
	a.Events[0].Type = eventType
	for i := range a.Deliveries {
		a.Deliveries[i].EventType = eventType
		if webhooks[i].Status != models.WebhookActive {
			a.Deliveries[i].Status, a.Deliveries[i].NextAttemptAt = models.Held, nil
		}
	}
	s.mustAccept(tb, a)
	return a.Deliveries
}

// Every way in which something is counted, read before and after the merge.
func TestStats_CountWhatHappened(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		one, two, held := s.Webhook(t, acme), s.Webhook(t, acme), s.Webhook(t, acme)
		other := s.Webhook(t, globex)
		var err error
		held, _, err = s.SetWebhookStatus(ctx, acme, held.ID, models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)

		created := s.published(t, acme, "order.created", one, two, held)
		paid := s.published(t, acme, "order.paid", one)
		s.published(t, acme, "order.lost")
		theirs := s.published(t, globex, "order.created", other)

		received := s.Attempted(created[0], models.Delivered)
		received.Attempt.DurationMS = 400
		s.MustRecord(t, s.Attempted(created[1], models.Pending), received, s.Attempted(created[1], models.Failed), s.Attempted(theirs[0], models.Delivered))
		s.MustRecord(t, s.Attempted(created[1], models.Failed))    // not pending any more, but a POST
		s.MustRecord(t, s.Attempted(created[2], models.Delivered)) // held, and received
		_, _, err = s.ChangeDelivery(ctx, acme, paid[0].ID, func(d *models.Delivery, _ models.WebhookStatus) error { d.Hold(); return nil })
		require.NoError(t, err)

		check := func(of string, f models.StatFilter, want models.Counts) {
			t.Helper()
			require.Equal(t, want, s.stat(t, f), "%s: %+v", of, f)
		}
		for _, when := range []string{"not merged", "merged"} {
			check(when, models.StatFilter{Tenant: acme}, models.Counts{Events: 3, Delivered: 2, Failed: 1, Held: 2, Attempts: 5, FailedAttempts: 3})
			check(when, models.StatFilter{Tenant: acme, EventType: "order.created"}, models.Counts{Events: 1, Delivered: 2, Failed: 1, Held: 1, Attempts: 5, FailedAttempts: 3})
			check(when, models.StatFilter{Tenant: acme, EventType: "order.paid"}, models.Counts{Events: 1, Held: 1})
			check(when, models.StatFilter{Tenant: acme, EventType: "order.lost"}, models.Counts{Events: 1})
			check(when, models.StatFilter{Tenant: acme, WebhookID: one.ID}, models.Counts{Events: 2, Delivered: 1, Held: 1, Attempts: 1})
			check(when, models.StatFilter{Tenant: acme, WebhookID: one.ID, EventType: "order.paid"}, models.Counts{Events: 1, Held: 1})
			check(when, models.StatFilter{Tenant: acme, WebhookID: two.ID}, models.Counts{Events: 1, Failed: 1, Attempts: 3, FailedAttempts: 3})
			check(when, models.StatFilter{Tenant: acme, WebhookID: held.ID}, models.Counts{Events: 1, Delivered: 1, Held: 1, Attempts: 1})
			check(when, models.StatFilter{Tenant: globex}, models.Counts{Events: 1, Delivered: 1, Attempts: 1})
			check(when, models.StatFilter{Tenant: globex, WebhookID: one.ID}, models.Counts{})
			check(when, models.StatFilter{}, models.Counts{Events: 4, Delivered: 3, Failed: 1, Held: 2, Attempts: 6, FailedAttempts: 3})
			check(when, models.StatFilter{EventType: "order.created"}, models.Counts{Events: 2, Delivered: 3, Failed: 1, Held: 1, Attempts: 6, FailedAttempts: 3})
			check(when, models.StatFilter{WebhookID: other.ID}, models.Counts{Events: 1, Delivered: 1, Attempts: 1})
			buckets, err := s.Stats(ctx, models.StatFilter{Tenant: acme, WebhookID: one.ID, Since: s.Now().Truncate(time.Minute),
				Until: s.Now().Truncate(time.Minute).Add(2 * time.Minute), Bucket: time.Minute})
			require.NoError(t, err)
			require.Len(t, buckets, 2)
			ms, ok := buckets[0].Percentile(0.99)
			require.True(t, ok)
			require.InEpsilon(t, 400, ms, 0.05)
			_, ok = buckets[1].Percentile(0.5)
			require.False(t, ok)
			s.mergeStats(t)
			require.Zero(t, s.Count(t, "stat_deltas"))
		}
	})
}

// What is put aside is counted wherever that is done: by the pages of a job, by a dispatch that finds its webhook paused, by a
// fan-out to it.
func TestStats_CountWhatIsHeld(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		acme := s.Tenant(t, "acme")
		pause := func(w models.Webhook) {
			_, _, err := s.SetWebhookStatus(ctx, acme, w.ID, models.StatusChange{To: models.WebhookPaused})
			require.NoError(t, err)
		}
		paged, aside := s.Webhook(t, acme), s.Webhook(t, acme)
		s.backlog(t, paged, 1200, "")
		pause(paged)
		s.runJobs(t)
		require.Equal(t, models.Counts{Events: 1200, Held: 1200}, s.stat(t, models.StatFilter{Tenant: acme, WebhookID: paged.ID}))
		_, _, err := s.SetWebhookStatus(ctx, acme, paged.ID, models.StatusChange{To: models.WebhookDisabled}) // held for another reason
		require.NoError(t, err)
		s.runJobs(t)
		require.Equal(t, models.Counts{Events: 1200, Held: 1200}, s.stat(t, models.StatFilter{Tenant: acme, WebhookID: paged.ID}))

		pause(aside)
		s.runJobs(t)
		late := s.Publish(t, acme, aside) // what was being accepted meanwhile
		for range 2 {
			_, err = s.SetAside(ctx, late)
			require.NoError(t, err)
		}
		require.Equal(t, models.Counts{Events: 1, Held: 1}, s.stat(t, models.StatFilter{Tenant: acme, WebhookID: aside.ID}))

		globex := s.Tenant(t, "globex")
		_, webhooks := s.fanOut(t, globex, 1100)
		_, _, err = s.SetWebhookStatus(ctx, globex, webhooks[7], models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)
		s.runJobs(t)
		require.Equal(t, models.Counts{Events: 1, Held: 1}, s.stat(t, models.StatFilter{Tenant: globex}))
		require.Equal(t, models.Counts{Events: 1, Held: 1}, s.stat(t, models.StatFilter{Tenant: globex, WebhookID: webhooks[7]}))
		require.Equal(t, models.Counts{Events: 1}, s.stat(t, models.StatFilter{Tenant: globex, WebhookID: webhooks[1099]}))
		s.mergeStats(t)
		require.Equal(t, models.Counts{Events: 1}, s.stat(t, models.StatFilter{Tenant: globex, WebhookID: webhooks[1099]}))
	})
}

// What is counted costs a transaction one statement and a row for each tenant, however many deliveries there are; a page of a
// fan-out to a thousand webhooks writes two.
func TestStats_CostAStatement(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		w := s.Webhook(t, acme)
		b := s.Acceptance(t, globex, s.Webhook(t, globex))
		b.Version = s.Version(t, globex)
		a := &models.Acceptance{Tenant: acme, Version: s.Version(t, acme)}
		for i := range 200 {
			s.Add(a, fmt.Sprint("event-", i), w)
		}
		store, o := s.Observe()
		appended := func(rows int, what string) {
			t.Helper()
			n := 0
			for _, statement := range o.Statements {
				if strings.Contains(statement, "INTO stat_deltas") {
					n++
				}
			}
			require.Equal(t, 1, n, what)
			require.Equal(t, rows, s.Count(t, "stat_deltas"), what)
			require.Equal(t, rows, s.mergeStats(t), what)
			o.Reset()
		}
		results, err := store.Accept(t.Context(), []*models.Acceptance{a, b})
		require.NoError(t, err)
		require.NoError(t, errors.Join(results[0].Err, results[1].Err))
		appended(2, "accept")

		var group []*models.Record
		for _, d := range a.Deliveries {
			group = append(group, s.Attempted(d, models.Delivered))
		}
		_, err = store.Record(t.Context(), group, nil)
		require.NoError(t, err)
		appended(1, "record")

		s.fanOut(t, s.Tenant(t, "initech"), 1000)
		s.mergeStats(t)
		_, page, err := store.RunJob(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(1000), page.Rows)
		appended(2, "a page of a fan-out")
	})
}

// Appended counts are merged once, by any process, while more are appended. At any time they are read once.
func TestStats_AreMergedOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme := s.Tenant(t, "acme")
		w := s.Webhook(t, acme)
		const n, mergers = 60, 3
		done := make(chan struct{})
		var wg, merging sync.WaitGroup
		for range mergers {
			store := s.Open(t)
			merging.Go(func() {
				for {
					if _, _, err := store.MergeStats(context.WithoutCancel(t.Context()), models.DeliveryKey{}); err != nil {
						t.Error(err)
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		var published int64
		wg.Go(func() {
			for range n {
				s.Publish(t, acme, w)
				published++
				got := s.stat(t, models.StatFilter{Tenant: acme, WebhookID: w.ID})
				if got.Events != published {
					t.Errorf("%d events are counted of %d", got.Events, published)
				}
			}
		})
		wg.Wait()
		close(done)
		merging.Wait()
		s.mergeStats(t)
		require.Equal(t, models.Counts{Events: n}, s.stat(t, models.StatFilter{}))
		require.Equal(t, models.Counts{Events: n}, s.stat(t, models.StatFilter{Tenant: acme, WebhookID: w.ID}))
	})
}

// A merge that is killed has merged nothing and lost nothing.
func TestStats_AMergeThatIsKilled(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme := s.Tenant(t, "acme")
		w := s.Webhook(t, acme)
		s.Publish(t, acme, w)
		killed := errors.New("killed")
		require.ErrorIs(t, s.Tx(t.Context(), func(tx *models.Store) error {
			n, _, err := tx.MergeStats(t.Context(), models.DeliveryKey{})
			require.NoError(t, err)
			require.Equal(t, 1, n)
			return killed
		}), killed)
		require.Equal(t, models.Counts{Events: 1}, s.stat(t, models.StatFilter{Tenant: acme}))
		require.Equal(t, 1, s.mergeStats(t))
		require.Equal(t, models.Counts{Events: 1}, s.stat(t, models.StatFilter{Tenant: acme}))
	})
}

// Pages of a merge are bounded by what is in the rows, too, and none is passed over.
func TestStats_PagesOfAMerge(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		s.fanOut(t, tenant, 5*1000)
		s.runJobs(t)
		require.Equal(t, 11, s.Count(t, "stat_deltas"))
		n, next, err := s.MergeStats(t.Context(), models.DeliveryKey{})
		require.NoError(t, err)
		require.Less(t, n, 7)
		require.NotZero(t, next)
		s.mergeStats(t)
		require.Zero(t, s.Count(t, "stat_deltas"))
		require.Equal(t, 5000+4, s.Count(t, "stats"))
	})
}

// Minutes become hours, hours become days, and old days are deleted. The counts stay the same.
func TestStats_Age(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme := s.Tenant(t, "acme")
		w := s.Webhook(t, acme)
		for range 3 { // in three minutes, of two hours
			s.MustRecord(t, s.Attempted(s.Publish(t, acme, w)[0], models.Delivered))
			s.Clock.Advance(40 * time.Minute)
		}
		s.mergeStats(t)
		day := s.Now().Truncate(24 * time.Hour)
		read := func(bucket time.Duration) (all []int64) {
			t.Helper()
			for _, f := range []models.StatFilter{{Tenant: acme}, {Tenant: acme, WebhookID: w.ID, EventType: "order.created"}} {
				f.Since, f.Until, f.Bucket = day, day.Add(24*time.Hour), bucket
				buckets, err := s.Stats(t.Context(), f)
				require.NoError(t, err)
				for i := range buckets {
					all = append(all, buckets[i].Events+buckets[i].Delivered)
					if buckets[i].Delivered > 0 {
						ms, ok := buckets[i].Percentile(0.5)
						require.True(t, ok)
						require.InEpsilon(t, 40, ms, 0.05)
					}
				}
			}
			return slices.DeleteFunc(all, func(n int64) bool { return n == 0 })
		}
		spans := func() (spans []int64) {
			require.NoError(t, s.DB().Raw("SELECT DISTINCT span FROM stats ORDER BY span").Scan(&spans).Error)
			return spans
		}
		require.Equal(t, []int64{2, 2, 2, 2, 2, 2}, read(time.Minute))
		for _, age := range []struct {
			days  int
			spans []int64
			hours bool
		}{{7, []int64{1}, true}, {8, []int64{60}, true}, {90, []int64{60}, true}, {91, []int64{1440}, false}, {400, []int64{1440}, false}} {
			s.Clock.Advance(day.Add(time.Duration(age.days)*24*time.Hour + 12*time.Hour).Sub(s.Now()))
			for {
				_, more, err := s.Expire(s.Now().Add(-1000*24*time.Hour), 2).Step(t.Context())
				require.NoError(t, err)
				if !more {
					break
				}
			}
			require.Equal(t, age.spans, spans(), "after %d days", age.days)
			if age.hours {
				require.Equal(t, []int64{4, 2, 4, 2}, read(time.Hour), "after %d days", age.days)
			}
			require.Equal(t, []int64{6, 6}, read(24*time.Hour), "after %d days", age.days)
		}
		s.Clock.Advance(24 * time.Hour)
		s.expire(t, 2)
		require.Empty(t, spans())
	})
}

// Nothing is left of a deleted tenant, and a new tenant with its name begins at zero. The counts of all tenants
// together stay.
func TestStats_OfADeletedTenant(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme := s.Tenant(t, "acme")
		s.Publish(t, acme, s.Webhook(t, acme))
		s.mergeStats(t)
		s.Publish(t, acme)
		require.NoError(t, s.DeleteTenant(t.Context(), acme))
		s.runJobs(t)
		require.Empty(t, s.of(t, acme)["stats"])
		require.Empty(t, s.of(t, acme)["stat_deltas"])
		again := s.Tenant(t, "acme")
		require.Equal(t, models.Counts{}, s.stat(t, models.StatFilter{Tenant: again}))
		require.Equal(t, models.Counts{Events: 2}, s.stat(t, models.StatFilter{}), "what was merged, and what was not yet")
	})
}

func TestStats_PercentilesAreWithinFivePercent(t *testing.T) {
	t.Parallel()
	for ms := int64(0); ms < 40*24*3600*1000; ms += 1 + ms/500 {
		c := models.Took(ms)
		got, ok := c.Percentile(0.5)
		require.True(t, ok)
		require.LessOrEqual(t, math.Abs(got-float64(ms)), 0.044*float64(ms), "%d ms", ms)
		if ms <= 12 {
			require.InDelta(t, ms, got, 0, "each has a bucket of its own")
		}
	}
	all := models.Took(1)
	for ms := int64(2); ms <= 1000; ms++ {
		c := models.Took(ms)
		all.Add(&c)
	}
	for share, want := range map[float64]float64{0.5: 500, 0.95: 950, 0.99: 990, 1: 1000} {
		got, ok := all.Percentile(share)
		require.True(t, ok)
		require.InEpsilon(t, want, got, 0.05)
	}
}

// The reads of a reader and of a merge page do not grow with the data of other tenants.
func TestStats_PlansUseIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	acme := s.Tenant(t, "acme")
	w := s.Webhook(t, acme)
	s.MustRecord(t, s.Attempted(s.Publish(t, acme, w)[0], models.Delivered))
	s.mergeStats(t)
	first := s.Now().Unix() / 60
	s.patiently(t, nil, `INSERT INTO stats (tenant, webhook_id, event_type, minute, span, data)
		SELECT s.tenant, CASE s.webhook_id WHEN '' THEN '' ELSE 'wh_' || n % 50 END, s.event_type || n, s.minute + n, 1, s.data
		FROM stats s, generate_series(1, 10000) n`,
		"VACUUM ANALYZE stats")
	for name, query := range map[string]func(ctx context.Context, tx *models.Store) error{
		"read a webhook's": func(ctx context.Context, tx *models.Store) error {
			_, err := tx.Stats(ctx, models.StatFilter{Tenant: acme, WebhookID: "wh_7", Bucket: time.Minute,
				Since: time.Unix(60*first, 0), Until: time.Unix(60*(first+1500), 0)})
			return err
		},
		"read a tenant's": func(ctx context.Context, tx *models.Store) error {
			_, err := tx.Stats(ctx, models.StatFilter{Tenant: acme, Bucket: time.Minute, Since: time.Unix(60*first, 0), Until: time.Unix(60*(first+1500), 0)})
			return err
		},
		"merge": func(ctx context.Context, tx *models.Store) error {
			_, err := tx.Accept(ctx, []*models.Acceptance{s.Acceptance(t, acme, w)})
			require.NoError(t, err)
			_, _, err = tx.MergeStats(ctx, models.DeliveryKey{})
			return err
		},
		"age": func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Expire(s.Now().Add(-time.Hour), 100).Step(ctx)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "age" {
				s.Clock.Advance(9 * 24 * time.Hour)
			}
			got := s.countingOf(t, query, "stats")
			t.Logf("%+v", got)
			require.Zero(t, got.Scans, "read from end to end")
			require.LessOrEqual(t, got.Rows, int64(500), "rows read")
		})
	}
}
