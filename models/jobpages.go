package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// The jobs that follow a change of a webhook, an event or a recovery.
const (
	// jobHold holds the pending deliveries of a webhook that is no longer active.
	jobHold JobKind = "hold"
	// jobCancel cancels the unfinished deliveries of a deleted webhook.
	jobCancel JobKind = "cancel"
	// jobKeep changes the reason of deliveries that a pause holds, so that no resume releases them.
	jobKeep JobKind = "keep"
	// jobErase cancels the unfinished deliveries of an erased event.
	jobErase JobKind = "erase"
	// jobBlank removes the receivers' answers to the attempts of an erased event.
	jobBlank JobKind = "blank"
	// jobCount counts what a large recovery has to release.
	jobCount JobKind = "count"
	// jobTally counts the results of the deliveries that a recovery has released.
	jobTally JobKind = "tally"
)

// walk is one pass of a job over deliveries, in the order of their ids.
type walk struct {
	of   string // the condition that selects them, in addition to their status
	args []any
	from DeliveryStatus
	set  string // the changes; v.reason is the job's reason, v.now the time
}

// place is the position of a job with several walks.
type place struct {
	walk  int
	after string // the last processed delivery
	again string // where the next round starts, if locked rows were skipped; "" = nowhere
	round bool   // rows were skipped in this round
}

const placeForm = "%d %t %q %q"

func (j *Job) place() (p place) {
	if j.Position != "" {
		if _, err := fmt.Sscanf(j.Position, placeForm, &p.walk, &p.round, &p.after, &p.again); err != nil {
			panic("models: a job's position cannot be read: " + j.Position) // only this file writes it
		}
	}
	return p
}

func (j *Job) move(p place) { j.Position = fmt.Sprintf(placeForm, p.walk, p.round, p.after, p.again) }

// walkPage does one page of a job that walks over deliveries: one walk after the other, until the page is full. Rows
// that another transaction has locked are skipped, so that a page never waits and nobody waits long for it. The walk
// returns to them in another round.
func (s *Store) walkPage(ctx context.Context, j *Job, walks ...walk) (page JobPage, err error) {
	at, room := j.place(), j.most
	for at.walk < len(walks) && room > 0 {
		w := walks[at.walk]
		keys, err := s.walkKeys(ctx, &w, at.after, room)
		if err != nil {
			return page, err
		}
		changed, err := s.walkChange(ctx, &w, j.Reason, keys)
		if err != nil {
			return page, err
		}
		page.Rows += int64(changed)
		if changed < len(keys) && !at.round {
			at.round, at.again = true, at.after
		}
		switch {
		case len(keys) == room:
			at.after = keys[len(keys)-1].ID
		case at.round: // in another page: they are still locked
			j.move(place{walk: at.walk, after: at.again})
			return page, nil
		default:
			at = place{walk: at.walk + 1}
		}
		room -= len(keys)
	}
	page.Done = at.walk == len(walks)
	j.move(at)
	return page, nil
}

// walkKeys returns the next deliveries of a walk.
func (s *Store) walkKeys(ctx context.Context, w *walk, after string, most int) (keys []DeliveryKey, err error) {
	// The status is a constant: PostgreSQL cannot match a partial index against a bound parameter.
	err = s.db.WithContext(ctx).Model(&Delivery{}).Select("tenant", "id").Where(w.of, w.args...).
		Where(statusIs(w.from)).Where("id > ?", after).Order("id").Limit(most).Scan(&keys).Error
	return keys, err
}

// statusIs returns the condition that a delivery has a status, with the predicate of the partial index for it.
func statusIs(status DeliveryStatus) string {
	f := DeliveryFilter{Status: status}
	condition := "status = '" + string(status) + "'"
	if predicate := f.predicate(); predicate != "" && predicate != condition {
		condition += " AND " + predicate
	}
	return condition
}

// The changes that a walk makes.
const (
	setHeld     = "status = 'held', status_reason = v.reason, generation = deliveries.generation + 1, next_attempt_at = NULL"
	setCanceled = "status = 'canceled', status_reason = v.reason, generation = deliveries.generation + 1, next_attempt_at = NULL, finished_at = v.now"
	setReason   = "status_reason = v.reason"
)

// walkChange changes the deliveries that still match the walk. It skips rows that another transaction has locked.
func (s *Store) walkChange(ctx context.Context, w *walk, reason string, keys []DeliveryKey) (changed int, err error) {
	now := timeOf(s.now())
	counted := statDeltas{}
	columns := append(slices.Clone(rowKeyColumns), was[DeliveryKey](w.from),
		column[DeliveryKey]{"reason", "text", func(*DeliveryKey) any { return reason }},
		column[DeliveryKey]{"now", "timestamptz", func(*DeliveryKey) any { return now }})
	of, lock := "v", ""
	if s.postgres {
		of, lock = "locked AS v", `, locked AS MATERIALIZED (SELECT v.* FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.id = v.id
			AND d.status = v.was ORDER BY d.id FOR UPDATE OF d SKIP LOCKED) `
	}
	err = bulk(ctx, s, keys, columns, lock+"UPDATE deliveries SET "+w.set+" FROM "+of+` WHERE deliveries.tenant = v.tenant
		AND deliveries.id = v.id AND deliveries.status = v.was RETURNING deliveries.tenant, deliveries.webhook_id, deliveries.event_type`, func(rows *sql.Rows) error {
		changed++
		var tenant, webhookID, eventType string
		err := rows.Scan(&tenant, &webhookID, &eventType)
		if w.set == setHeld {
			counted.at(*now, tenant, webhookID, eventType).Held++
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return changed, s.appendStats(ctx, counted)
}

// jobWebhook reads the job's webhook, and on PostgreSQL locks it against a change of status, so that such a change
// finds everything that this page has done. Pages do not wait for each other.
func (s *Store) jobWebhook(ctx context.Context, j *Job) (w Webhook, err error) {
	lock := ""
	if s.postgres {
		lock = " FOR SHARE"
	}
	err = found(s.db.WithContext(ctx).Raw("SELECT id, status, epoch, deleted_at FROM webhooks WHERE id = ?"+lock, j.WebhookID).Take(&w).Error)
	return w, err
}

func holdPage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	w, err := s.jobWebhook(ctx, j)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && (w.DeletedAt != nil || w.Epoch != j.Epoch):
		return JobPage{Done: true}, nil // the webhook has another status, or is gone: another job follows from that
	case err != nil:
		return JobPage{}, err
	}
	walks := []walk{{of: "webhook_id = ?", args: []any{j.WebhookID}, from: Pending, set: setHeld}}
	if j.Reason != heldPaused {
		walks = append(walks, keepWalk(j))
	}
	return s.walkPage(ctx, j, walks...)
}

// keepWalk records the job's reason on deliveries that are held because the webhook was paused.
func keepWalk(j *Job) walk {
	return walk{of: "webhook_id = ? AND status_reason = '" + heldPaused + "'", args: []any{j.WebhookID}, from: Held, set: setReason}
}

func keepPage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	w, err := s.jobWebhook(ctx, j)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && (w.DeletedAt != nil || w.Epoch != j.Epoch):
		return JobPage{Done: true}, nil
	case err != nil:
		return JobPage{}, err
	}
	return s.walkPage(ctx, j, keepWalk(j))
}

func cancelPage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	of := walk{of: "webhook_id = ?", args: []any{j.WebhookID}, from: Pending, set: setCanceled}
	then := of
	then.from = Held
	return s.walkPage(ctx, j, of, then)
}

func erasePage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	pending := walk{of: "tenant = ? AND event_id = ?", args: []any{j.Tenant, j.EventID}, from: Pending, set: setCanceled}
	held, failed := pending, pending
	held.from, failed.from = Held, Failed
	failed.set = setReason // no recovery releases it
	failed.of += " AND status_reason <> ?"
	failed.args = []any{j.Tenant, j.EventID, j.Reason}
	return s.walkPage(ctx, j, pending, held, failed)
}

func blankPage(ctx context.Context, s *Store, j *Job) (JobPage, error) {
	keys, next, err := s.erasedDeliveries(ctx, []Event{{Tenant: j.Tenant, ID: j.EventID}}, j.Position, j.most, true)
	if err != nil {
		return JobPage{}, err
	}
	j.Position = next
	// Unfinished deliveries end here too: a POST in flight then finds its delivery changed, and its answer is not
	// stored.
	return JobPage{Rows: int64(len(keys)), Done: next == ""}, s.eraseOwed(ctx, keys)
}
