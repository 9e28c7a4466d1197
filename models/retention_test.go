package models_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

const retention = 14 * 24 * time.Hour

// expire runs retention until nothing is left to remove, and returns the number of rows removed in each step.
func (s *database) expire(tb testing.TB, limit int) []int64 {
	tb.Helper()
	var steps []int64
	run := s.Expire(s.Now().Add(-retention), limit)
	for range 1000 {
		n, more, err := run.Step(tb.Context())
		require.NoError(tb, err)
		if n > 0 {
			steps = append(steps, n)
		}
		if !more {
			return steps
		}
	}
	require.Fail(tb, "retention does not end")
	return nil
}

func TestRetention_KeepsWhatIsOwedHoweverOld(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		old := map[models.DeliveryStatus]models.Delivery{}
		for _, status := range statuses {
			d := s.Publish(t, tenant, w)[0]
			s.MustRecord(t, s.Attempted(d, models.Pending))
			switch status {
			case models.Delivered, models.Failed:
				s.MustRecord(t, s.Attempted(d, status))
			case models.Held:
				require.NoError(t, s.HoldDelivery(t.Context(), &d, models.WebhookPaused))
			case models.Canceled:
				require.NoError(t, s.CancelDelivery(t.Context(), &d, "not wanted"))
			}
			old[status] = d
		}
		half := s.Publish(t, tenant, w, w) // one delivered, one pending
		s.MustRecord(t, s.Attempted(half[0], models.Delivered))
		unwanted := s.Acceptance(t, tenant)
		s.mustAccept(t, unwanted)
		s.Clock.Advance(retention)
		late := s.deliveryOf(t, w, models.Pending)
		s.MustRecord(t, s.Attempted(late, models.Delivered))
		require.Empty(t, s.expire(t, 100), "not older than the retention yet")

		s.Clock.Advance(time.Second)
		s.expire(t, 100)
		exists := func(d models.Delivery, delivery, event bool) {
			_, err := s.Delivery(t.Context(), d.Tenant, d.ID)
			require.Equal(t, delivery, err == nil)
			_, err = s.Event(t.Context(), d.Tenant, d.EventID)
			require.Equal(t, event, err == nil)
			attempts, err := s.Attempts(t.Context(), d.Tenant, d.ID)
			require.NoError(t, err)
			require.Equal(t, delivery, len(attempts) > 0)
		}
		for status, d := range old {
			kept := status == models.Pending || status == models.Held
			exists(d, kept, kept)
		}
		exists(half[0], false, true)
		_, err := s.Event(t.Context(), tenant, unwanted.Events[0].ID)
		require.ErrorIs(t, err, models.ErrNotFound)
		exists(late, true, true)

		s.MustRecord(t, s.Attempted(half[1], models.Delivered))
		s.Clock.Advance(retention + time.Second)
		s.expire(t, 100)
		exists(half[1], false, false)
		require.Equal(t, 2, s.Count(t, "events"))
		require.Equal(t, 2, s.Count(t, "attempts"))
	})
}

// A delivery that was made long ago and finished today is kept from today on.
func TestRetention_CountsFromTheEnd(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		d := s.deliveryOf(t, w, models.Held)
		s.Clock.Advance(10 * retention)
		require.NoError(t, s.CancelDelivery(t.Context(), &d, "not wanted"))
		s.Clock.Advance(retention)
		require.Empty(t, s.expire(t, 10))
		s.Clock.Advance(time.Second)
		require.NotEmpty(t, s.expire(t, 10))
	})
}

func TestRetention_GoesInBoundedSteps(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		a := &models.Acceptance{Tenant: "acme", Version: s.Version(t, "acme")}
		for i := range 25 {
			s.Add(a, fmt.Sprint(i), w)
		}
		for i := range 7 {
			s.Add(a, fmt.Sprint("unwanted-", i))
		}
		s.mustAccept(t, a)
		var group []*models.Record
		for _, d := range a.Deliveries {
			group = append(group, s.Attempted(d, models.Failed))
		}
		s.MustRecord(t, group...)
		s.Clock.Advance(retention + time.Hour)
		// Ten deliveries with an attempt and an event each; then the last five, and the event without webhooks.
		require.Equal(t, []int64{30, 30, 15 + 7}, s.expire(t, 10))
		for _, table := range []string{"events", "deliveries", "attempts"} {
			require.Zero(t, s.Count(t, table), table)
		}
	})
}

func TestRetention_RemovesOldRecords(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.fail(t, w, 1)
		attempts, err := s.Attempts(t.Context(), "acme", s.Publish(t, "acme", w)[0].ID)
		require.NoError(t, err)
		require.Empty(t, attempts)
		s.judge(t, w, 2)
		sent := s.notifications(t, w)[0]
		require.NoError(t, s.NotificationEnded(t.Context(), &sent, models.NoticeSent, ""))
		s.fail(t, w, 1)
		s.judge(t, w, 2)
		unsent := s.notifications(t, w)[0]
		require.NoError(t, s.NoteReplay(t.Context(), "acme", "att_1"))
		_, _, err = s.SetWebhookStatus(t.Context(), "acme", w.ID, models.StatusChange{To: models.WebhookActive})
		require.NoError(t, err)
		done, _ := s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed})
		running := models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed}
		require.NoError(t, s.CreateRecovery(t.Context(), &running))

		s.Clock.Advance(retention + time.Hour)
		s.expire(t, 100)
		_, err = s.Notification(t.Context(), sent.ID)
		require.ErrorIs(t, err, models.ErrNotFound)
		_, err = s.Notification(t.Context(), unsent.ID)
		require.NoError(t, err, "until it has gone out")
		_, err = s.Recovery(t.Context(), "acme", done.ID)
		require.ErrorIs(t, err, models.ErrNotFound)
		_, err = s.Recovery(t.Context(), "acme", running.ID)
		require.NoError(t, err)
		require.Zero(t, s.Count(t, "replays"))
	})
}

// A delivery's attempts count too: a step removes the same number of rows, however many attempts a delivery has.
func TestRetention_BoundsTheAttemptsOfAStep(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		tried := func(n int) {
			d := s.Publish(t, "acme", w)[0]
			for range n - 1 {
				s.MustRecord(t, s.Attempted(d, models.Pending))
			}
			s.MustRecord(t, s.Attempted(d, models.Failed))
			s.Clock.Advance(time.Second)
		}
		for _, n := range []int{19, 1, 1, 5, 4} {
			tried(n)
		}
		s.Clock.Advance(retention)
		// Eight attempts at most: of the first delivery by themselves, and of two others where they have no more together.
		require.Equal(t, []int64{8, 8, 3 + 2, 2 + 4, 5 + 2, 4 + 2}, s.expire(t, 2))
		require.Zero(t, s.Count(t, "attempts"))
	})
}

// Events that stay because of unfinished deliveries are checked once in a run.
func TestRetention_PassesOverWhatStaysOnceOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	const kept, limit = 3000, 100
	s.overdueCrowd(t, w, kept)
	unwanted := s.Acceptance(t, "acme")
	s.mustAccept(t, unwanted)
	s.Clock.Advance(retention + 2*time.Hour)
	run := s.Expire(s.Now().Add(-retention), limit)
	var removed int64
	steps := 0
	for more := true; more; steps++ {
		got := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
			_, _, err := run.On(tx).Step(ctx)
			return err
		}, "events", "deliveries")
		require.LessOrEqual(t, got.Rows, int64(5*limit), "step %d", steps)
		n, m, err := run.Step(t.Context())
		require.NoError(t, err)
		removed, more = removed+n, m
	}
	require.Equal(t, int64(1), removed)
	require.Equal(t, kept/limit+1, steps)
}

// An event of which a delivery is being made stays: the transaction that makes it holds the event, and may commit at any time.
func TestRetention_KeepsAnEventThatIsBeingSentAgainOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	unwanted := s.Acceptance(t, "acme")
	s.mustAccept(t, unwanted)
	received := s.deliveryOf(t, w, models.Pending)
	s.MustRecord(t, s.Attempted(received, models.Delivered))
	s.Clock.Advance(retention + time.Second)

	again := s.connection(t)
	exec := func(statement string, args ...any) {
		_, err := again.Exec(t.Context(), statement, args...)
		require.NoError(t, err)
	}
	exec("BEGIN")
	events := []string{unwanted.Events[0].ID, received.EventID}
	for i, id := range events {
		exec("SELECT 1 FROM events WHERE tenant = 'acme' AND id = $1 FOR UPDATE", id)
		exec(`INSERT INTO deliveries (tenant, id, event_id, event_type, webhook_id, status, status_reason, attempts, failures, generation, dispatch_id, next_attempt_at, created_at)
			VALUES ('acme', $1, $2, 'order.created', $3, 'pending', '', 0, 0, 0, '', $4, $4)`, fmt.Sprintf("dlv_again-%d", i), id, w.ID, s.Now())
	}
	require.NotEmpty(t, s.expire(t, 100))
	_, err := s.Delivery(t.Context(), "acme", received.ID)
	require.ErrorIs(t, err, models.ErrNotFound)
	exec("COMMIT")
	s.expire(t, 100)
	for _, id := range events {
		_, err := s.Event(t.Context(), "acme", id)
		require.NoError(t, err)
	}
}
