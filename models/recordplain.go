package models

import (
	"context"
	"slices"
	"strings"
)

// triesPlain reports whether recordPlain is worth a try.
func (s *Store) triesPlain(group []*Record) bool {
	if !s.canDoAtOnce() || len(group) == 0 {
		return false
	}
	now, deliveries := s.now(), make(map[DeliveryKey]bool, len(group))
	for _, record := range group {
		// A reception of an operational event ends no trouble of its webhook, which count would find.
		if !record.Received() || record.EventType == "" || strings.HasPrefix(record.EventType, OperationalPrefix) ||
			deliveries[record.DeliveryKey()] || s.recordCarefully.with(now, record.Attempt.Tenant) {
			return false
		}
		deliveries[record.DeliveryKey()] = true
	}
	return true
}

// recordPlain records a group of attempts as most are, in one round trip: all were received. It fails, and stores nothing, if a
// delivery has been changed meanwhile, or a webhook has something to announce.
func (s *Store) recordPlain(ctx context.Context, group []*Record, done []string) ([]Recorded, error) {
	results := make([]Recorded, len(group))
	return results, s.atOnce(ctx, func(tx *Store) error {
		r := recorder{Store: tx, group: group, results: results, types: make([]string, len(group)), plain: true}
		return r.store(ctx, done)
	})
}

// store queues everything that recordPlain stores.
func (r *recorder) store(ctx context.Context, done []string) error {
	for i, record := range r.group {
		r.types[i], r.results[i].Applied = record.EventType, true
	}
	if err := r.movePlain(ctx); err != nil {
		return err
	}
	if err := r.count(ctx); err != nil {
		return err
	}
	if err := r.appendStats(ctx, r.stats()); err != nil {
		return err
	}
	return r.endDispatches(ctx, done)
}

// plainColumns are moveColumns and attemptColumns, for the one statement of movePlain. A delivery's id is
// called id, and its attempt's is called attempt.
var plainColumns = slices.Concat(moveColumns, []column[*Record]{{"attempt", "text", func(r **Record) any { return (*r).Attempt.ID }}},
	slices.DeleteFunc(slices.Clone(attemptColumns), func(c column[*Record]) bool {
		return slices.Contains([]string{"tenant", "id", "delivery_id", "number", "manual"}, c.name)
	}))

// movePlain ends the deliveries and stores the attempts. It fails if any delivery is not as its attempt found it.
func (r *recorder) movePlain(ctx context.Context) error {
	records := slices.Clone(r.group)
	sortRecords(records)
	return later(ctx, r.Store, records, plainColumns, `, moved AS (`+moveRows+`, v.attempt, v.webhook_id, v.started_at, v.duration_ms, v.url,
		v.status_code, v.error, v.request_headers, v.response_headers, v.response_body, v.detail),
		made AS (INSERT INTO attempts (`+attemptNames+`)
		SELECT tenant, attempt, id, webhook_id, attempts, attempts = asked, started_at, duration_ms, url, status_code, error, request_headers,
		response_headers, response_body, detail FROM moved RETURNING id)
		`+demandAll, nil)
}
