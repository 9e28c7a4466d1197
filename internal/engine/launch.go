package engine

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

const (
	// holdFor is how long a dispatch that waits for slow receivers holds its slot.
	holdFor = 250 * time.Millisecond
	// keepFor: if a dispatch has not started here by then, another process has picked it up, and the work kept for it
	// in memory is dropped.
	keepFor = 2 * time.Second
	// maxLaunches bounds the dispatches that are queued to start without a slot. The reconciler starts the others.
	maxLaunches = 10_000
	// launchFresh is how long a dispatch may have been queued and still be started without a check. The reconciler may
	// have replaced one that has waited longer: its outbox row is then gone.
	launchFresh = 10 * time.Second
)

// launch is a dispatch to start without a slot.
type launch struct {
	ctx      context.Context //nolint:containedctx // of the caller that waits; nil = none waits
	dispatch *models.Dispatch
	work     []handoff.Work
	begun    *begun // the result of its first attempts; nil = they are to be made
	queued   time.Time
	done     func(started bool) // nil, or called when it was started or given up
}

// Launch starts dispatches without a slot, and does not wait for them.
func (e *Engine) Launch(dispatches ...models.Dispatch) {
	for i := range dispatches {
		e.enqueue(launch{dispatch: &dispatches[i]})
	}
}

// LaunchWait starts dispatches without a slot. When each was started or given up, or ctx ends, it returns how many
// Temporal has started. The reconciler starts the others.
func (e *Engine) LaunchWait(ctx context.Context, dispatches ...models.Dispatch) (started int) {
	ended := make(chan bool, len(dispatches))
	for i := range dispatches {
		e.enqueue(launch{ctx: ctx, dispatch: &dispatches[i], done: func(started bool) { ended <- started }})
	}
	for range dispatches {
		select {
		case ok := <-ended:
			if ok {
				started++
			}
		case <-ctx.Done():
			return started
		}
	}
	return started
}

// enqueue queues a dispatch for its launch. Tenants take turns.
func (e *Engine) enqueue(l launch) {
	l.queued = time.Now()
	if e.launches.add(fairness(l.dispatch), l) {
		return
	}
	e.Metrics.Starts.WithLabelValues("failed").Inc()
	l.begun.settle()
	if l.done != nil {
		l.done(false)
	}
}

// launch starts one dispatch without a slot: as many at once as there are slots.
func (e *Engine) launch(l launch) {
	started := false
	if l.done != nil {
		defer func() { l.done(started) }()
	}
	if (l.ctx != nil && l.ctx.Err() != nil) || (!l.begun.over() && time.Since(l.queued) > launchFresh && e.replaced(l.dispatch)) {
		return
	}
	started = e.startHere(l.dispatch, l.work, l.begun)
}

// replaced reports whether a dispatch is done, or others drive its deliveries.
func (e *Engine) replaced(d *models.Dispatch) bool {
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	_, err := e.Outbox.Dispatch(ctx, d.ID)
	return errors.Is(err, models.ErrNotFound)
}

// startHere starts one dispatch, and keeps its work in memory for this process's worker, until the engine closes. It
// returns when the dispatch is no longer a load, and reports whether Temporal has it.
func (e *Engine) startHere(d *models.Dispatch, work []handoff.Work, b *begun) (started bool) {
	if e.Desk == nil || len(work) == 0 || e.closing.Load() {
		return e.start(d, work, b)
	}
	handed := work
	if slices.ContainsFunc(work, func(w handoff.Work) bool { return w.Event == nil }) {
		handed = nil
	}
	done := e.Desk.Put(d.ID, handed)
	time.AfterFunc(keepFor, func() { e.Desk.Done(d.ID) })
	if !e.start(d, work, b) {
		return false
	}
	hold := time.NewTimer(holdFor)
	defer hold.Stop()
	select {
	case <-done:
	case <-hold.C:
	}
	return true
}
