package delivery

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

// manyAtOnce is how many POSTs one batch of retries makes at once.
const manyAtOnce = PacedMost

// batch is several deliveries that are attempted together, with their results so far.
type batch struct {
	*Courier
	dispatchID string
	of         *Remainder // first attempts only: these deliveries are the whole dispatch
	wg         sync.WaitGroup
	full       atomic.Bool // there was no POST slot for one of them

	mu      sync.Mutex
	sum     Batch
	delayed int         // of those that wait: postponed for reasons other than their webhook
	since   []time.Time // for each of sum.Waiting, when its wait began
	late    []models.Postponed
	aside   []*job
	failure error
}

// run processes a job concurrently with the others. If it panics outside of its attempt the batch fails, and Temporal
// repeats it.
func (b *batch) run(do func()) {
	b.wg.Go(func() {
		defer panics.Catch("an attempt", func(err error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.failure = err
		})
		growStack()
		do()
	})
}

// add returns a function that takes in a job's result.
func (b *batch) add(j *job) func(ended, error) {
	return func(e ended, err error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch {
		case err != nil:
			b.failure = err
		case e.aside:
			j.why = e
			b.aside = append(b.aside, j)
		case e.overCap:
			b.sum.OverCap = append(b.sum.OverCap, *e.left)
		case e.left != nil:
			b.wait(j, e)
		default:
			d := j.delivery
			d.Attempts += e.posts
			b.sum.end(asEnded(j.receiver, &d, &j.known, e.end, e.reason))
		}
	}
}

// wait takes in a leftover delivery.
func (b *batch) wait(j *job, e ended) {
	if e.attempted {
		b.sum.Refused++
	}
	if e.left.Due.After(b.Now()) {
		b.late = append(b.late, postponed(b.dispatchID, &j.delivery, e.left, e.noted))
		if e.left.Kind == BackOff {
			b.delayed++
			b.sum.Again, b.sum.Reason = max(b.sum.Again, e.left.Wait), e.reason
		}
	}
	b.sum.Waiting, b.since = append(b.sum.Waiting, *e.left), append(b.since, b.Now())
}

// choose selects the deliveries of a dispatch to send at once. It leaves out those that must not be sent, are not due,
// have no time at their webhook's rate or no place there, or whose webhook has reached its cap. The events of those
// are not read.
func (b *batch) choose(ctx context.Context, jobs []*job) ([]*job, error) {
	var sent []*job
	for _, j := range jobs {
		j.first, j.moment, j.patience = true, capWait, firstSlotWait
		e, ok, err := b.look(ctx, j)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			b.add(j)(e, nil)
		default:
			sent = append(sent, j)
		}
	}
	if err := b.reserve(ctx, sent); err != nil {
		return nil, err
	}
	var chosen []*job
	open := map[string][]*job{} // by webhook, under the cap
	var webhooks []string
	for _, j := range sent {
		w := j.receiver.Webhook
		switch wait := j.slot.Sub(b.Now()); {
		case b.early(&j.delivery):
			b.add(j)(ended{left: b.leftover(j.receiver, &j.delivery, "")}, nil)
		case w.MaxInFlight > 0:
			if e, ok, err := b.place(ctx, j); err != nil || !ok {
				b.add(j)(e, err)
				continue
			}
			chosen = append(chosen, j)
		case w.RateLimit > 0 && wait > j.moment:
			b.add(j)(b.atRate(j, wait), nil)
		default:
			if open[w.ID] == nil {
				webhooks = append(webhooks, w.ID)
			}
			open[w.ID] = append(open[w.ID], j)
		}
	}
	for _, id := range webhooks {
		n := len(open[id])
		if b.failing.is(id) { // it is slowed down, so few of them would be sent in time
			n = min(n, DefaultInFlight)
		}
		tickets := b.Cap.Ask(id, n)
		for i, j := range open[id] {
			if i >= len(tickets) {
				b.add(j)(b.overCap(j), nil)
				continue
			}
			j.ticket = tickets[i]
			chosen = append(chosen, j)
		}
	}
	return chosen, nil
}

// attemptAll attempts jobs to one webhook, manyAtOnce at a time, until stop is closed.
func (b *batch) attemptAll(ctx context.Context, jobs []*job, stop <-chan struct{}) {
	room := semaphore.NewWeighted(manyAtOnce)
	for _, j := range jobs {
		if room.Acquire(ctx, 1) != nil {
			break
		}
		select {
		case <-stop:
			room.Release(1)
			left := j.known
			left.Wait = 0
			b.add(j)(ended{left: &left}, nil)
			continue
		default:
		}
		b.run(func() {
			defer room.Release(1)
			e, err := b.inTurn(ctx, j)
			if e.noSlot {
				b.full.Store(true)
			}
			b.add(j)(e, err)
		})
	}
}

// fresh is how old a read delivery may be for a POST. If a delivery has changed since, its POST is recorded and
// changes nothing.
const fresh = time.Second

// inTurn attempts a delivery of a batch when its turn has come.
func (b *batch) inTurn(ctx context.Context, j *job) (ended, error) {
	if wait := j.slot.Sub(b.Now()); j.known.Kind == AtRate && wait <= j.moment {
		if err := pause.For(ctx, wait); err != nil {
			return ended{}, err
		}
	}
	if now := b.Now(); now.Sub(j.readAt) > fresh { // it has been queued
		d, end, err := b.current(ctx, j.delivery.Tenant, j.delivery.ID, j.delivery.Generation)
		if err != nil || d == nil {
			return end, err
		}
		j.delivery, j.readAt = *d, now
		b.readLater(ctx, []*job{j}, 1)
	}
	if b.full.Load() {
		j.patience = 0
	}
	return b.deliver(ctx, j)
}

// close waits for the jobs, stores which were postponed or set aside, and returns the batch's result.
func (b *batch) close(ctx context.Context) (Batch, error) {
	b.wg.Wait()
	if b.failure == nil {
		b.failure = ctx.Err()
	}
	if b.failure != nil {
		return Batch{}, b.failure
	}
	if err := b.setAside(ctx); err != nil {
		return Batch{}, err
	}
	for i, at := range b.since { // the workflow starts its timer when the slowest has ended
		l := &b.sum.Waiting[i]
		l.Wait = max(0, l.Wait-b.Now().Sub(at)).Round(time.Millisecond)
		if l.Kind == BackOff && l.Due.IsZero() && l.Wait <= soon { // the next attempt does the waiting itself
			l.Wait = 0
		}
	}
	slices.SortFunc(b.late, func(a, b models.Postponed) int { return strings.Compare(a.Delivery.ID, b.Delivery.ID) })
	if len(b.late) > 0 {
		if err := b.Store.Postpone(ctx, b.late); err != nil {
			return Batch{}, err
		}
	}
	if b.sum.Delivered+b.sum.Failed+b.sum.Stopped() > 0 || b.delayed < len(b.sum.Waiting) || b.of != nil {
		b.sum.Again, b.sum.Reason = 0, ""
	}
	if b.of != nil && len(b.sum.Waiting)+len(b.sum.OverCap) == 0 && !b.of.finished.Load() {
		// The last ones were recorded at once in two transactions, or held or canceled.
		return b.sum, b.Store.FinishDispatch(ctx, b.dispatchID)
	}
	// The leftover deliveries name no dispatch yet. If they are still left when the reconciler looks, it notes the
	// dispatch on them (models.ClaimShared).
	return b.sum, nil
}

// outcome returns the result of a batch's only delivery.
func (b *Batch) outcome() Outcome {
	if len(b.Ended) == 0 {
		return Outcome{End: Delivered}
	}
	return Outcome{End: b.Ended[0].Status, Ended: &b.Ended[0]}
}

// changing is how long a delivery waits whose webhook has become active a moment ago.
const changing = time.Second

// setAside holds or cancels deliveries that must not be sent, all of the batch in one statement. This process's view
// of webhooks may be a second old, so the database decides. Deliveries that are to be sent after all wait for a
// moment.
func (b *batch) setAside(ctx context.Context) error {
	deliveries := make([]models.Delivery, len(b.aside))
	for i, j := range b.aside {
		deliveries[i] = j.delivery
	}
	if len(deliveries) == 0 {
		return nil
	}
	left, err := b.Store.SetAside(ctx, deliveries)
	if err != nil {
		return err
	}
	for _, j := range b.aside {
		if !slices.Contains(left, j.delivery.Key()) {
			b.sum.end(asEnded(j.receiver, &j.delivery, &j.known, j.why.end, j.why.reason))
			continue
		}
		j.receiver = nil // it has changed since it was read
		if r, err := b.receiver(ctx, j.delivery.Tenant, j.delivery.WebhookID); err == nil {
			j.receiver = r
		}
		b.wait(j, b.putOff(j, changing, ""))
	}
	return nil
}
