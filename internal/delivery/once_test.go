package delivery_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/servicetest"
)

func TestOnce_ATurnIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &delivery.Courier{}
		end, err := a.Lock(t.Context(), "a", "b")
		require.NoError(t, err)
		other, err := a.Lock(t.Context(), "c")
		require.NoError(t, err, "others are in nobody's way")

		waited := make(chan time.Duration)
		began := time.Now()
		go func() {
			end, err := a.Lock(t.Context(), "d", "c", "b")
			if err == nil {
				end()
			}
			waited <- time.Since(began)
		}()
		synctest.Wait()
		free, err := a.Lock(t.Context(), "d")
		require.NoError(t, err, "who waits keeps nobody else waiting")
		free()
		time.Sleep(time.Second) // in the bubble's time
		other()
		time.Sleep(time.Second)
		end()
		require.Equal(t, 2*time.Second, <-waited)
	})
}

func TestOnce_WhoIsStoppedDoesNotWaitForATurn(t *testing.T) {
	t.Parallel()
	a := &delivery.Courier{}
	end, err := a.Lock(t.Context(), "a")
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("the worker is stopping")
	cancel(stopping)
	_, err = a.Lock(ctx, "a")
	require.ErrorIs(t, err, stopping)
	end()
	_, err = a.Lock(ctx, "a")
	require.NoError(t, err)
}

// gate is a receiver that keeps its callers.
type gate struct {
	posting chan struct{} // a value for each POST
	open    chan struct{}
}

func newGate() *gate { return &gate{posting: make(chan struct{}, 100), open: make(chan struct{})} }

func (g *gate) Post(context.Context, sender.Request) sender.Result {
	g.posting <- struct{}{}
	<-g.open
	return sender.Result{StartedAt: time.Now(), Outcome: sender.Received, StatusCode: http.StatusNoContent}
}

// watched is a context that reports when a caller waits for its end.
type watched struct {
	context.Context
	awaited func()
}

func (w watched) Done() <-chan struct{} {
	w.awaited()
	return w.Context.Done()
}

// A workflow task that times out is made again, with its local activity, though the first still runs.
func TestOnce_FirstAttemptsThatAreStillBeingMadeAreNotMadeTwice(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := setup(t, servicetest.WithPoster(g))
	b.hook("/a")
	d := b.publish()
	row := b.delivery(d)
	event, err := b.Env.Store.Event(t.Context(), tenant, row.EventID)
	require.NoError(t, err)
	done := b.Desk.Put(d.ID, []handoff.Work{{Delivery: row, Event: &event}})

	rounds := make(chan delivery.Batch, 2)
	try := func(ctx context.Context) {
		round, err := b.First(ctx, delivery.FirstInput{DispatchID: d.ID})
		if err != nil {
			t.Error(err)
		}
		rounds <- round
	}
	go try(t.Context())
	<-g.posting

	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.First(stopped, delivery.FirstInput{DispatchID: d.ID})
	require.ErrorIs(t, err, context.Canceled)
	select {
	case <-done:
		t.Fatal("who gave up has ended the first's work")
	default:
	}

	waits := make(chan struct{})
	go try(watched{t.Context(), sync.OnceFunc(func() { close(waits) })})
	<-waits
	close(g.open)
	require.Equal(t, delivery.Batch{Delivered: 1}, <-rounds)
	require.Zero(t, <-rounds, "nothing is left to the second")
	require.Empty(t, g.posting)
	<-done
}

func TestOnce_DeliveriesThatAreStillBeingAttemptedAreNotAttemptedTwice(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := setup(t, servicetest.WithPoster(g))
	b.hook("/a")
	d, left := b.shared(2)
	many := func(of ...delivery.Leftover) <-chan delivery.Batch {
		ended := make(chan delivery.Batch, 1)
		go func() {
			round, err := b.many(d.ID, of...)
			if err != nil {
				t.Error(err)
			}
			ended <- round
		}()
		return ended
	}
	first := many(left[0])
	<-g.posting
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Lock(stopped, tenant+"/"+left[0].Delivery)
	require.ErrorIs(t, err, context.Canceled, "it is being attempted")
	end, err := b.Lock(stopped, tenant+"/"+left[1].Delivery)
	require.NoError(t, err)

	both := many(left...)
	_, err = b.Env.Service.CancelDelivery(t.Context(), tenant, left[1].Delivery, "test")
	require.NoError(t, err)
	end()
	close(g.open)
	require.Equal(t, delivery.Batch{Delivered: 1}, <-first)
	require.Equal(t, delivery.Batch{Delivered: 1, Canceled: 1}, plain(<-both), "it reads the delivery again")
	require.Empty(t, g.posting)
}

// An activity without a heartbeat for too long is started again, in the process that still runs it.
func TestOnce_ADeliveryThatIsStillBeingAttemptedIsNotAttemptedTwice(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := setup(t, servicetest.WithPoster(g))
	b.hook("/a")
	d, left := b.shared(1)
	outcomes := make(chan delivery.Outcome, 2)
	try := func() {
		outcome, err := b.attempt(d.ID, left[0])
		if err != nil {
			t.Error(err)
		}
		outcomes <- outcome
	}
	go try()
	<-g.posting
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.Lock(stopped, tenant+"/"+left[0].Delivery)
	require.ErrorIs(t, err, context.Canceled, "it is being attempted")

	go try()
	close(g.open)
	for range 2 {
		require.Equal(t, delivery.Outcome{End: delivery.Delivered}, <-outcomes)
	}
	require.Empty(t, g.posting, "the second finds it delivered")
}
