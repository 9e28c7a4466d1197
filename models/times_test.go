package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// A time reads back as it was written, in UTC and whole milliseconds, wherever the process runs and in whatever zone
// and precision the time was given.
func TestTimes_AreInUTCAndWholeMilliseconds(t *testing.T) {
	at := time.Date(2026, 7, 31, 23, 59, 59, 987_654_321, time.FixedZone("nowhere", -(9*3600+1800)))
	want := time.Date(2026, 8, 1, 9, 29, 59, 987_000_000, time.UTC)
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		a := s.Acceptance(t, "acme", w)
		a.Events[0].CreatedAt = at
		d := &a.Deliveries[0]
		d.CreatedAt, d.NextAttemptAt = at, &at
		a.Dispatches[0].CreatedAt = at
		s.mustAccept(t, a)

		e, err := s.Event(t.Context(), "acme", a.Events[0].ID)
		require.NoError(t, err)
		require.Equal(t, want, e.CreatedAt)
		stored := s.Reload(t, *d)
		require.Equal(t, want, stored.CreatedAt)
		require.Equal(t, want, *stored.NextAttemptAt)
		p, err := s.Dispatch(t.Context(), d.DispatchID)
		require.NoError(t, err)
		require.Equal(t, want, p.CreatedAt)
		require.Equal(t, want, p.CheckedAt)

		r := s.Attempted(*d, models.Pending)
		r.Attempt.StartedAt, r.NextAttemptAt = at, at.Add(time.Second)
		s.MustRecord(t, r)
		require.Equal(t, want.Add(time.Second), *s.Reload(t, *d).NextAttemptAt)
		r = s.Attempted(*d, models.Delivered)
		r.Attempt.StartedAt = at
		s.MustRecord(t, r)
		require.Equal(t, want.Add(40*time.Millisecond), *s.Reload(t, *d).FinishedAt)
		attempts, err := s.Attempts(t.Context(), "acme", d.ID)
		require.NoError(t, err)
		require.Equal(t, want, attempts[0].StartedAt)
		require.Equal(t, want, *s.health(t, w).LastFailureAt)
		require.Equal(t, want, *s.health(t, w).LastSuccessAt)

		rec := models.Recovery{Tenant: "acme", WebhookID: w.ID, Since: &at, Until: at, Statuses: heldAndFailed}
		require.NoError(t, s.CreateRecovery(t.Context(), &rec))
		recovery, err := s.Recovery(t.Context(), "acme", rec.ID)
		require.NoError(t, err)
		require.Equal(t, want, *recovery.Since)
		require.Equal(t, want, recovery.Until)
	})
}

// Stored as text, as SQLite does, times must still sort by time: whole seconds, tenths and milliseconds among each other.
func TestTimes_SortByTime(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		second := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		want := []time.Duration{1000, 999, 501, 500, 499, 100, 99, 50, 10, 1, 0}
		for i, ms := range []int{4, 0, 10, 2, 8, 1, 3, 9, 5, 7, 6} {
			a := &models.Acceptance{Tenant: "acme"}
			s.Add(a, idAt(models.PrefixEvent, s.Now()))
			a.Events[0].CreatedAt = second.Add(want[ms] * time.Millisecond)
			s.mustAccept(t, a)
			require.Equal(t, i+1, s.Count(t, "events"))
		}
		rows, _, err := s.Events(t.Context(), "acme", models.EventFilter{}, models.Page{Limit: 20})
		require.NoError(t, err)
		for i, e := range rows {
			require.Equal(t, second.Add(want[i]*time.Millisecond), e.CreatedAt)
		}
	})
}
