package models

import (
	"context"
	"time"

	"gorm.io/gorm"
)

// listNamedDeliveries makes the cursors of DeliveriesNamed others than those of Deliveries.
const listNamedDeliveries = "named deliveries"

// The bounds of a search of deliveries by a label of their events. A statement begins with few events, as each may have many
// deliveries, and takes more while statements are quick.
const (
	namedFor   = time.Second
	namedLeast = 20
	namedMost  = 1000
)

// DeliveriesNamed lists the deliveries that a name finds, of those that the filter keeps. The name is the delivery's id, or the id,
// the external id or a tag of its event. They are tried in this order, and the first that exists counts. Tags are looked for in one
// tenant only; tenant "" = all. Of the filter, what narrow covers is looked at.
//
// Deliveries of a tag come in the order of their events, newest first. The search for them stops after lookedMost events or
// namedFor: then the page is short, even empty, and next goes on from there.
func (s *Store) DeliveriesNamed(ctx context.Context, tenant string, f DeliveryFilter, name string, p Page) ([]Delivery, string, error) {
	return s.deliveriesNamed(ctx, tenant, f, name, p, textBounds{s.looked, namedFor, s.Clock})
}

func (s *Store) deliveriesNamed(ctx context.Context, tenant string, f DeliveryFilter, name string, p Page, most textBounds) ([]Delivery, string, error) {
	var rows []Delivery
	err := f.narrow(ofTenant(s.db.WithContext(ctx), tenant)).Where("id = ?", name).Limit(1).Find(&rows).Error
	if err == nil && len(rows) > 0 && p.After != "" {
		err = ErrBadCursor
	}
	if err != nil || len(rows) > 0 {
		return rows, "", err
	}
	found, err := s.hasEvent(ctx, tenant, name)
	if err != nil {
		return nil, "", err
	}
	if found {
		if f.EventID != "" && f.EventID != name {
			return nil, "", nil
		}
		f.EventID = name
		return s.Deliveries(ctx, tenant, f, p)
	}
	search := labelSearch{tenant: tenant, label: labelOf(labelExternal, "", name), external: true}
	var seen []labeledEvent
	if err := s.eventsLabeled(ctx, search, 1).Find(&seen).Error; err != nil {
		return nil, "", err
	}
	if len(seen) == 0 {
		if tenant == "" {
			return nil, "", nil
		}
		search = labelSearch{tenant: tenant, label: labelOf(labelTag, "", name)}
	}
	if !f.Until.IsZero() { // a delivery is not made before its event
		search.until = Bound(f.Until).Add(idsApart)
	}
	return s.deliveriesOfLabel(ctx, search, f, name, p, most)
}

// hasEvent reports whether the tenant has an event of this id; tenant "" = whether any has one with deliveries.
func (s *Store) hasEvent(ctx context.Context, tenant, id string) (bool, error) {
	q := s.db.WithContext(ctx).Table("events").Where("tenant = ? AND id = ?", tenant, id)
	if tenant == "" { // the index of deliveries by event is of all tenants, and that of events is not
		q = ofTenant(s.db.WithContext(ctx).Table("deliveries"), "").Where("event_id = ?", id)
	}
	var of []int
	err := q.Select("1").Limit(1).Scan(&of).Error
	return len(of) > 0, err
}

// labelSearch is a look along the events that have a label, newest first.
type labelSearch struct {
	tenant   string // "" = all tenants, for external ids only
	label    []byte
	external bool
	until    time.Time // zero = to the newest
	after    *Mark
	within   string // the delivery of the event at after behind which the search goes on; "" = it begins behind that event
}

// labeledEvent is an event that has the label.
type labeledEvent struct {
	Owner string
	Event string
	At    time.Time
}

// eventsLabeled is the query of the next events that have the label, at most so many.
func (s *Store) eventsLabeled(ctx context.Context, l labelSearch, most int) *gorm.DB {
	q := s.db.WithContext(ctx).Table("event_labels AS l").Select("l.tenant AS owner, l.event_id AS event, l.created_at AS at").Where("l.label = ?", l.label)
	if l.external {
		q = q.Where("l.external")
	}
	if l.tenant != "" {
		q = q.Where("l.tenant = ?", l.tenant)
	} else {
		q = q.Joins("JOIN tenants t ON t.id = l.tenant AND t.deleted_at IS NULL")
	}
	if !l.until.IsZero() {
		q = q.Where("l.created_at < ?", l.until)
	}
	if l.after != nil {
		behind := " < "
		if l.within != "" {
			behind = " <= "
		}
		q = q.Where("(l.created_at, l.event_id)"+behind+"(?, ?)", Bound(l.after.At), l.after.ID)
	}
	return q.Order("l.created_at DESC, l.event_id DESC").Limit(most)
}

// labeledDelivery is a delivery of an event that has the label.
type labeledDelivery struct {
	Delivery `gorm:"embedded"`

	At time.Time // of the event
}

func (s *Store) deliveriesOfLabel(ctx context.Context, l labelSearch, f DeliveryFilter, name string, p Page, most textBounds) ([]Delivery, string, error) {
	cursors := append(f.cursors(l.tenant), listNamedDeliveries, name)
	next := func(at time.Time, event, delivery string) string {
		return cursors.next((&Event{ID: event, CreatedAt: at}).listKey()[0], event, delivery)
	}
	key, err := p.begin(cursors, 3)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		at, err := time.Parse(time.RFC3339Nano, key[0])
		if err != nil {
			return nil, "", ErrBadCursor
		}
		l.after, l.within = &Mark{at, key[1]}, key[2]
	}
	var rows []Delivery
	began, size := most.now(), namedLeast
	for looked := 0; ; {
		asked := most.now()
		size = min(size, most.events-looked)
		var events []labeledEvent
		if err := s.eventsLabeled(ctx, l, size).Find(&events).Error; err != nil {
			return nil, "", err
		}
		found, err := s.deliveriesAmong(ctx, l, f, size, p.Limit+1-len(rows))
		if err != nil {
			return nil, "", err
		}
		for i := range found {
			if len(rows) == p.Limit {
				last := found[i-1] // there is one: a full page does not look further
				return rows, next(last.At, last.EventID, last.ID), nil
			}
			rows = append(rows, found[i].Delivery)
		}
		if len(events) < size {
			return rows, "", nil
		}
		last := events[len(events)-1]
		l.after, l.within, looked = &Mark{last.At, last.Event}, "", looked+len(events)
		if len(rows) == p.Limit || looked >= most.events || most.now().Sub(began) >= most.time {
			return rows, next(last.At, last.Event, ""), nil
		}
		size = resized(size, 4, most.now().Sub(asked), namedLeast, namedMost)
	}
}

// deliveriesAmong reads deliveries of the next events that have the label. The database reads the events first, whatever it thinks
// of the filter: their number is bounded.
func (s *Store) deliveriesAmong(ctx context.Context, l labelSearch, f DeliveryFilter, events, most int) (rows []labeledDelivery, err error) {
	q := s.db.WithContext(ctx).Table("deliveries").Select("deliveries.*, named.at AS at").
		Joins("JOIN (?) named ON deliveries.tenant = named.owner AND deliveries.event_id = named.event", s.eventsLabeled(ctx, l, events))
	if l.within != "" {
		q = q.Where("(named.at, named.event, deliveries.id) < (?, ?, ?)", Bound(l.after.At), l.after.ID, l.within)
	}
	err = f.narrow(q).Where(f.predicate()).Order("named.at DESC, named.event DESC, deliveries.id DESC").Limit(most).Find(&rows).Error
	return rows, err
}
