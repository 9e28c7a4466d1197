package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestWebhookLimits_ForgetLeases(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		lease := func(holder string) {
			granted, err := s.Lease(t.Context(), w.ID, holder, 1, 5, time.Minute)
			require.NoError(t, err)
			require.Equal(t, 1, granted)
		}
		forget := func(want int64) {
			n, err := s.ForgetLeases(t.Context(), s.Now().Add(-time.Hour), 2)
			require.NoError(t, err)
			require.Equal(t, want, n)
		}
		for _, holder := range []string{"a", "b", "c", "renewed"} {
			lease(holder)
		}
		s.Clock.Advance(30 * time.Minute)
		lease("renewed")
		s.Clock.Advance(31 * time.Minute)
		forget(0)
		s.Clock.Advance(time.Second)
		forget(2)
		forget(1)
		forget(0)
		require.Equal(t, 1, s.Count(t, "webhook_leases"))
	})
}

// POSTs are spaced by the rate, to within a tenth of a second, whatever was planned and however late they come.
func TestWebhookLimits_PacesAreTakenOneAfterTheOther(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		_, err := s.ReservePace(t.Context(), w.ID, 10, 100)
		require.NoError(t, err)
		take := func() time.Duration {
			t.Helper()
			at, err := s.TakePace(t.Context(), w.ID, 20)
			require.NoError(t, err)
			return at.Sub(s.Now())
		}
		for i := range 10 {
			require.Equal(t, time.Duration(i-2)*50*time.Millisecond, take())
		}
		s.Clock.Advance(time.Hour)
		require.Equal(t, -100*time.Millisecond, take(), "what was not used is not saved up")
		next, err := s.ReservePace(t.Context(), w.ID, 10, 1)
		require.NoError(t, err)
		require.Equal(t, s.Now(), next, "they do not touch what is planned")
	})
}

// Each tenant has a clock hand of its own, apart from those of webhooks.
func TestWebhookLimits_TheRateOfATenantIsTakenOneAfterTheOther(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		take := func(tenant string) bool {
			t.Helper()
			_, taken, err := s.TryTenantPace(t.Context(), tenant, 2, time.Second)
			require.NoError(t, err)
			return taken
		}
		n := 0
		for take(acme) {
			n++
		}
		require.Equal(t, 3, n, "at once, after half a second, after a second")
		require.True(t, take(globex))
		s.Clock.Advance(500 * time.Millisecond)
		require.True(t, take(acme))
		require.False(t, take(acme))
	})
}

// A time at a rate is only taken by a caller that will wait for it.
func TestWebhookLimits_APaceThatIsTooFarIsNotTaken(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		try := func(within time.Duration) (time.Duration, bool) {
			at, taken, err := s.TryPace(t.Context(), w.ID, 0.5, within)
			require.NoError(t, err)
			return at.Sub(s.Now()).Round(100 * time.Millisecond), taken
		}
		wait, taken := try(time.Second)
		require.True(t, taken)
		require.LessOrEqual(t, wait, time.Duration(0))
		for range 3 {
			wait, taken = try(time.Second)
			require.False(t, taken)
			require.InDelta(t, 2*time.Second, wait, float64(200*time.Millisecond), "asking does not move it")
		}
		s.Clock.Advance(1500 * time.Millisecond)
		wait, taken = try(time.Second)
		require.True(t, taken)
		require.InDelta(t, 500*time.Millisecond, wait, float64(200*time.Millisecond))
		_, taken = try(time.Second)
		require.False(t, taken)
		at, err := s.TakePace(t.Context(), w.ID, 0.5)
		require.NoError(t, err)
		require.InDelta(t, 2500*time.Millisecond, at.Sub(s.Now()), float64(300*time.Millisecond), "both keep to one clock hand")
	})
}

func TestWebhookLimits_PostponeShowsWhy(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		e := s.undispatched(t, 1, s.Webhook(t, s.Tenant(t, "acme")))[0]
		require.NoError(t, s.Postpone(t.Context(), []models.Postponed{{Delivery: e, DispatchID: "d", At: s.Now().Add(time.Minute), Reason: "why"}}))
		d, err := s.Delivery(t.Context(), e.Tenant, e.ID)
		require.NoError(t, err)
		require.Equal(t, "why", d.StatusReason)
		require.Equal(t, models.Pending, d.Status)
	})
}
