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
	Attempt    Attempt // Record sets its Number and Manual, unless it was received
	Generation int     // the delivery's generation when the POST began
	// Status is Delivered, Failed, or Pending if another attempt follows at NextAttemptAt.
	Status        DeliveryStatus
	NextAttemptAt time.Time
	AcceptedAt    time.Time // of the event; zero = unknown, and the delivery is left out of the percentiles
	DispatchID    string    // the dispatch that made the attempt
	EventType     string    // of the event; "" = unknown
	// CountsInTotal says that a success does not reset the webhook's failure count.
	CountsInTotal bool
	// Epoch is the webhook's WebhookHealth.Epoch when the POST began. A failure of an earlier epoch is recorded and
	// not counted.
	Epoch int64
	// Uncounted says that a failure is not the receiver's: it uses up no retry and is not counted.
	Uncounted bool
	// Cautious says that the record's rows were locked a moment ago: its group waits for no lock.
	Cautious bool
}

// Received reports whether the attempt succeeded.
func (r *Record) Received() bool { return r.Status == Delivered }

// Recorded is the result of a Record. Applied is false if the delivery had been changed from outside in the meantime:
// then only the attempt was stored. Exception: a success still marks an unfinished delivery as delivered. Failed is
// the webhook's failure count after the group, 0 if this group has no failure of it.
//
// Before is that count before the group. Locked says that another transaction has locked the delivery's row, or its
// webhook's: nothing was stored, and the caller makes the record again in a moment.
type Recorded struct {
	Applied bool
	Failed  int64
	Before  int64
	Locked  bool
}

// DeliveryKey returns the key of the record's delivery.
func (r *Record) DeliveryKey() DeliveryKey {
	return DeliveryKey{Tenant: r.Attempt.Tenant, ID: r.Attempt.DeliveryID}
}

// Record stores a group of attempts, updates their deliveries and counts their webhooks' failures, in one transaction.
// done are the dispatches that these records finish; their outbox entries are deleted.
//
// If another transaction holds a row for longer than the pool's lock_timeout, the rest of the group is recorded
// without it, and its result is marked.
func (s *Store) Record(ctx context.Context, group []*Record, done []string) ([]Recorded, error) {
	s.noteTraffic()
	if s.postgres && slices.ContainsFunc(group, func(r *Record) bool { return r.Cautious }) {
		return s.recordUnlocked(ctx, group, done)
	}
	tried := s.triesPlain(group)
	if tried {
		results, err := s.recordPlain(ctx, group, done)
		switch {
		case IsLocked(err):
			return s.recordUnlocked(ctx, group, done)
		case !isUndone(err):
			return results, err
		}
	}
	results, err := s.record(ctx, group, done)
	if tried && err == nil {
		s.recordCarefully.note(s.now(), culprits(group, func(r *Record) string { return r.Attempt.Tenant },
			func(i int) bool { return !results[i].Applied }))
	}
	if !IsLocked(err) {
		return results, err
	}
	return s.recordUnlocked(ctx, group, done)
}

func (s *Store) record(ctx context.Context, group []*Record, done []string) ([]Recorded, error) {
	var results []Recorded
	err := s.tx(ctx, isGivenUp, func(tx *Store) error {
		results = make([]Recorded, len(group))
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
	types   []string // the types of the events
	// troubles is what operational events have said about the webhooks whose rows in webhook_health the group has changed.
	troubles map[string]*trouble
	counts   map[string]failures // by webhook, of those with failures
	plain    bool                // see recordPlain
}

// failures is a webhook's failure count before and after a group.
type failures struct{ before, after int64 }

func (r *recorder) run(ctx context.Context, done []string) error {
	left := make([]int, len(r.group))
	r.types = make([]string, len(r.group))
	for i, record := range r.group {
		left[i] = i
		record.Attempt.Number = 0
	}
	// A failure always changes its webhook's count, for which others then wait. So it is locked last. A success seldom changes one,
	// and goes with the first update.
	failing := slices.ContainsFunc(r.group, func(record *Record) bool { return !record.Received() })
	// A multi-row update takes each row once, so a second attempt of the same delivery goes into a second round.
	for first := true; len(left) > 0; first = false {
		var again []int
		round := make(map[DeliveryKey]int, len(left))
		for _, i := range left {
			key := r.group[i].DeliveryKey()
			if _, ok := round[key]; ok {
				again = append(again, i)
			} else {
				round[key] = i
			}
		}
		if err := r.move(ctx, round); err != nil {
			return err
		}
		if first && !failing {
			if err := r.count(ctx); err != nil {
				return err
			}
		}
		if err := r.moveRest(ctx, round); err != nil {
			return err
		}
		left = again
	}
	// An attempt without a number belongs to a delivery that has been removed in the meantime, with its tenant.
	kept := slices.DeleteFunc(slices.Clone(r.group), func(record *Record) bool { return record.Attempt.Number == 0 })
	if err := later(ctx, r.Store, kept, attemptColumns, `INSERT INTO attempts (`+attemptNames+`) SELECT `+attemptNames+` FROM v`, nil); err != nil {
		return err
	}
	if err := r.appendStats(ctx, r.stats()); err != nil {
		return err
	}
	if failing {
		if err := r.count(ctx); err != nil {
			return err
		}
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
	for i, record := range r.group {
		c := r.counts[record.Attempt.WebhookID]
		r.results[i].Before, r.results[i].Failed = c.before, c.after
	}
	if err := r.announce(ctx); err != nil {
		return err
	}
	return r.endDispatches(ctx, done)
}

// endDispatches removes the dispatches that the group finishes.
func (r *recorder) endDispatches(ctx context.Context, done []string) error {
	return later(ctx, r.Store, done, idColumns, "DELETE FROM dispatches WHERE id IN (SELECT id FROM v)", nil)
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
	was[*Record](Pending),
}

func failure(r *Record) int64 {
	if r.Received() || r.Uncounted {
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

// move updates the deliveries of one round that are still as the attempts found them. round has the index in the group of
// each delivery's record. After wait those of the updated ones are gone from it.
func (r *recorder) move(ctx context.Context, round map[DeliveryKey]int) error {
	return later(ctx, r.Store, r.sorted(round), moveColumns, moveRows, r.number(round, true))
}

// moveRows updates the deliveries that are as the attempts found them.
const moveRows = `UPDATE deliveries SET attempts = attempts + 1, failures = failures + v.failure,
	status = v.status, status_reason = '', next_attempt_at = v.next_at, finished_at = v.finished_at, dispatch_id = v.dispatch_id
	FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id
	AND deliveries.status = v.was AND deliveries.generation = v.generation
	RETURNING deliveries.tenant, deliveries.id, deliveries.attempts, deliveries.asked, deliveries.event_type`

// number reads what an update of deliveries returns, and numbers their attempts.
func (r *recorder) number(round map[DeliveryKey]int, applied bool) func(scanner) error {
	return func(row scanner) error {
		var key DeliveryKey
		var attempts, asked int
		var eventType string
		if err := row.Scan(&key.Tenant, &key.ID, &attempts, &asked, &eventType); err != nil {
			return err
		}
		i := round[key]
		r.types[i] = eventType
		delete(round, key)
		r.group[i].Attempt.Number, r.group[i].Attempt.Manual = attempts, applied && attempts == asked
		r.results[i].Applied = applied
		return nil
	}
}

// moveRest updates the deliveries of the round that have another state than expected: they have been changed from outside.
// A received delivery needs only to be unfinished. It is delivered whatever it waits for: the next attempt would send it
// twice. All others only count the attempt.
func (r *recorder) moveRest(ctx context.Context, round map[DeliveryKey]int) error {
	if err := r.wait(ctx); err != nil || len(round) == 0 {
		return err
	}
	received := slices.DeleteFunc(r.sorted(round), func(record *Record) bool { return !record.Received() })
	err := later(ctx, r.Store, received, moveColumns, `UPDATE deliveries SET attempts = attempts + 1,
		status = v.status, status_reason = '', next_attempt_at = NULL, finished_at = v.finished_at
		FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id AND deliveries.finished_at IS NULL
		RETURNING deliveries.tenant, deliveries.id, deliveries.attempts, deliveries.asked, deliveries.event_type`, r.number(round, true))
	if err != nil {
		return err
	}
	if err := r.wait(ctx); err != nil {
		return err
	}
	late := r.sorted(round)
	err = later(ctx, r.Store, late, moveColumns[:2], `UPDATE deliveries SET attempts = attempts + 1,
		asked = CASE WHEN asked > attempts THEN asked + 1 ELSE asked END
		FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id
		RETURNING deliveries.tenant, deliveries.id, deliveries.attempts, deliveries.asked, deliveries.event_type`, r.number(round, false))
	if err != nil {
		return err
	}
	return r.blankErased(ctx, late)
}

// blankErased removes the answers to attempts whose events have been erased while the POSTs were in flight: the
// erasure has already passed their deliveries.
func (r *recorder) blankErased(ctx context.Context, late []*Record) error {
	records := make(map[DeliveryKey]*Record, len(late))
	for _, record := range late {
		records[record.DeliveryKey()] = record
	}
	return bulk(ctx, r.Store, late, moveColumns[:2], `SELECT d.tenant, d.id FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.id = v.id
		JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id WHERE e.erased_at IS NOT NULL`, func(rows *sql.Rows) error {
		var key DeliveryKey
		if err := rows.Scan(&key.Tenant, &key.ID); err != nil {
			return err
		}
		a := &records[key].Attempt
		a.ResponseHeaders, a.ResponseBody, a.Detail = map[string]string{}, nil, AttemptDetail{}
		return nil
	})
}

// stats counts the stored attempts, and the deliveries that they ended.
func (r *recorder) stats() statDeltas {
	counted := statDeltas{}
	for i, record := range r.group {
		a := &record.Attempt
		if a.Number == 0 && !r.plain {
			continue
		}
		c := counted.at(a.StartedAt, a.Tenant, a.WebhookID, r.types[i])
		c.Attempts++
		if !record.Received() {
			c.FailedAttempts++
		}
		if !r.results[i].Applied || record.Status == Pending {
			continue
		}
		ended := a.StartedAt.Add(time.Duration(a.DurationMS) * time.Millisecond)
		c = counted.at(ended, a.Tenant, a.WebhookID, r.types[i])
		if !record.Received() {
			c.Failed++
			continue
		}
		c.Delivered++
		if !record.AcceptedAt.IsZero() {
			c.took(latencyBucket(ended.Sub(record.AcceptedAt).Milliseconds()), 1)
		}
	}
	return counted
}

// sorted returns the records of a round in the order in which all groups take them.
func (r *recorder) sorted(round map[DeliveryKey]int) []*Record {
	records := make([]*Record, 0, len(round))
	for _, i := range round {
		records = append(records, r.group[i])
	}
	sortRecords(records)
	return records
}

func sortRecords(records []*Record) {
	slices.SortFunc(records, func(a, b *Record) int { return strings.Compare(a.Attempt.DeliveryID, b.Attempt.DeliveryID) })
}

// attemptNames are the names of attemptColumns, in their order.
const attemptNames = `tenant, id, delivery_id, webhook_id, number, manual, started_at, duration_ms, url, status_code, error, request_headers,
	response_headers, response_body, detail`

var attemptColumns = []column[*Record]{
	{"tenant", "text", func(r **Record) any { return (*r).Attempt.Tenant }},
	{"id", "text", func(r **Record) any { return (*r).Attempt.ID }},
	{"delivery_id", "text", func(r **Record) any { return (*r).Attempt.DeliveryID }},
	{"webhook_id", "text", func(r **Record) any { return (*r).Attempt.WebhookID }},
	{"number", "bigint", func(r **Record) any { return int64((*r).Attempt.Number) }},
	{"manual", "boolean", func(r **Record) any { return (*r).Attempt.Manual }},
	{"started_at", "timestamptz", func(r **Record) any { return timeOf((*r).Attempt.StartedAt) }},
	{"duration_ms", "bigint", func(r **Record) any { return (*r).Attempt.DurationMS }},
	{"url", "text", func(r **Record) any { return (*r).Attempt.URL }},
	{"status_code", "bigint", func(r **Record) any { return int64((*r).Attempt.StatusCode) }},
	{"error", "text", func(r **Record) any { return (*r).Attempt.Error }},
	{"request_headers", "text", func(r **Record) any { return jsonText((*r).Attempt.RequestHeaders) }},
	{"response_headers", "text", func(r **Record) any { return jsonText((*r).Attempt.ResponseHeaders) }},
	{"response_body", "bytea", func(r **Record) any { return notNil((*r).Attempt.ResponseBody) }},
	{"detail", "text", func(r **Record) any { return detailText(&(*r).Attempt.Detail) }},
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
