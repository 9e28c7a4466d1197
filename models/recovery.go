package models

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// RecoveryStatus is the status of a recovery.
type RecoveryStatus string

// A recovery runs until nothing is left to release, it is canceled, or its webhook is no longer active.
const (
	RecoveryRunning  RecoveryStatus = "running"
	RecoveryDone     RecoveryStatus = "completed"
	RecoveryCanceled RecoveryStatus = "canceled"
	RecoveryStopped  RecoveryStatus = "stopped"
)

// Recovery makes deliveries pending again, page by page: for a webhook, those that were held or have ended; for a
// replay, those of one event.
type Recovery struct {
	ID         string
	Tenant     string
	WebhookID  string // "" = it replays an event
	Status     RecoveryStatus
	Statuses   []DeliveryStatus `gorm:"serializer:json;not null"`
	EventTypes []string         `gorm:"serializer:json;not null"` // only these types, wildcards allowed; empty = all
	// Channel and Tag are those of the events; "" = any. StatusClass is the class of the last answer to a delivery: 4 = 400
	// to 499, 0 = no answer; nil = any.
	Channel, Tag string
	StatusClass  *int
	Reason       string     // only deliveries held for this reason; "" = any
	Since        *time.Time // only deliveries made at or after this time
	Until        time.Time  // and before this time, so that a delivery that fails again is not taken twice
	// Missed also creates deliveries of events that match the webhook and have none, among those accepted from
	// EventsSince on and before Until.
	Missed      bool
	EventsSince *time.Time
	EventID     string  // for a replay
	Members     []byte  // for a replay: the webhooks, see Members
	Rate        float64 // deliveries released per second; 0 = no limit
	// Sweep says that Until has been reached, and deliveries that were held at the last moment are being searched.
	Sweep bool
	// Seeking says that the deliveries are done, and missed events are being searched.
	Seeking  bool
	Position string // the last examined delivery or event; for a replay how many webhooks are done
	Total    int64  // deliveries to release, as counted at the start; TotalUnknown until a job has counted them
	Released int64  // made pending, created, or held for an inactive webhook
	Skipped  int64  // not sent again: their event was erased, their webhook deleted, or they were delivered and no longer match
	// Delivered and Failed are how many of the released deliveries have ended so, as last counted.
	Delivered  int64
	Failed     int64
	CreatedAt  time.Time
	FinishedAt *time.Time
}

// candidate is a delivery that a recovery may select.
type candidate struct {
	ID, EventType, StatusReason string
	Status                      DeliveryStatus
	Other                       bool // it is of another channel, tag or class of answers
}

// others is the condition of the deliveries that are of another channel, tag or class of answers than the recovery is for; "" = it is
// for all. Each row costs a look or three.
func (r *Recovery) others() (condition string, args []any) {
	var same []string
	for kind, value := range map[string]string{labelChannel: r.Channel, labelTag: r.Tag} {
		if value != "" {
			same = append(same, "EXISTS (SELECT 1 FROM event_labels m WHERE m.tenant = deliveries.tenant AND m.event_id = deliveries.event_id AND m.label = ?)")
			args = append(args, labelOf(kind, "", value))
		}
	}
	if r.StatusClass != nil {
		same = append(same, `COALESCE((SELECT a.status_code FROM attempts a WHERE a.tenant = deliveries.tenant AND a.delivery_id = deliveries.id
			ORDER BY a.number DESC LIMIT 1), -1) BETWEEN ? AND ?`)
		args = append(args, *r.StatusClass*100, *r.StatusClass*100+99)
	}
	if len(same) == 0 {
		return "", nil
	}
	return "NOT (" + strings.Join(same, " AND ") + ")", args
}

// window reads the next deliveries that the recovery may select, in the order of their ids. However few of them match,
// it reads no more than limit.
func (r *Recovery) window(db *gorm.DB, after string, limit int) (rows []candidate, err error) {
	q := db.Model(&Delivery{}).Select("id", "event_type", "status", "status_reason")
	if others, args := r.others(); others != "" {
		q = db.Model(&Delivery{}).Select("id, event_type, status, status_reason, "+others+" AS other", args...)
	}
	q = q.Where("webhook_id = ? AND id > ?", r.WebhookID, after)
	switch { // the predicates of partial indexes
	case r.Reason == heldPaused:
		q = q.Where("status = 'held' AND status_reason = '" + heldPaused + "'")
	case !slices.Contains(r.Statuses, Delivered):
		q = q.Where("status IN ('held', 'failed', 'canceled')")
	}
	if !r.Sweep {
		q = q.Where("id < ?", IDBefore(PrefixDelivery, r.Until))
	}
	if r.Since != nil {
		q = q.Where("id >= ?", IDBefore(PrefixDelivery, *r.Since))
	}
	err = q.Order("id").Limit(limit).Scan(&rows).Error
	return rows, err
}

// takes reports whether the recovery selects a delivery of its window.
func (r *Recovery) takes(c *candidate) bool {
	return !c.Other && slices.Contains(r.Statuses, c.Status) && (!r.Sweep || c.Status == Held) && (r.Reason == "" || c.StatusReason == r.Reason) && r.ofType(c.EventType)
}

func (r *Recovery) ofType(eventType string) bool {
	return len(r.EventTypes) == 0 || slices.ContainsFunc(r.EventTypes, func(pattern string) bool { return MatchesType(pattern, eventType) })
}

// isOver reports whether there is nothing left to send, or no webhook to send it to.
func (c *candidate) isOver() bool {
	return c.StatusReason == ReasonErased || c.StatusReason == ReasonDeleted
}

// holds reports whether the recovery selects held deliveries of any age.
func (r *Recovery) holds() bool {
	return slices.Contains(r.Statuses, Held) && !r.Until.Before(r.CreatedAt)
}

// TotalUnknown is the Total of a recovery that has not been counted yet.
const TotalUnknown = -1

// countedAtOnce is the most deliveries that are examined to count them when a recovery is created; a job counts more,
// and missed events.
const countedAtOnce = 10_000

// CreateRecovery stores a recovery and counts what it has to release. ErrNotFound if the webhook does not exist.
func (s *Store) CreateRecovery(ctx context.Context, r *Recovery) error {
	r.ID, r.Status, r.CreatedAt = NewID(PrefixRecovery), RecoveryRunning, s.now()
	if r.Until.IsZero() {
		r.Until = r.CreatedAt.Add(time.Millisecond)
	}
	r.Since, r.EventsSince, r.Until, r.Members = timeAt(r.Since), timeAt(r.EventsSince), *timeOf(r.Until), notNil(r.Members)
	r.Seeking = r.Missed && len(r.Statuses) == 0
	if err := s.countAtOnce(ctx, r); err != nil {
		return err
	}
	return s.changeTenant(ctx, r.Tenant, func(tx *Store) error {
		if err := tx.holdTenant(ctx, r.Tenant); err != nil {
			return err
		}
		if err := tx.db.WithContext(ctx).Create(r).Error; err != nil {
			return err
		}
		if err := tx.auditRecovery(ctx, r, AuditRecoveryCreated); err != nil {
			return err
		}
		job := Job{Kind: jobTally, Tenant: r.Tenant, WebhookID: r.WebhookID, Subject: r.ID, DueAt: r.CreatedAt.Add(tallyFirst)}
		if _, err := tx.addJob(ctx, job); err != nil || r.Total != TotalUnknown {
			return err
		}
		_, err := tx.addJob(ctx, Job{Kind: jobCount, Tenant: r.Tenant, WebhookID: r.WebhookID, Subject: r.ID})
		return err
	})
}

// countAtOnce counts what a new recovery has to release, if that is little.
func (s *Store) countAtOnce(ctx context.Context, r *Recovery) error {
	if r.WebhookID == "" {
		r.Total = int64(len(r.Members) / memberSize)
		return nil
	}
	db := s.db.WithContext(ctx)
	if err := alive(db).Select("id").Take(&Webhook{}, "tenant = ? AND id = ?", r.Tenant, r.WebhookID).Error; err != nil {
		return found(err)
	}
	if r.Total = TotalUnknown; r.Missed {
		return nil
	}
	rows, err := r.window(db, "", countedAtOnce+1)
	if err == nil && len(rows) <= countedAtOnce {
		r.Total = r.taken(rows)
	}
	return err
}

// taken counts those of a window that the recovery selects.
func (r *Recovery) taken(rows []candidate) (n int64) {
	for i := range rows {
		if r.takes(&rows[i]) {
			n++
		}
	}
	return n
}

// Recovery reads one recovery of the tenant; tenant "" = any tenant's.
func (s *Store) Recovery(ctx context.Context, tenant, id string) (Recovery, error) {
	var r Recovery
	err := ofTenant(s.db.WithContext(ctx), tenant).Omit("members").Take(&r, "id = ?", id).Error
	return r, found(err)
}

// RecoveryFilter filters a list of recoveries; zero values do not.
type RecoveryFilter struct {
	WebhookID string
	Running   bool // only those that have not ended
}

// Recoveries lists a tenant's recoveries, newest first, or in reverse; tenant "" = those of all tenants.
func (s *Store) Recoveries(ctx context.Context, tenant string, f RecoveryFilter, p Page) ([]Recovery, string, error) {
	order, behind := p.descending()
	q := ofTenant(s.db.WithContext(ctx), tenant).Omit("members").Order("id" + order).Limit(p.Limit + 1)
	if f.WebhookID != "" {
		q = q.Where("webhook_id = ?", f.WebhookID)
	}
	cursors := cursorsOf(listRecoveries, tenant, f.WebhookID)
	if f.Running { // the predicate of an index
		q = q.Where("status = 'running'")
		cursors = append(cursors, "running")
	}
	key, err := p.begin(cursors, 1)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		q = q.Where("id"+behind+"?", key[0])
	}
	var rows []Recovery
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(r Recovery) string { return cursors.next(r.ID) })
	return rows, next, nil
}

// ofTenant is the scope of a tenant's rows; for "" those of every tenant that has not been deleted.
func ofTenant(db *gorm.DB, tenant string) *gorm.DB {
	if tenant != "" {
		return db.Where("tenant = ?", tenant)
	}
	return db.Where("NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = tenant AND t.deleted_at IS NOT NULL)")
}

// RecoveryByID reads a recovery of any tenant: for the engine, which knows the id from its own records.
func (s *Store) RecoveryByID(ctx context.Context, id string) (Recovery, error) {
	var r Recovery
	err := s.db.WithContext(ctx).Omit("members").Take(&r, "id = ?", id).Error
	return r, found(err)
}

// CancelRecovery ends a running recovery. Deliveries that it has released stay released; the others stay held until
// another recovery.
func (s *Store) CancelRecovery(ctx context.Context, tenant, id string) (r Recovery, err error) {
	job := ""
	err = s.Tx(ctx, func(tx *Store) error {
		job = ""
		if err := found(tx.forUpdate(tx.db.WithContext(ctx)).Omit("members").Take(&r, "tenant = ? AND id = ?", tenant, id).Error); err != nil {
			return err
		}
		if r.Status != RecoveryRunning {
			return nil
		}
		if err := tx.finishRecovery(ctx, &r, RecoveryCanceled); err != nil {
			return err
		}
		if err := tx.auditRecovery(ctx, &r, AuditRecoveryCanceled); err != nil || r.WebhookID == "" {
			return err
		}
		var w Webhook
		err := found(alive(tx.db.WithContext(ctx)).Select("epoch").Take(&w, "id = ?", r.WebhookID).Error)
		if errors.Is(err, ErrNotFound) { // its held deliveries are being canceled
			return nil
		}
		if err != nil {
			return err
		}
		job, err = tx.addJob(ctx, Job{Kind: jobKeep, Tenant: tenant, WebhookID: r.WebhookID, Epoch: w.Epoch, Reason: heldCanceled})
		return err
	})
	if err == nil {
		s.follow(ctx, job)
	}
	return r, err
}

// PageSize returns how many deliveries are released at once: a second's worth at the recovery's rate, at most a full
// dispatch.
func (r *Recovery) PageSize() int {
	if r.Rate <= 0 {
		return MaxDispatch
	}
	return min(MaxDispatch, max(1, int(r.Rate)))
}

// lookedFor is how many deliveries or events a page of a recovery examines; it may select none of them.
const lookedFor = 2000

// ReleasePage makes the next page of a recovery's deliveries pending, and returns the dispatches that drive them for
// the caller to start. When nothing is left the recovery is no longer running. It creates no deliveries of events accepted
// before kept: they have expired since the recovery began.
func (s *Store) ReleasePage(ctx context.Context, id string, kept time.Time) (r Recovery, fresh []Dispatch, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		db := tx.db.WithContext(ctx)
		r, fresh = Recovery{}, nil
		if err := found(tx.forUpdate(db).Omit("members").Take(&r, "id = ?", id).Error); err != nil || r.Status != RecoveryRunning {
			return err
		}
		if !kept.IsZero() && (r.EventsSince == nil || r.EventsSince.Before(kept)) {
			r.EventsSince = timeAt(&kept)
		}
		var more bool
		var err error
		if r.WebhookID == "" {
			fresh, more, err = tx.releaseReplay(ctx, &r)
		} else {
			fresh, more, err = tx.releaseOf(ctx, &r)
		}
		switch {
		case errors.Is(err, errStopped):
			return tx.finishRecovery(ctx, &r, RecoveryStopped)
		case err != nil:
			return err
		case !more:
			return tx.finishRecovery(ctx, &r, RecoveryDone)
		}
		return db.Model(&r).Select("sweep", "seeking", "position", "released", "skipped").Updates(&r).Error
	})
	return r, fresh, err
}

// errStopped ends a recovery whose webhook is no longer active.
var errStopped = errors.New("models: the webhook is not active")

// releaseOf does a page of a webhook's recovery. more reports whether there may be another.
func (s *Store) releaseOf(ctx context.Context, r *Recovery) (fresh []Dispatch, more bool, err error) {
	db := s.db.WithContext(ctx)
	if r.Seeking {
		switch err := s.holdTenant(ctx, r.Tenant); { // locked before the webhook, as in changes of one
		case errors.Is(err, ErrNotFound):
			return nil, false, errStopped
		case err != nil:
			return nil, false, err
		}
		db = s.forUpdate(db) // several recoveries of one webhook that create missed deliveries go one after the other
	}
	var w Webhook
	if err := found(alive(db).Take(&w, "id = ?", r.WebhookID).Error); err != nil && !errors.Is(err, ErrNotFound) {
		return nil, false, err
	}
	if w.Status != WebhookActive {
		return nil, false, errStopped
	}
	var looked int
	if r.Seeking {
		fresh, looked, err = s.releaseMissed(ctx, r, &w)
	} else {
		fresh, looked, err = s.releaseStopped(ctx, r, &w)
	}
	switch {
	case err != nil || looked > 0:
		return fresh, true, err
	case !r.Sweep && !r.Seeking && r.holds():
		r.Sweep, r.Position = true, ""
	case r.Missed && !r.Seeking:
		r.Sweep, r.Seeking, r.Position = false, true, ""
	default:
		return nil, false, nil
	}
	return nil, true, nil
}

// releaseStopped makes deliveries pending that were held or have ended. A delivered one that no longer matches the
// webhook stays so: if it were pending it would be canceled.
func (s *Store) releaseStopped(ctx context.Context, r *Recovery, w *Webhook) (fresh []Dispatch, looked int, err error) {
	var keys []DeliveryKey
	over, most := int64(0), r.PageSize()
	for size := most; looked < lookedFor && len(keys) < most; size *= 2 { // few first, as nextMissed does
		limit := min(size, lookedFor-looked)
		window, err := r.window(s.db.WithContext(ctx), r.Position, limit)
		if err != nil {
			return nil, 0, err
		}
		for i := range window {
			if len(keys) == most {
				break
			}
			looked, r.Position = looked+1, window[i].ID
			switch c := &window[i]; {
			case !r.takes(c):
			case c.isOver(), c.Status == Delivered && !w.Wants(c.EventType):
				over++
			default:
				keys = append(keys, DeliveryKey{Tenant: r.Tenant, ID: c.ID})
			}
		}
		if len(window) < limit {
			break
		}
	}
	rows, erased, err := s.lockFor(ctx, r, keys)
	if err != nil {
		return nil, 0, err
	}
	from := restarted
	if r.Reason != "" { // the webhook was resumed
		from = restarts
	}
	if fresh, err = s.dispatchAnew(ctx, rows, from); err != nil {
		return nil, 0, err
	}
	r.Released += int64(len(rows))
	if !r.Sweep { // the sweep passes these again
		r.Skipped += over + erased
	}
	return fresh, looked, nil
}

// lockFor locks those of the deliveries that the recovery still selects. It leaves out, and counts, erased ones.
func (s *Store) lockFor(ctx context.Context, r *Recovery, keys []DeliveryKey) (rows []Delivery, erased int64, err error) {
	query := `SELECT d.*, e.erased_at IS NOT NULL AS erased FROM v JOIN deliveries d ON d.tenant = v.tenant AND d.id = v.id
		JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id ORDER BY d.id`
	if s.postgres {
		query += " FOR UPDATE OF d"
	}
	err = bulk(ctx, s, keys, rowKeyColumns, query, func(result *sql.Rows) error {
		var row struct {
			Delivery
			Erased bool
		}
		if err := s.db.ScanRows(result, &row); err != nil {
			return err
		}
		c := candidate{ID: row.ID, EventType: row.EventType, Status: row.Status, StatusReason: row.StatusReason}
		switch row.RecoveryID = r.ID; {
		case !r.takes(&c):
		case row.Erased || c.isOver():
			erased++
		default:
			rows = append(rows, row.Delivery)
		}
		return nil
	})
	return rows, erased, err
}

func (s *Store) finishRecovery(ctx context.Context, r *Recovery, status RecoveryStatus) error {
	now := s.now()
	if r.Status, r.FinishedAt = status, &now; status == RecoveryDone && r.Total == TotalUnknown {
		r.Total = r.Released + r.Skipped
	}
	return s.db.WithContext(ctx).Model(r).Select("status", "finished_at", "total", "sweep", "seeking", "position", "released", "skipped").Updates(r).Error
}
