package engine

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

// The pace of starts. A workflow costs the engine far more than a delivery does, so beyond an everyday rate
// deliveries share workflows: it is that rate which decides, for a slot that is free says nothing of the load.
const (
	// ownPerCore is the rate of events a core up to which each gets a workflow of its own. Above it all events share:
	// workflows of single events would take most of the capacity.
	ownPerCore = 40
	// modestRate is how many events a second a tenant may have and still get a workflow for each in a crowd of others,
	// and modestPerCore how many a second and a core all such tenants have together.
	modestRate    = 10
	modestPerCore = 20
	// crowdFor is how long after a crowd no event gets one.
	crowdFor = time.Second
	// keptPart is the part of the start slots that is there in addition, for tenants that hold none.
	keptPart = 4
	// maxPaces bounds the tenants whose rate is remembered.
	maxPaces = 10_000
)

// load is what a tenant takes of this process. There is none of a tenant that takes nothing.
type load struct {
	slots    int // dispatches on their way that have deliveries of it
	admitted int // deliveries that wait, or are about to
}

// loadOf returns a tenant's load, to be changed by change.
func (e *Engine) loadOf(tenant string) load { return e.loads[tenant] }

func (e *Engine) change(tenant string, slots, admitted int) {
	l := e.loads[tenant]
	l.slots += slots
	l.admitted += admitted
	if l == (load{}) {
		delete(e.loads, tenant)
	} else {
		e.loads[tenant] = l
	}
}

// Reserve takes a start slot for an event of a tenant if one is free, or with wait becomes free in time. While Temporal
// is away there is always one: nothing is started then.
func (e *Engine) Reserve(ctx context.Context, tenant string, wait bool) bool {
	reserve := func() bool {
		e.lately.Note(tenant, time.Now())
		alone := e.GroupMax == 1 || e.everyday(tenant)
		// The tenant's own deliveries that wait for a shared dispatch come first. Those of other tenants do not matter.
		if !e.isAway() && (!alone || e.waiting.of(tenant) > 0 || !e.slotFor(tenant)) {
			return false
		}
		e.free--
		e.change(tenant, 1, 0)
		return true
	}
	if wait {
		return e.await(ctx, reserve)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return reserve()
}

// slotFor reports whether a slot is free for a tenant: there are some more for those that hold none.
func (e *Engine) slotFor(tenant string) bool {
	return e.free > 0 || e.free > -e.kept() && e.loadOf(tenant).slots == 0
}

// kept is how many slots there are for tenants that hold none.
func (e *Engine) kept() int { return max(1, e.Slots/keptPart) }

// Release gives a tenant's slot back; what waits takes it.
func (e *Engine) Release(tenant string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.change(tenant, -1, 0)
	e.free++
	e.share()
	e.freed()
}

// Start starts the dispatches of a tenant's reserved slot: the first in it, and the others, of which a batch may have a
// thousand, among the launches. The slot is free again when Temporal has them and this process's worker, where there is
// one, has made their first attempts or waits for slow receivers.
func (e *Engine) Start(tenant string, dispatches []models.Dispatch, work map[string][]handoff.Work) {
	e.spawn(func() {
		defer e.Release(tenant)
		var launched sync.WaitGroup
		for i := 1; i < len(dispatches); i++ {
			launched.Add(1)
			e.enqueue(launch{dispatch: &dispatches[i], work: work[dispatches[i].ID], done: func(bool) { launched.Done() }})
		}
		if len(dispatches) > 0 {
			e.startHere(&dispatches[0], work[dispatches[0].ID], nil)
		}
		launched.Wait()
	})
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

// everyday reports whether an event comes at an everyday rate: its tenant's, or that of all. Each event counts, whether
// or not it gets a workflow of its own, so that in a crowd none does until it has gone.
func (e *Engine) everyday(tenant string) bool {
	pace, ok := e.paces.Get(tenant)
	if !ok {
		pace = rate.NewLimiter(modestRate, modestRate)
		e.paces.Add(tenant, pace)
	}
	modest := onTime(pace)
	return onTime(e.own) || modest && onTime(e.modest)
}

// onTime counts an event, and reports whether it keeps to a rate.
func onTime(l *rate.Limiter) bool {
	turn := l.Reserve()
	late := turn.Delay()
	if late > crowdFor {
		turn.Cancel()
	}
	return late == 0
}
