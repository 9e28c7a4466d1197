package engine

import (
	"context"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// unshownMost is how many shared workflows of received deliveries may wait for Temporal. Beyond that Temporal is slower
// than the crowd, and first attempts wait for their workflows.
const unshownMost = 8

// shown is a workflow that deliveries of several events share, and that starts when they have been received. It has
// nothing left to do: it shows them.
type shown struct {
	id        string
	received  []models.Delivery
	joined    int
	recording int  // joined, and not recorded yet
	closed    bool // no more join it
}

// showing gives received deliveries to the workflows that show them. The zero value is ready.
type showing struct {
	mu        sync.Mutex
	next      *shown // takes deliveries; nil = none does
	unstarted int    // complete ones that Temporal does not have yet
}

// ReserveAheadShared is ReserveDirect for events of a crowd, if Temporal answers and keeps up. StartAheadShared or
// ReleaseDirect must follow.
func (e *Engine) ReserveAheadShared(ctx context.Context, work []handoff.Work) (process int64, ok bool) {
	e.showing.mu.Lock()
	slow := e.showing.unstarted >= unshownMost
	e.showing.mu.Unlock()
	if slow {
		return 0, false
	}
	return e.ReserveAhead(ctx, work)
}

// StartAheadShared is StartDirect for a crowd. Received deliveries get workflows too. All share them with other events.
func (e *Engine) StartAheadShared(dispatchID string, work []handoff.Work) {
	e.startDirect(dispatchID, work, false, e.show)
}

// show is a handoff.Show: it returns the dispatch whose workflow will show a delivery.
func (e *Engine) show(d *models.Delivery) (dispatchID string, recorded func(delivered bool)) {
	s := &e.showing
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		fresh := &shown{id: models.NewID(models.PrefixDispatch)}
		s.next = fresh
		time.AfterFunc(e.untilGathered(), func() { e.closeShown(fresh) })
	}
	to := s.next
	to.joined++
	to.recording++
	if to.joined == e.GroupMax || e.closing.Load() {
		s.close()
	}
	return to.id, func(delivered bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		to.recording--
		if delivered {
			to.received = append(to.received, *d)
		}
		e.startShown(to)
	}
}

// closeShown closes a workflow whose time has come. nil = the one that takes deliveries.
func (e *Engine) closeShown(which *shown) {
	s := &e.showing
	s.mu.Lock()
	defer s.mu.Unlock()
	if next := s.next; next != nil && (which == nil || which == next) {
		s.close()
		e.startShown(next)
	}
}

// close closes the workflow that takes deliveries. The lock must be held.
func (s *showing) close() {
	s.next.closed = true
	s.next = nil
}

// settled notes that a workflow has started, or never will.
func (s *showing) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unstarted--
}

// startShown starts a workflow if it is closed and all of its deliveries are recorded. The lock must be held.
func (e *Engine) startShown(s *shown) {
	if !s.closed || s.recording > 0 || len(s.received) == 0 || e.ctx.Err() != nil {
		return
	}
	e.showing.unstarted++
	e.spawn(func() {
		d := &models.Dispatch{ID: s.id, Owed: s.received}
		for i := range s.received {
			d.Deliveries = append(d.Deliveries, s.received[i].Key())
		}
		b := made(&workflows.Round{Delivered: len(s.received)})
		b.settled = e.showing.settled
		e.enqueue(launch{dispatch: d, begun: b})
	})
}
