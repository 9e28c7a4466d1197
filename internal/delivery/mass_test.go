package delivery_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// jobRows is how many deliveries a pause holds before it returns.
const jobRows = 1000

// paused returns a dispatch of n deliveries that are pending although their webhook has been paused.
func (b *bundle) paused(n int) models.Dispatch {
	b.t.Helper()
	return b.ahead(n, func(w models.Webhook) error {
		_, err := b.Env.Service.Pause(b.t.Context(), tenant, w.ID, "test")
		return err
	})
}

// ahead returns a dispatch of n deliveries that are pending although their webhook has changed. The pages of the change
// have not reached them yet.
func (b *bundle) ahead(n int, change func(models.Webhook) error) models.Dispatch {
	b.t.Helper()
	w := b.hook("/a")
	b.Engine.SetBusy(true)
	const atOnce = 100 // a commit has a deadline, and the race detector makes it slow
	for left := jobRows + n; left > 0; left -= atOnce {
		events := make([]service.EventInput, min(left, atOnce))
		for i := range events {
			events[i] = service.EventInput{Type: eventType, Data: []byte(payload)}
		}
		_, err := b.Env.Service.Publish(b.t.Context(), tenant, service.PublishRequest{Events: events, Batch: true})
		require.NoError(b.t, err)
	}
	require.NoError(b.t, change(w))
	rows, _, err := b.Env.Store.Deliveries(b.t.Context(), tenant, models.DeliveryFilter{Status: models.Pending}, models.Page{Limit: n + 1})
	require.NoError(b.t, err)
	require.Len(b.t, rows, n)
	var keys []models.DeliveryKey
	for i := range rows {
		keys = append(keys, rows[i].Key())
	}
	d, err := b.Env.Store.CreateSharedDispatch(b.t.Context(), keys)
	require.NoError(b.t, err)
	return d
}

// runJobs makes pages until no job is left.
func (b *bundle) runJobs() {
	b.t.Helper()
	for {
		job, _, err := b.Env.Store.RunJob(b.t.Context())
		require.NoError(b.t, err)
		if job.ID == "" {
			return
		}
	}
}

// Deliveries that are not sent cost the same number of statements, however many they are, and read no event (A1, A2).
func TestBatches_WhatIsNotToBeSentIsSetAsideAtOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4, 64} {
		b := setup(t)
		d := b.paused(n)
		store := b.count()
		require.Equal(t, delivery.Batch{Held: n}, b.first(d.ID))
		require.Equal(t, map[string]int{"Dispatch": 1, "DeliveriesByID": 1, "SetAside": 1, "FinishDispatch": 1}, store.take(), "%d deliveries", n)
		require.Zero(t, b.receiver.got("/a"))
		for _, key := range d.Deliveries {
			require.Equal(t, models.Pending, b.read(key.ID).Status, "it is left to the job that has not come to it yet")
		}
		b.runJobs()
		require.Equal(t, delivery.Batch{Held: n}, b.first(d.ID), "it says so, too, of what the job held")
		for _, key := range d.Deliveries {
			require.Equal(t, "webhook paused", b.read(key.ID).StatusReason)
		}
		require.True(t, b.finished(d.ID))
	}
}

func TestBatches_RetriesThatAreNotToBeMadeAreSetAsideAtOnce(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4, 64} {
		b := setup(t)
		d := b.paused(n)
		var left []delivery.Leftover
		for _, key := range d.Deliveries {
			row := b.read(key.ID)
			left = append(left, delivery.Leftover{Tenant: tenant, Delivery: key.ID, Webhook: row.WebhookID, Generation: row.Generation})
		}
		store := b.count()
		batch, err := b.many(d.ID, left...)
		require.NoError(t, err)
		require.Equal(t, delivery.Batch{Held: n}, plain(batch))
		require.Equal(t, map[string]int{"DeliveriesByID": 1, "SetAside": 1}, store.take(), "%d deliveries", n)
	}
}

// The deliveries of a deleted webhook ask for it once.
func TestBatches_ADeletedWebhookIsAskedForOnce(t *testing.T) {
	t.Parallel()
	var looks atomic.Int64 // at the clock, which every look at a webhook takes
	b := setup(t, func(_ *sender.Config, o *service.Options) {
		now := o.Now
		o.Now = func() time.Time {
			looks.Add(1)
			return now()
		}
	})
	d := b.ahead(64, func(w models.Webhook) error {
		_, err := b.Env.Service.DeleteWebhook(t.Context(), tenant, w.ID)
		return err
	})
	looks.Store(0)
	require.Equal(t, delivery.Batch{Canceled: 64}, b.first(d.ID))
	require.LessOrEqual(t, looks.Load(), int64(3))
	b.runJobs()
	require.Equal(t, "webhook deleted", b.read(d.Deliveries[0].ID).StatusReason)
}

// A webhook whose cap is reached costs a dispatch no event and no wait.
func TestBatches_WhatAFullLaneCannotTakeIsNotRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	d, _ := b.shared(40)
	leave := b.fill(w.ID)
	waiting := b.Cap.Ask(w.ID, 200)
	require.Len(t, waiting, 7*delivery.DefaultInFlight, "as many as may wait")
	store := b.count()
	batch := b.first(d.ID)
	require.Len(t, batch.OverCap, 40)
	require.Equal(t, map[string]int{"Dispatch": 1, "DeliveriesByID": 1}, store.take())
	for _, ticket := range waiting {
		ticket.Drop()
	}
	leave()
	require.Zero(t, b.Cap.Open())
}

func TestBatches_WhatWaitsInVainForRoomIsNotReadEither(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	d, _ := b.shared(40)
	defer b.fill(w.ID)()
	store := b.count()
	require.Len(t, b.first(d.ID).OverCap, 40)
	require.Zero(t, store.take()["EventsByID"])
	require.Equal(t, delivery.DefaultInFlight, b.Cap.Users(w.ID))
}

func TestBatches_AFastReceiverGetsAllAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Cap = delivery.NewPatientCap(time.Minute) // a busy machine makes no receiver slow
	b.hook("/a")
	d, _ := b.shared(100)
	store := b.count()
	require.Equal(t, delivery.Batch{Delivered: 100}, b.first(d.ID))
	calls := store.take()
	delete(calls, "FinishDispatch") // where the last are recorded by two flushes at once
	require.Equal(t, map[string]int{"Dispatch": 1, "DeliveriesByID": 1, "EventsByID": 2}, calls, "32 events, and the others once their size is known")
}

// slotsFunc is a delivery.Slots.
type slotsFunc func(ctx context.Context, tenant, host string) (func(), error)

// TryAcquire finds no slot: the function is asked.
func (slotsFunc) TryAcquire(string, string) (func(), bool) { return nil, false }

func (f slotsFunc) Acquire(ctx context.Context, tenant, host string) (func(), error) {
	return f(ctx, tenant, host)
}

func TestBatches_OnlyWhatIsReadFromTheDatabasePassesTheGate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d := b.publish()
	held, released := 0, 0
	b.Loads = slotsFunc(func(_ context.Context, tenant, host string) (func(), error) {
		require.Equal(t, "acme", tenant)
		require.Empty(t, host)
		held++
		return func() { released++ }, nil
	})
	batch, err := b.First(t.Context(), delivery.FirstInput{DispatchID: d.ID, Tenant: tenant})
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Delivered: 1}, batch)
	require.Equal(t, 1, held)
	require.Equal(t, 1, released)

	b.Loads = slotsFunc(func(context.Context, string, string) (func(), error) { return nil, errors.New("the gate is closed") })
	_, err = b.First(t.Context(), delivery.FirstInput{DispatchID: b.publish().ID})
	require.ErrorContains(t, err, "the gate is closed")
}

// A process works on 16 batches of a webhook. Other batches have to come back later, before anything is read for them.
func TestBatches_OfOneWebhookAreBounded(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := setup(t, servicetest.WithPoster(g))
	b.hook("/a")
	d, left := b.shared(delivery.AtOnce + 40)
	store := b.count()
	ended := make(chan delivery.Batch, delivery.AtOnce)
	for i := range delivery.AtOnce {
		go func() {
			batch, _ := b.many(d.ID, left[i])
			ended <- batch
		}()
		<-g.posting
	}
	store.take()
	var waits []time.Duration
	for _, l := range left[delivery.AtOnce:] {
		batch, err := b.many(d.ID, l)
		require.NoError(t, err)
		require.Positive(t, batch.Again)
		require.Empty(t, batch.Waiting)
		waits = append(waits, batch.Again)
	}
	require.Empty(t, store.take(), "nothing is read")
	require.Greater(t, waits[39], waits[0]*3/2, "the more wait, the longer")

	single := make(chan delivery.Outcome, 1)
	go func() {
		outcome, _ := b.attempt(d.ID, left[delivery.AtOnce])
		single <- outcome
	}()
	<-g.posting // a single one is not bounded
	close(g.open)
	for range delivery.AtOnce {
		require.Equal(t, 1, (<-ended).Delivered)
	}
	require.Equal(t, delivery.Delivered, (<-single).End)
	batch, err := b.many(d.ID, left[delivery.AtOnce+1])
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Delivered: 1}, batch)
}

func TestBatches_APOSTWaitsForASlotOfTheProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d := b.publish()
	full := true
	taken, released := 0, 0
	b.Posts = slotsFunc(func(_ context.Context, key, host string) (func(), error) {
		require.Equal(t, tenant, key)
		require.Equal(t, b.receiver.url[len("http://"):], host)
		if full {
			return nil, delivery.ErrNoSlot // as after a wait
		}
		taken++
		return func() { released++ }, nil
	})
	over := b.first(d.ID).OverCap
	require.Len(t, over, 1, "first attempts leave it to the fair lane")
	batch, err := b.many(d.ID, over...)
	require.NoError(t, err)
	require.Positive(t, batch.Again, "the batch asks again, and the history does not grow")
	require.Zero(t, b.receiver.got("/a"))
	outcome, err := b.attempt(d.ID, over[0])
	require.NoError(t, err)
	require.False(t, outcome.Attempted)
	require.NotNil(t, outcome.Left, "it is early now: the database knows when it is due")
	b.due(delivery.Leftover{Wait: 10 * time.Second})
	outcome, err = b.attempt(d.ID, over[0])
	require.NoError(t, err)
	require.Equal(t, delivery.ForSlot, outcome.Left.Kind)
	row := b.delivery(d)
	require.Zero(t, row.Attempts)
	require.Zero(t, row.Failures)

	full = false
	b.due(delivery.Leftover{Wait: 10 * time.Second})
	outcome, err = b.attempt(d.ID, *outcome.Left)
	require.NoError(t, err)
	require.Equal(t, delivery.Delivered, outcome.End)
	require.Equal(t, 1, taken)
	require.Equal(t, 1, released)
}

// No POST starts later than two seconds after its webhook was paused, however long it has waited.
func TestBatches_WhatHasWaitedLooksAtItsWebhookAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	d := b.publish()
	b.Posts = slotsFunc(func(ctx context.Context, _, _ string) (func(), error) {
		_, err := b.Another().Pause(ctx, tenant, w.ID, "test")
		b.Clock.Advance(time.Second + delivery.LookAgain + time.Millisecond)
		return func() {}, err
	})
	stoppedOne(t, b.first(d.ID))
	require.Zero(t, b.receiver.got("/a"))
	require.Equal(t, "webhook paused", b.delivery(d).StatusReason)
	require.Zero(t, b.Cap.Open())
}

func TestBatches_AFailureIsToldWithTheCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a", retries(0))
	b.receiver.answer("/a", http.StatusInternalServerError)
	type count struct{ before, after int64 }
	var told []count
	b.Failed = func(id string, before, after int64) {
		require.Equal(t, w.ID, id)
		told = append(told, count{before, after})
	}
	for range 3 {
		b.first(b.publish().ID)
	}
	require.Equal(t, []count{{0, 1}, {1, 2}, {2, 3}}, told)
}

// A batch that has to stop finishes its POSTs under way and leaves over the rest.
func TestBatches_ABatchThatIsStoppedLeavesTheRestOver(t *testing.T) {
	t.Parallel()
	g := newGate()
	b := setup(t, servicetest.WithPoster(g))
	b.hook("/a")
	d, left := b.shared(delivery.ManyAtOnce + 5)
	stop, ended := make(chan struct{}), make(chan delivery.Batch, 1)
	go func() {
		batch, _ := b.Many(t.Context(), delivery.ManyInput{DispatchID: d.ID, Deliveries: left, Stop: stop})
		ended <- batch
	}()
	for range delivery.ManyAtOnce {
		<-g.posting
	}
	close(stop)
	close(g.open)
	batch := <-ended
	require.Equal(t, delivery.ManyAtOnce, batch.Delivered)
	require.Len(t, batch.Waiting, 5)
	for _, l := range batch.Waiting {
		require.Contains(t, left, l)
	}
}
