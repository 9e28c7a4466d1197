package delivery_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

func limited(c service.WebhookChange) func(*service.WebhookChange) {
	return func(to *service.WebhookChange) { to.RateLimit, to.MaxInFlight = c.RateLimit, c.MaxInFlight }
}

// newLimits returns the Limits of another process.
func newLimits(store delivery.LeaseStore, now func() time.Time) *delivery.Limits {
	name := rand.Text()
	return delivery.NewLimits(func() string { return name }, store, now)
}

func TestSharedLimits_ARateIsKeptByAllWorkersTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	first, second := newLimits(b.Env.Store, b.Clock.Now), newLimits(b.Env.Store, b.Clock.Now)
	var all []time.Time
	for _, l := range []*delivery.Limits{first, second, first} {
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

func TestSharedLimits_WhatIsOverTheRateIsPutOffAndNotFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rate := 0.1
	b.hook("/a", limited(service.WebhookChange{RateLimit: &rate}))
	require.Equal(t, delivery.Batch{Delivered: 1}, b.first(b.publish().ID))
	d := b.publish()
	round := b.first(d.ID)
	require.Len(t, round.Waiting, 1)
	left := round.Waiting[0]
	require.Equal(t, delivery.AtRate, left.Kind)
	require.Greater(t, left.Wait, delivery.CapWait)
	require.LessOrEqual(t, left.Wait, 10*time.Second)
	row := b.delivery(d)
	require.Zero(t, row.Attempts)
	require.WithinDuration(t, left.Due, *row.NextAttemptAt, time.Millisecond)
	require.Less(t, left.Wait, left.Due.Sub(b.Clock.Now()), "the last of it is waited for exactly")

	b.Clock.Advance(left.Wait + time.Second)
	outcome, err := b.Retry(b.t.Context(), delivery.RetryInput{DispatchID: d.ID, Delivery: left})
	require.NoError(t, err)
	require.Equal(t, delivery.Delivered, outcome.End)
	require.Equal(t, 2, b.receiver.got("/a"))
}

func TestSharedLimits_PlacesInFlightAreSharedByAllWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	const limit = 5
	workers := []*delivery.Limits{newLimits(b.Env.Store, b.Clock.Now), newLimits(b.Env.Store, b.Clock.Now)}
	var leave []func()
	for i := range 40 {
		b.Clock.Advance(150 * time.Millisecond)
		out, turn, err := workers[i%2].Enter(t.Context(), w.ID, limit)
		require.NoError(t, err)
		if out != nil {
			leave = append(leave, out)
		} else {
			require.Positive(t, turn)
		}
		require.LessOrEqual(t, len(leave), limit)
	}
	require.Len(t, leave, limit)
	leave[0]()
	leave[0]()
	var entered int
	for i := range 40 {
		b.Clock.Advance(time.Second)
		out, _, err := workers[i%2].Enter(t.Context(), w.ID, limit)
		require.NoError(t, err)
		if out != nil {
			entered++
		}
	}
	require.Equal(t, 1, entered, "one place was given back")
}

func TestSharedLimits_AKilledWorkersPlacesComeBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	killed := newLimits(b.Env.Store, b.Clock.Now)
	leave, _, err := killed.Enter(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.NotNil(t, leave)
	other := newLimits(b.Env.Store, b.Clock.Now)
	leave, _, err = other.Enter(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.Nil(t, leave)
	b.Clock.Advance(time.Minute)
	leave, _, err = other.Enter(t.Context(), w.ID, 1)
	require.NoError(t, err)
	require.NotNil(t, leave)
}

func TestSharedLimits_WhatFindsNoPlaceIsPutOffAndNotFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	most := 1
	w := b.hook("/a", limited(service.WebhookChange{MaxInFlight: &most}))
	leave, _, err := b.Limits.Enter(t.Context(), w.ID, most)
	require.NoError(t, err)
	require.NotNil(t, leave)
	d := b.publish()
	round := b.first(d.ID)
	require.Len(t, round.Waiting, 1)
	left := round.Waiting[0]
	require.False(t, left.Due.IsZero())
	require.Equal(t, delivery.ForSlot, left.Kind)
	b.Clock.Advance(left.Wait)
	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.False(t, outcome.Attempted)
	require.Equal(t, "waits for one of 1 places in flight", outcome.Reason)
	require.Equal(t, delivery.ForSlot, outcome.Left.Kind)
	require.Positive(t, outcome.Left.Wait)
	require.Zero(t, b.delivery(d).Failures, "no reception is used up")
	require.WithinDuration(t, b.Clock.Now().Add(outcome.Left.Wait), *b.delivery(d).NextAttemptAt, time.Second)

	leave()
	b.Clock.Advance(outcome.Left.Wait)
	outcome, err = b.attempt(d.ID, left)
	require.NoError(t, err)
	require.Equal(t, delivery.Delivered, outcome.End)
}

// places is the LeaseStore of a single worker, which gets all places.
type places struct {
	mu     sync.Mutex
	there  int
	leased time.Time // when last
}

func (p *places) ReservePace(context.Context, string, float64, int) (time.Time, error) {
	return time.Time{}, errors.ErrUnsupported
}

func (p *places) TakePace(context.Context, string, float64) (time.Time, error) {
	return time.Time{}, errors.ErrUnsupported
}

func (p *places) TryTenantPace(ctx context.Context, tenant string, rate float64, within time.Duration) (time.Time, bool, error) {
	return p.TryPace(ctx, tenant, rate, within)
}

func (p *places) TryPace(context.Context, string, float64, time.Duration) (time.Time, bool, error) {
	return time.Time{}, false, errors.ErrUnsupported
}

func (p *places) Lease(_ context.Context, _, _ string, want, _ int, _ time.Duration) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leased = time.Now()
	return min(want, p.there), nil
}

func (p *places) last() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leased
}

func TestSharedLimits_TurnsKeepToWhatTheReceiverTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 2
		l := newLimits(&places{there: limit}, time.Now)
		enter := func() (func(), time.Duration) {
			leave, turn, err := l.Enter(t.Context(), "wh_a", limit)
			require.NoError(t, err)
			return leave, turn
		}
		for range 30 { // the receiver takes 4 s, each time
			leave, _ := enter()
			require.NotNil(t, leave)
			time.Sleep(4 * time.Second)
			leave()
		}
		for range limit {
			time.Sleep(time.Second)
			leave, _ := enter()
			require.NotNil(t, leave)
			t.Cleanup(leave)
		}
		var turns []time.Duration
		for range 1000 {
			leave, turn := enter()
			require.Nil(t, leave)
			turns = append(turns, turn)
		}
		for i := range 500 { // a place is free every 2 s, and twice as many are asked back
			require.InDelta(t, time.Duration(i)*time.Second+100*time.Millisecond, turns[i], float64(100*time.Millisecond))
		}
		for _, turn := range turns {
			require.LessOrEqual(t, turn, 15*time.Minute)
		}
	})
}

func TestSharedLimits_ALeaseIsRenewedAsLongAsAPOSTTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &places{there: 1}
		l := newLimits(store, time.Now)
		leave, _, err := l.Enter(t.Context(), "wh_a", 1)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Less(t, time.Since(store.last()), 10*time.Second, "nobody has entered meanwhile")
		leave()
		time.Sleep(time.Minute)
		require.Greater(t, time.Since(store.last()), 50*time.Second, "it is not kept for nothing")
	})
}

func TestSharedLimits_ATimeThatWasMissedLapsesOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rate := 0.1
	b.hook("/a", limited(service.WebhookChange{RateLimit: &rate}))
	var waiting []delivery.RetryInput
	for range 5 {
		d := b.publish()
		for _, left := range b.first(d.ID).Waiting {
			waiting = append(waiting, delivery.RetryInput{DispatchID: d.ID, Delivery: left})
		}
	}
	require.Len(t, waiting, 4)
	attempt := func(in delivery.RetryInput) delivery.Outcome {
		outcome, err := b.Retry(b.t.Context(), in)
		require.NoError(t, err)
		return outcome
	}

	b.Clock.Advance(time.Hour) // the workers were away, or all but
	require.Equal(t, delivery.Delivered, attempt(waiting[0]).End)
	for i, in := range waiting[1:] {
		left := attempt(in).Left
		require.NotNil(t, left, "they do not come all at once")
		require.True(t, left.Lapsed)
		require.InDelta(t, time.Duration(i+1)*10*time.Second, left.Due.Sub(b.Clock.Now()), float64(time.Second))
		waiting[i+1].Delivery = *left
	}
	require.Equal(t, 2, b.receiver.got("/a"))
	b.Clock.Advance(time.Hour)
	for _, in := range waiting[1:] {
		require.Equal(t, delivery.Delivered, attempt(in).End, "where everything is late it is not put off for ever")
	}
}

func TestSharedLimits_LimitsHoldUnderConcurrency(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	const limit = 3
	var mu sync.Mutex
	inFlight, most := 0, 0
	var wg sync.WaitGroup
	for range 4 {
		l := newLimits(b.Env.Store, b.Clock.Now)
		for range 8 {
			wg.Go(func() {
				for range 20 {
					leave, _, err := l.Enter(context.Background(), w.ID, limit)
					if err != nil || leave == nil {
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

// Deliveries that a rate has put off are called together, and each keeps its reserved time.
func TestSharedLimits_TimesAtARateAreKeptTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rate := 20.0
	b.hook("/a", limited(service.WebhookChange{RateLimit: &rate}))
	d, left := b.paced(10)
	require.NotEmpty(t, left)
	round, err := b.many(d.ID, left...)
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Delivered: len(left)}, round)
	for _, l := range left {
		attempts, err := b.Env.Store.Attempts(t.Context(), tenant, l.Delivery)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		require.WithinRange(t, attempts[0].StartedAt, l.Due.Add(-2*time.Millisecond), l.Due.Add(time.Minute), "not before its time")
	}
}

func TestSharedLimits_TimesAtARateThatWereMissedTogetherLapse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rate := 0.1
	b.hook("/a", limited(service.WebhookChange{RateLimit: &rate}))
	d, left := b.paced(5)
	require.Len(t, left, 4)
	b.Clock.Advance(time.Hour)
	round, err := b.many(d.ID, left...)
	require.NoError(t, err)
	require.Equal(t, 1, round.Delivered)
	require.Len(t, round.Waiting, 3, "they do not come all at once")
	for _, l := range round.Waiting {
		require.True(t, l.Lapsed)
		require.Equal(t, delivery.AtRate, l.Kind)
		require.WithinDuration(t, b.Clock.Now().Add(20*time.Second), l.Due, 11*time.Second)
	}
}

// Late deliveries, from any worker, are not sent faster than the rate.
func TestSharedLimits_WhatIsLateKeepsToTheRateToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	const rate, n = 50, 30
	workers := []*delivery.Limits{newLimits(b.Env.Store, b.Clock.Now), newLimits(b.Env.Store, b.Clock.Now)}
	began := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := workers[i%2].Space(context.Background(), w.ID, rate); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Greater(t, time.Since(began), (n-10)*time.Second/rate, "no more than a tenth of a second's worth is ahead")
}

// paced publishes n events as one dispatch, and returns the deliveries that their webhook's rate has put off.
func (b *bundle) paced(n int) (models.Dispatch, []delivery.Leftover) {
	b.t.Helper()
	d, _ := b.shared(n)
	round := b.first(d.ID)
	for _, l := range round.Waiting {
		require.Equal(b.t, delivery.AtRate, l.Kind)
	}
	return d, round.Waiting
}
