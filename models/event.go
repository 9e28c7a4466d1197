package models

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Event is something that happened, as it was posted. Data holds the very bytes of the post, and is nil once erased.
type Event struct {
	Tenant     string
	ID         string
	Type       string
	Data       []byte
	Attributes map[string]string `gorm:"serializer:json;not null"`
	CreatedAt  time.Time
	ErasedAt   *time.Time
}

// Event reads one event.
func (s *Store) Event(ctx context.Context, tenant, id string) (Event, error) {
	var e Event
	err := s.db.WithContext(ctx).Take(&e, "tenant = ? AND id = ?", tenant, id).Error
	return e, found(err)
}

// EventFilter narrows a list of events; zero values do not. Since is inclusive, Until exclusive.
type EventFilter struct {
	Type         string
	Types        []string // one of them
	Since, Until time.Time
}

// Events lists a tenant's events without their data, newest first, or the other way.
func (s *Store) Events(ctx context.Context, tenant string, f EventFilter, p Page) ([]Event, string, error) {
	order, behind := p.descending()
	q := s.db.WithContext(ctx).Omit("data").Where("tenant = ?", tenant).Order("created_at" + order + ", id" + order).Limit(p.Limit + 1)
	if f.Type != "" {
		q = q.Where("type = ?", f.Type)
	}
	if len(f.Types) > 0 {
		q = q.Where(s.oneOf("type", f.Types))
	}
	if !f.Since.IsZero() {
		q = q.Where("created_at >= ?", Bound(f.Since))
	}
	if !f.Until.IsZero() {
		q = q.Where("created_at < ?", Bound(f.Until))
	}
	cursors := cursorsOf(listEvents, append([]string{tenant, f.Type, boundText(f.Since), boundText(f.Until)}, f.Types...)...)
	key, err := p.begin(cursors, 2)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		at, err := time.Parse(time.RFC3339Nano, key[0])
		if err != nil {
			return nil, "", ErrBadCursor
		}
		q = q.Where("(created_at, id)"+behind+"(?, ?)", Bound(at), key[1])
	}
	var rows []Event
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(e Event) string {
		return cursors.next(e.listKey()...)
	})
	return rows, next, nil
}

// listKey is the sort key of an event in Events.
func (e *Event) listKey() []string { return []string{e.CreatedAt.UTC().Format(time.RFC3339Nano), e.ID} }

// BehindEvent gives the sort key of an event in Events, for a Page that begins behind it. ErrNotFound if there is no such event.
func (s *Store) BehindEvent(ctx context.Context, tenant, id string) ([]string, error) {
	var e Event
	err := s.db.WithContext(ctx).Select("created_at", "id").Take(&e, "tenant = ? AND id = ?", tenant, id).Error
	return e.listKey(), found(err)
}

// ReasonErased is noted on the deliveries of an erased event that have not been received. No recovery releases them.
const ReasonErased = "payload erased"

// EraseEvent removes the event's data and attributes and keeps its record; nothing of it is sent from then on. What is
// still owed of it is canceled by a job.
func (s *Store) EraseEvent(ctx context.Context, tenant, id string) error {
	job := ""
	err := s.Tx(ctx, func(tx *Store) error {
		var e Event
		if err := found(tx.forUpdate(tx.db.WithContext(ctx)).Omit("data").Take(&e, "tenant = ? AND id = ?", tenant, id).Error); err != nil {
			return err
		}
		err := tx.db.WithContext(ctx).Exec("UPDATE events SET data = NULL, attributes = 'null', erased_at = COALESCE(erased_at, ?) WHERE tenant = ? AND id = ?",
			tx.now(), tenant, id).Error
		if err != nil {
			return err
		}
		if job, err = tx.addJob(ctx, Job{Kind: jobErase, Tenant: tenant, EventID: id, Reason: ReasonErased}); err != nil || e.ErasedAt != nil {
			return err
		}
		return tx.audit(ctx, tenant, AuditEventErased, AuditTarget{"event", id}, nil)
	})
	if err == nil {
		s.follow(ctx, job)
	}
	return err
}

// EventsByID reads the events with these keys that exist, of one tenant or of several.
func (s *Store) EventsByID(ctx context.Context, keys []DeliveryKey) (map[DeliveryKey]*Event, error) {
	different := map[DeliveryKey]bool{} // several deliveries may be of one event
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
