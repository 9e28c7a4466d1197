package egress

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type world struct {
	*Breaker
	now time.Time
	log strings.Builder
}

func newWorld() *world {
	w := &world{now: time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)}
	w.Breaker = New(Options{Now: func() time.Time { return w.now }, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	return w
}

// all observes n hosts of the tenants in turn.
func (w *world) all(answered bool, from, n, tenants int) {
	for i := from; i < from+n; i++ {
		w.Observe(fmt.Sprint("h", i), fmt.Sprint("t", i%tenants), answered)
	}
}

func TestBreaker_OpensAtItsNumbers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name           string
		hosts, tenants int
		answering      int           // more hosts, which answer throughout
		since          time.Duration // from the hosts' last answer to their failures
		over           time.Duration // from the first failure to the last
		open           bool
	}{
		{"20 hosts of 3 tenants", 20, 3, 0, time.Minute, 0, true},
		{"19 hosts", 19, 3, 0, time.Minute, 0, false},
		{"2 tenants", 20, 2, 0, time.Minute, 0, false},
		{"1 tenant", 500, 1, 0, time.Minute, 0, false},
		{"2 of 22 still answer", 20, 3, 2, time.Minute, 0, true},
		{"3 of 23 still answer", 20, 3, 3, time.Minute, 0, false},
		{"a tenth still answers", 90, 3, 10, time.Minute, 0, false},
		{"a little less than a tenth still answers", 91, 3, 10, time.Minute, 0, true},
		{"answered 10 minutes ago", 20, 3, 0, 10 * time.Minute, 0, true},
		{"answered more than 10 minutes ago", 20, 3, 0, 10*time.Minute + 1, 0, false},
		{"over 30 seconds", 20, 3, 0, time.Minute, 30 * time.Second, true},
		{"over more than 30 seconds", 20, 3, 0, time.Minute, 30*time.Second + 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.all(true, 0, tt.hosts, tt.tenants)
			w.now = w.now.Add(tt.since)
			w.all(true, 1000, tt.answering, 3)
			w.all(false, 0, 1, tt.tenants)
			require.False(t, w.Open())
			w.now = w.now.Add(tt.over)
			w.all(false, 1, tt.hosts-2, tt.tenants)
			require.Equal(t, tt.open && tt.hosts > MinHosts && tt.answering == 0, w.Open(), "one host short")
			w.all(false, tt.hosts-1, 1, tt.tenants)
			require.Equal(t, tt.open, w.Open())
		})
	}
}

func TestBreaker_HostsThatNeverAnsweredSayNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.all(false, 0, 5000, 50)
	require.False(t, w.Open())
	require.Zero(t, w.memory.Len())
}

func TestBreaker_AHostOfManyTenantsIsOneHost(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, answered := range []bool{true, false} {
		for i := range 100 {
			w.Observe("shared", fmt.Sprint("t", i), answered)
		}
		w.all(answered, 0, 18, 3)
	}
	require.False(t, w.Open(), "19 hosts")
	w.Observe("h18", "t0", true)
	w.Observe("h18", "t0", false)
	require.True(t, w.Open())
}

func TestBreaker_ClosesAsSoonAsHostsAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.all(true, 0, 40, 4)
	w.all(false, 0, 40, 4)
	require.True(t, w.Open())
	w.all(true, 0, 3, 4)
	require.True(t, w.Open(), "3 of 40")
	w.all(true, 3, 1, 4)
	require.False(t, w.Open(), "4 of 40")
	require.Equal(t, 1, strings.Count(w.log.String(), "breaker opened"))
	require.Equal(t, 1, strings.Count(w.log.String(), "breaker closed"))
}

// Retries are rare, and an outage may last for hours. While hosts fail and none answers, the breaker stays open.
func TestBreaker_StaysOpenForALongOutage(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.all(true, 0, 20, 4)
	w.all(false, 0, 20, 4)
	for i := range 2000 {
		w.now = w.now.Add(20 * time.Second)
		w.all(false, i%18, 1+i%3, 4)
		require.True(t, w.Open(), "after %s", time.Duration(i)*20*time.Second)
	}
	w.now = w.now.Add(Window + 1)
	require.False(t, w.Open(), "no host fails any more")
	require.Equal(t, 1, strings.Count(w.log.String(), "breaker opened"))
	require.Equal(t, 1, strings.Count(w.log.String(), "breaker closed"))
	w.all(false, 0, 20, 4)
	require.False(t, w.Open(), "none has answered in the last 10 minutes")
}

func TestBreaker_HostsThatDiedOneByOneDoNotOpenIt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for i := range 100 { // one host dies every minute, and all the dead are retried
		w.all(true, 0, 100-i, 5)
		w.all(false, 100-i, i, 5)
		require.False(t, w.Open(), "%d are dead", i)
		w.now = w.now.Add(time.Minute)
	}
}

// A tenant can make any number of its own hosts answer and then fail.
func TestBreaker_OneTenantNeverOpensIt(t *testing.T) {
	t.Parallel()
	attack := func(w *world) {
		for i := range 10_000 {
			w.Observe(fmt.Sprint("evil", i), "evil", true)
			w.Observe(fmt.Sprint("evil", i), "evil", false)
		}
	}
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		attack(w)
		require.False(t, w.Open())
	})
	t.Run("beside others whose hosts answer", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.all(true, 0, 50, 10)
		attack(w)
		w.all(false, 0, 5, 10) // five tenants have a host that has just died
		attack(w)
		require.False(t, w.Open())
	})
	t.Run("at hosts of others", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.all(true, 0, 50, 10)
		for i := range 50 { // with a timeout too short for an answer
			w.Observe(fmt.Sprint("h", i), "evil", true)
			w.Observe(fmt.Sprint("h", i), "evil", false)
		}
		require.False(t, w.Open())
		w.now = w.now.Add(time.Minute) // the others have nothing to send
		for i := range 50 {
			w.Observe(fmt.Sprint("h", i), "evil", false)
		}
		require.False(t, w.Open())
	})
	t.Run("nor keeps it open", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.all(true, 0, 50, 10)
		attack(w)
		w.all(false, 0, 50, 10)
		require.True(t, w.Open())
		w.all(true, 0, 50, 10)
		attack(w)
		require.False(t, w.Open())
	})
	t.Run("nor makes it forget the others", func(t *testing.T) {
		t.Parallel()
		w := newWorld()
		w.all(true, 0, 50, 10)
		attack(w)
		w.all(false, 0, 50, 10)
		require.True(t, w.Open())
	})
}

func TestBreaker_MemoryIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for i := range 50_000 {
		w.Observe(fmt.Sprint("h", i), fmt.Sprint("t", i%100), true)
	}
	require.Equal(t, maxPairs, w.memory.Len())
	require.Equal(t, maxPairs, w.window.Len())
	require.Len(t, w.hosts, maxPairs)
	require.NotNil(t, w.find("h49999", "t99"))
	require.Nil(t, w.find("h39999", "t99"), "the oldest have gone")
	for i := range 5000 {
		w.Observe(fmt.Sprint("h", i), "one", true)
	}
	require.Equal(t, maxPairsPerTenant, w.tenants["one"].pairs.Len())
	w.now = w.now.Add(Memory + 1)
	require.False(t, w.Open())
	require.Empty(t, w.hosts)
	require.Empty(t, w.tenants)
	require.Zero(t, w.window.Len())
	require.Equal(t, tally{}, w.tally)
}

func BenchmarkObserve(b *testing.B) {
	for _, pairs := range []int{10, 10_000} {
		b.Run(fmt.Sprint(pairs), func(b *testing.B) {
			w := New(Options{})
			hosts := make([]string, pairs)
			for i := range hosts {
				hosts[i] = fmt.Sprint("h", i)
				w.Observe(hosts[i], hosts[i][:2], true)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				w.Observe(hosts[i%pairs], hosts[i%pairs][:2], i%3 > 0)
			}
		})
	}
}
