package models

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
)

var eventColumns = []column[Event]{
	{"tenant", "text", func(e *Event) any { return e.Tenant }},
	{"id", "text", func(e *Event) any { return e.ID }},
	{"type", "text", func(e *Event) any { return e.Type }},
	{"data", "bytea", func(e *Event) any { return e.Data }},
	{"attributes", "text", func(e *Event) any { return jsonText(e.Attributes) }},
	{"created_at", "timestamptz", func(e *Event) any { return timeOf(e.CreatedAt) }},
}

// labelledColumns are the columns of events if some of them have an external id, channels, tags or a time at which
// their data is erased. Otherwise events are stored without these columns, at no extra cost.
var labelledColumns = append(slices.Clone(eventColumns),
	column[Event]{"external_id", "text", func(e *Event) any { return e.ExternalID }},
	column[Event]{"channels", "text", func(e *Event) any { return listText(e.Channels) }},
	column[Event]{"tags", "text", func(e *Event) any { return listText(e.Tags) }},
	column[Event]{"data_until", "timestamptz", func(e *Event) any { return timeAt(e.DataUntil) }})

// batchColumn is another one, if some have a batch.
var batchColumn = column[Event]{"batch_id", "text", func(e *Event) any { return e.BatchID }}

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
	if err := a.refuseStale(ctx); err != nil { // their claims are undone
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
	err := later(ctx, a.Store, dropped, labelColumns[:3], `DELETE FROM event_labels
		WHERE (tenant, event_id, label) IN (SELECT tenant, event_id, label FROM v)`, nil)
	if err != nil {
		return err
	}
	err = later(ctx, a.Store, undo, eventColumns[:2], `DELETE FROM events WHERE (tenant, id) IN (SELECT tenant, id FROM v)`, nil)
	if err != nil {
		return err
	}
	if err := a.insert(ctx, again, nil); err != nil {
		return err
	}
	return later(ctx, a.Store, kept, labelColumns, labelStatement, nil)
}

// insert stores events whose ids are free, later. scan is called with the tenant and the id of each stored one. If the
// acceptor's events are to be new, an id that is not free is an error instead.
func (a *acceptor) insert(ctx context.Context, events []Event, scan func(scanner) error) error {
	columns, more, values := eventColumns, "", ""
	if slices.ContainsFunc(events, func(e Event) bool { return e.ExternalID != "" || len(e.Channels)+len(e.Tags) > 0 || e.DataUntil != nil }) {
		columns, more, values = labelledColumns, ", external_id, channels, tags, data_until", ", NULLIF(external_id, ''), NULLIF(channels, ''), NULLIF(tags, ''), data_until"
	}
	if slices.ContainsFunc(events, func(e Event) bool { return e.BatchID != "" }) {
		columns, more, values = append(slices.Clone(columns), batchColumn), more+", batch_id", values+", NULLIF(batch_id, '')"
	}
	statement := "INSERT INTO events (tenant, id, type, data, attributes, created_at" + more + `)
	SELECT tenant, id, type, data, attributes, created_at` + values + ` FROM v WHERE true
	ON CONFLICT (tenant, id) DO NOTHING RETURNING tenant, id`
	if a.isNew {
		statement = demand(statement)
	}
	return later(ctx, a.Store, events, columns, statement, scan)
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
	sortEvents(events)
	return a.insert(ctx, events, func(row scanner) error {
		var key DeliveryKey
		err := row.Scan(&key.Tenant, &key.ID)
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
	sortLabels(labels)
	return bulk(ctx, a.Store, labels, labelColumns, labelStatement+" RETURNING tenant, label", func(rows *sql.Rows) error {
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

func sortEvents(events []Event) {
	slices.SortFunc(events, func(x, y Event) int {
		return cmp.Or(strings.Compare(x.Tenant, y.Tenant), strings.Compare(x.ID, y.ID))
	})
}
