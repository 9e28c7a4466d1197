package models

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
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

// Acceptance is what one publish request stores, all of it or nothing.
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
// and does not affect the others. The returned error means that nothing at all was stored.
func (s *Store) Accept(ctx context.Context, group []*Acceptance) ([]Accepted, error) {
	s.noteTraffic()
	var results []Accepted
	err := s.Tx(ctx, func(tx *Store) error {
		results = make([]Accepted, len(group))
		a := acceptor{Store: tx, group: group, results: results, first: make([]int, len(group))}
		return a.run(ctx)
	})
	return results, err
}

// acceptor is the one transaction of Accept.
type acceptor struct {
	*Store
	group   []*Acceptance
	results []Accepted
	// first[i] is the index of the request in this group that i repeats, i itself if it repeats none.
	first []int
}

func (a *acceptor) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{a.checkVersions, a.claimKeys, a.insertEvents, a.insertLabels, a.insertRest, a.insertFanOuts} {
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

// checkVersions ends the requests whose tenant has changed since their events were matched.
func (a *acceptor) checkVersions(ctx context.Context) error {
	tenants, held := map[string]bool{}, map[string]bool{}
	for _, request := range a.group {
		tenants[request.Tenant] = true
		if request.holds() {
			held[request.Tenant] = true
		}
	}
	versions, err := a.TenantVersions(ctx, sortedKeys(tenants))
	if err != nil {
		return err
	}
	locked, err := a.lockVersions(ctx, sortedKeys(held))
	if err != nil {
		return err
	}
	for i, request := range a.group {
		a.first[i] = i
		version, ok := versions[request.Tenant]
		switch {
		case !ok:
			a.results[i].Err = ErrNotFound
		case version != request.Version, request.SharedVersion != 0 && request.SharedVersion != versions[""],
			request.holds() && locked[request.Tenant] != request.Version:
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

type idempotencyKey struct {
	tenant, key, answer string
	hash                []byte
	at                  *time.Time
	index               int
}

var keyColumns = []column[idempotencyKey]{
	{"tenant", "text", func(k *idempotencyKey) any { return k.tenant }},
	{"key", "text", func(k *idempotencyKey) any { return k.key }},
	{"body_hash", "bytea", func(k *idempotencyKey) any { return k.hash }},
	{"answer", "text", func(k *idempotencyKey) any { return k.answer }},
	{"created_at", "timestamptz", func(k *idempotencyKey) any { return k.at }},
}

// claimKeys stores the new idempotency keys, and settles the requests whose keys are not new.
func (a *acceptor) claimKeys(ctx context.Context) error {
	now := timeOf(a.now())
	leaders := map[string]idempotencyKey{}
	for i, request := range a.group {
		if request.Key == "" || !a.open(i) {
			continue
		}
		id := request.Tenant + "\x00" + request.Key
		if leader, ok := leaders[id]; ok {
			a.first[i] = leader.index
			continue
		}
		leaders[id] = idempotencyKey{request.Tenant, request.Key, request.Answer, request.BodyHash, now, i}
	}
	if len(leaders) == 0 {
		return nil
	}
	keys := make([]idempotencyKey, 0, len(leaders))
	for _, id := range sortedKeys(leaders) { // always in the same order, so that no two groups can deadlock
		keys = append(keys, leaders[id])
	}
	fresh := map[string]bool{}
	err := bulk(ctx, a.Store, keys, keyColumns, `INSERT INTO idempotency_keys (tenant, key, body_hash, answer, created_at)
		SELECT tenant, key, body_hash, answer, created_at FROM v WHERE true
		ON CONFLICT (tenant, key) DO NOTHING RETURNING tenant, key`, func(rows *sql.Rows) error {
		var tenant, key string
		err := rows.Scan(&tenant, &key)
		fresh[tenant+"\x00"+key] = true
		return err
	})
	if err != nil || len(fresh) == len(leaders) {
		return err
	}
	return bulk(ctx, a.Store, keys, keyColumns, `SELECT k.tenant, k.key, k.body_hash, k.answer FROM idempotency_keys k
		JOIN v ON v.tenant = k.tenant AND v.key = k.key`, func(rows *sql.Rows) error {
		var seen idempotencyKey
		if err := rows.Scan(&seen.tenant, &seen.key, &seen.hash, &seen.answer); err != nil {
			return err
		}
		id := seen.tenant + "\x00" + seen.key
		if fresh[id] {
			return nil
		}
		i := leaders[id].index
		if !bytes.Equal(seen.hash, a.group[i].BodyHash) {
			a.results[i].Err = ErrKeyReused
		} else {
			a.results[i] = Accepted{Replayed: true, Answer: seen.answer}
		}
		return nil
	})
}

var eventColumns = []column[Event]{
	{"tenant", "text", func(e *Event) any { return e.Tenant }},
	{"id", "text", func(e *Event) any { return e.ID }},
	{"type", "text", func(e *Event) any { return e.Type }},
	{"data", "bytea", func(e *Event) any { return e.Data }},
	{"attributes", "text", func(e *Event) any { return jsonText(e.Attributes) }},
	{"created_at", "timestamptz", func(e *Event) any { return timeOf(e.CreatedAt) }},
}

// labelledColumns are the columns of events if some of them have an external id, channels or tags. Otherwise events
// are stored without these columns, at no extra cost.
var labelledColumns = append(slices.Clone(eventColumns),
	column[Event]{"external_id", "text", func(e *Event) any { return e.ExternalID }},
	column[Event]{"channels", "text", func(e *Event) any { return listText(e.Channels) }},
	column[Event]{"tags", "text", func(e *Event) any { return listText(e.Tags) }})

// listText returns a list as JSON, "" if it is empty.
func listText(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return jsonText(values)
}

// insertEvents stores the events. A request gets ErrDuplicateEvent or ErrDuplicateExternal if any of its ids or
// external ids is taken, and nothing of it is stored. If requests of the group share an id, the second is refused only
// if the first is stored. One statement claims all ids, then one all external ids, always in the same order, so that
// no two groups can deadlock.
func (a *acceptor) insertEvents(ctx context.Context) error {
	claims := map[DeliveryKey]*Event{} // the row that claims the name: the first one of the group
	claimed := map[DeliveryKey]bool{}  // the names that were free until then
	a.want(claims, func(e *Event) (DeliveryKey, bool) { return keyOf(e), true })
	if err := a.claimEvents(ctx, claims, claimed); err != nil {
		return err
	}
	a.want(claims, func(e *Event) (DeliveryKey, bool) { return externalOf(e), e.ExternalID != "" && claimed[keyOf(e)] })
	if err := a.claimExternals(ctx, claims, claimed); err != nil {
		return err
	}
	owners := a.settleEvents(claimed)
	var undo, again []Event // the claimed rows to remove, and those that replace them
	var dropped, kept []eventLabel
	for name := range claimed {
		claim, owner := claims[name], owners[name]
		switch {
		case isExternal(name) && owner != claim:
			dropped = append(dropped, claim.externalLabel())
		case !isExternal(name) && owner != claim:
			undo = append(undo, *claim)
			if owner != nil {
				again = append(again, *owner)
			}
		}
		if isExternal(name) && owner != nil {
			kept = append(kept, owner.externalLabel())
		}
	}
	if len(undo)+len(dropped) > 0 {
		if err := a.settle(ctx, undo, again, dropped, kept); err != nil {
			return err
		}
	}
	return a.dropKeys(ctx)
}

// want records the first event of the group for each name.
func (a *acceptor) want(claims map[DeliveryKey]*Event, nameOf func(*Event) (name DeliveryKey, ok bool)) {
	for i, request := range a.group {
		if !a.open(i) {
			continue
		}
		for e := range request.Events {
			if name, ok := nameOf(&request.Events[e]); ok && claims[name] == nil {
				claims[name] = &request.Events[e]
			}
		}
	}
}

// settle undoes the claims of refused requests, and stores the events that replace them. Removing an event removes its
// labels, even if another takes its id; so the remaining external ids are stored once more.
func (a *acceptor) settle(ctx context.Context, undo, again []Event, dropped, kept []eventLabel) error {
	err := bulk(ctx, a.Store, dropped, labelColumns[:3], `DELETE FROM event_labels
		WHERE (tenant, event_id, label) IN (SELECT tenant, event_id, label FROM v)`, nil)
	if err != nil {
		return err
	}
	err = bulk(ctx, a.Store, undo, eventColumns[:2], `DELETE FROM events WHERE (tenant, id) IN (SELECT tenant, id FROM v)`, nil)
	if err != nil {
		return err
	}
	if err := a.insert(ctx, again, nil); err != nil {
		return err
	}
	return bulk(ctx, a.Store, kept, labelColumns, insertLabels, nil)
}

// insert stores events whose ids are free. scan is called with the tenant and the id of each stored one.
func (a *acceptor) insert(ctx context.Context, events []Event, scan func(*sql.Rows) error) error {
	columns, more, values := eventColumns, "", ""
	if slices.ContainsFunc(events, func(e Event) bool { return e.ExternalID != "" || len(e.Channels)+len(e.Tags) > 0 }) {
		columns, more, values = labelledColumns, ", external_id, channels, tags", ", NULLIF(external_id, ''), NULLIF(channels, ''), NULLIF(tags, '')"
	}
	return bulk(ctx, a.Store, events, columns, "INSERT INTO events (tenant, id, type, data, attributes, created_at"+more+`)
	SELECT tenant, id, type, data, attributes, created_at`+values+` FROM v WHERE true
	ON CONFLICT (tenant, id) DO NOTHING RETURNING tenant, id`, scan)
}

func keyOf(e *Event) DeliveryKey { return DeliveryKey{Tenant: e.Tenant, ID: e.ID} }

// externalMark is the prefix of external ids among the names of events. No event id contains it.
const externalMark = "\x00"

// externalOf returns the event's external id as a name of events.
func externalOf(e *Event) DeliveryKey {
	return DeliveryKey{Tenant: e.Tenant, ID: externalMark + e.ExternalID}
}

func isExternal(name DeliveryKey) bool { return strings.HasPrefix(name.ID, externalMark) }

func (e *Event) externalLabel() eventLabel { return e.label(labelExternal, "", e.ExternalID) }

// claimEvents stores the rows that claim an id, and records the ids that were free before.
func (a *acceptor) claimEvents(ctx context.Context, claims map[DeliveryKey]*Event, claimed map[DeliveryKey]bool) error {
	events := make([]Event, 0, len(claims))
	for name, e := range claims {
		if !isExternal(name) {
			events = append(events, *e)
		}
	}
	slices.SortFunc(events, func(x, y Event) int {
		return cmp.Or(strings.Compare(x.Tenant, y.Tenant), strings.Compare(x.ID, y.ID))
	})
	return a.insert(ctx, events, func(rows *sql.Rows) error {
		var key DeliveryKey
		err := rows.Scan(&key.Tenant, &key.ID)
		claimed[key] = true
		return err
	})
}

// claimExternals does the same for external ids, for events whose rows claimEvents has stored.
func (a *acceptor) claimExternals(ctx context.Context, claims map[DeliveryKey]*Event, claimed map[DeliveryKey]bool) error {
	var labels []eventLabel
	names := map[string]DeliveryKey{}
	for name, e := range claims {
		if isExternal(name) {
			l := e.externalLabel()
			labels, names[l.tenant+string(l.label)] = append(labels, l), name
		}
	}
	slices.SortFunc(labels, func(x, y eventLabel) int {
		return cmp.Or(strings.Compare(x.tenant, y.tenant), bytes.Compare(x.label, y.label))
	})
	return bulk(ctx, a.Store, labels, labelColumns, insertLabels+" RETURNING tenant, label", func(rows *sql.Rows) error {
		var tenant string
		var label []byte
		err := rows.Scan(&tenant, &label)
		claimed[names[tenant+string(label)]] = true
		return err
	})
}

// settleEvents assigns each claimed name to the first request that can have all of its names, and refuses the others.
func (a *acceptor) settleEvents(claimed map[DeliveryKey]bool) map[DeliveryKey]*Event {
	owners := make(map[DeliveryKey]*Event, len(claimed))
	for i, request := range a.group {
		if !a.open(i) {
			continue
		}
		own := make(map[DeliveryKey]*Event, len(request.Events))
		take := func(name DeliveryKey, e *Event) bool {
			free := claimed[name] && owners[name] == nil && own[name] == nil
			own[name] = e
			return free
		}
		for k := range request.Events {
			e := &request.Events[k]
			if !take(keyOf(e), e) {
				a.results[i].Err = ErrDuplicateEvent
				break
			}
			if e.ExternalID != "" && !take(externalOf(e), e) {
				a.results[i].Err = ErrDuplicateExternal
				break
			}
		}
		if a.results[i].Err == nil {
			maps.Copy(owners, own)
		}
	}
	return owners
}

func isDuplicate(err error) bool {
	return errors.Is(err, ErrDuplicateEvent) || errors.Is(err, ErrDuplicateExternal)
}

// dropKeys removes the idempotency keys of requests that were refused as duplicates: only a success is repeated.
func (a *acceptor) dropKeys(ctx context.Context) error {
	var keys []idempotencyKey
	for i, request := range a.group {
		if request.Key != "" && a.first[i] == i && isDuplicate(a.results[i].Err) {
			keys = append(keys, idempotencyKey{tenant: request.Tenant, key: request.Key})
		}
	}
	return bulk(ctx, a.Store, keys, keyColumns[:2], `DELETE FROM idempotency_keys WHERE (tenant, key) IN (SELECT tenant, key FROM v)`, nil)
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

var dispatchColumns = []column[Dispatch]{
	{"id", "text", func(d *Dispatch) any { return d.ID }},
	{"deliveries", "text", func(d *Dispatch) any { return jsonText(d.Deliveries) }},
	{"created_at", "timestamptz", func(d *Dispatch) any { return timeOf(d.CreatedAt) }},
	{"process", "bigint", func(d *Dispatch) any { return d.Process }},
}

func (a *acceptor) insertRest(ctx context.Context) error {
	deliveries := gatherOpen(a, func(r *Acceptance) []Delivery { return r.Deliveries })
	err := bulk(ctx, a.Store, deliveries, deliveryColumns, `INSERT INTO deliveries
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

// insertDispatches stores dispatches that their deliveries name. One may be named after its event: the entry of an
// earlier event with that name, which went with its tenant, may still exist.
func (s *Store) insertDispatches(ctx context.Context, dispatches []Dispatch) error {
	return bulk(ctx, s, dispatches, dispatchColumns, `INSERT INTO dispatches (id, deliveries, created_at, checked_at, process, claimed)
		SELECT id, deliveries, v.created_at, created_at, NULLIF(process, 0), true FROM v WHERE true ON CONFLICT (id) DO UPDATE SET
		deliveries = excluded.deliveries, created_at = excluded.created_at, checked_at = excluded.checked_at,
		process = excluded.process, claimed = true`, nil)
}

// ForgetKeys removes up to limit idempotency keys older than before.
func (s *Store) ForgetKeys(ctx context.Context, before time.Time, limit int) (int64, error) {
	result := s.db.WithContext(ctx).Exec(`DELETE FROM idempotency_keys WHERE (tenant, key) IN (
		SELECT tenant, key FROM idempotency_keys WHERE created_at < ? LIMIT ?)`, before.UTC(), limit)
	return result.RowsAffected, result.Error
}
