package models

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"gorm.io/gorm/clause"
)

// Batch is a number of events that were accepted together, whose deliveries follow in pages when there is room for
// them: those of each event to each member. A tenant with much waiting already gets its deliveries this way, because
// a delivery costs about as much to store as an event, and more to keep in memory. The row is deleted with the last
// page.
type Batch struct {
	Tenant    string
	ID        string
	CreatedAt time.Time // that of its events
	Events    []string  `gorm:"serializer:json;not null"` // their ids; all matched the same webhooks
	Members   []byte    // the webhooks that matched: see Members
	Position  int       // how many of the events have their deliveries
}

// BatchPage is what one page of a batch has stored.
type BatchPage struct {
	BatchID string // "" = the tenant has no batch that another process does not work on
	Done    bool   // it was the last page
	Rows    int    // deliveries, of any status
	// Owed are the pending deliveries, held by this process and without a dispatch. Events are those of their events
	// whose data is small; the others are read when they are sent.
	Owed   []Delivery
	Events map[DeliveryKey]*Event
}

// smallData is the most data of an event, in bytes, that a page reads: 1,000 events of a batch may have 32 MiB.
const smallData = 8 << 10

// BatchRows is the most deliveries that one page stores. That is at least one event's: more webhooks than
// FanOutAbove are a FanOut.
const BatchRows = 1000

var batchColumns = []column[Batch]{
	{"tenant", "text", func(b *Batch) any { return b.Tenant }},
	{"id", "text", func(b *Batch) any { return b.ID }},
	{"created_at", "timestamptz", func(b *Batch) any { return timeOf(b.CreatedAt) }},
	{"events", "text", func(b *Batch) any { return jsonText(b.Events) }},
	{"members", "bytea", func(b *Batch) any { return b.Members }},
}

// insertBatches stores the events whose deliveries follow when there is room.
func (a *acceptor) insertBatches(ctx context.Context) error {
	batches := gatherOpen(a, func(r *Acceptance) []Batch { return r.Batches })
	return later(ctx, a.Store, batches, batchColumns, `INSERT INTO batches (tenant, id, created_at, events, members, position)
		SELECT tenant, id, created_at, events, members, 0 FROM v`, nil)
}

// isUnmade returns the condition that a row of events has deliveries that do not exist yet: it fans out, or its batch is
// not done.
func isUnmade(table string) string {
	return "(EXISTS (SELECT 1 FROM jobs j WHERE j.tenant = " + table + ".tenant AND j.event_id = " + table + ".id AND j.kind = 'fanout')" +
		" OR EXISTS (SELECT 1 FROM batches b WHERE b.tenant = " + table + ".tenant AND b.id = " + table + ".batch_id))"
}

// Batches counts a tenant's batches, up to a number.
func (s *Store) Batches(ctx context.Context, tenant string, most int) (n int64, err error) {
	db := s.db.WithContext(ctx)
	err = db.Table("(?) AS b", db.Model(&Batch{}).Select("id").Where("tenant = ?", tenant).Limit(most)).Select("count(*)").Scan(&n).Error
	return n, err
}

// waitingBatches counts batches up to a number, and returns when the first of these was accepted; nil = there is none.
func (s *Store) waitingBatches(ctx context.Context, most int) (n int64, oldest *time.Time, err error) {
	var batches []Batch
	err = s.db.WithContext(ctx).Select("created_at").Limit(most).Find(&batches).Error
	for i := range batches {
		if at := &batches[i].CreatedAt; oldest == nil || at.Before(*oldest) {
			oldest = at
		}
	}
	return int64(len(batches)), oldest, err
}

// NextBatchTenant returns the tenant that comes after another one, by id, among those with batches; "" = there is none.
func (s *Store) NextBatchTenant(ctx context.Context, after string) (tenant string, err error) {
	err = s.db.WithContext(ctx).Model(&Batch{}).Select("tenant").Where("tenant > ?", after).Order("tenant").Limit(1).Scan(&tenant).Error
	return tenant, err
}

// RunBatch does the next page of the tenant's oldest batch that no other process works on: it stores up to most
// deliveries of the next events, or those of one event. This process holds them from then on. If rows stay locked it
// fails, so that others are not kept waiting.
func (s *Store) RunBatch(ctx context.Context, tenant string, most int) (page BatchPage, err error) {
	err = s.tx(ctx, isGivenUp, func(tx *Store) error {
		page = BatchPage{}
		q := tx.db.WithContext(ctx).Where("tenant = ?", tenant).Order("id")
		if tx.postgres {
			q = q.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate, Options: clause.LockingOptionsSkipLocked})
		}
		var b Batch
		if err := found(q.Take(&b).Error); err != nil {
			return err
		}
		page, err = tx.batchPage(ctx, &b, most)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return page, err
}

func (s *Store) batchPage(ctx context.Context, b *Batch, most int) (BatchPage, error) {
	members := memberIDs(b.Members)
	next := b.Events[b.Position:min(len(b.Events), b.Position+max(1, most/max(1, len(members))))]
	b.Position += len(next)
	page := BatchPage{BatchID: b.ID, Done: b.Position == len(b.Events), Events: map[DeliveryKey]*Event{}}
	events, err := s.batchEvents(ctx, b.Tenant, next)
	if err != nil {
		return page, err
	}
	targets, err := s.targetsOf(ctx, b.Tenant, members)
	if err != nil {
		return page, err
	}
	counted, process := statDeltas{}, s.ProcessID()
	var deliveries []Delivery
	for _, id := range next {
		e := events[id]
		if e == nil {
			continue // it has been erased or deleted
		}
		if e.Data != nil {
			page.Events[keyOf(e)] = e
		}
		for _, d := range s.owedTo(e, targets) {
			if d.Status == Pending {
				d.Process = process
				page.Owed = append(page.Owed, d)
			}
			counted.owed(e.CreatedAt, &d)
			deliveries = append(deliveries, d)
		}
	}
	page.Rows = len(deliveries)
	if err := s.appendStats(ctx, counted); err != nil {
		return page, err
	}
	if err := s.insertLater(ctx, deliveries, nil); err != nil {
		return page, err
	}
	db := s.db.WithContext(ctx)
	if page.Done {
		return page, db.Delete(&Batch{}, "tenant = ? AND id = ?", b.Tenant, b.ID).Error
	}
	return page, db.Model(&Batch{}).Where("tenant = ? AND id = ?", b.Tenant, b.ID).Update("position", b.Position).Error
}

// batchEvents reads a tenant's events, without those that are not to be delivered any more: their data has been
// erased, or the tenant deleted. They are locked until the page is stored: erasing one then finds all its deliveries.
func (s *Store) batchEvents(ctx context.Context, tenant string, ids []string) (map[string]*Event, error) {
	keys := keysOf(tenant, ids)
	query := `SELECT e.tenant, e.id, e.type, CASE WHEN length(e.data) <= ` + strconv.Itoa(smallData) + ` THEN e.data END AS data,
		e.attributes, e.external_id, e.channels, e.tags, e.created_at, e.batch_id
		FROM v JOIN events e ON e.tenant = v.tenant AND e.id = v.id JOIN tenants t ON t.id = e.tenant AND t.deleted_at IS NULL
		WHERE e.erased_at IS NULL ORDER BY e.id`
	if s.postgres {
		query += " FOR SHARE OF e"
	}
	events := make(map[string]*Event, len(ids))
	err := bulk(ctx, s, keys, rowKeyColumns, query, func(rows *sql.Rows) error {
		e := new(Event)
		if err := s.db.ScanRows(rows, e); err != nil {
			return err
		}
		events[e.ID] = e
		return nil
	})
	return events, err
}
