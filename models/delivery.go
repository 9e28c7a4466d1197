package models

import (
	"context"
	"errors"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// DeliveryStatus is the status of a delivery. docs/states.md draws the arrows.
type DeliveryStatus string

// pending → delivered | failed | held | canceled; held → pending | canceled; failed | delivered | canceled → pending
// (retry, recovery, replay) | held (replay to a webhook that is not active).
const (
	Pending   DeliveryStatus = "pending"
	Delivered DeliveryStatus = "delivered"
	Failed    DeliveryStatus = "failed" // all retries are used up
	Held      DeliveryStatus = "held"   // kept for a webhook that is not active
	Canceled  DeliveryStatus = "canceled"
)

// The reasons why a delivery is held. Whatever held it releases it.
const (
	heldPaused      = "webhook paused"
	heldDeactivated = "webhook deactivated"
	heldDisabled    = "webhook disabled"
	ReasonPaused    = "paused"
	heldCanceled    = "recovery canceled"
)

// HeldReason returns the reason recorded on the deliveries held for a webhook in this status.
func HeldReason(s WebhookStatus) string {
	switch s {
	case WebhookPaused:
		return heldPaused
	case WebhookDeactivated:
		return heldDeactivated
	default:
		return heldDisabled
	}
}

// Delivery is one event for one webhook. It exists from the moment the event is accepted.
type Delivery struct {
	Tenant       string
	ID           string
	EventID      string
	EventType    string
	WebhookID    string
	Status       DeliveryStatus
	StatusReason string
	Attempts     int // POSTs made
	Failures     int // failed POSTs since the retry schedule (re)started
	// Generation is increased by every change from outside the engine (hold, cancel, retry and so on). The engine's
	// own changes name the generation they expect; with another one they change nothing.
	Generation int
	Asked      int    // the number of the attempt that somebody has asked for; 0 = none
	DispatchID string // the dispatch that drives it; "" = none, or not recorded yet
	// Process is the process in whose memory the delivery waits for a shared dispatch, or that makes its first attempt
	// without one, as long as it names none; 0 = unknown.
	Process       int64
	RecoveryID    string     // the recovery that last released or created it; "" = none
	NextAttemptAt *time.Time // nil unless pending
	CreatedAt     time.Time
	FinishedAt    *time.Time // nil while pending or held
	Test          bool       `gorm:"-"` // it represents a TestPost
}

// DeliveryFilter filters a list of deliveries; zero values do not. Since is inclusive, Until exclusive.
type DeliveryFilter struct {
	WebhookID, EventID, EventType string
	EventTypes                    []string // one of them
	Status                        DeliveryStatus
	// Tried selects the pending deliveries that have been attempted. Untried selects those that have not, and held
	// ones.
	Tried, Untried bool
	Channel, Tag   string // labels of the event
	Since, Until   time.Time
}

// idsApart is how far the time in a delivery's id may differ from its created_at. Ids find the rows of a time window
// in the lists' order, and created_at decides.
const idsApart = time.Second

// The predicates of the partial indexes that find the rarer statuses.
const (
	isPending = "status = 'pending'"
	isStopped = "status IN ('held', 'failed', 'canceled')"
)

// predicate repeats the WHERE clause of the partial index for this status. PostgreSQL cannot match a partial index against a
// bound parameter.
func (f *DeliveryFilter) predicate() string {
	switch {
	case f.Status == Held, f.Status == Failed, f.Status == Canceled:
		return isStopped
	case f.Status == Pending, f.Status == "" && f.Tried:
		return isPending
	default:
		return ""
	}
}

// cursors returns the cursors of the list of deliveries that the filter selects.
func (f *DeliveryFilter) cursors(tenant string) cursors {
	c := cursorsOf(listDeliveries, tenant, f.WebhookID, f.EventID, f.EventType, string(f.Status), boundText(f.Since), boundText(f.Until))
	if !f.Tried && !f.Untried && len(f.EventTypes) == 0 && f.Channel == "" && f.Tag == "" { // unchanged since before these filters existed
		return c
	}
	return append(append(c, strconv.FormatBool(f.Tried), strconv.FormatBool(f.Untried), f.Channel, f.Tag), f.EventTypes...)
}

// narrow applies the part of the filter that tests share: the objects of a row, its status, and its time.
func (f *DeliveryFilter) narrow(q *gorm.DB) *gorm.DB { return f.within(f.about(q)) }

// about narrows a query to what the rows are about, and to their status.
func (f *DeliveryFilter) about(q *gorm.DB) *gorm.DB {
	for column, value := range map[string]string{"webhook_id": f.WebhookID, "event_id": f.EventID,
		"event_type": f.EventType, "status": string(f.Status)} {
		if value != "" {
			q = q.Where(column+" = ?", value)
		}
	}
	return q
}

// within narrows a query to the window of the filter.
func (f *DeliveryFilter) within(q *gorm.DB) *gorm.DB {
	if !f.Since.IsZero() {
		since := Bound(f.Since)
		q = q.Where("id >= ? AND created_at >= ?", IDBefore(PrefixDelivery, since.Add(-idsApart)), since)
	}
	if !f.Until.IsZero() {
		until := Bound(f.Until)
		q = q.Where("id < ? AND created_at < ?", IDBefore(PrefixDelivery, until.Add(idsApart)), until)
	}
	return q
}

// kept narrows a query to all that the filter is about but its window.
func (f *DeliveryFilter) kept(s *Store, q *gorm.DB) *gorm.DB {
	q = f.about(q).Where(f.predicate())
	if len(f.EventTypes) > 0 {
		q = q.Where(s.oneOf("event_type", f.EventTypes))
	}
	switch {
	case f.Tried:
		q = q.Where("status = 'pending' AND attempts > 0")
	case f.Untried:
		q = q.Where("(status = 'held' OR status = 'pending' AND attempts = 0)")
	}
	return withLabels(q, "deliveries.tenant", "deliveries.event_id", f.Channel, f.Tag)
}

// isOnePart reports whether one index has exactly the deliveries that the filter keeps of a tenant, in the order of the list.
func (f *DeliveryFilter) isOnePart(tenant string) bool {
	switch {
	case tenant == "", f.Channel != "", f.Tag != "", len(f.EventTypes) > 0, f.Tried, f.Untried:
		return false
	case f.Status == Pending:
		return f.WebhookID != "" && f.EventType == ""
	}
	return f.Status == "" && (f.WebhookID == "" || f.EventType == "")
}

// byID is the key of the lists that are sorted by ids alone, and byWebhook of those of one webhook.
var (
	byID      = listKey{id: "id"}
	byWebhook = listKey{of: "webhook_id", id: "id"}
)

// Deliveries lists a tenant's deliveries, newest first, or in reverse; tenant "" = those of all tenants. Where several parts of
// the filter have to be looked at for each delivery, a page looks at lookedMost: it may be short, or empty, and have a next one.
func (s *Store) Deliveries(ctx context.Context, tenant string, f DeliveryFilter, p Page) ([]Delivery, string, error) {
	cursors := f.cursors(tenant)
	after, err := cursors.parseID(p)
	if err != nil {
		return nil, "", err
	}
	if f.EventType == "" && len(f.EventTypes) == 1 {
		f.EventType, f.EventTypes = f.EventTypes[0], nil
	}
	db := s.db.WithContext(ctx)
	read := func(q *gorm.DB) (rows []Delivery, err error) {
		err = byID.sorted(f.kept(s, ofTenant(q, tenant)), p).Limit(p.Limit + 1).Find(&rows).Error
		return rows, err
	}
	var rows []Delivery
	var end *Mark
	switch {
	case f.EventID != "":
		rows, err = read(byID.behind(f.within(db.Table("deliveries")), p, after))
	case f.isOnePart(tenant):
		from := f.sources(s, db, tenant, p, after)[0]
		rows, err = read(db.Table("(?) AS deliveries", from.key.sorted(from.rows, p).Limit(p.Limit+1)))
	default:
		few := func() (*gorm.DB, error) { return s.fewDeliveries(db, tenant, &f, p, after) }
		rows, end, err = lookFirst(s, p, f.sources(s, db, tenant, p, after), few, func(_ int, looked *gorm.DB) ([]Delivery, error) {
			return read(db.Table("(?) AS deliveries", looked))
		})
	}
	if err != nil {
		return nil, "", err
	}
	rows, next := cutAt(rows, p.Limit, end, func(d Delivery) string { return cursors.next(d.ID) }, cursors.behindID)
	return rows, next, nil
}

// fewDeliveries is the query of the deliveries behind the cursor that have what few have: they are pending, or their event has the
// label of the filter. It is nil if the filter asks for neither, or they are many. No index has them in the order of the list.
func (s *Store) fewDeliveries(db *gorm.DB, tenant string, f *DeliveryFilter, p Page, after *Mark) (*gorm.DB, error) {
	q, err := s.fewLabelled(db, tenant, f.Channel, f.Tag)
	if q == nil && err == nil && f.WebhookID == "" && f.predicate() == isPending {
		var few bool
		if few, err = s.isFew(pendingDue(db)); few {
			q = pendingDue(db).Limit(fence)
		}
	}
	if q == nil || err != nil {
		return nil, err
	}
	return byID.behind(f.within(db.Table("(?) AS deliveries", q)), p, after).Limit(fence), nil
}

// pendingDue is the query of all pending deliveries, as an index has them.
func pendingDue(db *gorm.DB) *gorm.DB {
	return db.Table("deliveries").Where(isPending).Order("next_attempt_at, id")
}

// sources are the indexes that have the deliveries of a filter of several parts.
func (f *DeliveryFilter) sources(s *Store, db *gorm.DB, tenant string, p Page, after *Mark) (all []source) {
	from := func(q *gorm.DB, key listKey) {
		if tenant != "" {
			q = q.Where("tenant = ?", tenant)
		}
		all = append(all, source{key.behind(f.within(q), p, after), key})
	}
	if tenant != "" && f.EventType != "" {
		from(db.Table("deliveries").Where("event_type = ?", f.EventType), byID)
	}
	switch status := f.predicate(); {
	case f.WebhookID != "":
		from(s.ofOneWebhook(db.Table("deliveries").Where(status), "webhook_id", f.WebhookID), byWebhook)
	case status == isStopped:
		from(db.Table("deliveries").Where(status), byID)
	case len(all) == 0:
		from(db.Table("deliveries"), byID)
	}
	return all
}

// Delivery reads one delivery.
func (s *Store) Delivery(ctx context.Context, tenant, id string) (Delivery, error) {
	var d Delivery
	err := s.db.WithContext(ctx).Take(&d, "tenant = ? AND id = ?", tenant, id).Error
	return d, found(err)
}

// Effective sets a delivery's effective status: its row may lag behind while a job follows a change of its webhook or
// its event.
func (s *Store) Effective(ctx context.Context, d *Delivery) error {
	if d.Status != Pending && d.Status != Held {
		return nil
	}
	var now struct {
		Status          WebhookStatus
		Deleted, Erased bool
	}
	err := s.db.WithContext(ctx).Raw(`SELECT w.status, w.deleted_at IS NOT NULL AS deleted, e.erased_at IS NOT NULL AS erased
		FROM webhooks w, events e WHERE w.id = ? AND e.tenant = ? AND e.id = ?`, d.WebhookID, d.Tenant, d.EventID).Scan(&now).Error
	switch {
	case err != nil:
		return err
	case now.Deleted:
		d.Cancel(s.now(), ReasonDeleted)
	case now.Erased:
		d.Cancel(s.now(), ReasonErased)
	case d.Status == Pending && now.Status != "" && now.Status != WebhookActive:
		d.Status, d.StatusReason, d.NextAttemptAt = Held, HeldReason(now.Status), nil
	}
	return nil
}

// DeliveriesByID reads the existing deliveries with these ids, of one tenant or of several.
func (s *Store) DeliveriesByID(ctx context.Context, keys []DeliveryKey) ([]Delivery, error) {
	return byKey[Delivery](ctx, s, "deliveries", keys)
}

// DeliveryKey names a delivery. The JSON names are short because dispatches and histories contain hundreds of them.
type DeliveryKey struct {
	Tenant string `json:"t"`
	ID     string `json:"d"`
}

// Key returns the delivery's key.
func (d *Delivery) Key() DeliveryKey { return DeliveryKey{Tenant: d.Tenant, ID: d.ID} }

// LeftOf reports whether the delivery is pending and the dispatch drives it: it names this dispatch, or none yet.
func (d *Delivery) LeftOf(dispatchID string) bool {
	return d.Status == Pending && (d.DispatchID == dispatchID || d.DispatchID == "")
}

// holder returns the process that its row names: the one in whose memory the delivery waits, if it does.
func (d *Delivery) holder() int64 {
	if d.Status != Pending || d.DispatchID != "" {
		return 0
	}
	return d.Process
}

// ChangeDelivery locks one delivery, lets change alter it, increases its generation and stores it. If the delivery is
// then pending, a dispatch that drives it is written too and returned for the caller to start. If change returns an
// error, everything stays as it is.
func (s *Store) ChangeDelivery(ctx context.Context, tenant, id string, change func(*Delivery, WebhookStatus) error) (d Delivery, dispatch *Dispatch, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		d, dispatch = Delivery{}, nil
		if err := found(tx.forUpdate(tx.db.WithContext(ctx)).Take(&d, "tenant = ? AND id = ?", tenant, id).Error); err != nil {
			return err
		}
		var w Webhook
		status := WebhookStatus("") // "" = the webhook has been deleted
		switch err := found(alive(tx.db.WithContext(ctx)).Take(&w, "id = ?", d.WebhookID).Error); {
		case err == nil:
			status = w.Status
		case !errors.Is(err, ErrNotFound):
			return err
		}
		was := d.Status
		if err := change(&d, status); err != nil {
			return err
		}
		if err := tx.auditDelivery(ctx, &d, was); err != nil {
			return err
		}
		if d.Status == Held && was != Held {
			counted := statDeltas{}
			counted.at(tx.now(), tenant, d.WebhookID, d.EventType).Held++
			if err := tx.appendStats(ctx, counted); err != nil {
				return err
			}
		}
		d.Generation++
		if d.Status == Pending {
			dispatch = tx.newDispatch(d.EventID+"/"+d.ID[len(PrefixDelivery):], d.Generation, []Delivery{d})
			d.DispatchID = dispatch.ID
			if err := tx.createDispatch(ctx, dispatch); err != nil {
				return err
			}
		}
		return tx.db.WithContext(ctx).Model(&Delivery{}).Where("tenant = ? AND id = ?", tenant, id).
			Select("status", "status_reason", "failures", "asked", "generation", "dispatch_id", "next_attempt_at", "finished_at").
			Updates(&d).Error
	})
	return d, dispatch, err
}

// Release makes a held or failed delivery pending again, from the first step of its retry schedule, at once.
func (d *Delivery) Release(now time.Time) {
	d.Status, d.StatusReason, d.Failures, d.NextAttemptAt, d.FinishedAt = Pending, "", 0, &now, nil
}

// Ask notes that the next attempt is one that somebody has asked for.
func (d *Delivery) Ask() { d.Asked = d.Attempts + 1 }

// Hold holds a pending delivery by hand.
func (d *Delivery) Hold() {
	d.Status, d.StatusReason, d.NextAttemptAt = Held, ReasonPaused, nil
}

// Cancel ends a delivery that will not be sent.
func (d *Delivery) Cancel(now time.Time, reason string) {
	d.Status, d.StatusReason, d.NextAttemptAt, d.FinishedAt = Canceled, reason, nil, &now
}
