package models

import (
	"context"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// AttemptFilter filters a list of attempts; zero values do not. Since is inclusive, Until exclusive.
type AttemptFilter struct {
	WebhookID, EventID string
	EventTypes         []string // one of them
	Outcome            Outcome
	StatusClass        *int // 2 = 200 to 299; 0 = no answer
	Channel, Tag       string
	Since, Until       time.Time
}

// Outcome is the result of an attempt.
type Outcome string

// The outcomes of an attempt. An attempt that ended its delivery is never Repeating.
const (
	OutcomeReceived  Outcome = "received"
	OutcomeFailed    Outcome = "failed"
	OutcomeRepeating Outcome = "repeating" // it failed, and the delivery's next attempt is planned
)

// ListedAttempt is an attempt with its event type, webhook and so on.
type ListedAttempt struct {
	Attempt

	EventID, EventType string
	Outcome            Outcome
}

// attemptsApart is how far the time in an attempt's id may differ from its started_at: a worker makes the id when the
// POST has ended. Ids find the rows of a time window in the list's order, and started_at decides.
const attemptsApart = time.Hour

const outcomeColumn = `CASE WHEN a.error = '' THEN 'received' WHEN d.status = 'pending' AND a.number = d.attempts THEN 'repeating' ELSE 'failed' END`

const (
	joinDelivery = "JOIN deliveries d ON d.tenant = a.tenant AND d.id = a.delivery_id"
	listedShown  = "a.*, d.event_id, d.event_type, " + outcomeColumn + " AS outcome"
)

// The keys of a list of attempts: of an event's, and of a webhook's.
var (
	attemptKey        = listKey{id: "a.id"}
	webhookAttemptKey = listKey{of: "a.webhook_id", id: "a.id"}
)

// attemptWeight is what looking at an attempt costs, if looking at a row of another list is 1: it is a large row, and its delivery
// and the labels of its event are looked up.
const attemptWeight = 2

// within narrows a query to the window of the filter.
func (f *AttemptFilter) within(q *gorm.DB) *gorm.DB {
	if !f.Since.IsZero() {
		since := Bound(f.Since)
		q = q.Where("a.id >= ? AND a.started_at >= ?", IDBefore(PrefixAttempt, since.Add(-attemptsApart)), since)
	}
	if !f.Until.IsZero() {
		until := Bound(f.Until)
		q = q.Where("a.id < ? AND a.started_at < ?", IDBefore(PrefixAttempt, until.Add(attemptsApart)), until)
	}
	return q
}

// ofDelivery narrows a query to what the filter asks of the attempts' deliveries. some reports whether it asks anything.
func (f *AttemptFilter) ofDelivery(s *Store, q *gorm.DB) (narrowed *gorm.DB, some bool) {
	for column, value := range map[string]string{"d.event_id": f.EventID, outcomeColumn: string(f.Outcome)} {
		if value != "" {
			q = q.Where(column+" = ?", value)
		}
	}
	if len(f.EventTypes) > 0 {
		q = q.Where(s.oneOf("d.event_type", f.EventTypes))
	}
	return withLabels(q, "d.tenant", "d.event_id", f.Channel, f.Tag),
		f.EventID != "" || f.Outcome != "" || len(f.EventTypes) > 0 || f.Channel != "" || f.Tag != ""
}

// ofClass narrows a query to the class of status codes that the filter asks for.
func (f *AttemptFilter) ofClass(q *gorm.DB) *gorm.DB {
	if f.StatusClass == nil {
		return q
	}
	return q.Where("a.status_code >= ? AND a.status_code < ?", *f.StatusClass*100, *f.StatusClass*100+100)
}

// cursors are those of the list of attempts that the filter keeps.
func (f *AttemptFilter) cursors(tenant string) cursors {
	class := ""
	if f.StatusClass != nil {
		class = strconv.Itoa(*f.StatusClass)
	}
	c := cursorsOf(listAttempts, append([]string{tenant, f.WebhookID, f.EventID, string(f.Outcome), class, boundText(f.Since),
		boundText(f.Until)}, f.EventTypes...)...)
	if f.Channel != "" || f.Tag != "" {
		c = append(c, f.Channel, f.Tag)
	}
	return c
}

// ListAttempts lists a tenant's attempts of one webhook or of one event, newest first, or in reverse. Of a webhook's attempts a
// page looks at lookedMost / attemptWeight, if the filter keeps only some: it may be short, or empty, and have a next one.
func (s *Store) ListAttempts(ctx context.Context, tenant string, f AttemptFilter, p Page) ([]ListedAttempt, string, error) {
	cursors := f.cursors(tenant)
	after, err := cursors.parseID(p)
	if err != nil {
		return nil, "", err
	}
	db, end := s.db.WithContext(ctx), (*Mark)(nil)
	q, key := f.within(db.Table("attempts a").Where("a.tenant = ?", tenant)), attemptKey
	if f.WebhookID != "" {
		q = s.ofOneWebhook(q, "a.webhook_id", f.WebhookID)
		if f.EventID == "" {
			key = webhookAttemptKey
		}
	}
	q = key.behind(q, p, after)
	read := func(q *gorm.DB) (rows []ListedAttempt, err error) {
		err = key.sorted(q.Joins(joinDelivery), p).Select(listedShown).Limit(p.Limit + 1).Find(&rows).Error
		return rows, err
	}
	var rows []ListedAttempt
	of, some := f.ofDelivery(s, db.Table("deliveries d").Select("1").Where("d.tenant = a.tenant AND d.id = a.delivery_id"))
	switch {
	case f.EventID != "":
		q, _ = f.ofDelivery(s, f.ofClass(q).Where("d.tenant = ?", tenant))
		if f.WebhookID != "" { // the index of an event's deliveries has it
			q = q.Where("d.webhook_id = ?", f.WebhookID)
		}
		rows, err = read(q)
	case some || f.StatusClass != nil:
		fewer := s.looking(s.looked / attemptWeight)
		few := func() (*gorm.DB, error) { return fewer.fewAttempts(db, tenant, &f, p, after) }
		rows, end, err = lookFirst(fewer, p, []source{{q, key}}, few, func(_ int, looked *gorm.DB) ([]ListedAttempt, error) {
			q := f.ofClass(db.Table("(?) AS a", looked.Select("a.*")))
			if some {
				q = q.Where("(?) IS NOT NULL", of.Session(&gorm.Session{}))
			}
			return read(db.Table("(?) AS a", key.sorted(q, p).Limit(p.Limit+1)))
		})
	default:
		rows, err = read(q)
	}
	if err != nil {
		return nil, "", err
	}
	rows, next := cutAt(rows, p.Limit, end, func(a ListedAttempt) string { return cursors.next(a.ID) }, cursors.behindID)
	return rows, next, nil
}

// fewAttempts is the query of a webhook's attempts behind the cursor whose event has the label of the filter. It is nil if the filter
// asks for none, or if they are many.
func (s *Store) fewAttempts(db *gorm.DB, tenant string, f *AttemptFilter, p Page, after *Mark) (*gorm.DB, error) {
	deliveries, err := s.fewLabelled(db, tenant, f.Channel, f.Tag)
	if deliveries == nil || err != nil {
		return nil, err
	}
	attempts := func() *gorm.DB {
		return db.Table("(?) AS d", deliveries).Joins("CROSS JOIN attempts a").Where("a.tenant = d.tenant AND a.delivery_id = d.id")
	}
	if few, err := s.isFew(attempts()); !few || err != nil {
		return nil, err
	}
	q := db.Table("(?) AS a", attempts().Select("a.*").Limit(fence)).Where("a.webhook_id = ?", f.WebhookID)
	return attemptKey.behind(f.within(q), p, after).Limit(fence), nil
}

// ListedAttempt reads one attempt of a tenant.
func (s *Store) ListedAttempt(ctx context.Context, tenant, id string) (ListedAttempt, error) {
	var a ListedAttempt
	err := s.db.WithContext(ctx).Table("attempts a").Joins(joinDelivery).Select(listedShown).
		Where("a.tenant = ? AND a.id = ?", tenant, id).Take(&a).Error
	return a, found(err)
}

// AnswerErased replaces a receiver's answer that has been erased from a single attempt.
const AnswerErased = "EXPUNGED"

// EraseAnswer removes the receiver's answer to one attempt: the headers and the body. The attempt's result stays.
// ErrNotFound if the attempt does not exist.
func (s *Store) EraseAnswer(ctx context.Context, tenant, id string) error {
	return s.Tx(ctx, func(tx *Store) error {
		var a Attempt
		db := tx.db.WithContext(ctx)
		if err := found(tx.forUpdate(db).Select("response_body").Take(&a, "tenant = ? AND id = ?", tenant, id).Error); err != nil {
			return err
		}
		if string(a.ResponseBody) == AnswerErased {
			return nil
		}
		err := db.Exec("UPDATE attempts SET response_headers = '{}', response_body = ?, detail = NULL WHERE tenant = ? AND id = ?",
			[]byte(AnswerErased), tenant, id).Error
		if err != nil {
			return err
		}
		return tx.audit(ctx, tenant, AuditAttemptErased, AuditTarget{"attempt", id}, nil)
	})
}

// CountPending counts the pending deliveries to a webhook that were made in a period: untried ones, and those that
// have been attempted. It counts at most most.
func (s *Store) CountPending(ctx context.Context, tenant, webhookID string, since, until time.Time, most int) (untried, tried int64, err error) {
	var n struct{ Untried, Tried int64 }
	err = s.db.WithContext(ctx).Raw(`SELECT COALESCE(SUM(CASE WHEN attempts = 0 THEN 1 ELSE 0 END), 0) AS untried,
		COALESCE(SUM(CASE WHEN attempts > 0 THEN 1 ELSE 0 END), 0) AS tried FROM (SELECT attempts FROM deliveries
			WHERE webhook_id = ? AND tenant = ? AND status = 'pending' AND id >= ? AND id < ? ORDER BY id LIMIT ?) AS d`,
		webhookID, tenant, IDBefore(PrefixDelivery, Bound(since)), IDBefore(PrefixDelivery, Bound(until)), most).Scan(&n).Error
	return n.Untried, n.Tried, err
}

// WebhooksByID reads the tenant's existing webhooks with these ids, including deleted ones, without their health.
func (s *Store) WebhooksByID(ctx context.Context, tenant string, ids []string) (map[string]*Webhook, error) {
	var rows []Webhook
	err := s.db.WithContext(ctx).Where("tenant = ?", tenant).Where(s.oneOf("id", ids)).Find(&rows).Error
	webhooks := make(map[string]*Webhook, len(rows))
	for i := range rows {
		webhooks[rows[i].ID] = &rows[i]
	}
	return webhooks, err
}

// EventHeads reads the tenant's existing events with these ids, without their data.
func (s *Store) EventHeads(ctx context.Context, tenant string, ids []string) (map[string]*Event, error) {
	var rows []Event
	err := s.db.WithContext(ctx).Omit("data").Where("tenant = ?", tenant).Where(s.oneOf("id", ids)).Find(&rows).Error
	events := make(map[string]*Event, len(rows))
	for i := range rows {
		events[rows[i].ID] = &rows[i]
	}
	return events, err
}
