package models

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Event is something that happened, as it was posted. Data holds the exact bytes of the post, and is nil once erased.
type Event struct {
	Tenant     string
	ID         string
	Type       string
	Data       []byte
	Attributes map[string]string `gorm:"serializer:json;not null"`
	ExternalID string            // the caller's own id, unique in the tenant; "" = none
	Channels   []string          `gorm:"serializer:json"` // a webhook with channels gets it if it shares one
	Tags       []string          `gorm:"serializer:json"` // only for searching
	CreatedAt  time.Time
	BatchID    string     // the batch from which its deliveries followed; "" = none
	DataUntil  *time.Time // its data is erased then; nil = it is kept as long as the event
	ErasedAt   *time.Time
	// FanningOut says that some of its deliveries do not exist yet. It is read with single events and with lists.
	FanningOut bool `gorm:"-"`
}

// Event reads one event.
func (s *Store) Event(ctx context.Context, tenant, id string) (Event, error) {
	var e shownEvent
	err := s.db.WithContext(ctx).Table("events").Select(eventShown+", events.data").Take(&e, "tenant = ? AND id = ?", tenant, id).Error
	return e.event(), found(err)
}

// EventFilter filters a list of events; zero values do not. Since is inclusive, Until exclusive.
type EventFilter struct {
	Type         string
	Types        []string // one of them
	Since, Until time.Time
	ExternalID   string
	Tag, Channel string
	Attribute    *Attribute
	// IDs are the ids of the events that may be listed, at most a batch; nil = all. IDsOf is the caller's name for
	// them.
	IDs   []string
	IDsOf string
}

// Attribute is an attribute of an event.
type Attribute struct{ Name, Value string }

// labels returns the labels to search by, the most selective first.
func (f *EventFilter) labels() [][]byte {
	var labels [][]byte
	if f.ExternalID != "" {
		labels = append(labels, labelOf(labelExternal, "", f.ExternalID))
	}
	if f.Attribute != nil {
		labels = append(labels, labelOf(labelAttribute, f.Attribute.Name, f.Attribute.Value))
	}
	if f.Tag != "" {
		labels = append(labels, labelOf(labelTag, "", f.Tag))
	}
	if f.Channel != "" {
		labels = append(labels, labelOf(labelChannel, "", f.Channel))
	}
	return labels
}

// cursors returns the cursors of the list of a tenant's events that the filter selects.
func (f *EventFilter) cursors(tenant string) cursors {
	c := cursorsOf(listEvents, append([]string{tenant, f.Type, boundText(f.Since), boundText(f.Until)}, f.Types...)...)
	if f.IDs == nil && len(f.labels()) == 0 { // unchanged since before labels existed
		return c
	}
	attribute := Attribute{}
	if f.Attribute != nil {
		attribute = *f.Attribute
	}
	return append(c, f.ExternalID, f.Tag, f.Channel, attribute.Name, attribute.Value, f.IDsOf)
}

// eventShown selects the columns of events in lists: all except the data, and whether all deliveries exist.
var eventShown = `events.tenant, events.id, events.type, events.attributes, events.external_id, events.channels, events.tags,
	events.created_at, events.data_until, events.erased_at,
	` + isUnmade("events") + ` AS fanning_out`

// shownEvent is an event read with eventShown.
type shownEvent struct {
	Event `gorm:"embedded"`

	StillFanningOut bool `gorm:"column:fanning_out"`
}

func (e *shownEvent) event() Event {
	e.FanningOut = e.StillFanningOut
	return e.Event
}

// parseMark returns where a page of events begins; nil = it is the first.
func (c cursors) parseMark(p Page) (*Mark, error) {
	key, err := p.begin(c, 2)
	if err != nil || key == nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339Nano, key[0])
	if err != nil {
		return nil, ErrBadCursor
	}
	return &Mark{At: at, ID: key[1]}, nil
}

func (c cursors) nextEvent(e *Event) string { return c.next(e.listKey()...) }

// behindMark is the cursor behind a mark in a list of events.
func (c cursors) behindMark(m *Mark) string { return c.next(markText(m.At), m.ID) }

// Events lists a tenant's events without their data, newest first, or in reverse. Where several parts of the filter have to be
// looked at for each event, a page looks at lookedMost: it may be short, or empty, and have a next one.
func (s *Store) Events(ctx context.Context, tenant string, f EventFilter, p Page) ([]Event, string, error) {
	cursors := f.cursors(tenant)
	after, err := cursors.parseMark(p)
	if err != nil {
		return nil, "", err
	}
	if f.IDs != nil {
		rows, err := s.eventsAmong(ctx, tenant, f, p, after)
		rows, next := cut(rows, p.Limit, func(e Event) string { return cursors.nextEvent(&e) })
		return rows, next, err
	}
	if f.Type == "" && len(f.Types) == 1 {
		f.Type, f.Types = f.Types[0], nil
	}
	var rows []Event
	var end *Mark
	if f.isOnePart() {
		rows, err = showEvents(s.eventsLike(ctx, tenant, f, p, after).Limit(p.Limit + 1))
	} else {
		rows, end, err = lookFirst(s, p, s.eventSources(ctx, tenant, &f, p, after), noFew, func(from int, looked *gorm.DB) ([]Event, error) {
			return showEvents(s.eventsOf(ctx, &f, p, from, looked))
		})
	}
	if err != nil {
		return nil, "", err
	}
	rows, next := cutAt(rows, p.Limit, end, func(e Event) string { return cursors.nextEvent(&e) }, cursors.behindMark)
	return rows, next, nil
}

// showEvents reads the events of a query without their data.
func showEvents(q *gorm.DB) (rows []Event, err error) {
	var shown []shownEvent
	err = q.Select(eventShown).Find(&shown).Error
	for i := range shown {
		rows = append(rows, shown[i].event())
	}
	return rows, err
}

// isOnePart reports whether one index has exactly the events that the filter keeps.
func (f *EventFilter) isOnePart() bool {
	parts := len(f.labels())
	if f.Type != "" {
		parts++
	}
	return parts <= 1 && len(f.Types) == 0
}

// The keys of a list of events, in the table of labels and in their own.
var (
	labelKey = listKey{at: "l.created_at", id: "l.event_id"}
	eventKey = listKey{at: "events.created_at", id: "events.id"}
)

// eventsWith narrows a query of what has the key to the window of the filter and the page.
func (f *EventFilter) eventsWith(q *gorm.DB, k listKey, p Page, after *Mark) *gorm.DB {
	if !f.Since.IsZero() {
		q = q.Where(k.at+" >= ?", Bound(f.Since))
	}
	if !f.Until.IsZero() {
		q = q.Where(k.at+" < ?", Bound(f.Until))
	}
	return k.behind(q, p, after)
}

// labelled is the query of the labels of the filter's window that are one label.
func (s *Store) labelled(ctx context.Context, tenant string, label []byte, f *EventFilter, p Page, after *Mark) *gorm.DB {
	q := s.db.WithContext(ctx).Table("event_labels AS l").Where("l.tenant = ? AND l.label = ?", tenant, label)
	return f.eventsWith(q, labelKey, p, after)
}

// ofType is the query of the events of the filter's window that have its type; all, if it names none.
func (s *Store) ofType(ctx context.Context, tenant string, f *EventFilter, p Page, after *Mark) *gorm.DB {
	q := s.db.WithContext(ctx).Table("events").Where("events.tenant = ?", tenant)
	if f.Type != "" {
		q = q.Where("events.type = ?", f.Type)
	}
	return f.eventsWith(q, eventKey, p, after)
}

const joinLabelled = "JOIN events ON events.tenant = l.tenant AND events.id = l.event_id"

// eventsLike is the query of Events for a filter of one part: along the index of the label, or of the type, or of all events.
func (s *Store) eventsLike(ctx context.Context, tenant string, f EventFilter, p Page, after *Mark) *gorm.DB {
	if labels := f.labels(); len(labels) > 0 {
		return labelKey.sorted(s.labelled(ctx, tenant, labels[0], &f, p, after).Joins(joinLabelled), p)
	}
	return eventKey.sorted(s.ofType(ctx, tenant, &f, p, after), p)
}

// eventSources are the indexes that have the events of a filter of several parts: those of its labels, in their order, and that of its
// type.
func (s *Store) eventSources(ctx context.Context, tenant string, f *EventFilter, p Page, after *Mark) (sources []source) {
	for _, label := range f.labels() {
		sources = append(sources, source{s.labelled(ctx, tenant, label, f, p, after), labelKey})
	}
	if f.Type != "" || len(sources) == 0 {
		sources = append(sources, source{s.ofType(ctx, tenant, f, p, after), eventKey})
	}
	return sources
}

// eventsOf is the query of the page's events that the filter keeps, among those looked at of the source with this number.
func (s *Store) eventsOf(ctx context.Context, f *EventFilter, p Page, chosen int, looked *gorm.DB) *gorm.DB {
	labels := f.labels()
	columns := "events.tenant, events.id AS event_id, events.created_at"
	if chosen < len(labels) {
		columns = "l.tenant, l.event_id, l.created_at"
	}
	db := s.db.WithContext(ctx)
	kept := db.Table("(?) AS l", looked.Select(columns))
	for i, label := range labels {
		if i != chosen {
			kept = hasLabel(kept, "l.tenant", "l.event_id", label)
		}
	}
	// A look for each event, as an IN or an EXISTS may read all that there are of a type or a label.
	is := "(SELECT 1 FROM events e WHERE e.tenant = l.tenant AND e.id = l.event_id AND "
	if f.Type != "" && chosen < len(labels) {
		kept = kept.Where(is+"e.type = ?) IS NOT NULL", f.Type)
	}
	if len(f.Types) > 0 {
		types, among := s.oneOf("e.type", f.Types)
		kept = kept.Where(is+types+") IS NOT NULL", among)
	}
	kept = labelKey.sorted(kept, p).Select("l.tenant, l.event_id, l.created_at").Limit(p.Limit + 1)
	return labelKey.sorted(db.Table("(?) AS l", kept).Joins(joinLabelled), p)
}

// eventsAmong reads the events with the filter's ids, which are few, and returns those that match the rest of it.
func (s *Store) eventsAmong(ctx context.Context, tenant string, f EventFilter, p Page, after *Mark) ([]Event, error) {
	keys := keysOf(tenant, f.IDs)
	direction := -1
	if p.Reverse {
		direction = 1
	}
	var all []Event
	err := bulk(ctx, s, keys, rowKeyColumns, "SELECT "+eventShown+" FROM v JOIN events ON events.tenant = v.tenant AND events.id = v.id", func(rows *sql.Rows) error {
		var shown shownEvent
		if err := s.db.ScanRows(rows, &shown); err != nil {
			return err
		}
		e := shown.event()
		if f.keeps(&e) && (after == nil || direction*e.compare(after.At, after.ID) > 0) {
			all = append(all, e)
		}
		return nil
	})
	slices.SortFunc(all, func(x, y Event) int {
		return direction * x.compare(y.CreatedAt, y.ID)
	})
	return all, err
}

// compare returns the event's place relative to a time and id in a list of events, oldest first.
func (e *Event) compare(at time.Time, id string) int {
	return cmp.Or(e.CreatedAt.Compare(at), strings.Compare(e.ID, id))
}

// keeps reports whether the event matches the filter.
func (f *EventFilter) keeps(e *Event) bool {
	switch {
	case f.Type != "" && e.Type != f.Type, len(f.Types) > 0 && !slices.Contains(f.Types, e.Type), !f.Since.IsZero() && e.CreatedAt.Before(Bound(f.Since)),
		!f.Until.IsZero() && !e.CreatedAt.Before(Bound(f.Until)), f.ExternalID != "" && e.ExternalID != f.ExternalID,
		f.Tag != "" && !slices.Contains(e.Tags, f.Tag), f.Channel != "" && !slices.Contains(e.Channels, f.Channel):
		return false
	case f.Attribute == nil:
		return true
	}
	value, ok := e.Attributes[f.Attribute.Name]
	return ok && value == f.Attribute.Value
}

// KeyAnswer returns the answer to the request that used a tenant's idempotency key. ErrNotFound if there is none, or
// the key has expired.
func (s *Store) KeyAnswer(ctx context.Context, tenant, key string) (string, error) {
	var k struct{ Answer string }
	err := s.db.WithContext(ctx).Table("idempotency_keys").Select("answer").Where("tenant = ? AND key = ?", tenant, key).Take(&k).Error
	return k.Answer, found(err)
}

// listKey returns the sort key of an event in Events.
func (e *Event) listKey() []string { return []string{markText(e.CreatedAt), e.ID} }

// BehindEvent returns the sort key of an event in Events, for a Page that starts after it. ErrNotFound if the event
// does not exist.
func (s *Store) BehindEvent(ctx context.Context, tenant, id string) ([]string, error) {
	var e Event
	err := s.db.WithContext(ctx).Select("created_at", "id").Take(&e, "tenant = ? AND id = ?", tenant, id).Error
	return e.listKey(), found(err)
}

// ReasonErased is recorded on the deliveries of an erased event that have not been received. No recovery releases
// them.
const ReasonErased = "payload erased"

// EraseEvent removes the event's data and attributes and keeps its record; from then on nothing of it is sent. One job
// cancels its unfinished deliveries, and another removes receivers' answers to its attempts.
func (s *Store) EraseEvent(ctx context.Context, tenant, id string) error {
	var jobs []string
	err := s.Tx(ctx, func(tx *Store) error {
		var e Event
		if err := found(tx.forUpdate(tx.db.WithContext(ctx)).Omit("data").Take(&e, "tenant = ? AND id = ?", tenant, id).Error); err != nil {
			return err
		}
		var err error
		if jobs, err = tx.eraseEvent(ctx, &e); err != nil || e.ErasedAt != nil {
			return err
		}
		return tx.audit(ctx, tenant, AuditEventErased, AuditTarget{"event", id}, nil)
	})
	if err == nil {
		for _, job := range jobs {
			s.follow(ctx, job)
		}
	}
	return err
}

// eraseEvent erases a locked event, and adds the jobs that follow.
func (s *Store) eraseEvent(ctx context.Context, e *Event) (jobs []string, err error) {
	err = s.db.WithContext(ctx).Exec("UPDATE events SET data = NULL, attributes = 'null', erased_at = COALESCE(erased_at, ?) WHERE tenant = ? AND id = ?",
		s.now(), e.Tenant, e.ID).Error
	if err != nil {
		return nil, err
	}
	if err := s.dropAttributeLabels(ctx, []Event{*e}); err != nil {
		return nil, err
	}
	for _, job := range []Job{{Kind: jobErase, Reason: ReasonErased}, {Kind: jobBlank}} {
		job.Tenant, job.EventID = e.Tenant, e.ID
		id, err := s.addJob(ctx, job)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, id)
	}
	return jobs, nil
}

// EraseDue erases the data of a page of the events whose DataUntil has come, as EraseEvent does. n is how many events; more reports
// whether there may be another page. It may run in several processes: an event that is locked is left to the next page.
func (s *Store) EraseDue(ctx context.Context) (n int, more bool, err error) {
	var jobs []string
	err = s.Tx(ctx, func(tx *Store) error {
		n, more, jobs = 0, false, nil
		most := tx.pageRows()
		q := tx.db.WithContext(ctx).Select("tenant", "id", "attributes").Order("data_until").Limit(most/eventWeight).
			Where("data_until <= ? AND data_until IS NOT NULL AND erased_at IS NULL", tx.now()) // the predicate of an index
		if tx.postgres {
			q = q.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate, Options: clause.LockingOptionsSkipLocked})
		}
		var due []Event
		if err := q.Find(&due).Error; err != nil || len(due) == 0 {
			return err
		}
		more = len(due) == most/eventWeight
		for {
			weight, err := tx.erasureWeight(ctx, due, most)
			switch {
			case err != nil:
				return err
			case weight <= most:
				n = len(due)
				_, err := tx.eraseBatch(ctx, &Erasure{}, &Job{most: most}, due, "", "", false)
				return err
			case len(due) == 1:
				n = 1
				jobs, err = tx.eraseEvent(ctx, &due[0])
				return err
			}
			due, more = due[:len(due)/2], true
		}
	})
	if err == nil {
		for _, job := range jobs {
			s.follow(ctx, job)
		}
	}
	return n, more, err
}

// EventsByID reads the existing events with these keys, of one tenant or of several.
func (s *Store) EventsByID(ctx context.Context, keys []DeliveryKey) (map[DeliveryKey]*Event, error) {
	different := map[DeliveryKey]bool{} // several deliveries may belong to one event
	for _, k := range keys {
		different[k] = true
	}
	rows, err := byKey[Event](ctx, s, "events", slices.Collect(maps.Keys(different)))
	events := make(map[DeliveryKey]*Event, len(rows))
	for i := range rows {
		events[DeliveryKey{Tenant: rows[i].Tenant, ID: rows[i].ID}] = &rows[i]
	}
	return events, err
}
