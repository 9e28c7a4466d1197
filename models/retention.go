package models

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"
)

// Expiry is one run of the retention. It remembers its position in each table, so that a step does not read again what
// earlier ones have skipped. It is not safe for concurrent use.
type Expiry struct {
	store       *Store
	before      time.Time
	auditBefore string // the first id of the audit log that stays; "" = all stay
	limit       int

	finished time.Time // deliveries that finished before this time are removed
	at       int       // the current table
	position expiryMark
	minute   int64 // the minute of the last row of the statistics
}

// ExpiredAtOnce is how many rows of a kind one step of the hourly run examines.
const ExpiredAtOnce = 1000

// Expire starts a run that removes what finished before a time. A step examines up to limit rows of a table.
func (s *Store) Expire(before time.Time, limit int) *Expiry {
	return &Expiry{store: s, before: before.UTC(), limit: limit, minute: math.MinInt64}
}

// AuditBefore makes the run also remove entries of the audit log from before a time.
func (e *Expiry) AuditBefore(t time.Time) { e.auditBefore = IDBefore(PrefixAudit, Bound(t)) }

// attemptsFactor is how many attempts a step removes for each of its deliveries: if they have more, it takes fewer
// deliveries.
const attemptsFactor = 4

// Step does one bounded step: it removes deliveries with their attempts, and the events without any remaining
// delivery. After the last of those it removes events that matched no webhook, sent notifications, finished recoveries
// and erasures, entries of the audit log (AuditBefore), expired sessions, tests and replays. Finally it merges
// statistics into longer buckets. n is how many rows were removed; more reports whether there is another step.
//
// Pending and held deliveries stay, however old they are, with their attempts and events.
func (e *Expiry) Step(ctx context.Context) (n int64, more bool, err error) {
	if e.at == 0 {
		var full bool
		if n, full, err = e.deliveries(ctx); err != nil || full {
			return n, true, expiryError(err)
		}
		e.at = 1
	}
	for e.at <= len(expiring) {
		removed, full, err := e.rest(ctx, expiring[e.at-1])
		n += removed
		if err != nil || full {
			return n, true, expiryError(err)
		}
		e.at, e.position = e.at+1, expiryMark{}
	}
	for ; e.at <= len(expiring)+len(statAges); e.at, e.minute = e.at+1, math.MinInt64 {
		aged, full, err := e.stats(ctx, statAges[e.at-len(expiring)-1])
		n += aged
		if err != nil || full {
			return n, true, expiryError(err)
		}
	}
	return n, false, nil
}

func expiryError(err error) error {
	if err != nil {
		return fmt.Errorf("models: retention: %w", err)
	}
	return nil
}

// deliveries removes a page of deliveries and what belongs to them. full reports whether there may be more.
func (e *Expiry) deliveries(ctx context.Context) (n int64, full bool, err error) {
	reached := e.finished
	err = e.store.Tx(ctx, func(tx *Store) error {
		n = 0
		query := `SELECT tenant, id, event_id, attempts, finished_at FROM deliveries
			WHERE finished_at >= ? AND finished_at < ? AND status NOT IN ('pending', 'held') ORDER BY finished_at LIMIT ?`
		if tx.postgres {
			query += ` FOR UPDATE SKIP LOCKED`
		}
		var old []Delivery
		if err := tx.db.WithContext(ctx).Raw(query, e.finished.UTC(), e.before, e.limit).Scan(&old).Error; err != nil {
			return err
		}
		full = len(old) == e.limit
		most := attemptsFactor * e.limit
		attempts := 0
		if at := slices.IndexFunc(old, func(d Delivery) bool { attempts += d.Attempts; return attempts > most }); at >= 0 {
			old, full = old[:max(1, at)], true
		}
		if len(old) == 0 {
			return nil
		}
		reached = *old[len(old)-1].FinishedAt
		count := func(*sql.Rows) error { n++; return nil }
		if old[0].Attempts > most { // it is alone
			result := tx.db.WithContext(ctx).Exec(`DELETE FROM attempts WHERE (tenant, id) IN (
				SELECT tenant, id FROM attempts WHERE tenant = ? AND delivery_id = ? LIMIT ?)`, old[0].Tenant, old[0].ID, most)
			if n = result.RowsAffected; result.Error != nil || n == int64(most) {
				return result.Error
			}
		}
		for _, statement := range []string{
			`DELETE FROM attempts WHERE (tenant, delivery_id) IN (SELECT tenant, id FROM v) RETURNING id`,
			`DELETE FROM deliveries WHERE (tenant, id) IN (SELECT tenant, id FROM v) RETURNING id`,
		} {
			if err := bulk(ctx, tx, old, deliveryColumns[:2], statement, count); err != nil {
				return err
			}
		}
		events := make([]DeliveryKey, len(old))
		for i := range old {
			events[i] = DeliveryKey{Tenant: old[i].Tenant, ID: old[i].EventID}
		}
		return tx.removeUnowed(ctx, events, count)
	})
	if err == nil {
		e.finished = reached
	}
	return n, full, err
}

// removeUnowed removes those of the events that have no delivery left, and will get none. On PostgreSQL it locks them
// first, and checks for deliveries in a later statement, because a replay or a recovery may have created one. An event
// that another transaction has locked stays, and is removed in a later run.
func (s *Store) removeUnowed(ctx context.Context, events []DeliveryKey, count func(*sql.Rows) error) error {
	if s.postgres {
		var locked []DeliveryKey
		err := bulk(ctx, s, events, rowKeyColumns, `SELECT e.tenant, e.id FROM v JOIN events e ON e.tenant = v.tenant AND e.id = v.id
			ORDER BY e.tenant, e.id FOR UPDATE OF e SKIP LOCKED`, func(rows *sql.Rows) error {
			var k DeliveryKey
			err := rows.Scan(&k.Tenant, &k.ID)
			locked = append(locked, k)
			return err
		})
		if err != nil {
			return err
		}
		events = locked
	}
	return bulk(ctx, s, events, rowKeyColumns, `DELETE FROM events WHERE (tenant, id) IN (SELECT tenant, id FROM v) AND NOT EXISTS (
		SELECT 1 FROM deliveries d WHERE d.tenant = events.tenant AND d.event_id = events.id) AND NOT `+isUnmade("events")+` RETURNING id`, count)
}

// expiringTable is a table whose rows expire independently.
type expiringTable struct {
	name string
	// position is the columns by which it is read, as those of expiryMark; rows selects its rows after a position;
	// order is their order, and primary is its primary key.
	position, rows, order, primary string
	// gone is the condition on which a row, called r, is removed.
	gone string
}

// expiryMark is the last examined row of a table.
type expiryMark struct {
	At         time.Time
	Tenant, ID string
}

// behindID selects the next rows of a table that is read in the order of its ids.
const behindID = "id > @id"

// expiring are the tables after the deliveries.
var expiring = []expiringTable{
	{"events", "created_at AS at, tenant, id", "(created_at, tenant, id) > (@at, @tenant, @id) AND created_at < @before", "created_at, tenant, id",
		"tenant, id", "NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.tenant = r.tenant AND d.event_id = r.id) AND NOT " + isUnmade("r")},
	{"notifications", "id", behindID, "id", "id", "r.sent_at IS NOT NULL AND r.created_at < @before"},
	{"recoveries", "id", behindID, "id", "id", "r.finished_at < @before"},
	{"erasures", "id", behindID, "id", "id", "r.finished_at < @before"},
	{"audit_log", "id", "id > @id AND id < @audit", "id", "id", "true"},
	{"sessions", "id", behindID, "id", "id", "r.expires_at < @before"},
	{"tests", "id", behindID, "id", "id", "r.created_at < @before"},
	{"replays", "tenant, attempt_id AS id", "(tenant, attempt_id) > (@tenant, @id)", "tenant, attempt_id", "tenant, attempt_id", "r.replayed_at < @before"},
}

// rest removes the expired rows of a page of a table. full reports whether there may be another page.
func (e *Expiry) rest(ctx context.Context, t expiringTable) (n int64, full bool, err error) {
	args := map[string]any{"at": e.position.At.UTC(), "tenant": e.position.Tenant, "id": e.position.ID, "before": e.before, "audit": e.auditBefore,
		"limit": e.limit, "others": e.limit - 1}
	var last []expiryMark
	page := " FROM " + t.name + " WHERE " + t.rows + " ORDER BY " + t.order
	db := e.store.db.WithContext(ctx)
	if err := db.Raw("SELECT "+t.position+page+" LIMIT 1 OFFSET @others", args).Scan(&last).Error; err != nil {
		return 0, false, err
	}
	gone := "SELECT " + t.primary + " FROM (SELECT *" + page + " LIMIT @limit) r WHERE " + t.gone
	if t.name == "events" {
		n, err = e.unowed(ctx, gone, args)
	} else {
		result := db.Exec("DELETE FROM "+t.name+" WHERE ("+t.primary+") IN ("+gone+")", args)
		n, err = result.RowsAffected, result.Error
	}
	if err != nil || len(last) == 0 {
		return n, false, err
	}
	e.position = last[0]
	return n, true, nil
}

// unowed removes the events of a query that have no delivery.
func (e *Expiry) unowed(ctx context.Context, query string, args map[string]any) (n int64, err error) {
	err = e.store.Tx(ctx, func(tx *Store) error {
		n = 0
		var events []DeliveryKey
		if err := tx.db.WithContext(ctx).Raw(query, args).Scan(&events).Error; err != nil {
			return err
		}
		return tx.removeUnowed(ctx, events, func(*sql.Rows) error { n++; return nil })
	})
	return n, err
}
