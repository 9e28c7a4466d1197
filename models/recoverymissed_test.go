package models_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// typed publishes one event of a type for the webhooks.
func (s *database) typed(tb testing.TB, tenant, eventType string, webhooks ...models.Webhook) *models.Acceptance {
	tb.Helper()
	a := s.Acceptance(tb, tenant, webhooks...)
	a.Events[0].Type = eventType
	for i := range a.Deliveries {
		a.Deliveries[i].EventType = eventType
	}
	s.mustAccept(tb, a)
	return a
}

// ofWebhook reads the deliveries of a webhook, newest first.
func (s *database) ofWebhook(tb testing.TB, w models.Webhook) []models.Delivery {
	tb.Helper()
	rows, _, err := s.Deliveries(tb.Context(), w.Tenant, models.DeliveryFilter{WebhookID: w.ID}, models.Page{Limit: 100_000})
	require.NoError(tb, err)
	return rows
}

func TestRecoveryMissed_ARecoveryTakesWhatHasEnded(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		delivered, canceled, failed := s.deliveryOf(t, w, models.Delivered), s.deliveryOf(t, w, models.Canceled), s.deliveryOf(t, w, models.Failed)
		erased := s.deliveryOf(t, w, models.Delivered)
		require.NoError(t, s.EraseEvent(t.Context(), "acme", erased.EventID))
		pending := s.deliveryOf(t, w, models.Pending)
		s.Clock.Advance(time.Minute)

		r, pages := s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Delivered, models.Canceled}})
		require.Equal(t, models.RecoveryDone, r.Status)
		require.Equal(t, []int64{3, 2, 1}, []int64{r.Total, r.Released, r.Skipped})
		require.Len(t, pages, 1)
		require.ElementsMatch(t, keysOf(delivered, canceled), pages[0])
		for _, was := range []models.Delivery{delivered, canceled} {
			is := s.Reload(t, was)
			require.Equal(t, models.Pending, is.Status)
			require.Equal(t, was.ID, is.ID)
			require.Equal(t, r.ID, is.RecoveryID)
			require.Equal(t, was.Attempts, is.Attempts, "the attempts stay on record")
			require.Zero(t, is.Failures)
			require.Nil(t, is.FinishedAt)
		}
		require.Equal(t, failed, s.Reload(t, failed))
		require.Equal(t, pending, s.Reload(t, pending))
		require.Equal(t, models.Delivered, s.Reload(t, erased).Status)
	})
}

func TestRecoveryMissed_ARecoveryOfSomeTypes(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w, late := s.Webhook(t, tenant), s.Webhook(t, tenant)
		want := map[string]bool{}
		for _, name := range []string{"order.created", "order.paid", "user.created", "user.deleted"} {
			a := s.typed(t, tenant, name, w)
			s.MustRecord(t, s.Attempted(a.Deliveries[0], models.Delivered))
			if name != "user.created" {
				want[a.Events[0].ID] = true
			}
		}
		s.Clock.Advance(time.Minute)
		types := []string{"order.*", "user.deleted"}
		r, pages := s.Recover(t, models.Recovery{Tenant: tenant, WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Delivered}, EventTypes: types})
		require.Equal(t, int64(3), r.Total)
		require.Len(t, pages[0], 3)

		missed, _ := s.Recover(t, models.Recovery{Tenant: tenant, WebhookID: late.ID, Missed: true, EventTypes: types})
		require.Equal(t, int64(3), missed.Released)
		for _, d := range s.ofWebhook(t, late) {
			require.True(t, want[d.EventID], d.EventType)
		}
	})
}

// However few deliveries a recovery is for, a page looks at a bounded number of them.
func TestRecoveryMissed_APageOfARecoveryLooksAtABoundedNumberOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	s.backlog(t, w, 9000, "")
	require.NoError(t, s.DB().Exec(`UPDATE deliveries SET status = 'delivered', next_attempt_at = NULL, finished_at = created_at`).Error)
	last := s.typed(t, "acme", "order.paid", w)
	s.MustRecord(t, s.Attempted(last.Deliveries[0], models.Delivered))
	s.patiently(t, nil, "VACUUM ANALYZE")
	s.Clock.Advance(time.Minute)
	late := s.Webhook(t, "acme")
	for _, r := range []models.Recovery{
		{Tenant: "acme", WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Delivered}, EventTypes: []string{"order.paid"}},
		{Tenant: "acme", WebhookID: late.ID, Missed: true, EventTypes: []string{"order.paid"}},
	} {
		require.NoError(t, s.CreateRecovery(t.Context(), &r))
		for range 20 {
			got := s.counting(t, func(ctx context.Context, tx *models.Store) error {
				_, _, err := tx.ReleasePage(ctx, r.ID, time.Time{})
				return err
			})
			require.Zero(t, got.Scans, "read from end to end")
			require.LessOrEqual(t, got.Rows, int64(2*2000+50))
			now, _, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
			require.NoError(t, err)
			if r = now; r.Status != models.RecoveryRunning {
				break
			}
		}
		require.Equal(t, models.RecoveryDone, r.Status)
		require.Equal(t, int64(1), r.Released)
	}
}

// A page of a slow recovery reads about as much as it releases: it does not read the same rows for each of its pages.
func TestRecoveryMissed_APageOfASlowRecoveryReadsLittleOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	for range 40 {
		a := s.Acceptance(t, "acme")
		for range 50 {
			s.Add(a, idAt(models.PrefixEvent, s.Now()), w)
			s.Clock.Advance(time.Millisecond)
		}
		s.mustAccept(t, a)
	}
	s.patiently(t, nil, `UPDATE deliveries SET status = 'delivered', next_attempt_at = NULL, finished_at = created_at`, "VACUUM ANALYZE")
	s.Clock.Advance(time.Minute)
	late := s.Webhook(t, "acme")
	for _, r := range []models.Recovery{
		{Tenant: "acme", WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Delivered}, Rate: 5},
		{Tenant: "acme", WebhookID: late.ID, Missed: true, Rate: 5},
	} {
		require.NoError(t, s.CreateRecovery(t.Context(), &r))
		for range 10 {
			got := s.counting(t, func(ctx context.Context, tx *models.Store) error {
				_, _, err := tx.ReleasePage(ctx, r.ID, time.Time{})
				return err
			})
			require.Zero(t, got.Scans, "read from end to end")
			require.LessOrEqual(t, got.Rows, int64(60))
			_, _, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
			require.NoError(t, err)
		}
		now, err := s.Recovery(t.Context(), "acme", r.ID)
		require.NoError(t, err)
		require.Equal(t, int64(50), now.Released)
		s.Clock.Advance(time.Minute)
	}
}

// What expires while a slow recovery runs is not sent any more.
func TestRecoveryMissed_ARecoveryLeavesOutWhatHasExpiredMeanwhile(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		var events []string
		for range 6 {
			events = append(events, s.typed(t, tenant, "order.created").Events[0].ID)
			s.Clock.Advance(time.Hour)
		}
		w := s.Webhook(t, tenant)
		since := s.Now().Add(-24 * time.Hour)
		r := models.Recovery{Tenant: tenant, WebhookID: w.ID, Missed: true, EventsSince: &since, Rate: 1}
		require.NoError(t, s.CreateRecovery(t.Context(), &r))
		for _, kept := range []time.Time{since, since.Add(time.Hour)} {
			_, _, err := s.ReleasePage(t.Context(), r.ID, kept)
			require.NoError(t, err)
		}
		kept := s.Now().Add(-2*time.Hour - time.Minute) // the last two
		for range 10 {
			now, _, err := s.ReleasePage(t.Context(), r.ID, kept)
			require.NoError(t, err)
			if now.Status != models.RecoveryRunning {
				require.Equal(t, int64(4), now.Released)
				break
			}
		}
		var got []string
		for _, d := range s.ofWebhook(t, w) {
			got = append(got, d.EventID)
		}
		require.ElementsMatch(t, []string{events[0], events[1], events[4], events[5]}, got)
	})
}

// A webhook has missed the events that match it and have no delivery to it: events from before it existed, or before
// its types were widened.
func TestRecoveryMissed_ARecoveryOfWhatWasMissed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		early := s.Webhook(t, tenant)
		tooOld := s.typed(t, tenant, "order.created", early)
		s.Clock.Advance(time.Hour)
		since := s.Now()
		var events []string
		for range 300 {
			events = append(events, s.typed(t, tenant, "order.created", early).Events[0].ID)
			s.Clock.Advance(time.Second)
		}
		erased := s.typed(t, tenant, "order.created", early).Events[0].ID
		require.NoError(t, s.EraseEvent(t.Context(), tenant, erased))
		s.typed(t, tenant, models.OperationalPrefix+"deactivated", early)
		fannedOut := s.Acceptance(t, tenant)
		w := s.Webhook(t, tenant)
		members, err := models.Members([]string{w.ID})
		require.NoError(t, err)
		fannedOut.Version = s.Version(t, tenant)
		fannedOut.FanOuts = []models.FanOut{{EventID: fannedOut.Events[0].ID, Members: members}}
		s.mustAccept(t, fannedOut)
		has := s.typed(t, tenant, "order.created", early, w)
		s.Clock.Advance(time.Minute)

		r := models.Recovery{Tenant: tenant, WebhookID: w.ID, Missed: true, EventsSince: &since}
		require.NoError(t, s.CreateRecovery(t.Context(), &r))
		require.Equal(t, int64(models.TotalUnknown), r.Total)
		require.True(t, r.Seeking)
		ended := s.release(t, r.ID)
		require.Equal(t, models.RecoveryDone, ended.Status)
		require.Equal(t, []int64{301, 300, 1}, []int64{ended.Total, ended.Released, ended.Skipped})
		var got []string
		for _, d := range s.ofWebhook(t, w) {
			if d.RecoveryID == "" {
				require.Equal(t, has.Events[0].ID, d.EventID)
				continue
			}
			require.Equal(t, models.Pending, d.Status)
			require.NotEmpty(t, d.DispatchID)
			_, err := s.Dispatch(t.Context(), d.DispatchID)
			require.NoError(t, err, "driven")
			got = append(got, d.EventID)
		}
		require.ElementsMatch(t, events, got)
		require.NotContains(t, got, tooOld.Events[0].ID)

		again, _ := s.Recover(t, models.Recovery{Tenant: tenant, WebhookID: w.ID, Missed: true, EventsSince: &since})
		require.Zero(t, again.Released, "nothing is missed any more")
	})
}

// release runs a stored recovery to its end.
func (s *database) release(tb testing.TB, id string) models.Recovery {
	tb.Helper()
	for range 1000 {
		now, _, err := s.ReleasePage(tb.Context(), id, time.Time{})
		require.NoError(tb, err)
		if now.Status != models.RecoveryRunning {
			return now
		}
	}
	require.Fail(tb, "the recovery does not end")
	return models.Recovery{}
}

func TestRecoveryMissed_ARecoveryOfBothKinds(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		early := s.Webhook(t, tenant)
		missed := s.Publish(t, tenant, early)[0]
		w := s.Webhook(t, tenant)
		failed := s.deliveryOf(t, w, models.Failed)
		held := s.held(t, w, 2)
		s.Clock.Advance(time.Minute)
		r, _ := s.Recover(t, models.Recovery{Tenant: tenant, WebhookID: w.ID, Statuses: heldAndFailed, Missed: true})
		require.Equal(t, []int64{4, 4, 0}, []int64{r.Total, r.Released, r.Skipped})
		for _, d := range append(held, failed) {
			require.Equal(t, models.Pending, s.Reload(t, d).Status)
		}
		rows := s.ofWebhook(t, w)
		require.Len(t, rows, 4)
		require.True(t, slices.ContainsFunc(rows, func(d models.Delivery) bool { return d.EventID == missed.EventID }))
	})
}

// Of recoveries and replays that run at once, and of pages that are made again after a kill, none makes a second delivery.
func TestRecoveryMissed_WhatWasMissedIsMadeOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		early := s.Webhook(t, tenant)
		var events []string
		for range 40 {
			events = append(events, s.Publish(t, tenant, early)[0].EventID)
		}
		w := s.Webhook(t, tenant)
		s.Clock.Advance(time.Minute)
		var wg sync.WaitGroup
		for range 3 {
			r := models.Recovery{Tenant: tenant, WebhookID: w.ID, Missed: true, Rate: 7}
			require.NoError(t, s.CreateRecovery(t.Context(), &r))
			wg.Go(func() {
				for range 100 {
					now, _, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
					if err != nil {
						t.Log(err)
					} else if now.Status != models.RecoveryRunning {
						return
					}
				}
				t.Error("it does not end")
			})
		}
		wg.Go(func() {
			for _, id := range events {
				for {
					_, _, err := s.Replay(t.Context(), tenant, id, []string{w.ID})
					if err == nil {
						break
					}
					t.Log(err)
				}
			}
		})
		wg.Wait()
		got := map[string]int{}
		for _, d := range s.ofWebhook(t, w) {
			got[d.EventID]++
		}
		for _, id := range events {
			require.Equal(t, 1, got[id])
		}
	})
}

// The total of a recovery of both kinds is what there was at its start, whichever page the count finds it at.
func TestRecoveryMissed_ACountOfWhatWasMissed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		for pages := range 7 { // two of held ones, the sweep, then of missed ones
			tenant := s.Tenant(t, fmt.Sprint("tenant-", pages))
			early := s.Webhook(t, tenant)
			for range 10 {
				s.Publish(t, tenant, early)
			}
			w := s.Webhook(t, tenant)
			s.held(t, w, 2)
			s.Clock.Advance(time.Minute)
			r := models.Recovery{Tenant: tenant, WebhookID: w.ID, Statuses: heldAndFailed, Missed: true, Rate: 1}
			require.NoError(t, s.CreateRecovery(t.Context(), &r))
			for range pages {
				_, _, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
				require.NoError(t, err)
			}
			s.runJobs(t)
			now, err := s.Recovery(t.Context(), tenant, r.ID)
			require.NoError(t, err)
			require.Equal(t, int64(12), now.Total, "after %d pages", pages)
			require.Equal(t, models.RecoveryRunning, now.Status)
		}
	})
}

// The results of a recovery's deliveries are counted until all have ended.
func TestRecoveryMissed_ARecoveryCountsWhatBecameOfIt(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		all := s.held(t, w, 5)
		s.Clock.Advance(time.Minute)
		r, _ := s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed})
		require.Equal(t, int64(5), r.Released)
		counts := func() []int64 {
			t.Helper()
			s.Clock.Advance(15 * time.Minute)
			s.runJobs(t)
			now, err := s.Recovery(t.Context(), "acme", r.ID)
			require.NoError(t, err)
			return []int64{now.Delivered, now.Failed}
		}
		require.Equal(t, []int64{0, 0}, counts())
		for i, status := range []models.DeliveryStatus{models.Delivered, models.Failed, models.Pending, models.Delivered} {
			s.MustRecord(t, s.Attempted(s.Reload(t, all[i]), status))
		}
		require.Equal(t, []int64{2, 1}, counts())
		for _, i := range []int{2, 4} {
			s.MustRecord(t, s.Attempted(s.Reload(t, all[i]), models.Delivered))
		}
		require.Equal(t, []int64{4, 1}, counts())
		require.Zero(t, s.Count(t, "jobs"), "there is nothing left to count")
	})
}

func TestRecoveryMissed_AReplayOfAnEvent(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx, tenant := t.Context(), s.Tenant(t, "acme")
		var hooks []models.Webhook
		for range 6 {
			hooks = append(hooks, s.Webhook(t, tenant))
		}
		all := s.Publish(t, tenant, hooks[:4]...) // the last two have no delivery of it
		s.MustRecord(t, s.Attempted(all[0], models.Delivered), s.Attempted(all[1], models.Failed), s.Attempted(all[2], models.Delivered))
		for _, i := range []int{2, 5} {
			_, _, err := s.SetWebhookStatus(ctx, tenant, hooks[i].ID, models.StatusChange{To: models.WebhookDisabled})
			require.NoError(t, err)
		}
		s.Clock.Advance(time.Minute)
		ids := make([]string, len(hooks))
		for i, w := range hooks {
			ids[i] = w.ID
		}
		deliveries, fresh, err := s.Replay(ctx, tenant, all[0].EventID, ids)
		require.NoError(t, err)
		require.Len(t, deliveries, 6)
		driven := 0
		for _, d := range fresh {
			driven += len(d.Deliveries)
		}
		require.Equal(t, 3, driven, "two that have ended, and a new one")
		byHook := map[string]models.Delivery{}
		for _, d := range deliveries {
			byHook[d.WebhookID] = d
		}
		for i, want := range []models.DeliveryStatus{models.Pending, models.Pending, models.Held, models.Pending, models.Pending, models.Held} {
			d := byHook[hooks[i].ID]
			require.Equal(t, want, d.Status, "%d", i)
			require.Equal(t, all[0].EventID, d.EventID)
			if i < 4 {
				require.Equal(t, all[i].ID, d.ID)
			}
			if want == models.Held {
				require.Equal(t, models.HeldReason(models.WebhookDisabled), d.StatusReason)
			}
			require.Nil(t, d.FinishedAt)
		}
		require.Equal(t, s.Reload(t, all[3]), byHook[hooks[3].ID], "what is pending is left alone")
		require.Zero(t, byHook[hooks[3].ID].Generation)

		_, fresh, err = s.Replay(ctx, tenant, all[0].EventID, ids)
		require.NoError(t, err)
		require.Empty(t, fresh, "all of it is pending or held")
		require.Equal(t, 6, s.Count(t, "deliveries"))
		require.NoError(t, s.EraseEvent(ctx, tenant, all[0].EventID))
		_, _, err = s.Replay(ctx, tenant, all[0].EventID, ids)
		require.ErrorIs(t, err, models.ErrErased)
		s.Tenant(t, "globex")
		_, _, err = s.Replay(ctx, "globex", all[0].EventID, ids)
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

func TestRecoveryMissed_AReplayToManyWebhooks(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		var ids []string
		for range 300 {
			ids = append(ids, s.Webhook(t, tenant).ID)
		}
		event := s.Acceptance(t, tenant)
		s.mustAccept(t, event)
		_, err := s.DeleteWebhook(t.Context(), tenant, ids[7])
		require.NoError(t, err)
		members, err := models.Members(ids)
		require.NoError(t, err)
		replay := models.Recovery{Tenant: tenant, EventID: event.Events[0].ID, Members: members}
		r, pages := s.Recover(t, replay)
		require.Equal(t, models.RecoveryDone, r.Status)
		require.Equal(t, []int64{300, 299, 1}, []int64{r.Total, r.Released, r.Skipped})
		require.Len(t, pages, 2)
		require.Equal(t, 299, s.Count(t, "deliveries"))

		again, _ := s.Recover(t, replay)
		require.Equal(t, []int64{300, 0, 300}, []int64{again.Total, again.Released, again.Skipped})
		require.NoError(t, s.CreateRecovery(t.Context(), &replay))
		require.NoError(t, s.EraseEvent(t.Context(), tenant, event.Events[0].ID))
		require.Equal(t, int64(300), s.release(t, replay.ID).Skipped)
	})
}

// A page that makes missed deliveries takes its locks in the order in which a change of the webhook does: it waits for the
// tenant before it has the webhook.
func TestRecoveryMissed_APageOfMissedEventsWaitsForTheTenantFirstOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	s.Publish(t, tenant, s.Webhook(t, tenant))
	w := s.Webhook(t, tenant)
	r := models.Recovery{Tenant: tenant, WebhookID: w.ID, Missed: true}
	require.NoError(t, s.CreateRecovery(t.Context(), &r))

	conn, err := pgx.Connect(t.Context(), s.URL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), "BEGIN; UPDATE tenants SET version = version + 1 WHERE id = '"+tenant+"'")
	require.NoError(t, err)
	other := s.Open(t)
	released := make(chan error, 1)
	go func() {
		_, _, err := other.ReleasePage(context.WithoutCancel(t.Context()), r.ID, time.Time{})
		released <- err
	}()
	require.Eventually(t, func() bool {
		var waiting bool
		err := s.DB().Raw(`SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted)`).Scan(&waiting).Error
		return err == nil && waiting
	}, 20*time.Second, 5*time.Millisecond)
	_, err = conn.Exec(t.Context(), "SELECT 1 FROM webhooks WHERE id = '"+w.ID+"' FOR UPDATE NOWAIT; COMMIT")
	require.NoError(t, err)
	if err := <-released; err != nil {
		require.True(t, models.IsLocked(err), err)
	}
	require.Equal(t, int64(1), s.release(t, r.ID).Released)
}
