package models

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"
)

// ReasonUnwanted is recorded on deliveries to a webhook that is no longer registered for their event type.
const ReasonUnwanted = "the webhook is not registered for this event type any more"

// ReasonDeleted is recorded on deliveries to a deleted webhook.
const ReasonDeleted = "webhook deleted"

// setAside is one delivery that must not be sent, and why.
type setAside struct {
	DeliveryKey
	status DeliveryStatus
	reason string
	at     *time.Time // when it ended; nil if it is held
}

var setAsideColumns = []column[setAside]{
	{"tenant", "text", func(d *setAside) any { return d.Tenant }},
	{"id", "text", func(d *setAside) any { return d.ID }},
	{"status", "text", func(d *setAside) any { return string(d.status) }},
	{"reason", "text", func(d *setAside) any { return d.reason }},
	{"finished_at", "timestamptz", func(d *setAside) any { return d.at }},
}

var foundColumns = []column[Delivery]{
	{"tenant", "text", func(d *Delivery) any { return d.Tenant }},
	{"id", "text", func(d *Delivery) any { return d.ID }},
	{"generation", "bigint", func(d *Delivery) any { return int64(d.Generation) }},
	was[Delivery](Pending),
}

// noJob is the condition that no job is going to hold or cancel the deliveries of webhook w.
const noJob = `NOT EXISTS (SELECT 1 FROM jobs j WHERE j.webhook_id = w.id AND (j.kind = 'cancel' OR (j.kind = 'hold'
	AND j.epoch = w.epoch AND w.status <> 'active')))`

// SetAside holds or cancels those of the pending deliveries that must not be sent: their webhook is not active, has
// been deleted, or is no longer registered for their event type, or their event has been erased. The database decides,
// in one short transaction: a caller's view of a webhook may be a second old. left are those that must be sent after
// all.
//
// A delivery that a job will reach is left to the job, and so is a row that another transaction has locked: thousands
// of workflows that find their webhook deactivated then cost one read each. The reconciler finds deliveries that a job
// has missed. The webhooks are locked against a change of status, so that a resume finds all deliveries held for its
// webhook.
func (s *Store) SetAside(ctx context.Context, deliveries []Delivery) (left []DeliveryKey, err error) {
	if len(deliveries) == 0 {
		return nil, nil
	}
	deliveries = slices.SortedFunc(slices.Values(deliveries), func(a, b Delivery) int { return strings.Compare(a.ID, b.ID) })
	err = s.Tx(ctx, func(tx *Store) error {
		left = nil
		now := timeOf(tx.now())
		lock := ""
		if tx.postgres {
			lock = " FOR SHARE OF w FOR UPDATE OF d SKIP LOCKED"
		}
		var aside []setAside
		counted := statDeltas{}
		types := map[string][]string{}
		err := bulk(ctx, tx, deliveries, foundColumns, `SELECT d.tenant, d.id, d.webhook_id, w.status, w.event_types, d.event_type,
			w.deleted_at IS NOT NULL OR EXISTS (SELECT 1 FROM tenants t WHERE t.id = d.tenant AND t.deleted_at IS NOT NULL),
			e.erased_at IS NOT NULL
			FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.id = v.id AND d.status = v.was AND d.generation = v.generation
			JOIN webhooks w ON w.id = d.webhook_id JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id
			WHERE `+noJob+`
			ORDER BY d.id`+lock, func(rows *sql.Rows) error {
			var d setAside
			var status WebhookStatus
			var webhookID, wanted, eventType string
			var deleted, erased bool
			if err := rows.Scan(&d.Tenant, &d.ID, &webhookID, &status, &wanted, &eventType, &deleted, &erased); err != nil {
				return err
			}
			w := Webhook{}
			var err error
			if w.EventTypes, err = decoded(types, wanted); err != nil {
				return err
			}
			switch {
			case deleted:
				d.status, d.reason, d.at = Canceled, ReasonDeleted, now
			case erased:
				d.status, d.reason, d.at = Canceled, ReasonErased, now
			case status != WebhookActive:
				d.status, d.reason = Held, HeldReason(status)
				counted.at(*now, d.Tenant, webhookID, eventType).Held++
			case !w.Wants(eventType):
				d.status, d.reason, d.at = Canceled, ReasonUnwanted, now
			default:
				left = append(left, d.DeliveryKey)
				return nil
			}
			aside = append(aside, d)
			return nil
		})
		if err != nil {
			return err
		}
		if err := tx.appendStats(ctx, counted); err != nil {
			return err
		}
		return bulk(ctx, tx, aside, setAsideColumns, `UPDATE deliveries SET status = v.status, status_reason = v.reason,
			generation = generation + 1, next_attempt_at = NULL, finished_at = v.finished_at
			FROM v WHERE deliveries.tenant = v.tenant AND deliveries.id = v.id`, nil)
	})
	return left, err
}
