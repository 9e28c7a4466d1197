package models

import (
	"context"
	"strconv"
	"time"
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

// ListAttempts lists a tenant's attempts of one webhook or of one event, newest first, or in reverse.
func (s *Store) ListAttempts(ctx context.Context, tenant string, f AttemptFilter, p Page) ([]ListedAttempt, string, error) {
	order, behind := p.descending()
	q := s.db.WithContext(ctx).Table("attempts a").Joins("JOIN deliveries d ON d.tenant = a.tenant AND d.id = a.delivery_id").
		Select("a.*, d.event_id, d.event_type, "+outcomeColumn+" AS outcome").
		Where("a.tenant = ?", tenant).Order("a.id" + order).Limit(p.Limit + 1)
	for column, value := range map[string]string{"a.webhook_id": f.WebhookID, "d.event_id": f.EventID, outcomeColumn: string(f.Outcome)} {
		if value != "" {
			q = q.Where(column+" = ?", value)
		}
	}
	if len(f.EventTypes) > 0 {
		q = q.Where(s.oneOf("d.event_type", f.EventTypes))
	}
	if f.StatusClass != nil {
		q = q.Where("a.status_code >= ? AND a.status_code < ?", *f.StatusClass*100, *f.StatusClass*100+100)
	}
	q = withLabels(q, "d.tenant", "d.event_id", f.Channel, f.Tag)
	if !f.Since.IsZero() {
		since := Bound(f.Since)
		q = q.Where("a.id >= ? AND a.started_at >= ?", IDBefore(PrefixAttempt, since.Add(-attemptsApart)), since)
	}
	if !f.Until.IsZero() {
		until := Bound(f.Until)
		q = q.Where("a.id < ? AND a.started_at < ?", IDBefore(PrefixAttempt, until.Add(attemptsApart)), until)
	}
	class := ""
	if f.StatusClass != nil {
		class = strconv.Itoa(*f.StatusClass)
	}
	cursors := cursorsOf(listAttempts, append([]string{tenant, f.WebhookID, f.EventID, string(f.Outcome), class, boundText(f.Since),
		boundText(f.Until)}, f.EventTypes...)...)
	if f.Channel != "" || f.Tag != "" {
		cursors = append(cursors, f.Channel, f.Tag)
	}
	key, err := p.begin(cursors, 1)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		q = q.Where("a.id"+behind+"?", key[0])
	}
	var rows []ListedAttempt
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(a ListedAttempt) string { return cursors.next(a.ID) })
	return rows, next, nil
}

// ListedAttempt reads one attempt of a tenant.
func (s *Store) ListedAttempt(ctx context.Context, tenant, id string) (ListedAttempt, error) {
	var a ListedAttempt
	err := s.db.WithContext(ctx).Table("attempts a").Joins("JOIN deliveries d ON d.tenant = a.tenant AND d.id = a.delivery_id").
		Select("a.*, d.event_id, d.event_type, "+outcomeColumn+" AS outcome").
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
