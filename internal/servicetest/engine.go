package servicetest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

var _ service.Engine = (*Engine)(nil)

// Engine starts nothing and remembers the requests to it. The zero value has start slots and room for everything. It is
// safe for concurrent use.
type Engine struct {
	mu                  sync.Mutex
	busy, full, crowded bool
	reserved            int
	admitted            int
	dispatches          []models.Dispatch
	queued              []handoff.Work
	woken               []string
	recoveries          []string
	paused              map[string]bool
	at                  int64 // the process that makes first attempts outside of workflows; 0 = none does
	room                int   // taken for them
	direct              map[string][]handoff.Work
	shared              map[string][]handoff.Work
	ahead               []string
}

// SetDirect says that this process makes first attempts outside of workflows, and holds them under an id.
func (e *Engine) SetDirect(process int64) { e.locked(func() { e.at = process }) }

// Direct returns the work to attempt without workflows, and the room that is taken and not used. The key is the
// dispatch that drives the deliveries that are not received.
func (e *Engine) Direct() (all map[string][]handoff.Work, room int) {
	e.locked(func() { all, room = maps.Clone(e.direct), e.room })
	return all, room
}

// ReserveDirect implements service.Engine.
func (e *Engine) ReserveDirect(_ context.Context, work []handoff.Work) (process int64, ok bool) {
	e.locked(func() {
		if process = e.at; process != 0 {
			e.room += len(work)
		}
	})
	return process, process != 0
}

// ReleaseDirect implements service.Engine.
func (e *Engine) ReleaseDirect(work []handoff.Work) { e.locked(func() { e.room -= len(work) }) }

// StartDirect implements service.Engine.
func (e *Engine) StartDirect(dispatchID string, work []handoff.Work) {
	e.start(&e.direct, dispatchID, work)
}

func (e *Engine) start(list *map[string][]handoff.Work, dispatchID string, work []handoff.Work) {
	e.locked(func() {
		e.room -= len(work)
		if *list == nil {
			*list = map[string][]handoff.Work{}
		}
		(*list)[dispatchID] = work
	})
}

// AheadShared returns the work to attempt before workflows that events share. The key is the dispatch that drives the
// deliveries that are not received.
func (e *Engine) AheadShared() (all map[string][]handoff.Work) {
	e.locked(func() { all = maps.Clone(e.shared) })
	return all
}

// ReserveAheadShared implements service.Engine.
func (e *Engine) ReserveAheadShared(ctx context.Context, work []handoff.Work) (process int64, ok bool) {
	return e.ReserveDirect(ctx, work)
}

// StartAheadShared implements service.Engine.
func (e *Engine) StartAheadShared(dispatchID string, work []handoff.Work) {
	e.start(&e.shared, dispatchID, work)
}

// ReserveAhead implements service.Engine.
func (e *Engine) ReserveAhead(ctx context.Context, work []handoff.Work) (process int64, ok bool) {
	return e.ReserveDirect(ctx, work)
}

// StartAhead implements service.Engine.
func (e *Engine) StartAhead(tenant string, d *models.Dispatch, work []handoff.Work) {
	e.locked(func() { e.ahead = append(e.ahead, d.ID) })
	e.ReleaseDirect(work)
	e.Start(tenant, []models.Dispatch{*d}, nil)
}

// Ahead returns the dispatches whose first attempts are made before their workflow starts.
func (e *Engine) Ahead() (ids []string) {
	e.locked(func() { ids = slices.Clone(e.ahead) })
	return ids
}

// Pause says that a dispatch is paused in Temporal.
func (e *Engine) Pause(dispatchID string) {
	e.locked(func() {
		if e.paused == nil {
			e.paused = map[string]bool{}
		}
		e.paused[dispatchID] = true
	})
}

// Paused implements service.Engine.
func (e *Engine) Paused(_ context.Context, dispatchID, _ string) (paused bool) {
	e.locked(func() { paused = e.paused[dispatchID] })
	return paused
}

// PausedDispatches implements worker.Engine.
func (e *Engine) PausedDispatches(context.Context) (all map[string]bool, _ error) {
	e.locked(func() { all = maps.Clone(e.paused) })
	return all, nil
}

// SetBusy says that no start slot is free. Accepted events then wait for a shared dispatch.
func (e *Engine) SetBusy(busy bool) { e.locked(func() { e.busy = busy }) }

// SetCrowded says that much waits already, so that the deliveries of batches wait in the database.
func (e *Engine) SetCrowded(crowded bool) { e.locked(func() { e.crowded = crowded }) }

// SetFull says that there is no room to wait either, as after a long busy time. Publishing is then Unavailable.
func (e *Engine) SetFull(full bool) { e.locked(func() { e.full, e.busy = full, full }) }

// Dispatches returns the dispatches that were started or launched, in that order.
func (e *Engine) Dispatches() (all []models.Dispatch) {
	e.locked(func() { all = slices.Clone(e.dispatches) })
	return all
}

// Queued returns the work that waits for a shared dispatch.
func (e *Engine) Queued() (all []handoff.Work) {
	e.locked(func() { all = slices.Clone(e.queued) })
	return all
}

// Woken returns the webhooks whose health workflow was woken.
func (e *Engine) Woken() (ids []string) {
	e.locked(func() { ids = slices.Clone(e.woken) })
	return ids
}

// Recoveries returns the recoveries that were started.
func (e *Engine) Recoveries() (ids []string) {
	e.locked(func() { ids = slices.Clone(e.recoveries) })
	return ids
}

// Outstanding returns the start slots and the room that were taken and not given back or used.
func (e *Engine) Outstanding() (slots, room int) {
	e.locked(func() { slots, room = e.reserved, e.admitted })
	return slots, room
}

func (e *Engine) locked(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
}

// Reserve implements service.Engine.
func (e *Engine) Reserve(context.Context, string, bool) (ok bool) {
	e.locked(func() {
		if ok = !e.busy; ok {
			e.reserved++
		}
	})
	return ok
}

// Release implements service.Engine.
func (e *Engine) Release(string) { e.locked(func() { e.reserved-- }) }

// Start implements service.Engine.
func (e *Engine) Start(_ string, dispatches []models.Dispatch, _ map[string][]handoff.Work) {
	e.locked(func() {
		e.reserved--
		e.dispatches = append(e.dispatches, dispatches...)
	})
}

// Launch implements service.Engine.
func (e *Engine) Launch(dispatches ...models.Dispatch) {
	e.locked(func() { e.dispatches = append(e.dispatches, dispatches...) })
}

// LaunchWait implements worker.Engine.
func (e *Engine) LaunchWait(_ context.Context, dispatches ...models.Dispatch) (started int) {
	e.Launch(dispatches...)
	return len(dispatches)
}

// Admit implements service.Engine.
func (e *Engine) Admit(_ context.Context, _ string, n int) (ok bool) {
	e.locked(func() {
		if ok = !e.full; ok {
			e.admitted += n
		}
	})
	return ok
}

// Withdraw implements service.Engine.
func (e *Engine) Withdraw(_ string, n int) { e.locked(func() { e.admitted -= n }) }

// Later implements service.Engine.
func (e *Engine) Later(string) (later bool) {
	e.locked(func() { later = e.crowded })
	return later
}

// LaterPage implements worker.BatchEngine.
func (*Engine) LaterPage() int { return models.BatchRows }

// AdmitLater implements worker.BatchEngine.
func (e *Engine) AdmitLater(tenant string, n int) bool {
	return e.Admit(context.Background(), tenant, n)
}

// Queue implements service.Engine.
func (e *Engine) Queue(work []handoff.Work) {
	e.locked(func() {
		e.admitted -= len(work)
		e.queued = append(e.queued, work...)
	})
}

// WakeHealth implements service.Engine.
func (e *Engine) WakeHealth(webhookID string) {
	e.locked(func() { e.woken = append(e.woken, webhookID) })
}

// StartRecovery implements service.Engine.
func (e *Engine) StartRecovery(recoveryID string) {
	e.locked(func() { e.recoveries = append(e.recoveries, recoveryID) })
}

// WorkflowID implements service.Engine.
func (e *Engine) WorkflowID(dispatchID string) string { return "deliver/" + dispatchID }

// RecoveryID implements service.Engine.
func (e *Engine) RecoveryID(recoveryID string) string { return "recover/" + recoveryID }

// WorkflowURL implements service.Engine.
func (e *Engine) WorkflowURL(workflowID string, _ *time.Time) string {
	return "http://ui.test/workflows/" + workflowID
}
