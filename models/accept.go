package models

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
)

// How one acceptance can end without being stored, while the others of its group are stored.
var (
	// ErrDuplicateEvent: an event with one of the ids already exists.
	ErrDuplicateEvent = errors.New("models: an event with this id exists")
	// ErrDuplicateExternal: an event with one of the external ids already exists.
	ErrDuplicateExternal = errors.New("models: an event with this external id exists")
	// ErrKeyReused: the idempotency key was used for another request.
	ErrKeyReused = errors.New("models: idempotency key used for another request")
	// ErrStale: the tenant's webhooks or the event types have changed since the events were matched; match them again.
	ErrStale = errors.New("models: webhooks have changed")
)

// Acceptance holds everything that one publish request stores, all of it or nothing.
type Acceptance struct {
	Tenant  string
	Version int64 // of the tenant's webhooks that the events were matched against
	// SharedVersion is the version of the shared event types that the events were checked against; 0 = none of them.
	SharedVersion int64
	Events        []Event
	// Deliveries name the dispatch in Dispatches that drives them, or "" if they wait for a shared one.
	Deliveries []Delivery
	Dispatches []Dispatch
	FanOuts    []FanOut // for events that have no deliveries yet
	Batches    []Batch  // likewise, for several events each
	Key        string   // idempotency key, or ""
	BodyHash   []byte   // SHA-256 of the request, compared if the key is used again
	Answer     string   // the answer if the key is used again
}

// labelsPerRow is how many rows of event_labels cost about as much as one row of another table.
const labelsPerRow = 4

// Rows returns about how many rows the acceptance stores. The weight of a fan-out grows with its members, but slowly.
func (r *Acceptance) Rows() int {
	n, labels := len(r.Events)+len(r.Deliveries), 0
	for i := range r.Events {
		e := &r.Events[i]
		labels += len(e.Attributes) + len(e.Tags) + len(e.Channels)
	}
	n += labels / labelsPerRow
	for _, f := range r.FanOuts {
		n += 1 + len(f.Members)/(100*memberSize)
	}
	for i := range r.Batches {
		n += 1 + (len(r.Batches[i].Events)+len(r.Batches[i].Members)/memberSize)/100
	}
	return n
}

// Accepted is the result of an Acceptance. Replayed says that the key had been used before: nothing was stored, and
// Answer is the first request's.
type Accepted struct {
	Err      error
	Replayed bool
	Answer   string
}

// Accept stores a group of acceptances in one transaction. An acceptance that cannot be stored ends with its own error
// and does not affect the others. After an error it is unknown whether the group is stored.
func (s *Store) Accept(ctx context.Context, group []*Acceptance) ([]Accepted, error) {
	s.noteTraffic()
	tried := s.triesNew(group)
	if tried {
		if results, err := s.acceptNew(ctx, group); !isUndone(err) {
			return results, err
		}
	}
	var results []Accepted
	err := s.Tx(ctx, func(tx *Store) error {
		results = make([]Accepted, len(group))
		a := acceptor{Store: tx, group: group, results: results, first: make([]int, len(group))}
		return a.run(ctx)
	})
	if tried && err == nil {
		s.acceptCarefully.note(s.now(), culprits(group, func(r *Acceptance) string { return r.Tenant },
			func(i int) bool { return results[i] != Accepted{} }))
	}
	return results, err
}

// acceptor is the one transaction of Accept.
type acceptor struct {
	*Store
	group   []*Acceptance
	results []Accepted
	// first[i] is the index of the request in this group that i repeats, i itself if it repeats none.
	first []int
	// versions are those of the tenants, and locked those that are locked until the transaction ends.
	versions, locked map[string]int64
	isNew            bool // everything is to be new: see acceptNew
}

// run takes two round trips or more: what has to be asked, and then what has to be stored, with COMMIT.
func (a *acceptor) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{a.checkVersions, a.claimKeys, a.insertEvents, a.insertLabels, a.insertRest, a.insertFanOuts, a.insertBatches} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for i, first := range a.first {
		if first == i {
			continue
		}
		switch leader := a.group[first]; {
		case !bytes.Equal(leader.BodyHash, a.group[i].BodyHash):
			a.results[i].Err = ErrKeyReused
		case a.results[first].Err != nil:
			a.results[i].Err = a.results[first].Err
		case a.results[first].Replayed:
			a.results[i] = a.results[first]
		default:
			a.results[i] = Accepted{Replayed: true, Answer: leader.Answer}
		}
	}
	return nil
}

// open reports whether request i still has to be stored.
func (a *acceptor) open(i int) bool {
	return a.first[i] == i && a.results[i].Err == nil && !a.results[i].Replayed
}

// gatherOpen collects something from every request that still has to be stored.
func gatherOpen[T any](a *acceptor, of func(*Acceptance) []T) []T {
	var all []T
	for i, request := range a.group {
		if a.open(i) {
			all = append(all, of(request)...)
		}
	}
	return all
}

// checkVersions asks for what refuseStale needs.
func (a *acceptor) checkVersions(ctx context.Context) error {
	tenants, held := map[string]bool{}, map[string]bool{}
	for i, request := range a.group {
		a.first[i] = i
		tenants[request.Tenant] = true
		if request.holds() {
			held[request.Tenant] = true
		}
	}
	a.versions, a.locked = make(map[string]int64, len(tenants)+1), make(map[string]int64, len(held))
	if err := a.tenantVersions(ctx, slices.Sorted(maps.Keys(tenants)), a.versions); err != nil {
		return err
	}
	return a.lockVersions(ctx, slices.Sorted(maps.Keys(held)), a.locked)
}

// refuseStale waits for what has been asked, and ends the requests whose tenant has changed since their events were
// matched. It may be called again.
func (a *acceptor) refuseStale(ctx context.Context) error {
	if err := a.wait(ctx); err != nil {
		return err
	}
	for i, request := range a.group {
		version, ok := a.versions[request.Tenant]
		switch {
		case !a.open(i):
		case !ok:
			a.results[i].Err = ErrNotFound
		case version != request.Version, request.SharedVersion != 0 && request.SharedVersion != a.versions[""],
			request.holds() && a.locked[request.Tenant] != request.Version:
			a.results[i].Err = ErrStale
		}
	}
	return nil
}

// holds reports whether any of the deliveries is held. Then its webhook must not be enabled before they are stored, or
// the release would miss them.
func (r *Acceptance) holds() bool {
	return slices.ContainsFunc(r.Deliveries, func(d Delivery) bool { return d.Status == Held })
}

var deliveryColumns = []column[Delivery]{
	{"tenant", "text", func(d *Delivery) any { return d.Tenant }},
	{"id", "text", func(d *Delivery) any { return d.ID }},
	{"event_id", "text", func(d *Delivery) any { return d.EventID }},
	{"event_type", "text", func(d *Delivery) any { return d.EventType }},
	{"webhook_id", "text", func(d *Delivery) any { return d.WebhookID }},
	{"status", "text", func(d *Delivery) any { return string(d.Status) }},
	{"status_reason", "text", func(d *Delivery) any { return d.StatusReason }},
	{"dispatch_id", "text", func(d *Delivery) any { return d.DispatchID }},
	{"next_attempt_at", "timestamptz", func(d *Delivery) any { return timeAt(d.NextAttemptAt) }},
	{"created_at", "timestamptz", func(d *Delivery) any { return timeOf(d.CreatedAt) }},
	{"process", "bigint", func(d *Delivery) any { return d.holder() }},
}

func (a *acceptor) insertRest(ctx context.Context) error {
	deliveries := gatherOpen(a, func(r *Acceptance) []Delivery { return r.Deliveries })
	err := later(ctx, a.Store, deliveries, deliveryColumns, `INSERT INTO deliveries
		(tenant, id, event_id, event_type, webhook_id, status, status_reason, attempts, failures, generation, dispatch_id, next_attempt_at, created_at, process)
		SELECT tenant, id, event_id, event_type, webhook_id, status, status_reason, 0, 0, 0, dispatch_id, next_attempt_at, created_at, NULLIF(process, 0) FROM v`, nil)
	if err != nil {
		return err
	}
	err = a.insertDispatches(ctx, gatherOpen(a, func(r *Acceptance) []Dispatch { return r.Dispatches }))
	if err != nil {
		return err
	}
	return a.appendStats(ctx, a.stats())
}

// stats counts what has been stored.
func (a *acceptor) stats() statDeltas {
	counted := statDeltas{}
	for i, request := range a.group {
		if !a.open(i) {
			continue
		}
		for e := range request.Events {
			event := &request.Events[e]
			counted.at(event.CreatedAt, request.Tenant, "", event.Type).Events++
		}
		for d := range request.Deliveries {
			delivery := &request.Deliveries[d]
			counted.owed(delivery.CreatedAt, delivery)
		}
	}
	return counted
}
