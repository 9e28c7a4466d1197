package models

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// The kinds of labels, by which events are searched.
const (
	labelExternal  = "external"
	labelAttribute = "attribute"
	labelTag       = "tag"
	labelChannel   = "channel"
)

// labelSize is how many bytes of a label are stored. Two labels of a tenant with the same 16 bytes are not to be
// expected.
const labelSize = 16

// labelOf returns the stored form of a label. name is an attribute's, "" for the other kinds.
func labelOf(kind, name, value string) []byte {
	sum := sha256.Sum256([]byte(kind + "\x00" + name + "\x00" + value))
	return sum[:labelSize]
}

// eventLabel is a row of event_labels.
type eventLabel struct {
	tenant, event string
	label         []byte
	at            time.Time
	external      bool
}

var labelColumns = []column[eventLabel]{
	{"tenant", "text", func(l *eventLabel) any { return l.tenant }},
	{"event_id", "text", func(l *eventLabel) any { return l.event }},
	{"label", "bytea", func(l *eventLabel) any { return l.label }},
	{"created_at", "timestamptz", func(l *eventLabel) any { return timeOf(l.at) }},
	{"external", "boolean", func(l *eventLabel) any { return l.external }},
}

// labelStatement stores labels. Existing ones stay.
const labelStatement = `INSERT INTO event_labels (tenant, event_id, label, created_at, external)
	SELECT tenant, event_id, label, created_at, external FROM v WHERE true ON CONFLICT DO NOTHING`

func (e *Event) label(kind, name, value string) eventLabel {
	return eventLabel{e.Tenant, e.ID, labelOf(kind, name, value), e.CreatedAt, kind == labelExternal}
}

// attributeLabels returns the labels of the event's attributes.
func (e *Event) attributeLabels() []eventLabel {
	var labels []eventLabel
	for name, value := range e.Attributes {
		labels = append(labels, e.label(labelAttribute, name, value))
	}
	return labels
}

// labels returns the event's labels, without the external id, which insertEvents claims.
func (e *Event) labels() []eventLabel {
	labels := e.attributeLabels()
	for _, tag := range e.Tags {
		labels = append(labels, e.label(labelTag, "", tag))
	}
	for _, channel := range e.Channels {
		labels = append(labels, e.label(labelChannel, "", channel))
	}
	return labels
}

// insertLabels stores the labels of accepted events. If there are none it sends no statement.
func (a *acceptor) insertLabels(ctx context.Context) error {
	labels := gatherOpen(a, func(r *Acceptance) []eventLabel {
		var all []eventLabel
		for i := range r.Events {
			all = append(all, r.Events[i].labels()...)
		}
		return all
	})
	return later(ctx, a.Store, labels, labelColumns, labelStatement, nil)
}

// withLabels restricts a query to rows whose event has a channel and a tag; "" = any. Each row costs one or two index
// lookups.
func withLabels(q *gorm.DB, tenant, event, channel, tag string) *gorm.DB {
	for _, label := range labelsOf(channel, tag) {
		q = hasLabel(q, tenant, event, label)
	}
	return q
}

// labelsOf returns the labels of a channel and a tag; "" = none.
func labelsOf(channel, tag string) (labels [][]byte) {
	if tag != "" {
		labels = append(labels, labelOf(labelTag, "", tag))
	}
	if channel != "" {
		labels = append(labels, labelOf(labelChannel, "", channel))
	}
	return labels
}

// fewLabelled is the query of a tenant's deliveries of the events that have the channel or the tag. It is nil if neither is given, or
// if they are many, or without a tenant: labels are found in one tenant.
func (s *Store) fewLabelled(db *gorm.DB, tenant, channel, tag string) (*gorm.DB, error) {
	labels := labelsOf(channel, tag)
	if tenant == "" {
		labels = nil
	}
	for _, label := range labels {
		events := func() *gorm.DB {
			return db.Table("event_labels").Where("tenant = ? AND label = ?", tenant, label).Order("created_at, event_id")
		}
		deliveries := func() *gorm.DB { // CROSS JOIN makes SQLite read the events first
			return db.Table("(?) AS l", events().Select("tenant AS owner, event_id AS event").Limit(s.looked)).
				Joins("CROSS JOIN deliveries").Where("deliveries.tenant = l.owner AND deliveries.event_id = l.event")
		}
		few, err := s.isFew(events())
		if err == nil && few {
			few, err = s.isFew(deliveries())
		}
		switch {
		case err != nil:
			return nil, err
		case few:
			return deliveries().Select("deliveries.*").Limit(fence), nil
		}
	}
	return nil, nil //nolint:nilnil // they are not few
}

// hasLabel keeps the rows of a query whose event has a label. It looks for each, as EXISTS may read all that have the label.
func hasLabel(q *gorm.DB, tenant, event string, label []byte) *gorm.DB {
	return q.Where("(SELECT 1 FROM event_labels m WHERE m.tenant = "+tenant+" AND m.event_id = "+event+" AND m.label = ?) IS NOT NULL", label)
}

// dropAttributeLabels removes the attribute labels of erased events.
func (s *Store) dropAttributeLabels(ctx context.Context, events []Event) error {
	var labels []eventLabel
	for i := range events {
		labels = append(labels, events[i].attributeLabels()...)
	}
	return bulk(ctx, s, labels, labelColumns[:3], `DELETE FROM event_labels
		WHERE (tenant, event_id, label) IN (SELECT tenant, event_id, label FROM v)`, nil)
}

func sortLabels(labels []eventLabel) {
	slices.SortFunc(labels, func(x, y eventLabel) int {
		return cmp.Or(strings.Compare(x.tenant, y.tenant), bytes.Compare(x.label, y.label))
	})
}
