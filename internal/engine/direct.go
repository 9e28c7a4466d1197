package engine

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// First makes first attempts without a workflow, or before it starts.
type First interface {
	// AtOnce reports whether the first attempts of deliveries can be made now, without waiting.
	AtOnce(ctx context.Context, work []handoff.Work) bool
	// Direct makes them, and records each as it ends. Deliveries that are not received get the dispatch with this id,
	// which the caller writes and starts. Those that are received get the one that show returns; none if it is nil.
	Direct(ctx context.Context, dispatchID string, work []handoff.Work, show handoff.Show) (workflows.Round, error)
	// Ahead makes those of a dispatch whose workflow has not started yet. If that asks for them later, it gets the same
	// result.
	Ahead(ctx context.Context, dispatchID string, work []handoff.Work) (workflows.Round, error)
}

// way is one of the ways of First to make first attempts.
type way func(ctx context.Context, dispatchID string, work []handoff.Work) (workflows.Round, error)

// The bounds of first attempts outside of workflows that are in flight or about to be. Workflows make those beyond.
const (
	directMost  = 4096 // deliveries
	directBytes = 64 << 20
)

// directLoad counts the first attempts outside of workflows.
type directLoad struct {
	deliveries int
	bytes      int           // bytes of event data
	ended      chan struct{} // closed when none is left; nil = nobody waits for that
}

// size returns the size of the deliveries' event data. Deliveries of one event must be adjacent.
func size(work []handoff.Work) (bytes int) {
	var last *models.Event
	for i := range work {
		if e := work[i].Event; e != last {
			bytes += len(e.Data)
			last = e
		}
	}
	return bytes
}

// ReserveDirect takes room to make the first attempts of a tenant's deliveries in this process without a workflow, if
// that is possible without waiting. process is the id under which to hold them. StartDirect or ReleaseDirect must
// follow.
func (e *Engine) ReserveDirect(ctx context.Context, work []handoff.Work) (process int64, ok bool) {
	if e.First == nil || e.closing.Load() {
		return 0, false
	}
	process, ok = e.Posting()
	if !ok || !e.First.AtOnce(ctx, work) {
		return 0, false
	}
	n, bytes := len(work), size(work)
	e.mu.Lock()
	defer e.mu.Unlock()
	tenant := work[0].Delivery.Tenant
	has := e.loadOf(tenant)
	if e.direct.deliveries+n > directMost || e.direct.bytes+bytes > directBytes ||
		has.direct+n > ofTenant(directMost) || has.bytes+bytes > ofTenant(directBytes) {
		return 0, false
	}
	e.lately.Note(tenant, time.Now())
	e.takeDirect(tenant, n, bytes)
	return process, true
}

// ReleaseDirect returns the room.
func (e *Engine) ReleaseDirect(work []handoff.Work) {
	n, bytes := len(work), size(work)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.takeDirect(work[0].Delivery.Tenant, -n, -bytes)
	if e.direct.deliveries == 0 && e.direct.ended != nil {
		close(e.direct.ended)
		e.direct.ended = nil
	}
}

// takeDirect changes the room that a tenant has taken. The lock must be held.
func (e *Engine) takeDirect(tenant string, n, bytes int) {
	e.direct.deliveries += n
	e.direct.bytes += bytes
	l := e.loads[tenant]
	l.direct += n
	l.bytes += bytes
	e.setLoad(tenant, l)
}

// ofTenant returns one tenant's part of a bound: a quarter is for others.
func ofTenant(most int) int { return most - most/4 }

// StartDirect makes the first attempts of stored deliveries, and starts the workflow of those that were not received. Above
// an everyday rate of events, several share it. No dispatch drives them until then: if this process ends before, others
// find them by its id.
func (e *Engine) StartDirect(dispatchID string, work []handoff.Work) {
	e.mu.Lock()
	own := e.GroupMax == 1 || e.everyday(work[0].Delivery.Tenant)
	e.mu.Unlock()
	e.startDirect(dispatchID, work, own, nil)
}

// startDirect is StartDirect. own says that what is left over gets its own workflow. What is received gets the dispatch that
// show returns; none if it is nil.
func (e *Engine) startDirect(dispatchID string, work []handoff.Work, own bool, show handoff.Show) {
	e.spawn(func() {
		defer e.ReleaseDirect(work)
		round, ours := e.makeFirst(work[0].Delivery.Process, dispatchID, work, func(ctx context.Context, dispatchID string, work []handoff.Work) (workflows.Round, error) {
			return e.First.Direct(ctx, dispatchID, work, show)
		})
		switch {
		case !ours:
		case round == nil:
			e.handOver(leftover{dispatchID, work, nil})
		case round.Delivered == len(work):
		case own:
			e.handOver(leftover{dispatchID, work, made(round)})
		default:
			e.shareLeft(leftover{dispatchID, work, made(round)})
		}
	})
}

// makeFirst makes first attempts that this process holds under an id, in one of the ways of First. A nil round means
// that their workflow makes them. ours is false if others do: they have taken them over while this process was
// suspended, or do because it ends.
func (e *Engine) makeFirst(process int64, dispatchID string, work []handoff.Work, way way) (round *workflows.Round, ours bool) {
	if !e.owns(process) {
		return nil, false
	}
	r, err := way(e.ctx, dispatchID, work)
	switch {
	case e.ctx.Err() != nil: // they were cut off
		return nil, false
	case err != nil:
		e.Log.Warn("first attempts not made; their workflow makes them", "dispatch", dispatchID, "error", err)
		return nil, true
	}
	return &r, true
}

// FinishDirect waits for the first attempts outside of workflows that are in flight, and reports whether they ended
// before ctx.
func (e *Engine) FinishDirect(ctx context.Context) bool {
	e.mu.Lock()
	if e.direct.deliveries == 0 {
		e.mu.Unlock()
		return true
	}
	if e.direct.ended == nil {
		e.direct.ended = make(chan struct{})
	}
	ended := e.direct.ended
	e.mu.Unlock()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}
