package engine

import (
	"context"
	"slices"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

// admitFor is how long a caller waits for room. Then it gets an error that asks it to come back later.
const admitFor = 5 * time.Second

// Bounds of shared dispatches.
const (
	// sharedPerCore is how many shared dispatches are on their way at once. While they are the next gathers what
	// arrives: more of them would be smaller, and wait for each other. sharedLeast is for a single core. sharedKept are
	// there in addition, for tenants with nothing on its way.
	sharedPerCore = 1
	sharedLeast   = 2
	sharedKept    = 1
	// shareEvery is the least time between two shared dispatches that are not full: what arrives meanwhile goes together.
	shareEvery = 40 * time.Millisecond
	// keepBytes bounds the event data that waits in memory for a shared dispatch. Data beyond that is read from the database
	// when its turn comes.
	keepBytes = 32 << 20
)

// Admit waits for room for n deliveries of a tenant to wait in. While Temporal is away there is always room: nothing
// waits then.
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

// tenantMost is the most deliveries of one tenant that may wait: a quarter of the room is for others.
func (e *Engine) tenantMost() int { return max(1, e.MaxWaiting-e.MaxWaiting/4) }

// roomFor reports whether there is room for n more deliveries of a tenant. A request of one that has none waiting may be
// larger than the tenant's part: it counts as that.
func (e *Engine) roomFor(tenant string, n int) bool {
	has := e.loadOf(tenant).admitted
	if has > 0 && has+n > e.tenantMost() {
		return false
	}
	return e.admitted == 0 || e.admitted+e.counted(has+n)-e.counted(has) <= e.MaxWaiting
}

// counted is what a tenant's deliveries count in the room of all.
func (e *Engine) counted(n int) int { return min(n, e.tenantMost()) }

// admit changes how many deliveries of a tenant wait.
func (e *Engine) admit(tenant string, n int) {
	has := e.loadOf(tenant).admitted
	e.admitted += e.counted(has+n) - e.counted(has)
	e.change(tenant, 0, n)
}

// Withdraw gives back the room of n deliveries of a tenant.
func (e *Engine) Withdraw(tenant string, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.admit(tenant, -n)
	e.freed()
}

// leave gives back the room of deliveries that wait no longer.
func (e *Engine) leave(group []handoff.Work) {
	for i := range group {
		e.admit(group[i].Delivery.Tenant, -1)
	}
	e.freed()
	e.Metrics.Waiting.Set(float64(e.waiting.len()))
}

// Queue lets admitted deliveries wait for the next shared dispatch. While Temporal is away they are left to the reconciler.
func (e *Engine) Queue(work []handoff.Work) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isAway() {
		e.gave()
		e.leave(work)
		return
	}
	for _, w := range work {
		if e.keptBytes+len(w.Event.Data) > keepBytes {
			w.Event = nil
		} else {
			e.keptBytes += len(w.Event.Data)
		}
		e.waiting.add(w)
	}
	e.share()
}

// share gives free slots groups of what waits: a full one at once, any other when it is time, or there will be no more.
func (e *Engine) share() {
	for e.ctx.Err() == nil && e.waiting.len() > 0 {
		var may func(tenant string) bool // all
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

// shareIn plans the next dispatch that is not full.
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

// next takes what a dispatch may have of what waits of the tenants that may be served.
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

// startShared writes the outbox entry of a group and starts it. If the entry cannot be written, the reconciler finds the
// deliveries without a dispatch.
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
		if e.LetGo != nil { // as soon as the database is there again
			e.LetGo()
		}
		e.Log.Warn("shared dispatch not written; the reconciler will", "deliveries", len(group), "error", err)
		return
	}
	e.startHere(&d, group, nil)
	if e.crowdsOut(tenants) {
		select {
		case <-time.After(crowdRest):
		case <-e.ctx.Done():
		}
	}
}

// crowdRest is how long a crowd's dispatch keeps its place after its start while other tenants publish. Starting them as
// fast as they go would take every processor that Temporal has.
const crowdRest = 80 * time.Millisecond

// crowdsOut reports whether a dispatch was a crowd's own, of which more waits, while another tenant publishes.
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

// sendable returns those of a group whose webhook is active. The others are being held or canceled: a workflow for them
// would find out just that, and a backlog of a webhook that has been deactivated would start hundreds.
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
