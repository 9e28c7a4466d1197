package models

import (
	"context"
	"database/sql"
	"encoding/binary"
	"maps"
	"slices"
	"time"
)

// statKey identifies a count of a tenant. Without a webhook it counts events only.
type statKey struct {
	webhookID, eventType string
	minute               int64 // since 1970
}

// statDeltas are the counts of one transaction, by tenant.
type statDeltas map[string]map[statKey]*Counts

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// at returns the counts for a time.
func (d statDeltas) at(t time.Time, tenant, webhookID, eventType string) *Counts {
	counts := d[tenant]
	if counts == nil {
		counts = map[statKey]*Counts{}
		d[tenant] = counts
	}
	key := statKey{webhookID, eventType, minuteOf(t)}
	c := counts[key]
	if c == nil {
		c = &Counts{}
		counts[key] = c
	}
	return c
}

// owed counts a new delivery whose event was accepted at a time: the event has matched the webhook.
func (d statDeltas) owed(accepted time.Time, delivery *Delivery) {
	d.at(accepted, delivery.Tenant, delivery.WebhookID, delivery.EventType).Events++
	if delivery.Status == Held {
		d.at(delivery.CreatedAt, delivery.Tenant, delivery.WebhookID, delivery.EventType).Held++
	}
}

// statDelta is a row of stat_deltas.
type statDelta struct {
	Tenant, ID string
	Data       []byte
}

var statDeltaColumns = []column[statDelta]{
	{"tenant", "text", func(d *statDelta) any { return d.Tenant }},
	{"id", "text", func(d *statDelta) any { return d.ID }},
	{"data", "bytea", func(d *statDelta) any { return d.Data }},
}

// deltaCounts is the most counts in a row of stat_deltas. A transaction rarely has as many.
const deltaCounts = 500

// appendStats stores a transaction's counts in one statement: a row for each tenant. It waits for no lock.
func (s *Store) appendStats(ctx context.Context, d statDeltas) error {
	var rows []statDelta
	for tenant, counts := range d {
		data, n := []byte(nil), 0
		for key, c := range counts {
			data = appendText(appendText(data, key.webhookID), key.eventType)
			data = appendCounts(binary.AppendVarint(data, key.minute), c)
			if n++; n%deltaCounts == 0 || n == len(counts) {
				rows = append(rows, statDelta{tenant, NewID(""), data})
				data = nil
			}
		}
	}
	return later(ctx, s, rows, statDeltaColumns, "INSERT INTO stat_deltas (tenant, id, data) SELECT tenant, id, data FROM v", nil)
}

// eachDelta reads a row of stat_deltas.
func eachDelta(data []byte, fn func(statKey, *Counts)) error {
	r := countsReader{data: data}
	for r.more() {
		key := statKey{webhookID: r.text(), eventType: r.text()}
		key.minute = r.minute()
		if c := r.counts(); r.err == nil {
			fn(key, &c)
		}
	}
	return r.err
}

func (r *countsReader) minute() int64 { return readNumber(r, binary.Varint) }

// statRow identifies a row of stats.
type statRow struct {
	tenant, webhookID, eventType string
	minute, span                 int64
}

// statCell is a row of stats with its counts by event type: several for a webhook, only "" for anything else.
type statCell struct {
	statRow
	types map[string]*Counts
}

var statRowColumns = []column[*statCell]{
	{"tenant", "text", func(c **statCell) any { return (*c).tenant }},
	{"webhook_id", "text", func(c **statCell) any { return (*c).webhookID }},
	{"event_type", "text", func(c **statCell) any { return (*c).eventType }},
	{"minute", "bigint", func(c **statCell) any { return (*c).minute }},
	{"span", "bigint", func(c **statCell) any { return (*c).span }},
}

var statCellColumns = append(slices.Clone(statRowColumns),
	column[*statCell]{"data", "bytea", func(c **statCell) any { return cellData((*c).types) }})

func cellData(types map[string]*Counts) (data []byte) {
	for _, eventType := range slices.Sorted(maps.Keys(types)) {
		data = appendCounts(appendText(data, eventType), types[eventType])
	}
	return data
}

// eachType reads the data of a row of stats.
func eachType(data []byte, fn func(eventType string, c *Counts)) error {
	r := countsReader{data: data}
	for r.more() {
		eventType := r.text()
		if c := r.counts(); r.err == nil {
			fn(eventType, &c)
		}
	}
	return r.err
}

// statCells are the counts that are added to stats.
type statCells map[statRow]*statCell

func (m statCells) add(row statRow, eventType string, c *Counts) {
	cell := m[row]
	if cell == nil {
		cell = &statCell{row, map[string]*Counts{}}
		m[row] = cell
	}
	cell.add(eventType, c)
}

func (c *statCell) add(eventType string, counts *Counts) {
	sum := c.types[eventType]
	if sum == nil {
		sum = &Counts{}
		c.types[eventType] = sum
	}
	sum.Add(counts)
}

// spread adds a tenant's counts to all rows that they belong to: the webhook's, and those of the tenant and of all
// tenants, for the event type and for all types.
func (m statCells) spread(tenant string, key statKey, c *Counts) {
	if key.webhookID != "" {
		m.add(statRow{tenant, key.webhookID, "", key.minute, 1}, key.eventType, c)
		whole := *c
		whole.Events = 0 // an event counts once, however many webhooks it matches
		if c = &whole; whole.isZero() {
			return
		}
	}
	for _, of := range []string{tenant, ""} {
		m.add(statRow{of, "", "", key.minute, 1}, "", c)
		m.add(statRow{of, "", key.eventType, key.minute, 1}, "", c)
	}
}

// isZero reports whether nothing has been counted.
func (c *Counts) isZero() bool {
	return !slices.ContainsFunc(c.fields(), func(n *int64) bool { return *n != 0 }) && len(c.latency) == 0
}

// statsLock is the advisory lock key for changing stats: rows are read, added to and written, one page at a time.
const statsLock = 0x7374617473 // "stats"

// lockStats keeps others from changing stats until the transaction ends. SQLite has one writer at a time.
func (s *Store) lockStats(ctx context.Context) error {
	if !s.postgres {
		return nil
	}
	return s.db.WithContext(ctx).Exec("SELECT pg_advisory_xact_lock(?)", statsLock).Error
}

// addStats adds cells to stats. The caller has lockStats.
func (s *Store) addStats(ctx context.Context, cells statCells) error {
	all := slices.Collect(maps.Values(cells))
	query := `SELECT s.tenant, s.webhook_id, s.event_type, s.minute, s.span, s.data FROM v JOIN stats s ON s.tenant = v.tenant
		AND s.webhook_id = v.webhook_id AND s.event_type = v.event_type AND s.minute = v.minute AND s.span = v.span`
	if s.postgres { // the purge of a tenant removes rows without lockStats
		query += " FOR UPDATE OF s"
	}
	err := bulk(ctx, s, all, statRowColumns, query, func(rows *sql.Rows) error {
		var row statRow
		var data []byte
		if err := rows.Scan(&row.tenant, &row.webhookID, &row.eventType, &row.minute, &row.span, &data); err != nil {
			return err
		}
		return eachType(data, cells[row].add)
	})
	if err != nil {
		return err
	}
	return bulk(ctx, s, all, statCellColumns, `INSERT INTO stats (tenant, webhook_id, event_type, minute, span, data)
		SELECT tenant, webhook_id, event_type, minute, span, data FROM v WHERE true
		ON CONFLICT (tenant, webhook_id, event_type, minute, span) DO UPDATE SET data = excluded.data`, nil)
}

// The bounds of a page that MergeStats merges: rows, and counts in them. The last row may exceed the bound by
// deltaCounts.
const (
	mergedRows   = 500
	mergedCounts = 2000
)

// MergeStats merges a page of appended counts into stats, in the order of tenants. A page starts after a key; next is
// where the following one starts, the zero key after the last. merged is the number of merged rows. It may run in
// several processes: each row is merged once.
func (s *Store) MergeStats(ctx context.Context, after DeliveryKey) (merged int, next DeliveryKey, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		keys, full, err := tx.mergeWhere(ctx, mergedRows, "(tenant, id) > (?, ?)", after.Tenant, after.ID)
		merged, next = len(keys), DeliveryKey{}
		if full {
			next = keys[merged-1]
		}
		return err
	})
	return merged, next, err
}

// mergeWhere merges the first of some rows of stat_deltas, and removes them. It returns their keys; full reports
// whether there may be more.
func (s *Store) mergeWhere(ctx context.Context, most int, where string, args ...any) (keys []DeliveryKey, full bool, err error) {
	if err := s.lockStats(ctx); err != nil {
		return nil, false, err
	}
	var rows []statDelta
	err = s.db.WithContext(ctx).Table("stat_deltas").Where(where, args...).Order("tenant, id").Limit(most).Find(&rows).Error
	if err != nil {
		return nil, false, err
	}
	full = len(rows) == most
	cells, counts := statCells{}, 0
	for i := range rows {
		if counts >= mergedCounts {
			full = true
			break
		}
		keys = append(keys, DeliveryKey{Tenant: rows[i].Tenant, ID: rows[i].ID})
		if err := eachDelta(rows[i].Data, func(key statKey, c *Counts) {
			counts++
			cells.spread(rows[i].Tenant, key, c)
		}); err != nil {
			return nil, false, err
		}
	}
	if err := s.addStats(ctx, cells); err != nil {
		return nil, false, err
	}
	return keys, full, bulk(ctx, s, keys, rowKeyColumns, "DELETE FROM stat_deltas WHERE (tenant, id) IN (SELECT tenant, id FROM v)", nil)
}

// StatFilter selects statistics; a Tenant, WebhookID or EventType of "" means all. The time from Since to Until is
// divided into buckets; both are bounds between two buckets.
type StatFilter struct {
	Tenant, WebhookID, EventType string
	Since, Until                 time.Time
	Bucket                       time.Duration
}

// deltasRead bounds the rows of stat_deltas that a reader adds. There are more only if they have not been merged for
// minutes.
const deltasRead = 20_000

// Stats counts what happened, bucket by bucket, including unmerged counts. One statement reads it all, so counts that
// a merge moves at the same time are counted once.
func (s *Store) Stats(ctx context.Context, f StatFilter) ([]Counts, error) {
	db := s.db.WithContext(ctx)
	if f.WebhookID != "" && f.Tenant == "" {
		if err := db.Raw("SELECT tenant FROM webhooks WHERE id = ?", f.WebhookID).Scan(&f.Tenant).Error; err != nil {
			return nil, err
		}
	}
	args := map[string]any{"tenant": f.Tenant, "webhook": f.WebhookID, "type": f.EventType, "since": minuteOf(f.Since), "until": minuteOf(f.Until),
		"deltas": deltasRead}
	if f.WebhookID != "" {
		args["type"] = "" // the rows contain its types
	}
	of := ""
	if f.Tenant != "" {
		of = " WHERE tenant = @tenant"
	}
	rows, err := db.Raw(`SELECT false AS delta, minute, data FROM stats WHERE tenant = @tenant AND webhook_id = @webhook AND event_type = @type
		AND minute >= @since AND minute < @until
		UNION ALL SELECT true, 0, data FROM (SELECT data FROM stat_deltas`+of+` LIMIT @deltas) d`, args).Rows()
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	buckets := statBuckets{StatFilter: f, counts: make([]Counts, int(f.Until.Sub(f.Since)/f.Bucket))}
	for rows.Next() {
		var delta bool
		var minute int64
		var data []byte
		if err := rows.Scan(&delta, &minute, &data); err != nil {
			return nil, err
		}
		if delta {
			err = eachDelta(data, buckets.addDelta)
		} else {
			err = eachType(data, func(eventType string, c *Counts) { buckets.addType(minute, eventType, c) })
		}
		if err != nil {
			return nil, err
		}
	}
	return buckets.counts, rows.Err()
}

// statBuckets sums up rows in buckets.
type statBuckets struct {
	StatFilter
	counts []Counts
}

func (b *statBuckets) add(minute int64, c *Counts) {
	if minute < minuteOf(b.Since) || minute >= minuteOf(b.Until) {
		return
	}
	b.counts[(minute-minuteOf(b.Since))/int64(b.Bucket/time.Minute)].Add(c)
}

func (b *statBuckets) addType(minute int64, eventType string, c *Counts) {
	if b.WebhookID == "" || b.EventType == "" || b.EventType == eventType {
		b.add(minute, c)
	}
}

func (b *statBuckets) addDelta(key statKey, c *Counts) {
	if b.EventType != "" && b.EventType != key.eventType || b.WebhookID != "" && b.WebhookID != key.webhookID {
		return
	}
	if b.WebhookID == "" && key.webhookID != "" {
		c.Events = 0
	}
	b.add(key.minute, c)
}

// statAge is how long rows of a span are kept. Then they are merged into rows of the next span.
type statAge struct {
	span, into int64 // in minutes; into 0 = removed
	days       int
}

var statAges = []statAge{{1, 60, StatMinuteDays}, {60, 1440, StatHourDays}, {1440, 0, StatDayDays}}

// For how many days minutes, hours and days are kept, before the current day.
const (
	StatMinuteDays = 7
	StatHourDays   = 90
	StatDayDays    = 400
)

// StatsSince returns since when there are statistics that are kept for a number of days.
func StatsSince(now time.Time, days int) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
}

// stats merges a page of statistics that are too old for their span into the next one. full reports whether there may
// be another page.
func (e *Expiry) stats(ctx context.Context, age statAge) (n int64, full bool, err error) {
	reached := e.minute
	err = e.store.Tx(ctx, func(tx *Store) error {
		reached = e.minute
		if err := tx.lockStats(ctx); err != nil {
			return err
		}
		query := `SELECT tenant, webhook_id, event_type, minute, span, data FROM stats WHERE span = ? AND minute >= ? AND minute < ?
			ORDER BY minute LIMIT ?`
		if tx.postgres {
			query += " FOR UPDATE SKIP LOCKED"
		}
		var old []*statCell
		cells := statCells{}
		rows, err := tx.db.WithContext(ctx).Raw(query, age.span, e.minute, minuteOf(StatsSince(tx.now(), age.days)), e.limit).Rows()
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var row statRow
			var data []byte
			if err := rows.Scan(&row.tenant, &row.webhookID, &row.eventType, &row.minute, &row.span, &data); err != nil {
				return err
			}
			old, reached = append(old, &statCell{statRow: row}), row.minute
			if age.into == 0 {
				continue
			}
			row.minute, row.span = row.minute-row.minute%age.into, age.into
			if err := eachType(data, func(eventType string, c *Counts) { cells.add(row, eventType, c) }); err != nil {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
		n, full = int64(len(old)), len(old) == e.limit
		if err := tx.addStats(ctx, cells); err != nil {
			return err
		}
		return bulk(ctx, tx, old, statRowColumns, `DELETE FROM stats WHERE (tenant, webhook_id, event_type, minute, span) IN (
			SELECT tenant, webhook_id, event_type, minute, span FROM v)`, nil)
	})
	if err == nil {
		e.minute = reached
	}
	return n, full, err
}
