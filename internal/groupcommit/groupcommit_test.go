package groupcommit_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/groupcommit"
)

func TestGroupCommit_ALoneCallerCommitsAtOnce(t *testing.T) {
	t.Parallel()
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		require.Equal(t, []int{7}, items)
		return []int{14}, nil
	}, groupcommit.Options[int]{})
	got, err := g.Do(t.Context(), 7)
	require.NoError(t, err)
	require.Equal(t, 14, got)
}

func TestGroupCommit_WhoArrivesDuringACommitRidesOnTheNext(t *testing.T) {
	t.Parallel()
	entered, release := make(chan int), make(chan struct{})
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		entered <- len(items)
		<-release
		return items, nil
	}, groupcommit.Options[int]{MaxGroup: 4})
	var wg sync.WaitGroup
	call := func(i int) {
		wg.Go(func() {
			got, err := g.Do(context.Background(), i)
			require.NoError(t, err)
			require.Equal(t, i, got)
		})
	}
	call(0)
	require.Equal(t, 1, <-entered)
	for i := 1; i <= 6; i++ {
		call(i)
	}
	for g.Waiting() < 6 { // nothing else shows that a caller has queued
	}
	close(release)
	require.Equal(t, 4, <-entered, "a group is bounded")
	require.Equal(t, 2, <-entered)
	wg.Wait()
}

// With a time between flushes the first caller still commits at once, and so does one who comes after a pause. Those in
// between share one commit.
func TestGroupCommit_WithATimeBetweenFlushes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type flush struct {
			after time.Duration
			items int
		}
		began := time.Now()
		var flushes []flush
		g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
			flushes = append(flushes, flush{time.Since(began), len(items)})
			time.Sleep(time.Millisecond)
			return items, nil
		}, groupcommit.Options[int]{Every: 10 * time.Millisecond})
		var wg sync.WaitGroup
		for _, after := range []time.Duration{0, 2, 3, 9, 12, 40} {
			wg.Go(func() {
				time.Sleep(after * time.Millisecond)
				_, err := g.Do(t.Context(), 0)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		require.Equal(t, []flush{{0, 1}, {10 * time.Millisecond, 3}, {20 * time.Millisecond, 1}, {40 * time.Millisecond, 1}}, flushes)
	})
}

func TestGroupCommit_AFailedCommitFailsItsWholeGroupAndNoOther(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		if items[0] < 0 {
			return nil, broken
		}
		return items, nil
	}, groupcommit.Options[int]{})
	_, err := g.Do(t.Context(), -1)
	require.ErrorIs(t, err, broken)
	_, err = g.Do(t.Context(), 1)
	require.NoError(t, err)
}

func TestGroupCommit_ACallerWhoGivesUpDoesNotEndTheCommit(t *testing.T) {
	t.Parallel()
	entered, finished := make(chan struct{}), make(chan error, 1)
	release := make(chan struct{})
	g := groupcommit.New(func(ctx context.Context, items []int) ([]int, error) {
		close(entered)
		<-release
		finished <- ctx.Err()
		return items, nil
	}, groupcommit.Options[int]{})
	ctx, cancel := context.WithCancel(t.Context())
	returned := make(chan error, 1)
	go func() {
		_, err := g.Do(ctx, 1)
		returned <- err
	}()
	<-entered
	cancel()
	require.ErrorIs(t, <-returned, context.Canceled)
	close(release)
	require.NoError(t, <-finished)
}

func TestGroupCommit_ACrowdThatIsTooLargeIsTurnedAway(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, 8), make(chan struct{})
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		entered <- struct{}{}
		<-release
		return items, nil
	}, groupcommit.Options[int]{MaxGroup: 1, MaxQueue: 1})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = g.Do(context.Background(), 1) })
	<-entered
	wg.Go(func() { _, _ = g.Do(context.Background(), 2) })
	for g.Waiting() < 1 {
	}
	_, err := g.Do(t.Context(), 3)
	require.ErrorIs(t, err, groupcommit.ErrFull)
	close(release)
	wg.Wait()
}

// crowd makes a group whose only flush is under way until release is closed, and queues items behind it one after the
// other. groups has the later flushes.
func crowd(t *testing.T, o groupcommit.Options[item], items ...item) (groups [][]item) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := groupcommit.New(func(_ context.Context, items []item) ([]int, error) {
			<-release
			groups = append(groups, items)
			return make([]int, len(items)), nil
		}, o)
		for _, i := range append([]item{{key: "first"}}, items...) {
			go func() {
				_, err := g.Do(t.Context(), i)
				assert.NoError(t, err)
			}()
			synctest.Wait()
		}
		close(release)
		synctest.Wait()
	})
	return groups[1:]
}

type item struct {
	key    string
	weight int
	n      int
}

func key(i item) string { return i.key }
func weight(i item) int { return i.weight }

func TestGroupCommit_KeysTakeTurnsWhenMoreWaitsThanOneGroupTakes(t *testing.T) {
	t.Parallel()
	var all []item
	for i := range 1000 {
		all = append(all, item{key: "huge", n: i})
	}
	all = append(all, item{key: "small"}, item{key: "other"}, item{key: "other", n: 1})
	groups := crowd(t, groupcommit.Options[item]{MaxGroup: 100, Key: key}, all...)
	require.Equal(t, []item{{key: "huge"}, {key: "small"}, {key: "other"}, {key: "huge", n: 1}, {key: "other", n: 1}, {key: "huge", n: 2}}, groups[0][:6])
	next := 0
	for _, group := range groups {
		require.LessOrEqual(t, len(group), 100)
		for _, i := range group {
			if i.key == "huge" {
				require.Equal(t, next, i.n, "first in, first out")
				next++
			}
		}
	}
	require.Equal(t, 1000, next)
	require.Len(t, groups, 11)
}

func TestGroupCommit_AGroupIsBoundedByWeight(t *testing.T) {
	t.Parallel()
	o := groupcommit.Options[item]{Weight: weight, MaxWeight: 10}
	groups := crowd(t, o, item{weight: 4}, item{weight: 6}, item{weight: 1}, item{weight: 500}, item{weight: 9}, item{weight: 2})
	require.Equal(t, [][]item{{{weight: 4}, {weight: 6}}, {{weight: 1}}, {{weight: 500}}, {{weight: 9}}, {{weight: 2}}}, groups)
}

func TestGroupCommit_OneKeyLeavesRoomInTheQueueForOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := groupcommit.New(func(_ context.Context, items []item) ([]item, error) {
			<-release
			return items, nil
		}, groupcommit.Options[item]{MaxGroup: 1, MaxQueue: 20, Key: key})
		full := 0
		call := func(key string) {
			go func() {
				if _, err := g.Do(t.Context(), item{key: key}); errors.Is(err, groupcommit.ErrFull) {
					full++
				}
			}()
			synctest.Wait()
		}
		for range 1 + 18 { // one is being flushed
			call("huge")
		}
		require.Zero(t, full)
		call("huge")
		require.Equal(t, 1, full)
		call("small")
		call("small")
		require.Equal(t, 1, full)
		call("small")
		require.Equal(t, 2, full, "the queue is full")
		close(release)
		synctest.Wait()
	})
}

func TestGroupCommit_ASecondLaneBeginsForACrowdOnly(t *testing.T) {
	t.Parallel()
	flushing, release := make(chan int), make(chan struct{})
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		flushing <- len(items)
		<-release
		return items, nil
	}, groupcommit.Options[int]{Flushes: 2, FlushFrom: 3})
	var callers sync.WaitGroup
	call := func() {
		callers.Go(func() {
			_, err := g.Do(context.Background(), 1)
			assert.NoError(t, err)
		})
	}
	call()
	require.Equal(t, 1, <-flushing)
	for n := 1; n < 3; n++ {
		call()
		require.Eventually(t, func() bool { return g.Waiting() == n }, time.Minute, time.Millisecond)
	}
	call()
	require.Equal(t, 3, <-flushing, "in a second flush, while the first is under way")
	close(release)
	callers.Wait()
}

func TestGroupCommit_AHeavyItemStartsASecondFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		flushing, release := make(chan []int, 2), make(chan struct{})
		g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
			flushing <- items
			<-release
			return items, nil
		}, groupcommit.Options[int]{Flushes: 2, FlushFrom: 10, Weight: func(item int) int { return item }})
		var callers sync.WaitGroup
		for _, item := range []int{1, 4, 5} {
			callers.Go(func() {
				_, err := g.Do(context.Background(), item)
				assert.NoError(t, err)
			})
			synctest.Wait()
		}
		require.Equal(t, []int{1}, <-flushing)
		require.Empty(t, flushing, "nine wait")
		callers.Go(func() {
			_, err := g.Do(context.Background(), 1)
			assert.NoError(t, err)
		})
		synctest.Wait()
		require.Equal(t, []int{4, 5, 1}, <-flushing)
		close(release)
		callers.Wait()
	})
}

func TestGroupCommit_NobodyWaitsForAFlushThatIsStuck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
			if items[0] == 1 {
				<-release
			}
			return items, nil
		}, groupcommit.Options[int]{Flushes: 2, FlushFrom: 100})
		var callers sync.WaitGroup
		callers.Go(func() {
			_, err := g.Do(context.Background(), 1)
			assert.NoError(t, err)
		})
		synctest.Wait()
		for range 2 { // the first waits a moment, and the second comes when the other flush has just ended
			began := time.Now()
			_, err := g.Do(t.Context(), 2)
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(began), 100*time.Millisecond)
			synctest.Wait()
		}
		close(release)
		callers.Wait()
	})
}
