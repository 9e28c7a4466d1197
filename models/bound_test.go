package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestBound_KeepsTimesInRange(t *testing.T) {
	t.Parallel()
	first, last := time.Unix(0, 0).UTC(), time.Date(9999, 12, 31, 23, 59, 59, 999_000_000, time.UTC)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ t, want time.Time }{
		{time.Time{}, first}, {time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), first}, {time.Unix(0, -1), first}, {time.Unix(0, 1), first.Add(time.Millisecond)},
		{at, at}, {at.Add(1), at.Add(time.Millisecond)}, {at.Add(time.Millisecond), at.Add(time.Millisecond)}, {at.In(time.FixedZone("", 86_340)), at},
		{last, last}, {last.Add(1), last}, {time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -86_340)), last}, {time.Date(290_000, 1, 1, 0, 0, 0, 0, time.UTC), last},
	} {
		require.Equal(t, tt.want, models.Bound(tt.t), "%s", tt.t)
		require.False(t, models.Bound(tt.t).IsZero())
	}
	require.Less(t, models.IDBefore("x", time.Time{}), models.IDBefore("x", at))
	require.Less(t, models.IDBefore("x", at), models.IDBefore("x", time.Date(290_000, 1, 1, 0, 0, 0, 0, time.UTC)))
}

// A window contains exactly the rows made in it, to the nanosecond, on both databases, however far its bounds are.
func TestBound_WindowsHoldWhatWasMadeInThem(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.Publish(t, "acme", w)
		at := s.Now()
		far := []time.Time{time.Date(-4000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Unix(-1, 0)}
		beyond := []time.Time{time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -86_340)), time.Date(10_889, 8, 2, 5, 31, 50, 655_000_000, time.UTC), time.Date(294_277, 1, 1, 0, 0, 0, 0, time.UTC)}
		check := func(name string, count func(since, until time.Time) int) {
			for _, t0 := range append(far, at, at.Add(-1)) {
				require.Equal(t, 1, count(t0, time.Time{}), "%s since %s", name, t0)
				require.Equal(t, 0, count(time.Time{}, t0), "%s until %s", name, t0)
			}
			for _, t1 := range append(beyond, at.Add(1), at.Add(time.Millisecond)) {
				require.Equal(t, 0, count(t1, time.Time{}), "%s since %s", name, t1)
				require.Equal(t, 1, count(time.Time{}, t1), "%s until %s", name, t1)
			}
			require.Equal(t, 1, count(far[0], beyond[2]), name)
		}
		check("events", func(since, until time.Time) int {
			rows, _, err := s.Events(t.Context(), "acme", models.EventFilter{Since: since, Until: until}, models.Page{Limit: 5})
			require.NoError(t, err)
			return len(rows)
		})
		check("deliveries", func(since, until time.Time) int {
			rows, _, err := s.Deliveries(t.Context(), "acme", models.DeliveryFilter{Since: since, Until: until}, models.Page{Limit: 5})
			require.NoError(t, err)
			return len(rows)
		})
	})
}
