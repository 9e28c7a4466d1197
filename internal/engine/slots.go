package engine

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

// The pace of starts. A workflow costs the engine far more than a delivery does, so above an everyday rate deliveries
// share workflows. The rate decides, because a free slot says nothing about the load.
const (
	// ownPerCore is the event rate per core up to which each event gets its own workflow. Above it all events share:
	// workflows of single events would take most of the capacity.
	ownPerCore = 40
	// modestRate is the rate of events up to which a tenant gets a workflow for each during a burst of others.
	// modestPerCore is the rate per core of all such tenants together.
	modestRate    = 10
	modestPerCore = 20
	// crowdFor is how long after a burst no event gets its own workflow.
	crowdFor = time.Second
	// keptPart: one keptPart-th more start slots exist for tenants that hold none.
	keptPart = 4
	// maxPaces bounds the tenants whose rate is remembered.
	maxPaces = 10_000
)

// load is a tenant's use of this process. A tenant that uses nothing has no load.
type load struct {
	slots    int       // dispatches in flight with its deliveries
	admitted int       // deliveries that wait, or are about to wait
	direct   int       // deliveries whose first attempts are made outside of workflows
	bytes    int       // of their events
	page     time.Time // when deliveries of a batch last came from the database
}

// loadOf returns a copy of a tenant's load; change it with change.
func (e *Engine) loadOf(tenant string) load { return e.loads[tenant] }

func (e *Engine) change(tenant string, slots, admitted int) {
	l := e.loads[tenant]
	l.slots += slots
	l.admitted += admitted
	e.setLoad(tenant, l)
}

func (e *Engine) setLoad(tenant string, l load) {
	if l.slots == 0 && l.admitted == 0 && l.direct == 0 {
		delete(e.loads, tenant)
	} else {
		e.loads[tenant] = l
	}
}

// paged notes that deliveries of a tenant's batch have come from the database.
func (e *Engine) paged(tenant string, at time.Time) {
	l := e.loads[tenant]
	l.page = at
	e.loads[tenant] = l
}

// Reserve takes a start slot for an event of a tenant if one is free, or, with wait, becomes free in time. While
// Temporal is away it always succeeds: nothing is started then.
func (e *Engine) Reserve(ctx context.Context, tenant string, wait bool) bool {
	reserve := func() bool {
		e.lately.Note(tenant, time.Now())
		alone := e.GroupMax == 1 || e.everyday(tenant)
		// The tenant's own deliveries that wait for a shared dispatch come first. Those of other tenants do not
		// matter.
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

// slotFor reports whether a slot is free for a tenant: tenants that hold none have some more.
func (e *Engine) slotFor(tenant string) bool {
	return e.free > 0 || e.free > -e.kept() && e.loadOf(tenant).slots == 0
}

// kept returns the number of slots reserved for tenants that hold none.
func (e *Engine) kept() int { return max(1, e.Slots/keptPart) }

// Release returns a tenant's slot; waiting deliveries take it.
func (e *Engine) Release(tenant string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.change(tenant, -1, 0)
	e.free++
	e.share()
	e.freed()
}

// Start starts the dispatches of a tenant's reserved slot: the first one in the slot, and the others, of which a batch
// may have a thousand, without a slot. The slot is free again when Temporal has the dispatches and this process's
// worker, if there is one, has made their first attempts or waits for slow receivers.
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

// await calls try whenever something has become free, until it succeeds, for a bounded time.
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

// freed wakes callers that wait for something to become free.
func (e *Engine) freed() {
	close(e.room)
	e.room = make(chan struct{})
}

// everyday reports whether an event comes at an everyday rate: its tenant's, or that of all tenants. Each event
// counts, with or without its own workflow, so that during a burst no event gets one until the burst is over.
func (e *Engine) everyday(tenant string) bool {
	pace, ok := e.paces.Get(tenant)
	if !ok {
		pace = rate.NewLimiter(modestRate, modestRate)
		e.paces.Add(tenant, pace)
	}
	modest := onTime(pace)
	return onTime(e.own) || modest && onTime(e.modest)
}

// onTime counts an event, and reports whether it keeps within a rate.
func onTime(l *rate.Limiter) bool {
	turn := l.Reserve()
	late := turn.Delay()
	if late > crowdFor {
		turn.Cancel()
	}
	return late == 0
}
