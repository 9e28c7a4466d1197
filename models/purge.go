package models

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// JobPurge removes what a deleted tenant owned.
const JobPurge JobKind = "purge"

// owned is a table in which tenants have rows. An index finds a tenant's rows in the order of key, so that a page
// starts where the previous one ended, and does not scan the dead rows that it left.
type owned struct {
	table, key string
	where      string // the predicate of the index, or the rows that stay
	weight     int    // weight of a row, in rows of the page; 0 = 1
	lock       bool   // lock the rows in a fixed order: others lock many of them too
	rest       string // the rest of a row's key, after the tenant and key; "" = none
}

// ownedTables are the tables in the order in which they are emptied. A transaction that adds rows for a tenant holds
// the tenant's row, so its rows existed when the tenant was deleted. Or it adds them to something that is removed
// earlier here: a fan-out's page to its job, a batch's to its batch, an attempt to its delivery. Deliveries are removed
// before their webhooks, whose rows say why the pending ones are not sent.
var ownedTables = []owned{
	{table: "jobs", key: "id", where: "kind <> 'purge'"},
	{table: "batches", key: "id", weight: 50}, // up to a thousand ids each
	{table: "api_keys", key: "id"},
	{table: "sessions", key: "id"},
	{table: "deliveries", key: "id", lock: true},
	{table: "attempts", key: "id"},
	{table: "tests", key: "id"},
	{table: "events", key: "id", weight: 4}, // up to a megabyte each
	{table: "idempotency_keys", key: "key"},
	{table: "webhooks", key: "id", where: "deleted_at IS NULL"},
	{table: "webhooks", key: "id", where: "deleted_at IS NOT NULL"},
	{table: "recoveries", key: "id"},
	{table: "erasures", key: "id"},
	{table: "notifications", key: "id"},
	{table: "replays", key: "attempt_id"},
	{table: "event_types", key: "name"},
	{table: "system_settings", key: "system"},
	{table: "tenant_paces", key: "tenant"},
	{table: statDeltaTable, key: "id"}, // merged: the tenant's counts stay in the sums over all tenants
	{table: "stats", key: "webhook_id", rest: "event_type, minute, span"},
}

const statDeltaTable = "stat_deltas"

// purgeAgain is how long after its first round a purge does a second one: longer than any acceptance takes.
const purgeAgain = time.Minute

// purgePage removes up to jobRows rows. The job's position is the index of the table and the last key removed from it.
func purgePage(ctx context.Context, s *Store, j *Job) (page JobPage, err error) {
	at, after := purgePosition(j.Position)
	for room := jobRows; at < len(ownedTables); {
		t := ownedTables[at]
		limit := room / max(1, t.weight)
		if limit == 0 {
			break
		}
		keys, full, err := t.remove(ctx, s, j.Tenant, after, limit, &page)
		if err != nil {
			return page, fmt.Errorf("models: purge %s: %w", t.table, err)
		}
		if full {
			after = keys[len(keys)-1].ID
		} else {
			at, after = at+1, ""
		}
		room -= len(keys) * max(1, t.weight)
	}
	j.Position, page.Done = strconv.Itoa(at)+" "+after, at == len(ownedTables)
	if page.Done && j.Epoch == 0 { // acceptances that ran during the deletion are committed by then
		j.Epoch, j.Position, page.Done, page.Later = 1, "", false, purgeAgain
	}
	return page, nil
}

func purgePosition(position string) (at int, after string) {
	number, after, _ := strings.Cut(position, " ")
	at, _ = strconv.Atoi(number) // 0 at the start
	return at, after
}

// remove deletes the tenant's next rows after a key, and returns their keys in order. full reports whether there may be more.
func (t *owned) remove(ctx context.Context, s *Store, tenant, after string, limit int, page *JobPage) (keys []DeliveryKey, full bool, err error) {
	switch {
	case t.table == statDeltaTable:
		keys, full, err = s.mergeWhere(ctx, limit, "tenant = ? AND id > ?", tenant, after)
		page.Rows += int64(len(keys))
		return keys, full, err
	case t.rest != "":
		return t.removeSeveral(ctx, s, tenant, after, limit, page)
	}
	query := "SELECT tenant, " + t.key + " AS id FROM " + t.table + " WHERE tenant = ? AND " + t.key + " > ?"
	if t.where != "" {
		query += " AND " + t.where
	}
	query += " ORDER BY " + t.key + " LIMIT ?"
	if t.lock && s.postgres {
		query += " FOR UPDATE"
	}
	if err := s.db.WithContext(ctx).Raw(query, tenant, after, limit).Scan(&keys).Error; err != nil || len(keys) == 0 {
		return nil, false, err
	}
	if t.table == "webhooks" {
		if err := s.failing(ctx, keys, page); err != nil {
			return nil, false, err
		}
	}
	page.Rows += int64(len(keys))
	return keys, len(keys) == limit, bulk(ctx, s, keys, rowKeyColumns, "DELETE FROM "+t.table+" WHERE (tenant, "+t.key+") IN (SELECT tenant, id FROM v)", nil)
}

// removeSeveral is remove for rows that share a key: a page starts with the key with which the previous one ended.
func (t *owned) removeSeveral(ctx context.Context, s *Store, tenant, after string, limit int, page *JobPage) (keys []DeliveryKey, full bool, err error) {
	columns := t.key + ", " + t.rest
	err = s.db.WithContext(ctx).Raw("DELETE FROM "+t.table+" WHERE tenant = ? AND ("+columns+") IN (SELECT "+columns+" FROM "+t.table+
		" WHERE tenant = ? AND "+t.key+" >= ? ORDER BY "+columns+" LIMIT ?) RETURNING tenant, "+t.key+" AS id", tenant, tenant, after, limit).Scan(&keys).Error
	slices.SortFunc(keys, func(a, b DeliveryKey) int { return strings.Compare(a.ID, b.ID) })
	page.Rows += int64(len(keys))
	return keys, len(keys) == limit, err
}

// failing adds those of the webhooks that have had failures to page.Judge: their health workflows find them gone, and
// end.
func (s *Store) failing(ctx context.Context, webhooks []DeliveryKey, page *JobPage) error {
	return bulk(ctx, s, webhooks, rowKeyColumns, `SELECT h.webhook_id FROM v JOIN webhook_health h ON h.webhook_id = v.id
		WHERE h.last_failure_at IS NOT NULL`, func(rows *sql.Rows) error {
		var id string
		err := rows.Scan(&id)
		page.Judge = append(page.Judge, id)
		return err
	})
}
