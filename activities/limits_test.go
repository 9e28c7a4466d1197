package activities_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/workflows"
)

func limited(c hooks.WebhookChange) func(*hooks.WebhookChange) {
	return func(to *hooks.WebhookChange) { to.RateLimit, to.MaxInFlight = c.RateLimit, c.MaxInFlight }
}

func TestARateIsKeptByAllWorkersTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	first, second := activities.NewLimits(b.Env.Store, b.Clock.Now), activities.NewLimits(b.Env.Store, b.Clock.Now)
	var all []time.Time
	for _, l := range []*activities.Limits{first, second, first} {
		times, err := l.Reserve(t.Context(), w.ID, 10, 5)
		require.NoError(t, err)
		all = append(all, times...)
	}
	for i, at := range all {
		require.WithinDuration(t, all[0].Add(time.Duration(i)*100*time.Millisecond), at, time.Millisecond)
	}
	b.Clock.Advance(time.Minute)
	times, err := second.Reserve(t.Context(), w.ID, 10, 1)
	require.NoError(t, err)
	require.WithinDuration(t, b.Clock.Now(), times[0], 10*time.Second, "what was not used is not saved up")
}

func TestWhatIsOverTheRateIsPutOffAndNotFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rate := 0.1
	b.hook("/a", limited(hooks.WebhookChange{RateLimit: &rate}))
	require.Equal(t, workflows.Round{Delivered: 1}, b.first(b.publish().ID))
	d := b.publish()
	round := b.first(d.ID)
	require.Len(t, round.Waiting, 1)
	left := round.Waiting[0]
	require.True(t, left.Reserved)
	require.Greater(t, left.Wait, activities.LaneWait)
	require.LessOrEqual(t, left.Wait, 10*time.Second)
	delivery := b.delivery(d)
	require.Zero(t, delivery.Attempts)
	require.WithinDuration(t, b.Clock.Now().Add(left.Wait), *delivery.NextAttemptAt, 5*time.Second)

	b.Clock.Advance(left.Wait)
	outcome, err := run[workflows.Outcome](b, workflows.Attempt, b.Deliveries.Attempt, workflows.AttemptInput{DispatchID: d.ID, Delivery: left})
	require.NoError(t, err)
	require.Equal(t, workflows.Delivered, outcome.Status)
	require.Equal(t, 2, b.receiver.got("/a"))
}

func TestPlacesInFlightAreSharedByAllWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	const limit = 5
	workers := []*activities.Limits{activities.NewLimits(b.Env.Store, b.Clock.Now), activities.NewLimits(b.Env.Store, b.Clock.Now)}
	var leave []func()
	for i := range 40 {
		b.Clock.Advance(150 * time.Millisecond)
		out, ok, err := workers[i%2].Enter(t.Context(), w.ID, limit)
		require.NoError(t, err)
		if ok {
			leave = append(leave, out)
		}
		require.LessOrEqual(t, len(leave), limit)
	}
	require.Len(t, leave, limit)
	leave[0]()
	leave[0]()
	var entered int
	for i := range 40 {
		b.Clock.Advance(time.Second)
		if _, ok, err := workers[i%2].Enter(t.Context(), w.ID, limit); ok {
			require.NoError(t, err)
			entered++
		}
	}
	require.Equal(t, 1, entered, "one place was given back")
}

func TestAKilledWorkersPlacesComeBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	killed := activities.NewLimits(b.Env.Store, b.Clock.Now)
	_, ok, err := killed.Enter(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.True(t, ok)
	other := activities.NewLimits(b.Env.Store, b.Clock.Now)
	_, ok, err = other.Enter(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.False(t, ok)
	b.Clock.Advance(time.Minute)
	_, ok, err = other.Enter(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.True(t, ok)
}

func TestWhatFindsNoPlaceWaitsLongerEachTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	most := 1
	w := b.hook("/a", limited(hooks.WebhookChange{MaxInFlight: &most}))
	leave, ok, err := b.Limits.Enter(t.Context(), w.ID, most)
	require.NoError(t, err)
	require.True(t, ok)
	d := b.publish()
	round := b.first(d.ID)
	require.Len(t, round.Waiting, 1)
	left := round.Waiting[0]
	require.Equal(t, 1, left.Denied)
	before := left.Wait
	b.Clock.Advance(left.Wait)
	outcome, err := run[workflows.Outcome](b, workflows.Attempt, b.Deliveries.Attempt, workflows.AttemptInput{DispatchID: d.ID, Delivery: left})
	require.NoError(t, err)
	require.Equal(t, 2, outcome.Left.Denied)
	require.Greater(t, outcome.Left.Wait, before)
	require.Equal(t, left.Remaining, outcome.Left.Remaining, "no reception is used up")

	leave()
	b.Clock.Advance(outcome.Left.Wait)
	outcome, err = run[workflows.Outcome](b, workflows.Attempt, b.Deliveries.Attempt, workflows.AttemptInput{DispatchID: d.ID, Delivery: *outcome.Left})
	require.NoError(t, err)
	require.Equal(t, workflows.Delivered, outcome.Status)
}

func TestLimitsHoldUnderConcurrency(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	const limit = 3
	var mu sync.Mutex
	inFlight, most := 0, 0
	var wg sync.WaitGroup
	for range 4 {
		l := activities.NewLimits(b.Env.Store, b.Clock.Now)
		for range 8 {
			wg.Go(func() {
				for range 20 {
					leave, ok, err := l.Enter(context.Background(), w.ID, limit)
					if err != nil || !ok {
						b.Clock.Advance(20 * time.Millisecond)
						continue
					}
					mu.Lock()
					inFlight++
					most = max(most, inFlight)
					inFlight--
					mu.Unlock()
					leave()
				}
			})
		}
	}
	wg.Wait()
	require.Positive(t, most)
	require.LessOrEqual(t, most, limit)
}
