package models

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErasureStatus is the status of an erasure.
type ErasureStatus string

// An erasure runs until all its events have been examined.
const (
	ErasureRunning ErasureStatus = "running"
	ErasureDone    ErasureStatus = "completed"
)

// Erasure removes the data and attributes of many events, cancels their unfinished deliveries, and removes the
// receivers' answers to their attempts. Its row is the receipt.
type Erasure struct {
	ID         string
	Tenant     string
	Status     ErasureStatus
	Until      time.Time // only events accepted before this time
	EventTypes []string  `gorm:"serializer:json;not null"` // only these types, wildcards allowed; empty = all
	Attribute  string    // only events with this attribute, as name:value; "" = any
	Erased     int64     // events
	CreatedAt  time.Time
	FinishedAt *time.Time
}

// jobEraseMany does the pages of an erasure.
const jobEraseMany JobKind = "erase-many"

// eventWeight is how many rows of a page an event counts for: its data may be a megabyte.
const eventWeight = 4

// covers reports whether the erasure includes an event that was accepted before Until.
func (x *Erasure) covers(e *Event) bool {
	if len(x.EventTypes) > 0 && !slices.ContainsFunc(x.EventTypes, func(pattern string) bool { return MatchesType(pattern, e.Type) }) {
		return false
	}
	if x.Attribute == "" {
		return true
	}
	name, value, _ := strings.Cut(x.Attribute, ":")
	has, ok := e.Attributes[name]
	return ok && has == value
}

// events reads the next events that the erasure may include, without their data, oldest first.
func (x *Erasure) events(ctx context.Context, s *Store, after string, limit int) (rows []Event, err error) {
	q, err := eventsAfter(s.db.WithContext(ctx).Omit("data").Where("tenant = ? AND created_at < ?", x.Tenant, x.Until), after)
	if err != nil {
		return nil, err
	}
	err = q.Limit(limit).Find(&rows).Error
	return rows, err
}

// CreateErasure stores an erasure and does its first pages. A job does the rest.
func (s *Store) CreateErasure(ctx context.Context, x *Erasure) error {
	x.ID, x.Status, x.CreatedAt = NewID(PrefixErasure), ErasureRunning, s.now()
	if x.Until.IsZero() || x.Until.After(x.CreatedAt) {
		x.Until = x.CreatedAt.Add(time.Millisecond)
	}
	x.Until = *timeOf(x.Until)
	job := ""
	err := s.Tx(ctx, func(tx *Store) error {
		if err := tx.holdTenant(ctx, x.Tenant); err != nil {
			return err
		}
		if err := tx.db.WithContext(ctx).Create(x).Error; err != nil {
			return err
		}
		var err error
		if job, err = tx.addJob(ctx, Job{Kind: jobEraseMany, Tenant: x.Tenant, Subject: x.ID, Reason: ReasonErased}); err != nil {
			return err
		}
		changes := AuditChanges{"until": x.Until}
		if len(x.EventTypes) > 0 {
			changes["event_types"] = auditList(x.EventTypes)
		}
		if name, _, ok := strings.Cut(x.Attribute, ":"); ok { // its value may be personal data
			changes["attribute"] = auditCut(name)
		}
		return tx.audit(ctx, x.Tenant, AuditErasureCreated, AuditTarget{"erasure", x.ID}, changes)
	})
	if err == nil {
		s.follow(ctx, job)
	}
	return err
}

// Erasure reads one erasure of the tenant; tenant "" = any tenant's.
func (s *Store) Erasure(ctx context.Context, tenant, id string) (Erasure, error) {
	var x Erasure
	err := ofTenant(s.db.WithContext(ctx), tenant).Take(&x, "id = ?", id).Error
	return x, found(err)
}

// Erasures lists a tenant's erasures, newest first, or in reverse; tenant "" = those of all tenants.
func (s *Store) Erasures(ctx context.Context, tenant string, p Page) ([]Erasure, string, error) {
	order, behind := p.descending()
	q := ofTenant(s.db.WithContext(ctx), tenant).Order("id" + order).Limit(p.Limit + 1)
	cursors := cursorsOf(listErasures, tenant)
	key, err := p.begin(cursors, 1)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		q = q.Where("id"+behind+"?", key[0])
	}
	var rows []Erasure
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(x Erasure) string { return cursors.next(x.ID) })
	return rows, next, nil
}

// CountErasure counts the events that an erasure would erase, among the first most that were accepted before its
// Until. complete reports whether those are all.
func (s *Store) CountErasure(ctx context.Context, x *Erasure, most int) (n int64, complete bool, err error) {
	if now := s.now(); x.Until.IsZero() || x.Until.After(now) {
		x.Until = now.Add(time.Millisecond)
	}
	after := ""
	for looked := 0; looked < most; {
		limit := min(lookedFor, most-looked)
		rows, err := x.events(ctx, s, after, limit)
		if err != nil {
			return 0, false, err
		}
		for i := range rows {
			if rows[i].ErasedAt == nil && x.covers(&rows[i]) {
				n++
			}
		}
		if len(rows) < limit {
			return n, true, nil
		}
		looked, after = looked+len(rows), markOf(&rows[len(rows)-1])
	}
	return n, false, nil
}

// withinEvent separates, in a position, an event whose deliveries take several pages from the last of them.
const withinEvent = "\n"

// eraseManyPage erases the next events of an erasure with everything that belongs to them, or the next deliveries of
// an event that has many.
func eraseManyPage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	var x Erasure
	switch err := found(s.forUpdate(s.db.WithContext(ctx)).Take(&x, "id = ?", j.Subject).Error); {
	case errors.Is(err, ErrNotFound): // it was deleted with its tenant
		return JobPage{Done: true}, nil
	case err != nil:
		return JobPage{}, err
	}
	page, err := s.erasePage(ctx, &x, j)
	if err != nil {
		return JobPage{}, err
	}
	if page.Done {
		now := s.now()
		x.Status, x.FinishedAt = ErasureDone, &now
	}
	return page, s.db.WithContext(ctx).Model(&x).Select("status", "erased", "finished_at").Updates(&x).Error
}

func (s *Store) erasePage(ctx context.Context, x *Erasure, j *Job) (JobPage, error) {
	if mark, after, ok := strings.Cut(j.Position, withinEvent); ok {
		_, id, _ := strings.Cut(mark, " ")
		return s.eraseBatch(ctx, x, j, []Event{{Tenant: x.Tenant, ID: id}}, mark, after, true)
	}
	window, err := x.events(ctx, s, j.Position, lookedFor)
	if err != nil || len(window) == 0 {
		return JobPage{Done: err == nil}, err
	}
	all := x.covered(window)
	batch := all[:min(len(all), max(1, j.most/eventWeight))]
	var weight int
	for {
		if weight, err = s.erasureWeight(ctx, batch, j.most); err != nil {
			return JobPage{}, err
		}
		if weight <= j.most || len(batch) == 1 {
			break
		}
		batch = batch[:len(batch)/2]
	}
	mark := markOf(&window[len(window)-1])
	if len(batch) < len(all) || weight > j.most {
		mark = markOf(&batch[len(batch)-1])
	}
	page, err := s.eraseBatch(ctx, x, j, batch, mark, "", weight > j.most)
	page.Done = err == nil && len(window) < lookedFor && len(batch) == len(all) && weight <= j.most
	return page, err
}

// covered returns the events that the erasure includes.
func (x *Erasure) covered(events []Event) (kept []Event) {
	for i := range events {
		if x.covers(&events[i]) {
			kept = append(kept, events[i])
		}
	}
	return kept
}

// eventKeys returns the keys of events.
func eventKeys(events []Event) []DeliveryKey {
	keys := make([]DeliveryKey, len(events))
	for i := range events {
		keys[i] = keyOf(&events[i])
	}
	return keys
}

// erasureWeight counts the labels, deliveries and attempts of events, until there are more than most.
func (s *Store) erasureWeight(ctx context.Context, events []Event, most int) (weight int, err error) {
	for i := range events {
		weight += len(events[i].Attributes) / labelsPerRow
	}
	err = bulk(ctx, s, eventKeys(events), rowKeyColumns, `SELECT d.attempts FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.event_id = v.id
		LIMIT `+strconv.Itoa(most+1), func(rows *sql.Rows) error {
		var attempts int
		err := rows.Scan(&attempts)
		weight += 1 + attempts
		return err
	})
	return weight, err
}

// eraseBatch erases events and what belongs to them, and moves the job to the mark. Of a large event it takes the next
// deliveries after an id, and records in the position that there may be more.
func (s *Store) eraseBatch(ctx context.Context, x *Erasure, j *Job, events []Event, mark, after string, large bool) (page JobPage, err error) {
	now := timeOf(s.now())
	columns := append(slices.Clone(rowKeyColumns), column[DeliveryKey]{"now", "timestamptz", func(*DeliveryKey) any { return now }})
	slices.SortFunc(events, func(a, b Event) int { return strings.Compare(a.ID, b.ID) }) // always locked in the same order
	err = bulk(ctx, s, eventKeys(events), columns, `UPDATE events SET data = NULL, attributes = 'null', erased_at = v.now
		FROM v WHERE events.tenant = v.tenant AND events.id = v.id AND events.erased_at IS NULL RETURNING events.id`, func(*sql.Rows) error {
		x.Erased++
		page.Rows++
		return nil
	})
	if err != nil {
		return page, err
	}
	if err := s.dropAttributeLabels(ctx, events); err != nil {
		return page, err
	}
	keys, next, err := s.erasedDeliveries(ctx, events, after, j.most, large)
	if err != nil {
		return page, err
	}
	page.Rows += int64(len(keys))
	if j.Position = mark; next != "" {
		j.Position += withinEvent + next
	}
	if page.Rows == 0 {
		page.Later = time.Millisecond // at once: none of its rows is locked
	}
	return page, s.eraseOwed(ctx, keys)
}

// erasedDeliveries returns and locks the deliveries of events. For a large event it takes up to most after an id, with
// as many attempts, and returns the last of them if there may be more.
func (s *Store) erasedDeliveries(ctx context.Context, events []Event, after string, most int, large bool) (keys []DeliveryKey, next string, err error) {
	query := "SELECT d.tenant, d.id, d.attempts FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.event_id = v.id"
	if large {
		query += " WHERE d.id > v.after ORDER BY d.id LIMIT " + strconv.Itoa(most)
	} else {
		query += " ORDER BY d.id"
	}
	if s.postgres {
		query += " FOR UPDATE OF d"
	}
	weight := 0
	columns := append(slices.Clone(rowKeyColumns), column[DeliveryKey]{"after", "text", func(*DeliveryKey) any { return after }})
	err = bulk(ctx, s, eventKeys(events), columns, query, func(rows *sql.Rows) error {
		var k DeliveryKey
		var attempts int
		if err := rows.Scan(&k.Tenant, &k.ID, &attempts); err != nil {
			return err
		}
		if weight += 1 + attempts; large && weight > most && len(keys) > 0 {
			return nil
		}
		keys = append(keys, k)
		return nil
	})
	if large && weight >= most && len(keys) > 0 {
		next = keys[len(keys)-1].ID
	}
	return keys, next, err
}

// eraseOwed cancels those of the deliveries that are unfinished, marks those that have failed so that no recovery
// releases them, and removes the answers to their attempts.
func (s *Store) eraseOwed(ctx context.Context, keys []DeliveryKey) error {
	now := timeOf(s.now())
	columns := append(slices.Clone(rowKeyColumns), column[DeliveryKey]{"now", "timestamptz", func(*DeliveryKey) any { return now }})
	err := bulk(ctx, s, keys, columns, `UPDATE deliveries SET status_reason = '`+ReasonErased+`', next_attempt_at = NULL,
		generation = generation + CASE WHEN status = 'failed' THEN 0 ELSE 1 END,
		finished_at = CASE WHEN status = 'failed' THEN finished_at ELSE v.now END,
		status = CASE WHEN status = 'failed' THEN status ELSE 'canceled' END
		FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id AND deliveries.status NOT IN ('delivered', 'canceled')`, nil)
	if err != nil {
		return err
	}
	return s.blankAnswers(ctx, keys)
}

// blankAnswers removes the receivers' answers to the attempts of deliveries. The results stay.
func (s *Store) blankAnswers(ctx context.Context, keys []DeliveryKey) error {
	return bulk(ctx, s, keys, rowKeyColumns, `UPDATE attempts SET response_headers = '{}', response_body = '', detail = NULL
		FROM v WHERE attempts.tenant = v.tenant AND attempts.delivery_id = v.id`, nil)
}
