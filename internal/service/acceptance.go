package service

import (
	"context"
	"slices"
	"strconv"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

// acceptance is one publish call in progress: what it stores, and what starts after that.
type acceptance struct {
	service   *Service
	request   *models.Acceptance
	published []Published
	work      map[string][]handoff.Work // by dispatch
	waiting   []handoff.Work            // waiting for a shared dispatch
	reserved  bool
	ahead     bool              // first attempts before the workflow starts
	direct    []handoff.Work    // first attempts without a workflow, or before one that others share
	directID  string            // the id of the dispatch for those of them that are not received
	process   int64             // the process id that holds them
	members   map[string][]byte // webhooks of fan-outs and batches, by event type and channels
	reached   int               // deliveries of the fan-outs
	later     bool              // deliveries of these events wait in the database
	sets      map[string]int    // the index of each batch in the request, by event type and channels
}

// plan decides what will drive the deliveries. With Retries this process makes the first attempts if it can do so at
// once. Otherwise every event gets its own workflow while start slots are free, and this process makes the first
// attempts before that starts, if it can do so at once. If no slot is free, the deliveries share workflows with others:
// this process makes the first attempts before those start, if it can do so at once. If not, the deliveries wait in
// memory for a shared workflow. False = there is no room to wait.
func (a *acceptance) plan(ctx context.Context, r PublishRequest) bool {
	s := a.service
	pending, n := a.pending()
	share, few := s.GroupMax > 1, n > 0 && n <= a.most()
	if s.Retries && few && (share || len(pending) == 1) && a.planDirect(ctx, r, s.Engine.ReserveDirect) {
		return true
	}
	// A batch of many events would take many slots at once, so it shares from the beginning.
	own := n > 0 && (!share || len(pending) == 1) && s.Engine.Reserve(ctx, a.request.Tenant, !share)
	a.reserved = own
	switch {
	case n == 0 || own:
	case !share:
		return false
	case !s.Retries && few && a.planDirect(ctx, r, s.Engine.ReserveAheadShared):
		return true
	case !s.Engine.Admit(ctx, a.request.Tenant, n):
		return false
	}
	a.process = s.Store.ProcessID()
	if own && !s.Retries && few && len(pending) == 1 {
		_, work := a.owed()
		if process, ok := s.Engine.ReserveAhead(ctx, work); ok {
			a.process, a.ahead = process, true
		}
	}
	a.assign(r, pending, own)
	return true
}

// pending returns the indexes of the deliveries to attempt, by event id, and their number.
func (a *acceptance) pending() (indexes map[string][]int, n int) {
	indexes = map[string][]int{}
	for i, d := range a.request.Deliveries {
		if d.Status == models.Pending {
			indexes[d.EventID] = append(indexes[d.EventID], i)
			n++
		}
	}
	return indexes, n
}

// assign gives the pending deliveries of each event to its own workflow, or has them wait for a shared one.
func (a *acceptance) assign(r PublishRequest, pending map[string][]int, own bool) {
	a.work = map[string][]handoff.Work{}
	for i := range a.request.Events {
		e := &a.request.Events[i]
		published := Published{ID: e.ID}
		for _, k := range pending[e.ID] {
			a.request.Deliveries[k].Process = a.process
		}
		if own && len(pending[e.ID]) > 0 {
			published.WorkflowID = a.service.Engine.WorkflowID(a.dispatch(e, r.Events[i].ID != "", pending[e.ID]))
		} else {
			for _, k := range pending[e.ID] {
				a.waiting = append(a.waiting, handoff.Work{Delivery: a.request.Deliveries[k], Event: e})
			}
		}
		a.published = append(a.published, published)
	}
}

// planDirect lets this process make the first attempts right after the commit, if it can do so at once. The deliveries
// name no dispatch: one is written for those that are not received.
func (a *acceptance) planDirect(ctx context.Context, r PublishRequest, reserve func(context.Context, []handoff.Work) (int64, bool)) bool {
	indexes, work := a.owed()
	process, ok := reserve(ctx, work)
	if !ok {
		return false
	}
	for i, k := range indexes {
		a.request.Deliveries[k].Process, work[i].Delivery.Process = process, process
	}
	a.direct, a.directID = work, models.NewID(models.PrefixDispatch)
	if work[0].Event == work[len(work)-1].Event {
		i := slices.IndexFunc(a.request.Events, func(e models.Event) bool { return e.ID == work[0].Event.ID })
		a.directID = nameOf(work[0].Event, r.Events[i].ID != "")
	}
	for i := range a.request.Events {
		a.published = append(a.published, Published{ID: a.request.Events[i].ID})
	}
	return true
}

// owed returns the deliveries to attempt, with their indexes.
func (a *acceptance) owed() (indexes []int, work []handoff.Work) {
	event := 0 // deliveries are in the order of their events
	for k := range a.request.Deliveries {
		d := &a.request.Deliveries[k]
		if d.Status != models.Pending {
			continue
		}
		for a.request.Events[event].ID != d.EventID {
			event++
		}
		indexes, work = append(indexes, k), append(work, handoff.Work{Delivery: *d, Event: &a.request.Events[event]})
	}
	return indexes, work
}

// nameOf returns the id of an event's own dispatch. Another tenant may have chosen the same event id, so a chosen id
// gets the tenant's id in front.
func nameOf(e *models.Event, chosen bool) string {
	if chosen {
		return e.Tenant + "/" + e.ID
	}
	return e.ID
}

// most returns the largest number of deliveries in a dispatch.
func (a *acceptance) most() int {
	if a.service.GroupMax > 1 {
		return a.service.GroupMax
	}
	return models.MaxDispatch
}

// dispatch gives an event its own workflows, and returns the id of the first.
func (a *acceptance) dispatch(e *models.Event, chosen bool, deliveries []int) string {
	name, most := nameOf(e, chosen), a.most()
	for part := 0; len(deliveries) > 0; part++ {
		id := name
		if part > 0 {
			id += "/part-" + strconv.Itoa(part+1)
		}
		n := min(len(deliveries), most)
		d := models.Dispatch{ID: id, CreatedAt: e.CreatedAt, CheckedAt: e.CreatedAt, Process: a.process}
		for _, k := range deliveries[:n] {
			delivery := &a.request.Deliveries[k]
			delivery.DispatchID = id
			d.Deliveries = append(d.Deliveries, delivery.Key())
			a.work[id] = append(a.work[id], handoff.Work{Delivery: *delivery, Event: e})
		}
		a.request.Dispatches = append(a.request.Dispatches, d)
		deliveries = deliveries[n:]
	}
	return name
}

// start starts what has been stored.
func (a *acceptance) start() {
	engine := a.service.Engine
	switch {
	case len(a.direct) > 0 && a.service.Retries:
		engine.StartDirect(a.directID, a.direct)
	case len(a.direct) > 0:
		engine.StartAheadShared(a.directID, a.direct)
	case a.ahead:
		d := &a.request.Dispatches[0]
		engine.StartAhead(a.request.Tenant, d, a.work[d.ID])
	case a.reserved:
		engine.Start(a.request.Tenant, a.request.Dispatches, a.work)
	}
	if len(a.waiting) > 0 {
		engine.Queue(a.waiting)
	}
}

// abandon releases what was reserved for deliveries that were not stored.
func (a *acceptance) abandon() {
	engine := a.service.Engine
	if len(a.direct) > 0 {
		engine.ReleaseDirect(a.direct)
	}
	if a.ahead {
		engine.ReleaseDirect(a.work[a.request.Dispatches[0].ID])
	}
	if a.reserved {
		engine.Release(a.request.Tenant)
	}
	if len(a.waiting) > 0 {
		engine.Withdraw(a.request.Tenant, len(a.waiting))
	}
}
