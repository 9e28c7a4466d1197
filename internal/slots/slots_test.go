package slots

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

var posts = Options{Capacity: 16, Reserve: 0.25, MaxPerTenant: 0.5, MaxPerHost: 0.25}

// crowd asks for n slots in turn and returns how many it has.
type crowd struct {
	s    *Slots
	mu   sync.Mutex
	held []func()
}

func (c *crowd) want(ctx context.Context, n int, tenant string, host func(i int) string) {
	for i := range n {
		go func() {
			if release, err := c.s.Acquire(ctx, tenant, host(i)); err == nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.held = append(c.held, release)
			}
		}()
		synctest.Wait()
	}
}

func (c *crowd) release(n int) {
	for range n {
		c.mu.Lock()
		release := c.held[0]
		c.held = c.held[1:]
		c.mu.Unlock()
		release()
		synctest.Wait()
	}
}

func (c *crowd) has() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}

func many(i int) string                 { return fmt.Sprint("host", i) }
func only(host string) func(int) string { return func(int) string { return host } }

func TestSlots_AQuarterIsKeptForTenantsThatHoldNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(posts)
		big := &crowd{s: s}
		big.want(t.Context(), 100, "big", many)
		require.Equal(t, 12, big.has())
		for i := range 4 {
			small := &crowd{s: s}
			small.want(t.Context(), 3, fmt.Sprint("small", i), many)
			require.Equal(t, 1, small.has(), "small tenant %d", i)
		}
		require.Equal(t, Usage{16, 16, 96}, s.Usage())
	})
}

func TestSlots_NoTenantHoldsMoreThanHalfWhileOthersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Capacity: 16, MaxPerTenant: 0.5, MaxPerHost: 0.25})
		narrow, big := &crowd{s: s}, &crowd{s: s}
		ctx, giveUp := context.WithCancel(t.Context())
		narrow.want(ctx, 5, "narrow", only("one")) // the fifth waits, for its host is at its limit
		require.Equal(t, 4, narrow.has())
		big.want(t.Context(), 9, "big", many)
		require.Equal(t, 8, big.has(), "half, while narrow waits")
		giveUp()
		synctest.Wait()
		require.Equal(t, 9, big.has(), "nobody else waits")
	})
}

func TestSlots_AHostHasAQuarterAndHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(posts)
		slow, rest, other := &crowd{s: s}, &crowd{s: s}, &crowd{s: s}
		slow.want(t.Context(), 50, "a", only("slow"))
		require.Equal(t, 4, slow.has())
		rest.want(t.Context(), 3, "a", many)
		require.Equal(t, 3, rest.has(), "the same tenant's other hosts")
		other.want(t.Context(), 1, "b", only("slow"))
		require.Equal(t, 0, other.has(), "the limit is for all tenants together")
		slow.release(1)
		require.Equal(t, 1, other.has(), "b holds none, a holds six")
	})
}

func TestSlots_TheTenantThatHoldsFewestIsNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Capacity: 6})
		a, b, c := &crowd{s: s}, &crowd{s: s}, &crowd{s: s}
		a.want(t.Context(), 3, "a", many)
		b.want(t.Context(), 2, "b", many)
		c.want(t.Context(), 1, "c", many)
		a.want(t.Context(), 5, "a", many)
		b.want(t.Context(), 5, "b", many)
		c.want(t.Context(), 5, "c", many)
		a.release(1) // a 2, b 2, c 1: c is next, and all hold two
		require.Equal(t, []int{2, 2, 2}, []int{a.has(), b.has(), c.has()})
		b.release(1) // b is again the one with the fewest
		require.Equal(t, []int{2, 2, 2}, []int{a.has(), b.has(), c.has()})
	})
}

func TestSlots_AWaiterThatGivesUpLeavesNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Capacity: 1, MaxPerHost: 0.5})
		release, err := s.Acquire(t.Context(), "a", "h")
		require.NoError(t, err)
		gone := errors.New("gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error, 30)
		for i := range 30 {
			go func() {
				_, err := s.Acquire(ctx, fmt.Sprint("t", i%3), fmt.Sprint("h", i%5))
				failed <- err
			}()
		}
		synctest.Wait()
		require.Equal(t, Usage{1, 1, 30}, s.Usage())
		cancel(gone)
		for range 30 {
			require.ErrorIs(t, <-failed, gone)
		}
		_, err = s.Acquire(ctx, "a", "")
		require.ErrorIs(t, err, gone)
		release()
		release()
		requireEmpty(t, s)
	})
}

// A slot that is granted at the moment when its waiter gives up is not lost.
func TestSlots_AGrantThatCrossesACancelIsPutBack(t *testing.T) {
	t.Parallel()
	s := New(Options{Capacity: 1})
	th, h, w := s.enter("a", "h")
	require.Nil(t, w)
	_, _, late := s.enter("b", "h")
	s.release(th, h)()
	require.True(t, late.done)
	s.leave(late)
	requireEmpty(t, s)
}

func TestSlots_ConcurrentUseKeepsWithinCapacity(t *testing.T) {
	t.Parallel()
	s := New(posts)
	var inUse, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			for j := range 50 {
				release, err := s.Acquire(t.Context(), fmt.Sprint("t", i%7), fmt.Sprint("h", (i+j)%11))
				if err != nil {
					t.Error(err)
					return
				}
				n := inUse.Add(1)
				for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
				}
				inUse.Add(-1)
				release()
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int64(16))
	requireEmpty(t, s)
}

func BenchmarkUncontended(b *testing.B) {
	s := New(Options{Capacity: 1024, Reserve: 0.25, MaxPerTenant: 0.5, MaxPerHost: 0.25})
	b.ReportAllocs()
	for b.Loop() {
		release, err := s.Acquire(b.Context(), "tenant", "receiver.example")
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}

// BenchmarkCrowded measures one slot that comes back and goes to one of 100,000 waiters of 1,000 tenants, and one more
// waiter. It includes 1 or 2 µs for finding that waiter.
func BenchmarkCrowded(b *testing.B) {
	for _, hosts := range []int{1, 20, 100_000} {
		b.Run(fmt.Sprint(hosts, "_hosts"), func(b *testing.B) {
			s := New(Options{Capacity: 1024, Reserve: 0.25, MaxPerTenant: 0.5, MaxPerHost: 0.25})
			var held []call
			queued := make([][]call, 1000)
			n := 0
			enter := func() {
				i := n % len(queued)
				var c call
				c.t, c.h, c.w = s.enter(fmt.Sprint("t", i), fmt.Sprint("h", n%hosts))
				n++
				if c.w == nil {
					held = append(held, c)
				} else {
					queued[i] = append(queued[i], c)
				}
			}
			for range 101_024 {
				enter()
			}
			b.ReportAllocs()
			for b.Loop() {
				s.release(held[0].t, held[0].h)()
				held = held[1:]
				for i, q := range queued {
					if len(q) > 0 && q[0].w.done {
						held = append(held, q[0])
						queued[i] = q[1:]
					}
				}
				enter()
			}
		})
	}
}

func TestSlots_TryAcquireTakesOnlyWhatIsFree(t *testing.T) {
	t.Parallel()
	s := New(Options{Capacity: 20, MaxPerHost: 0.5})
	release, ok := s.TryAcquire("a", "h")
	require.True(t, ok)
	var held []func()
	for {
		r, ok := s.TryAcquire("a", "h")
		if !ok {
			break
		}
		held = append(held, r)
	}
	require.Less(t, len(held), 20, "a host has a limit of its own")
	used := s.Usage().Used
	release()
	release()
	require.Equal(t, used-1, s.Usage().Used)
	for _, r := range held {
		r()
	}
	require.Zero(t, s.Usage().Used)
}
