package models

import (
	"context"
	"maps"
	"slices"
	"time"
)

// tally is the effect of a group on one webhook's health.
type tally struct {
	webhookID  string
	epoch      int64 // of the failures; those of an earlier epoch do not count
	reset      bool  // a success came: the failures before it no longer count
	added      int64 // failures after it
	success    time.Time
	failure    time.Time
	lastStatus int
	lastError  string
}

// freshness is how old last_success_at may get before a success of a healthy webhook writes it again. Otherwise every
// group would rewrite a row for each webhook.
const freshness = 10 * time.Second

func (t *tally) staleBefore() time.Time {
	if t.success.IsZero() {
		return t.success
	}
	return t.success.Add(-freshness)
}

var tallyColumns = []column[*tally]{
	{"webhook_id", "text", func(t **tally) any { return (*t).webhookID }},
	{"epoch", "bigint", func(t **tally) any { return (*t).epoch }},
	{"reset", "boolean", func(t **tally) any { return (*t).reset }},
	{"added", "bigint", func(t **tally) any { return (*t).added }},
	{"success_at", "timestamptz", func(t **tally) any { return timeOf((*t).success) }},
	{"stale_at", "timestamptz", func(t **tally) any { return timeOf((*t).staleBefore()) }},
	{"failure_at", "timestamptz", func(t **tally) any { return timeOf((*t).failure) }},
	{"last_status", "bigint", func(t **tally) any { return int64((*t).lastStatus) }},
	{"last_error", "text", func(t **tally) any { return (*t).lastError }},
}

// fail adds a failure.
func (t *tally) fail(r *Record) {
	switch {
	case r.Epoch > t.epoch:
		t.epoch, t.added = r.Epoch, 1
	case r.Epoch == t.epoch:
		t.added++
	}
	a := &r.Attempt
	t.failure, t.lastStatus, t.lastError = a.StartedAt, a.StatusCode, a.Error
}

// tallies sums up the group by webhook.
func (r *recorder) tallies() map[string]*tally {
	tallies := map[string]*tally{}
	for _, record := range r.group {
		a := &record.Attempt
		t := tallies[a.WebhookID]
		if t == nil {
			t = &tally{webhookID: a.WebhookID}
			tallies[a.WebhookID] = t
		}
		switch {
		case record.Received():
			t.success = a.StartedAt
			if !record.CountsInTotal {
				t.reset, t.added = true, 0
			}
		case !record.Uncounted:
			t.fail(record)
		}
	}
	return tallies
}

// count updates the webhooks' failure counts, after their deliveries have been locked. Only deliveries that were received although
// they had been changed from outside may be locked after it (moveRest). If two groups meet there, lock_timeout ends one, and it
// is recorded without waiting. If the group is plain, it fails for a webhook that has had failures to announce. Otherwise r.counts
// and r.troubles are complete after wait.
func (r *recorder) count(ctx context.Context) error {
	tallies := r.tallies()
	all := make([]*tally, 0, len(tallies))
	for _, id := range slices.Sorted(maps.Keys(tallies)) {
		all = append(all, tallies[id])
	}
	lock := ""
	if r.postgres {
		lock = "FOR UPDATE OF h"
	}
	// The changing rows are locked in a fixed order before any of them changes, so that two groups cannot deadlock,
	// whatever the plan.
	update := `, moved AS (
		SELECT h.webhook_id FROM webhook_health h JOIN v ON v.webhook_id = h.webhook_id
		WHERE v.failure_at IS NOT NULL OR (v.reset AND h.failed <> 0) OR (v.success_at IS NOT NULL AND (h.troubled OR h.last_success_at IS NULL OR h.last_success_at < v.stale_at))
		ORDER BY h.webhook_id ` + lock + `)
		UPDATE webhook_health SET
		failed = CASE WHEN v.epoch = webhook_health.epoch THEN v.added ELSE 0 END + CASE WHEN v.reset THEN 0 ELSE webhook_health.failed END,
		warned = CASE WHEN v.reset THEN 0 ELSE webhook_health.warned END,
		last_success_at = COALESCE(v.success_at, webhook_health.last_success_at),
		last_failure_at = COALESCE(v.failure_at, webhook_health.last_failure_at),
		last_status = CASE WHEN v.failure_at IS NULL THEN webhook_health.last_status ELSE v.last_status END,
		last_error = CASE WHEN v.failure_at IS NULL THEN webhook_health.last_error ELSE v.last_error END
		FROM v WHERE webhook_health.webhook_id = v.webhook_id AND v.webhook_id IN (SELECT webhook_id FROM moved)
		RETURNING `
	if r.plain {
		return later(ctx, r.Store, all, tallyColumns, update+"1 / CAST(NOT webhook_health.troubled AS integer)", nil)
	}
	r.troubles, r.counts = map[string]*trouble{}, map[string]failures{}
	return later(ctx, r.Store, all, tallyColumns, update+`webhook_health.webhook_id, webhook_health.failed, webhook_health.epoch, webhook_health.failing_announced_us,
		webhook_health.failed_announced_us, webhook_health.troubled`, func(row scanner) error {
		var id string
		var after, epoch int64
		var said trouble
		if err := row.Scan(&id, &after, &epoch, &said.failingUS, &said.failedUS, &said.troubled); err != nil {
			return err
		}
		said.webhookID = id
		r.troubles[id] = &said
		if t := tallies[id]; !t.failure.IsZero() {
			before := after
			if t.epoch == epoch {
				before -= t.added
			}
			r.counts[id] = failures{before, after}
		}
		return nil
	})
}
