package models

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"
)

// Record is one attempt and what it means for its delivery.
type Record struct {
	Attempt    Attempt
	Generation int // the delivery's, as it was when the POST began
	// Status is Delivered, Failed, or Pending where another attempt follows, at NextAttemptAt.
	Status        DeliveryStatus
	NextAttemptAt time.Time
	DispatchID    string // the dispatch that made the attempt
	// CountsInTotal says that a success does not bring the webhook's failure count back to 0.
	CountsInTotal bool
}

// Received tells whether the attempt succeeded.
func (r *Record) Received() bool { return r.Status == Delivered }

// Recorded is what came of a Record. Applied is false if the delivery had been changed from outside meanwhile: then
// only the attempt was stored. Failed is the webhook's failure count after the group, 0 if this group has no failure of it.
type Recorded struct {
	Applied bool
	Failed  int64
}

// DeliveryKey names the delivery the record is about.
func (r *Record) DeliveryKey() DeliveryKey {
	return DeliveryKey{Tenant: r.Attempt.Tenant, ID: r.Attempt.DeliveryID}
}

// Record stores a group of attempts, moves their deliveries and counts their webhooks' failures, in one
// transaction. done are dispatches that these records finish; their outbox entries go.
func (s *Store) Record(ctx context.Context, group []*Record, done []string) ([]Recorded, error) {
	results := make([]Recorded, len(group))
	err := s.Tx(ctx, func(tx *Store) error {
		r := recorder{Store: tx, group: group, results: results}
		return r.run(ctx, done)
	})
	return results, err
}

// recorder is the one transaction of Record.
type recorder struct {
	*Store
	group   []*Record
	results []Recorded
}

func (r *recorder) run(ctx context.Context, done []string) error {
	// A multi-row update takes each row once: a second attempt of the same delivery goes into a second round.
	for left := slices.Clone(r.group); len(left) > 0; {
		var round, again []*Record
		seen := map[DeliveryKey]bool{}
		for _, record := range left {
			if key := record.DeliveryKey(); seen[key] {
				again = append(again, record)
			} else {
				seen[key] = true
				round = append(round, record)
			}
		}
		slices.SortFunc(round, func(a, b *Record) int { return strings.Compare(a.Attempt.DeliveryID, b.Attempt.DeliveryID) })
		if err := r.move(ctx, round); err != nil {
			return err
		}
		left = again
	}
	if err := bulk(ctx, r.Store, r.group, attemptColumns, `INSERT INTO attempts
		(tenant, id, delivery_id, webhook_id, number, started_at, duration_ms, status_code, error, request_headers, response_headers, response_body)
		SELECT tenant, id, delivery_id, webhook_id, number, started_at, duration_ms, status_code, error, request_headers, response_headers, response_body
		FROM v`, nil); err != nil {
		return err
	}
	if err := r.count(ctx); err != nil || len(done) == 0 {
		return err
	}
	return r.db.WithContext(ctx).Exec("DELETE FROM dispatches WHERE id IN ?", done).Error
}

var moveColumns = []column[*Record]{
	{"tenant", "text", func(r **Record) any { return (*r).Attempt.Tenant }},
	{"id", "text", func(r **Record) any { return (*r).Attempt.DeliveryID }},
	{"generation", "bigint", func(r **Record) any { return int64((*r).Generation) }},
	{"status", "text", func(r **Record) any { return string((*r).Status) }},
	{"failure", "bigint", func(r **Record) any { return failure(*r) }},
	{"next_at", "timestamptz", func(r **Record) any { return nextAt(*r) }},
	{"finished_at", "timestamptz", func(r **Record) any { return finishedAt(*r) }},
	{"dispatch_id", "text", func(r **Record) any { return (*r).DispatchID }},
}

func failure(r *Record) int64 {
	if r.Received() {
		return 0
	}
	return 1
}

func nextAt(r *Record) *time.Time {
	if r.Status != Pending {
		return nil
	}
	return timeOf(r.NextAttemptAt)
}

func finishedAt(r *Record) *time.Time {
	if r.Status == Pending {
		return nil
	}
	return timeOf(r.Attempt.StartedAt.Add(time.Duration(r.Attempt.DurationMS) * time.Millisecond))
}

// move changes the deliveries that are still as the attempts found them, and numbers the attempts.
func (r *recorder) move(ctx context.Context, round []*Record) error {
	index := make(map[DeliveryKey]int, len(round))
	for i, record := range r.group {
		if slices.Contains(round, record) {
			index[record.DeliveryKey()] = i
		}
	}
	number := func(applied bool) func(*sql.Rows) error {
		return func(rows *sql.Rows) error {
			var key DeliveryKey
			var attempts int
			if err := rows.Scan(&key.Tenant, &key.ID, &attempts); err != nil {
				return err
			}
			i := index[key]
			delete(index, key)
			r.group[i].Attempt.Number = attempts
			r.results[i].Applied = applied
			return nil
		}
	}
	err := bulk(ctx, r.Store, round, moveColumns, `UPDATE deliveries SET attempts = attempts + 1, failures = failures + v.failure,
		status = v.status, status_reason = '', next_attempt_at = v.next_at, finished_at = v.finished_at, dispatch_id = v.dispatch_id
		FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id
		AND deliveries.status = 'pending' AND deliveries.generation = v.generation
		RETURNING deliveries.tenant, deliveries.id, deliveries.attempts`, number(true))
	if err != nil || len(index) == 0 {
		return err
	}
	var fenced []*Record
	for _, i := range index {
		fenced = append(fenced, r.group[i])
	}
	slices.SortFunc(fenced, func(a, b *Record) int { return strings.Compare(a.Attempt.DeliveryID, b.Attempt.DeliveryID) })
	return bulk(ctx, r.Store, fenced, moveColumns[:2], `UPDATE deliveries SET attempts = attempts + 1
		FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id
		RETURNING deliveries.tenant, deliveries.id, deliveries.attempts`, number(false))
}

var attemptColumns = []column[*Record]{
	{"tenant", "text", func(r **Record) any { return (*r).Attempt.Tenant }},
	{"id", "text", func(r **Record) any { return (*r).Attempt.ID }},
	{"delivery_id", "text", func(r **Record) any { return (*r).Attempt.DeliveryID }},
	{"webhook_id", "text", func(r **Record) any { return (*r).Attempt.WebhookID }},
	{"number", "bigint", func(r **Record) any { return int64((*r).Attempt.Number) }},
	{"started_at", "timestamptz", func(r **Record) any { return timeOf((*r).Attempt.StartedAt) }},
	{"duration_ms", "bigint", func(r **Record) any { return (*r).Attempt.DurationMS }},
	{"status_code", "bigint", func(r **Record) any { return int64((*r).Attempt.StatusCode) }},
	{"error", "text", func(r **Record) any { return (*r).Attempt.Error }},
	{"request_headers", "text", func(r **Record) any { return jsonText((*r).Attempt.RequestHeaders) }},
	{"response_headers", "text", func(r **Record) any { return jsonText((*r).Attempt.ResponseHeaders) }},
	{"response_body", "bytea", func(r **Record) any { return notNil((*r).Attempt.ResponseBody) }},
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// tally is what a group means for one webhook's health.
type tally struct {
	webhookID  string
	reset      bool  // a success came, and the failures before it do not count any more
	added      int64 // failures after it
	success    time.Time
	failure    time.Time
	lastStatus int
	lastError  string
}

// freshness is how old last_success_at may get before a success of a healthy webhook writes it anew: a row a
// webhook would otherwise be rewritten with every group.
const freshness = 10 * time.Second

var tallyColumns = []column[*tally]{
	{"webhook_id", "text", func(t **tally) any { return (*t).webhookID }},
	{"reset", "boolean", func(t **tally) any { return (*t).reset }},
	{"added", "bigint", func(t **tally) any { return (*t).added }},
	{"success_at", "timestamptz", func(t **tally) any { return timeOf((*t).success) }},
	{"stale_at", "timestamptz", func(t **tally) any { return timeOf((*t).success.Add(-freshness)) }},
	{"failure_at", "timestamptz", func(t **tally) any { return timeOf((*t).failure) }},
	{"last_status", "bigint", func(t **tally) any { return int64((*t).lastStatus) }},
	{"last_error", "text", func(t **tally) any { return (*t).lastError }},
}

// count moves the webhooks' failure counts. Webhooks are taken in the order of their ids, so that two groups at once cannot deadlock.
func (r *recorder) count(ctx context.Context) error {
	tallies := map[string]*tally{}
	for _, record := range r.group {
		a := &record.Attempt
		t := tallies[a.WebhookID]
		if t == nil {
			t = &tally{webhookID: a.WebhookID}
			tallies[a.WebhookID] = t
		}
		if record.Received() {
			t.success = a.StartedAt
			if !record.CountsInTotal {
				t.reset, t.added = true, 0
			}
			continue
		}
		t.added++
		t.failure, t.lastStatus, t.lastError = a.StartedAt, a.StatusCode, a.Error
	}
	var quiet, failing []*tally // without and with a failure to note
	for _, id := range sortedKeys(tallies) {
		if t := tallies[id]; t.failure.IsZero() {
			quiet = append(quiet, t)
		} else {
			failing = append(failing, t)
		}
	}
	err := bulk(ctx, r.Store, quiet, tallyColumns[:5], `UPDATE webhook_health SET
		failed = CASE WHEN v.reset THEN 0 ELSE webhook_health.failed END,
		warned = CASE WHEN v.reset THEN 0 ELSE webhook_health.warned END, last_success_at = v.success_at
		FROM v WHERE webhook_health.webhook_id = v.webhook_id AND ((v.reset AND webhook_health.failed <> 0)
		OR webhook_health.last_success_at IS NULL OR webhook_health.last_success_at < v.stale_at)`, nil)
	if err != nil {
		return err
	}
	counts := map[string]int64{}
	err = bulk(ctx, r.Store, failing, tallyColumns, `UPDATE webhook_health SET
		failed = v.added + CASE WHEN v.reset THEN 0 ELSE webhook_health.failed END,
		warned = CASE WHEN v.reset THEN 0 ELSE webhook_health.warned END,
		last_success_at = COALESCE(v.success_at, webhook_health.last_success_at),
		last_failure_at = v.failure_at, last_status = v.last_status, last_error = v.last_error
		FROM v WHERE webhook_health.webhook_id = v.webhook_id
		RETURNING webhook_health.webhook_id, webhook_health.failed`, func(rows *sql.Rows) error {
		var id string
		var n int64
		err := rows.Scan(&id, &n)
		counts[id] = n
		return err
	})
	for i, record := range r.group {
		r.results[i].Failed = counts[record.Attempt.WebhookID]
	}
	return err
}
