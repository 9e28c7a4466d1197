package delivery_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// shared publishes n events and returns their shared dispatch, and its deliveries, which have not been attempted.
func (b *bundle) shared(n int) (models.Dispatch, []delivery.Leftover) {
	b.t.Helper()
	b.Engine.SetBusy(true)
	for range n {
		b.Publish(tenant, eventType, payload)
	}
	var keys []models.DeliveryKey
	var left []delivery.Leftover
	for _, q := range b.Engine.Queued() {
		keys = append(keys, models.DeliveryKey{Tenant: tenant, ID: q.Delivery.ID})
		left = append(left, delivery.Leftover{Tenant: tenant, Delivery: q.Delivery.ID, Webhook: q.Delivery.WebhookID})
	}
	d, err := b.Env.Store.CreateSharedDispatch(b.t.Context(), keys)
	require.NoError(b.t, err)
	return d, left
}

// many runs AttemptMany.
func (b *bundle) many(dispatchID string, left ...delivery.Leftover) (delivery.Batch, error) {
	b.t.Helper()
	return b.Many(b.t.Context(), delivery.ManyInput{DispatchID: dispatchID, Deliveries: left})
}

// again runs AttemptMany when the last of the deliveries is due.
func (b *bundle) again(dispatchID string, left []delivery.Leftover) delivery.Batch {
	b.t.Helper()
	var wait time.Duration
	for _, l := range left {
		wait = max(wait, l.Wait)
	}
	b.due(delivery.Leftover{Wait: wait})
	round, err := b.many(dispatchID, left...)
	require.NoError(b.t, err)
	return plain(round)
}

func TestRetries_AreMadeTogetherUntilTheyAreUsedUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a", retries(2))
	b.receiver.answer("/a", http.StatusInternalServerError)
	d, _ := b.shared(3)
	policy, _ := b.Env.Service.Effective(&w)
	round := b.first(d.ID)
	for retry := 1; retry <= 2; retry++ {
		require.Len(t, round.Waiting, 3)
		for _, l := range round.Waiting {
			require.Equal(t, retry+1, l.Number)
			require.Equal(t, 3-retry, l.Remaining)
			require.Equal(t, "500 Internal Server Error", l.Last)
			require.InDelta(t, policy.Delay(l.Delivery, retry, 0), l.Wait, float64(time.Second))
		}
		early, err := b.many(d.ID, round.Waiting...)
		require.NoError(t, err)
		require.Len(t, early.Waiting, 3, "asked for before they are due, they wait")
		require.ElementsMatch(t, failures(round), failures(early))
		require.Equal(t, 3*retry, b.receiver.got("/a"))
		round = b.again(d.ID, early.Waiting)
		require.Equal(t, 3*retry+3, b.receiver.got("/a"))
	}
	require.Equal(t, delivery.Batch{Failed: 3}, round)
}

// failures returns the errors of the deliveries' last attempts, and the numbers of the next ones.
func failures(r delivery.Batch) []delivery.Leftover {
	var all []delivery.Leftover
	for _, l := range r.Waiting {
		all = append(all, delivery.Leftover{Delivery: l.Delivery, Number: l.Number, Remaining: l.Remaining, Last: l.Last})
	}
	return all
}

func TestRetries_TogetherSayHowEachEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	b.receiver.answer("/a", http.StatusServiceUnavailable)
	d, _ := b.shared(3)
	left := b.first(d.ID).Waiting
	require.Len(t, left, 3)
	b.receiver.answer("/a", http.StatusOK)
	_, err := b.Env.Service.RetryDelivery(t.Context(), tenant, left[0].Delivery)
	require.NoError(t, err)
	missing := left[1]
	missing.Delivery = models.NewID(models.PrefixDelivery)
	require.Equal(t, delivery.Batch{Delivered: 2, Canceled: 1, Superseded: 1}, b.again(d.ID, append(left, missing)),
		"what another dispatch drives now is not this one's")
	require.Equal(t, models.Pending, b.read(left[0].Delivery).Status)
	require.Equal(t, 5, b.receiver.got("/a"))
}

func TestRetries_TogetherStopWithTheirWebhook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *bundle, w models.Webhook)
		posts  bool
		reason string
	}{
		"paused": {func(b *bundle, w models.Webhook) {
			_, err := b.Env.Service.Pause(t.Context(), tenant, w.ID, "test")
			require.NoError(b.t, err)
		}, false, "webhook paused"},
		"gone": {func(b *bundle, _ models.Webhook) { b.receiver.answer("/a", http.StatusGone) }, true, "webhook deactivated"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.hook("/a")
			b.receiver.answer("/a", http.StatusInternalServerError)
			d, _ := b.shared(3)
			left := b.first(d.ID).Waiting
			c.change(b, w)
			require.Equal(t, delivery.Batch{Held: 3}, b.again(d.ID, left))
			require.Equal(t, c.posts, b.receiver.got("/a") > 3)
			for _, l := range left {
				require.Equal(t, models.Held, b.read(l.Delivery).Status)
				require.Equal(t, c.reason, b.read(l.Delivery).StatusReason)
			}
		})
	}
}

func TestRetries_TogetherKeepToTheirWebhooksRate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	b.receiver.answer("/a", http.StatusInternalServerError)
	d, _ := b.shared(3)
	left := b.first(d.ID).Waiting
	rate := 0.01
	_, err := b.Env.Service.UpdateWebhook(t.Context(), tenant, w.ID, service.WebhookChange{RateLimit: &rate, By: "test"})
	require.NoError(t, err)
	b.receiver.answer("/a", http.StatusOK)
	round := b.again(d.ID, left)
	require.Equal(t, 1, round.Delivered)
	require.Len(t, round.Waiting, 2)
	for _, l := range round.Waiting {
		require.Equal(t, delivery.AtRate, l.Kind)
		require.False(t, l.Due.IsZero(), "it is not retried with others")
		require.Equal(t, 2, l.Number)
		require.Equal(t, "500 Internal Server Error", l.Last, "being put off is no attempt")
		require.WithinDuration(t, b.Clock.Now().Add(l.Wait), *b.read(l.Delivery).NextAttemptAt, 5*time.Second)
	}
}

func TestRetries_TogetherThatFindNoPlaceLocks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := 1
	w := b.hook("/a", limited(service.WebhookChange{MaxInFlight: &one}))
	leave, _, err := b.Limits.Enter(t.Context(), w.ID, one)
	require.NoError(t, err)
	require.NotNil(t, leave)
	d, left := b.shared(1)
	left[0].Last = "timeout"
	round, err := b.many(d.ID, left...)
	require.NoError(t, err)
	require.Len(t, round.Waiting, 1)
	require.False(t, round.Waiting[0].Due.IsZero())
	require.Equal(t, "timeout", round.Waiting[0].Last)
}

func TestRetries_WaitsBeginWhenTheSlowestHasEnded(t *testing.T) {
	t.Parallel()
	const slow = 4 * time.Second
	var (
		mu     sync.Mutex
		posts  int
		b      *bundle
		passed = make(chan struct{})
	)
	b = setup(t, servicetest.WithPoster(posterFunc(func(context.Context, sender.Request) sender.Result {
		mu.Lock()
		posts++
		n := posts
		mu.Unlock()
		switch n {
		case 1: // the last has its turn when this one has ended
			return sender.Result{StartedAt: b.Clock.Now(), Outcome: sender.Failed, StatusCode: http.StatusInternalServerError, Error: "500"}
		case delivery.ManyAtOnce + 1:
			b.Clock.Advance(slow)
			close(passed)
		default:
			<-passed
		}
		return sender.Result{StartedAt: b.Clock.Now(), Outcome: sender.Received, StatusCode: http.StatusNoContent}
	})))
	w := b.hook("/a")
	d, left := b.shared(delivery.ManyAtOnce + 1)
	round, err := b.many(d.ID, left...)
	require.NoError(t, err)
	require.Len(t, round.Waiting, 1)
	policy, _ := b.Env.Service.Effective(&w)
	l := round.Waiting[0]
	require.InDelta(t, policy.Delay(l.Delivery, 1, 0)-slow, l.Wait, float64(time.Second))
}

func TestRetries_WhatHasJustBeenReadIsNotReadAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		waited time.Duration
		posts  int
	}{
		"it has just been read": {time.Second, delivery.ManyAtOnce + 1},
		"it has waited":         {time.Second + time.Millisecond, delivery.ManyAtOnce},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			b := setup(t, servicetest.WithPoster(g))
			var mu sync.Mutex
			now := b.Clock.Now()
			b.Now = func() time.Time {
				mu.Lock()
				defer mu.Unlock()
				return now
			}
			b.hook("/a")
			d, left := b.shared(delivery.ManyAtOnce + 1)
			ended := make(chan delivery.Batch, 1)
			go func() {
				round, _ := b.many(d.ID, left...)
				ended <- round
			}()
			for range delivery.ManyAtOnce {
				<-g.posting
			}
			waiting := b.unattempted(d.Deliveries)
			_, err := b.Env.Service.CancelDelivery(t.Context(), tenant, waiting, "test")
			require.NoError(t, err)
			mu.Lock()
			now = now.Add(c.waited)
			mu.Unlock()
			close(g.open)
			round := plain(<-ended)
			require.Equal(t, delivery.ManyAtOnce, round.Delivered)
			require.Equal(t, 1, round.Stopped())
			require.Equal(t, c.posts, delivery.ManyAtOnce+len(g.posting))
			last := b.read(waiting)
			require.Equal(t, models.Canceled, last.Status, "a POST that comes too late changes nothing")
			require.Equal(t, len(g.posting), last.Attempts)
		})
	}
}
