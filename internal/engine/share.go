package engine

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

// admitFor is how long a caller waits for room before it is told to come back later.
const admitFor = 5 * time.Second

// The pace of starts. A workflow costs the engine far more than a delivery does, so beyond an everyday rate
// deliveries share workflows: it is that rate which decides, for a slot that is free says nothing of the load.
const (
	// ownPerCore is how many events a second and a core get a workflow of their own. Where more come none does: in a
	// crowd the own ones would take most of what there is to share.
	ownPerCore = 40
	// crowdFor is how long after a crowd no event gets one.
	crowdFor = time.Second
	// sharedPerCore is how many shared dispatches are on their way at once. While they are the next gathers what
	// arrives: more of them would be smaller, and wait for each other. sharedLeast is for a single core.
	sharedPerCore = 1
	sharedLeast   = 2
	// shareEvery is the least time between two shared dispatches that are not full: what arrives meanwhile goes together.
	shareEvery = 40 * time.Millisecond
	// holdFor is how long a dispatch that waits for slow receivers holds its slot.
	holdFor = 250 * time.Millisecond
	// keepBytes bounds the event data that waits in memory for a shared dispatch. What is beyond is read from the
	// database when its turn comes.
	keepBytes = 32 << 20
	// keepFor is how long work is kept for a dispatch that has not begun in this process: another one has it then.
	keepFor = 2 * time.Second
)

// Reserve takes a start slot if one is free, or with wait becomes free in time. While Temporal is away there is
// always one: nothing is started then.
func (e *Engine) Reserve(ctx context.Context, wait bool) bool {
	reserve := func() bool {
		alone := e.GroupMax == 1 || e.everyday()
		// Those who wait for a shared dispatch come first.
		if !e.isAway() && (e.free <= 0 || e.waiting.len() > 0 || !alone) {
			return false
		}
		e.free--
		return true
	}
	if wait {
		return e.await(ctx, reserve)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return reserve()
}

// await tries until it succeeds, whenever something has become free, for a bounded time.
func (e *Engine) await(ctx context.Context, try func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, admitFor)
	defer cancel()
	for {
		e.mu.Lock()
		if try() {
			e.mu.Unlock()
			return true
		}
		room := e.room
		e.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return false
		}
	}
}

// freed wakes those who wait for something to become free.
func (e *Engine) freed() {
	close(e.room)
	e.room = make(chan struct{})
}

// Release gives a slot back; what waits takes it.
func (e *Engine) Release() {
	e.mu.Lock()
	e.free++
	e.share()
	e.freed()
	e.mu.Unlock()
}

// Start starts the dispatches of one reserved slot: the first in it, and the others, of which a batch may have a
// thousand, among the launches. The slot is free again when Temporal has them and this process's worker, where there is
// one, has made their first attempts or waits for slow receivers.
func (e *Engine) Start(dispatches []models.Dispatch, work map[string][]handoff.Work) {
	e.jobs.Go(func() {
		defer e.Release()
		var started sync.WaitGroup
		for i := range dispatches {
			d, start := &dispatches[i], e.launch
			if i == 0 {
				start = e.startHere
			}
			started.Go(func() { start(d, work[d.ID]) })
		}
		started.Wait()
	})
}

// startHere starts one dispatch with its work at hand for this process's worker, which is gone when the engine closes,
// and returns when it is no load any more.
func (e *Engine) startHere(d *models.Dispatch, work []handoff.Work) {
	if e.Desk == nil || len(work) == 0 || e.closing.Load() {
		e.start(d, work)
		return
	}
	handed := work
	if slices.ContainsFunc(work, func(w handoff.Work) bool { return w.Event == nil }) {
		handed = nil
	}
	done := e.Desk.Put(d.ID, handed)
	time.AfterFunc(keepFor, func() { e.Desk.Done(d.ID) })
	if !e.start(d, work) {
		return
	}
	hold := time.NewTimer(holdFor)
	defer hold.Stop()
	select {
	case <-done:
	case <-hold.C:
	}
}

// Admit waits for room for n deliveries to wait in. While Temporal is away there is always room: nothing waits then.
func (e *Engine) Admit(ctx context.Context, n int) bool {
	return e.await(ctx, func() bool {
		if !e.isAway() && e.admitted > 0 && e.admitted+n > e.MaxWaiting {
			return false
		}
		e.admitted += n
		return true
	})
}

// Withdraw gives back the room of n deliveries.
func (e *Engine) Withdraw(n int) {
	e.mu.Lock()
	e.withdraw(n)
	e.mu.Unlock()
}

func (e *Engine) withdraw(n int) {
	e.admitted -= n
	e.freed()
	e.Metrics.Waiting.Set(float64(e.waiting.len()))
}

// Queue lets admitted deliveries wait for the next shared dispatch. While Temporal is away they are left to the reconciler.
func (e *Engine) Queue(work []handoff.Work) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isAway() {
		e.withdraw(len(work))
		return
	}
	for _, w := range work {
		if e.kept+len(w.Event.Data) > keepBytes {
			w.Event = nil
		} else {
			e.kept += len(w.Event.Data)
		}
		e.waiting.add(w)
	}
	e.share()
}

// share gives free slots groups of what waits: a full one at once, any other when it is time, or there will be no more.
func (e *Engine) share() {
	for e.ctx.Err() == nil && e.free > 0 && e.sharing < e.sharedMost && e.waiting.len() > 0 {
		wait := shareEvery - time.Since(e.shared)
		if wait > 0 && e.waiting.len() < e.GroupMax && !e.closing.Load() {
			if !e.planned {
				e.planned = true
				time.AfterFunc(wait, func() {
					e.mu.Lock()
					defer e.mu.Unlock()
					e.planned = false
					e.share()
				})
			}
			return
		}
		group := e.next()
		e.free--
		e.sharing++
		e.shared = time.Now()
		e.withdraw(len(group))
		e.jobs.Go(func() { e.startShared(group) })
	}
}

// next takes what a dispatch may have of what waits.
func (e *Engine) next() []handoff.Work {
	group := e.waiting.take(e.GroupMax)
	for _, w := range group {
		if w.Event != nil {
			e.kept -= len(w.Event.Data)
		}
	}
	return group
}

// startShared writes the outbox entry of a group and starts it. Where it cannot be written the reconciler finds
// the deliveries without a dispatch.
func (e *Engine) startShared(group []handoff.Work) {
	defer func() {
		e.mu.Lock()
		e.sharing--
		e.mu.Unlock()
		e.Release()
	}()
	keys := make([]models.DeliveryKey, len(group))
	for i, w := range group {
		keys[i] = w.Delivery.Key()
	}
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	d, err := e.Outbox.CreateSharedDispatch(ctx, keys)
	cancel()
	if err != nil {
		e.Log.Warn("shared dispatch not written; the reconciler will", "deliveries", len(group), "error", err)
		return
	}
	e.startHere(&d, group)
}

// everyday tells events that come at an everyday rate from a crowd. Each counts, whether or not it gets a workflow of
// its own, so that in a crowd none does until it has gone.
func (e *Engine) everyday() bool {
	turn := e.own.Reserve()
	late := turn.Delay()
	if late > crowdFor {
		turn.Cancel()
	}
	return late == 0
}
