package engine

import (
	"context"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// leftover is what first attempts without a workflow have left over of one event or batch.
type leftover struct {
	dispatchID string // as recorded on what was attempted and not received
	work       []handoff.Work
	begun      *begun // nil = the attempts could not be made
}

// leftovers of one tenant share a workflow.
type leftovers struct {
	all        []leftover
	deliveries int
	started    chan struct{} // closed when they are handed over
}

// leaving gives leftovers to workflows that they share, by tenant: what keeps one tenant's rows locked keeps nobody
// else's. The zero value is ready.
type leaving struct {
	mu   sync.Mutex
	next map[string]*leftovers // those that take more
}

// shareLeft gives what first attempts have left over to a workflow that other events of the tenant share: their retries
// fall due together. It returns when that is done, so that the room of the attempts is kept until then.
func (e *Engine) shareLeft(l leftover) {
	r := l.begun.round
	ended := r.Failed + r.Held + r.Canceled + r.Superseded
	if ended > len(r.NotDelivered) { // not all of them are known
		e.handOver(l)
		return
	}
	<-e.joinLeft(l, len(r.Left(0))+ended).started
}

// joinLeft adds n deliveries of a leftover to those that its tenant's other events leave over.
func (e *Engine) joinLeft(l leftover, n int) *leftovers {
	tenant := l.work[0].Delivery.Tenant
	e.leaving.mu.Lock()
	defer e.leaving.mu.Unlock()
	if next := e.leaving.next[tenant]; next != nil && next.deliveries+n > e.GroupMax {
		e.startLeft(tenant, next)
	}
	next := e.leaving.next[tenant]
	if next == nil {
		next = &leftovers{started: make(chan struct{})}
		if e.leaving.next == nil {
			e.leaving.next = map[string]*leftovers{}
		}
		e.leaving.next[tenant] = next
		time.AfterFunc(e.untilGathered(), func() { e.closeLeft(tenant, next) })
	}
	next.all, next.deliveries = append(next.all, l), next.deliveries+n
	if next.deliveries == e.GroupMax || e.closing.Load() {
		e.startLeft(tenant, next)
	}
	return next
}

// closeLeft starts the workflow of leftovers whose time has come, unless it has started.
func (e *Engine) closeLeft(tenant string, l *leftovers) {
	e.leaving.mu.Lock()
	defer e.leaving.mu.Unlock()
	if e.leaving.next[tenant] == l {
		e.startLeft(tenant, l)
	}
}

// closeAllLeft starts the workflows of all leftovers.
func (e *Engine) closeAllLeft() {
	e.leaving.mu.Lock()
	defer e.leaving.mu.Unlock()
	for tenant, l := range e.leaving.next {
		e.startLeft(tenant, l)
	}
}

// startLeft starts the workflow of leftovers that took more until now. The lock must be held.
func (e *Engine) startLeft(tenant string, l *leftovers) {
	delete(e.leaving.next, tenant)
	if e.ctx.Err() != nil {
		close(l.started)
		return
	}
	e.spawn(func() {
		defer close(l.started)
		e.handOver(l.all...)
	})
}

// handOver starts one workflow for leftovers. Deliveries that ended, such as failed ones, need no outbox entry. The
// workflow shows them; that of a single event has its name, and shows its received ones, too.
func (e *Engine) handOver(all ...leftover) {
	d, b, several := models.Dispatch{ID: all[0].dispatchID}, all[0].begun, len(all) > 1
	if several {
		d.ID, b = models.NewID(models.PrefixDispatch), made(together(all))
	}
	var left, ended []models.Delivery
	for _, l := range all {
		waits, ends := l.parts()
		for i := range l.work {
			delivery := l.work[i].Delivery
			delivery.DispatchID = l.dispatchID
			status, isEnded := ends[delivery.ID]
			switch {
			case l.begun == nil || waits[delivery.ID]:
				left = append(left, delivery)
			case several && !isEnded:
				continue
			case several && status != workflows.Superseded:
				delivery.Status = models.DeliveryStatus(status)
				ended = append(ended, delivery)
			}
			d.Deliveries, d.Owed = append(d.Deliveries, delivery.Key()), append(d.Owed, delivery)
		}
	}
	if len(left)+len(ended) > 0 {
		written, err := e.writeLeft(d.ID, left, ended)
		if err != nil {
			e.Log.Warn("dispatch not written; the reconciler will", "dispatch", d.ID, "deliveries", len(left), "error", err)
			return
		}
		d.Process = written.Process
	}
	e.enqueue(launch{dispatch: &d, begun: b})
}

// parts returns which deliveries wait for another attempt, and the status of those that ended and were not received.
func (l *leftover) parts() (waits map[string]bool, ends map[string]string) {
	waits, ends = map[string]bool{}, map[string]string{}
	if r := l.begun.result(); r != nil {
		for _, left := range r.Left(0) {
			waits[left.Delivery] = true
		}
		for i := range r.NotDelivered {
			ends[r.NotDelivered[i].Delivery] = r.NotDelivered[i].Status
		}
	}
	return waits, ends
}

// together returns the result of the first attempts of several leftovers, without received deliveries. Its waits begin now.
func together(all []leftover) *workflows.Round {
	sum := &workflows.Round{}
	for _, l := range all {
		r := l.begun.round
		sum.Waiting = append(sum.Waiting, r.Left(time.Since(l.begun.at))...)
		sum.Failed += r.Failed
		sum.Held += r.Held
		sum.Canceled += r.Canceled
		sum.Superseded += r.Superseded
		sum.Stopped += r.Stopped
		sum.NotDelivered = append(sum.NotDelivered, r.NotDelivered...)
	}
	return sum
}

// writeFor and writeEvery are for how long, and how often, writing the dispatch of leftover deliveries is tried while
// the database is away. After that others find them overdue.
const (
	writeFor   = time.Minute
	writeEvery = 2 * time.Second
)

// writeLeft writes the dispatch of the deliveries that first attempts have left over. ended only get its name.
func (e *Engine) writeLeft(dispatchID string, left, ended []models.Delivery) (models.Dispatch, error) {
	for first := time.Now(); ; {
		ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
		d, err := e.Outbox.HandOver(ctx, dispatchID, left, ended)
		cancel()
		if err == nil || e.closing.Load() || time.Since(first) > writeFor {
			return d, err
		}
		if pause.For(e.ctx, writeEvery) != nil {
			return d, err
		}
	}
}
