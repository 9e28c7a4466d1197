package groupcommit_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/groupcommit"
)

func TestALoneCallerCommitsAtOnce(t *testing.T) {
	t.Parallel()
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		require.Equal(t, []int{7}, items)
		return []int{14}, nil
	}, groupcommit.Options{})
	got, err := g.Do(t.Context(), 7)
	require.NoError(t, err)
	require.Equal(t, 14, got)
}

func TestWhoArrivesDuringACommitRidesOnTheNext(t *testing.T) {
	t.Parallel()
	entered, release := make(chan int), make(chan struct{})
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		entered <- len(items)
		<-release
		return items, nil
	}, groupcommit.Options{MaxGroup: 4})
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
	for g.Waiting() < 6 { // nothing else tells that a caller has queued
	}
	close(release)
	require.Equal(t, 4, <-entered, "a group is bounded")
	require.Equal(t, 2, <-entered)
	wg.Wait()
}

func TestAFailedCommitFailsItsWholeGroupAndNoOther(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		if items[0] < 0 {
			return nil, broken
		}
		return items, nil
	}, groupcommit.Options{})
	_, err := g.Do(t.Context(), -1)
	require.ErrorIs(t, err, broken)
	_, err = g.Do(t.Context(), 1)
	require.NoError(t, err)
}

func TestACallerWhoGivesUpDoesNotEndTheCommit(t *testing.T) {
	t.Parallel()
	entered, finished := make(chan struct{}), make(chan error, 1)
	release := make(chan struct{})
	g := groupcommit.New(func(ctx context.Context, items []int) ([]int, error) {
		close(entered)
		<-release
		finished <- ctx.Err()
		return items, nil
	}, groupcommit.Options{})
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

func TestACrowdThatIsTooLargeIsTurnedAway(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}, 8), make(chan struct{})
	g := groupcommit.New(func(_ context.Context, items []int) ([]int, error) {
		entered <- struct{}{}
		<-release
		return items, nil
	}, groupcommit.Options{MaxGroup: 1, MaxQueue: 1})
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
