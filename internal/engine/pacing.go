package engine

import (
	"context"
	"slices"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

// admitFor is how long a caller waits for room. Then it gets an error that asks it to retry later.
const admitFor = 5 * time.Second

// Bounds of shared dispatches.
const (
	// sharedPerCore is how many shared dispatches are in flight at once. While they are, the next one collects what
	// arrives: more of them would be smaller, and wait for each other. sharedLeast is the number for a single core.
	// sharedKept is the additional number for tenants that have nothing in flight.
	sharedPerCore = 1
	sharedLeast   = 2
	sharedKept    = 1
	// shareEvery is the shortest time between two shared dispatches that are not full: deliveries that arrive in
	// between go together.
	shareEvery = 40 * time.Millisecond
	// keepBytes bounds the event data that is kept in memory for shared dispatches. Other data is read from the
	// database when its turn comes.
	keepBytes = 32 << 20
)

// Admit waits for room in the queue for n deliveries of a tenant. While Temporal is away there is always room, because
// nothing waits then.
func (e *Engine) Admit(ctx context.Context, tenant string, n int) bool {
	return e.await(ctx, func() bool {
		e.lately.Note(tenant, time.Now())
		if !e.isAway() && !e.roomFor(tenant, n) {
			return false
		}
		e.admit(tenant, n)
		return true
	})
}

// tenantMost returns the most deliveries of one tenant that may wait: a quarter of the room is for others.
func (e *Engine) tenantMost() int { return max(1, ofTenant(e.MaxWaiting)) }

// roomFor reports whether there is room for n more deliveries of a tenant. A single request of a tenant that has none
// waiting may be larger than the tenant's share, and counts as that share.
func (e *Engine) roomFor(tenant string, n int) bool {
	has := e.loadOf(tenant).admitted
	if has > 0 && has+n > e.tenantMost() {
		return false
	}
	return e.fits(has, n, e.MaxWaiting)
}

// fits reports whether n more deliveries of a tenant keep the common room within a size. One request, or page, always
// fits into an empty room.
func (e *Engine) fits(has, n, size int) bool {
	more := e.more(has, n)
	return more == 0 || e.admitted == 0 || e.admitted+more <= size
}

// Batches that wait in the database. A tenant's batches go there while its own deliveries take more than laterFrom of
// the room, and come back until they take twice as much: so those in the database go before new ones. A tenant that
// keeps its room full with other events gets a page of its batches every laterEvery.
const (
	laterFrom  = 25 // a twenty-fifth: 4,096 deliveries, about a second's work
	laterEvery = time.Second
)

// Later reports whether the deliveries of a tenant's batches should wait in the database: so many of the tenant wait in
// memory that theirs would not be sent soon.
func (e *Engine) Later(tenant string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.GroupMax > 1 && !e.isAway() && e.loadOf(tenant).admitted > e.MaxWaiting/laterFrom
}

// LaterPage returns how many deliveries a page of a batch may have, or 0 if none can come back now: Temporal is away, or
// all room is taken.
func (e *Engine) LaterPage() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isAway() || e.closing.Load() || e.admitted >= e.MaxWaiting {
		return 0
	}
	return min(models.BatchRows, max(1, e.MaxWaiting/laterFrom))
}

// AdmitLater takes room for n deliveries of a tenant's batch that waits in the database, if there is any. A quarter of
// the room is for other events, and for tenants that have nothing waiting. It never waits. Withdraw returns what is not
// needed.
func (e *Engine) AdmitLater(tenant string, n int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := e.loadOf(tenant)
	has, now := l.admitted, time.Now()
	most := ofTenant(e.MaxWaiting)
	switch {
	case e.isAway() || e.closing.Load():
		return false
	case has == 0 || now.Sub(l.page) >= laterEvery:
		most = e.MaxWaiting
	case has+n > 2*e.MaxWaiting/laterFrom:
		return false
	}
	if !e.fits(has, n, most) {
		return false
	}
	e.admit(tenant, n)
	e.paged(tenant, now)
	return true
}

// more returns how much n more deliveries of a tenant count in the common room: a tenant counts up to its own most.
func (e *Engine) more(has, n int) int { return min(has+n, e.tenantMost()) - min(has, e.tenantMost()) }

// admit changes the number of a tenant's waiting deliveries.
func (e *Engine) admit(tenant string, n int) {
	has := e.loadOf(tenant).admitted
	e.admitted += e.more(has, n)
	e.change(tenant, 0, n)
}

// Withdraw returns the room of n deliveries of a tenant.
func (e *Engine) Withdraw(tenant string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.admit(tenant, -n)
	e.freed()
}

// leave returns the room of deliveries that no longer wait.
func (e *Engine) leave(group []handoff.Work) {
	for i := range group {
		e.admit(group[i].Delivery.Tenant, -1)
	}
	e.freed()
	e.Metrics.Waiting.Set(float64(e.waiting.len()))
}

// Queue queues admitted deliveries for the next shared dispatch. While Temporal is away they are left to the
// reconciler.
func (e *Engine) Queue(work []handoff.Work) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isAway() {
		e.gave()
		e.leave(work)
		return
	}
	for _, w := range work {
		switch {
		case w.Event == nil: // it is large
		case e.keptBytes+len(w.Event.Data) > keepBytes:
			w.Event = nil
		default:
			e.keptBytes += len(w.Event.Data)
		}
		e.waiting.add(w)
	}
	e.share()
}

// share gives groups of waiting deliveries to free slots: a full group at once, any other when it is time or no more
// will come.
func (e *Engine) share() {
	for e.ctx.Err() == nil && e.waiting.len() > 0 {
		var may func(tenant string) bool // nil = all
		if e.free <= 0 || e.sharing >= e.sharedMost {
			if e.free <= -e.kept() || e.sharing >= e.sharedMost+sharedKept {
				return
			}
			may = func(tenant string) bool { return e.loadOf(tenant).slots == 0 }
		}
		wait := shareEvery - time.Since(e.shared)
		if wait > 0 && e.waiting.len() < e.GroupMax && !e.closing.Load() {
			e.shareIn(wait)
			return
		}
		group := e.next(may)
		if len(group) == 0 {
			return
		}
		e.free--
		e.sharing++
		e.shared = time.Now()
		tenants := tenantsOf(group)
		for tenant := range tenants {
			e.change(tenant, 1, 0)
		}
		e.leave(group)
		e.spawn(func() { e.startShared(group, tenants) })
	}
}

// shareIn schedules the next dispatch that is not full.
func (e *Engine) shareIn(wait time.Duration) {
	if e.planned {
		return
	}
	e.planned = true
	time.AfterFunc(wait, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.planned = false
		e.share()
	})
}

// next takes the next dispatch's deliveries from those that wait, of the tenants for which may returns true.
func (e *Engine) next(may func(tenant string) bool) []handoff.Work {
	group := e.waiting.take(e.GroupMax, may)
	for _, w := range group {
		if w.Event != nil {
			e.keptBytes -= len(w.Event.Data)
		}
	}
	return group
}

func tenantsOf(group []handoff.Work) map[string]bool {
	tenants := map[string]bool{}
	for i := range group {
		tenants[group[i].Delivery.Tenant] = true
	}
	return tenants
}

// startShared writes the outbox entry of a group and starts it. If the entry cannot be written, the reconciler finds
// the deliveries without a dispatch.
func (e *Engine) startShared(group []handoff.Work, tenants map[string]bool) {
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for tenant := range tenants {
			e.change(tenant, -1, 0)
		}
		e.sharing--
		e.free++
		e.share()
		e.freed()
	}()
	group = slices.DeleteFunc(group, func(w handoff.Work) bool { return !e.owns(w.Delivery.Process) })
	if group = e.sendable(group); len(group) == 0 {
		return
	}
	keys := make([]models.DeliveryKey, len(group))
	for i, w := range group {
		keys[i] = w.Delivery.Key()
	}
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	d, err := e.Outbox.CreateSharedDispatch(ctx, keys)
	cancel()
	if err != nil {
		if e.LetGo != nil { // as soon as the database is back
			e.LetGo()
		}
		e.Log.Warn("shared dispatch not written; the reconciler will", "deliveries", len(group), "error", err)
		return
	}
	e.startHere(&d, group, nil)
	if e.crowdsOut(tenants) {
		_ = pause.For(e.ctx, crowdRest)
	}
}

// crowdRest is how long a crowd's dispatch keeps its place after its start while other tenants publish. Starting them
// as fast as possible would use all of Temporal's CPU.
const crowdRest = 80 * time.Millisecond

// crowdsOut reports whether a dispatch belonged to a crowd, which has more waiting, while another tenant publishes.
func (e *Engine) crowdsOut(tenants map[string]bool) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(tenants) != 1 || e.closing.Load() {
		return false
	}
	for tenant := range tenants {
		if e.waiting.of(tenant) >= e.GroupMax && e.lately.Other(tenant, time.Now()) {
			return true
		}
	}
	return false
}

// sendable returns the deliveries of a group whose webhook is active. The others are being held or canceled: a
// workflow for them would only find that out, and the backlog of a deactivated webhook would start hundreds of
// workflows.
func (e *Engine) sendable(group []handoff.Work) []handoff.Work {
	if e.Sendable == nil {
		return group
	}
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	known := map[string]bool{}
	return slices.DeleteFunc(group, func(w handoff.Work) bool {
		d := &w.Delivery
		is, ok := known[d.WebhookID]
		if !ok {
			is = e.Sendable(ctx, d.Tenant, d.WebhookID)
			known[d.WebhookID] = is
		}
		return !is
	})
}
