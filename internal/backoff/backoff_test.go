package backoff_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/backoff"
)

func TestBackoff_TheDefaultLadder(t *testing.T) {
	t.Parallel()
	want := []time.Duration{10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800}
	for i, seconds := range want {
		nominal := seconds * time.Second
		got := backoff.Default.Delay("dlv_1", i+1, 0)
		require.InDelta(t, float64(nominal), float64(got), 0.1*float64(nominal), "retry %d", i+1)
		require.LessOrEqual(t, got, 30*time.Minute)
	}
	require.False(t, backoff.Default.Exhausted(10))
	require.True(t, backoff.Default.Exhausted(11))
}

func TestBackoff_JitterIsSpreadAndRepeatable(t *testing.T) {
	t.Parallel()
	low, high := time.Hour, time.Duration(0)
	for i := range 1000 {
		id := fmt.Sprintf("dlv_%d", i)
		d := backoff.Default.Delay(id, 1, 0)
		require.Equal(t, d, backoff.Default.Delay(id, 1, 0))
		low, high = min(low, d), max(high, d)
	}
	require.InDelta(t, 9, low.Seconds(), 0.1)
	require.InDelta(t, 11, high.Seconds(), 0.1)
}

// With every schedule, no wait is shorter than the one before, and from the cap on each is within 10 % of it.
func TestBackoff_WaitsNeverShrink(t *testing.T) {
	t.Parallel()
	for _, p := range []backoff.Policy{
		backoff.Default,
		{Initial: time.Second, Backoff: 1, MaxInterval: time.Hour},
		{Initial: time.Minute, Backoff: 1.05, MaxInterval: 2 * time.Minute},
		{Initial: 99 * time.Second, Backoff: 1.02, MaxInterval: 100 * time.Second},
		{Initial: time.Minute, Backoff: 2, MaxInterval: time.Minute},
		{Initial: time.Hour, Backoff: 2, MaxInterval: time.Minute},
		{Initial: 24 * time.Hour, Backoff: 10, MaxInterval: 24 * time.Hour},
	} {
		for i := range 30 {
			id, before := fmt.Sprintf("dlv_%d", i), time.Duration(0)
			for n := 1; n <= 101; n++ {
				wait := p.Delay(id, n, 0)
				require.GreaterOrEqual(t, wait, before, "%+v, %s, retry %d", p, id, n)
				require.LessOrEqual(t, wait, p.MaxInterval)
				before = wait
				if nominal := float64(p.Initial) * math.Pow(p.Backoff, float64(n-1)); nominal < float64(p.MaxInterval) {
					require.InEpsilon(t, nominal, float64(wait), 0.1001)
				} else {
					require.GreaterOrEqual(t, float64(wait), 0.8999*float64(p.MaxInterval))
				}
			}
		}
	}
}

// Where every wait is the cap, deliveries that failed together do not all come back together.
func TestBackoff_TheCapIsSpread(t *testing.T) {
	t.Parallel()
	p := backoff.Policy{Initial: time.Hour, Backoff: 2, MaxInterval: time.Hour}
	seen := map[time.Duration]bool{}
	for i := range 1000 {
		seen[p.Delay(fmt.Sprintf("dlv_%d", i), 5, 0).Round(time.Second)] = true
	}
	require.Greater(t, len(seen), 200)
}

func TestBackoff_RetryAfter(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name       string
		retryAfter time.Duration
		least      time.Duration
		most       time.Duration
	}{
		{"makes the wait longer", time.Minute, time.Minute, time.Minute},
		{"does not make it shorter", time.Second, 9 * time.Second, 11 * time.Second},
		{"is honoured up to the cap", 24 * time.Hour, 30 * time.Minute, 30 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := backoff.Default.Delay("dlv_1", 1, tc.retryAfter)
			require.GreaterOrEqual(t, got, tc.least)
			require.LessOrEqual(t, got, tc.most)
		})
	}
}

func TestBackoff_UpcomingKeepsWhatDelayPromises(t *testing.T) {
	t.Parallel()
	next := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	all := backoff.Default.Upcoming("dlv_1", 0, next)
	require.Len(t, all, 11)
	require.Equal(t, next, all[0])
	require.Equal(t, next.Add(backoff.Default.Delay("dlv_1", 1, 0)), all[1])
	require.Len(t, backoff.Default.Upcoming("dlv_1", 10, next), 1)
	require.Empty(t, backoff.Default.Upcoming("dlv_1", 11, next))
	require.Len(t, backoff.Policy{}.Upcoming("dlv_1", 0, next), 1, "no retries: one attempt")
}
