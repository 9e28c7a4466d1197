package delivery

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// job is one attempt to make.
type job struct {
	dispatchID string
	delivery   models.Delivery
	readAt     time.Time
	event      *models.Event
	events     *feed      // where event is read from when it is needed
	known      Leftover   // what is known from before; zero before the first attempt
	of         *Remainder // of the dispatch; nil if the caller removes its outbox row
	first      bool
	show       handoff.Show // nil = dispatchID drives it; otherwise that drives it only if it is not received

	receiver *service.Receiver // as it was last read
	lookedAt time.Time
	slot     time.Time     // the time reserved at its webhook's rate
	moment   time.Duration // how long it may wait for that
	patience time.Duration // how long it may wait for a POST slot
	ticket   *Ticket       // of a first attempt under the cap
	held     []func()      // what it has taken: a place at the webhook, a POST slot
	why      ended         // why it is set aside
}

// leave releases what the job has taken. A second call does nothing.
func (j *job) leave() {
	for _, leave := range j.held {
		leave()
	}
	j.held = nil
	if j.ticket != nil {
		j.ticket.Drop()
		j.ticket = nil
	}
}

// onDesk returns jobs for deliveries that this process has just accepted and holds in memory. It returns nil if there
// are none, or if others may have taken them over: the database then says what is left.
func (c *Courier) onDesk(dispatchID string) []*job {
	work := c.Desk.Take(dispatchID)
	if c.Owns != nil && slices.ContainsFunc(work, func(w handoff.Work) bool { return !c.Owns(w.Delivery.Process) }) {
		return nil
	}
	var jobs []*job
	for _, w := range work {
		jobs = append(jobs, &job{dispatchID: dispatchID, delivery: w.Delivery, event: w.Event})
	}
	return jobs
}

// load reads a dispatch's deliveries from the outbox, without their events: those that are left, and how the others
// ended. If the dispatch's row is gone, it returns neither.
func (c *Courier) load(ctx context.Context, in FirstInput) (jobs []*job, ends []Ended, err error) {
	p, err := c.Store.Dispatch(ctx, in.DispatchID)
	if errors.Is(err, models.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	deliveries, err := c.Store.DeliveriesByID(ctx, p.Deliveries)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range deliveries {
		if d.LeftOf(in.DispatchID) {
			jobs = append(jobs, &job{dispatchID: in.DispatchID, delivery: d, readAt: c.Now()})
			continue
		}
		generation := d.Generation
		if d.DispatchID != in.DispatchID && d.DispatchID != "" {
			generation = -1 // none belongs to this dispatch
		}
		end, reason := endOf(&d, generation)
		ends = append(ends, asEnded(nil, &d, &Leftover{}, end, reason))
	}
	return jobs, ends, nil
}

// readMany reads the deliveries of a batch, without their events, and counts those that have ended.
func (b *batch) readMany(ctx context.Context, in ManyInput) ([]*job, error) {
	keys := make([]models.DeliveryKey, len(in.Deliveries))
	known := make(map[models.DeliveryKey]Leftover, len(in.Deliveries))
	for i, l := range in.Deliveries {
		keys[i] = models.DeliveryKey{Tenant: l.Tenant, ID: l.Delivery}
		known[keys[i]] = l
	}
	readAt := b.Now()
	deliveries, err := b.Store.DeliveriesByID(ctx, keys)
	if err != nil {
		return nil, err
	}
	var jobs []*job
	for _, d := range deliveries {
		l := known[d.Key()]
		delete(known, d.Key())
		if end, reason := endOf(&d, l.Generation); end != "" {
			b.sum.end(asEnded(nil, &d, &l, end, reason))
			continue
		}
		j := &job{dispatchID: in.DispatchID, delivery: d, readAt: readAt, known: l, moment: capWait, patience: slotWait}
		if l.Kind == AtRate { // the batch was called for the first of several times
			j.moment = aheadMost + PacedFor
		}
		jobs = append(jobs, j)
	}
	for _, key := range keys { // deliveries that are not found have ended, too
		if l, missing := known[key]; missing {
			b.sum.end(asEnded(nil, &models.Delivery{Tenant: key.Tenant, ID: key.ID, Attempts: l.Number - 1}, &l, Canceled, reasonRemoved))
			delete(known, key)
		}
	}
	return jobs, nil
}

// current reads the delivery if its generation is still the known one; otherwise it returns how the delivery has
// ended.
func (c *Courier) current(ctx context.Context, tenant, id string, generation int) (d *models.Delivery, end ended, err error) {
	row, err := c.Store.Delivery(ctx, tenant, id)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return nil, ended{end: Canceled, reason: reasonRemoved}, nil
	case err != nil:
		return nil, ended{}, err
	}
	if end, reason := endOf(&row, generation); end != "" {
		return nil, ended{end: end, reason: reason}, nil
	}
	return &row, ended{}, nil
}
