package models

import (
	"context"
	"errors"
	"slices"
	"time"

	"gorm.io/gorm"
)

// RecoveryStatus is where a recovery is.
type RecoveryStatus string

// A recovery runs until nothing is left to release, it is canceled, or its webhook is not active any more.
const (
	RecoveryRunning  RecoveryStatus = "running"
	RecoveryDone     RecoveryStatus = "completed"
	RecoveryCanceled RecoveryStatus = "canceled"
	RecoveryStopped  RecoveryStatus = "stopped"
)

// Recovery makes what was held for a webhook, or failed, pending again, page by page.
type Recovery struct {
	ID        string
	Tenant    string
	WebhookID string
	Status    RecoveryStatus
	Statuses  []DeliveryStatus `gorm:"serializer:json;not null"`
	Reason    string           // only what is held for this reason; "" = any
	Since     *time.Time       // only deliveries made at or after it
	Until     time.Time        // and before it, so that what fails again meanwhile is not taken twice
	Rate      float64          // deliveries released per second; 0 = as fast as they go
	// Sweep says that Until has been reached and what was held at the last moment is being looked for.
	Sweep      bool
	Position   string // the last delivery looked at
	Total      int64  // deliveries to release, as counted at the start; TotalUnknown until a job has counted them
	Released   int64
	CreatedAt  time.Time
	FinishedAt *time.Time
}

// scope selects the deliveries that a recovery has still to release.
func (r *Recovery) scope(db *gorm.DB) *gorm.DB {
	// The first condition is the predicate of the index deliveries_stopped_webhook.
	q := db.Model(&Delivery{}).Where("webhook_id = ? AND status IN ('held', 'failed', 'canceled')", r.WebhookID).
		Where("status_reason <> ?", ReasonErased) // there is nothing left to send
	if r.Sweep {
		q = q.Where("status = ?", Held)
	} else {
		q = q.Where("status IN ? AND id > ? AND id < ?", r.Statuses, r.Position, IDBefore(PrefixDelivery, r.Until))
	}
	if r.Since != nil {
		q = q.Where("id >= ?", IDBefore(PrefixDelivery, *r.Since))
	}
	switch r.Reason {
	case "":
	case heldPaused: // as a constant, with the predicate of the index deliveries_paused
		q = q.Where("status = 'held' AND status_reason = '" + heldPaused + "'")
	default:
		q = q.Where("status_reason = ?", r.Reason)
	}
	return q
}

// holds tells whether what is held is among what the recovery is for, without an end to the time it is about.
func (r *Recovery) holds() bool {
	return slices.Contains(r.Statuses, Held) && !r.Until.Before(r.CreatedAt)
}

// TotalUnknown is the Total of a recovery that has not been counted yet.
const TotalUnknown = -1

// countedAtOnce is the most deliveries that are counted when a recovery is made; a job counts more.
const countedAtOnce = 10_000

// CreateRecovery stores a recovery and counts what there is to release. ErrNotFound if there is no such webhook.
func (s *Store) CreateRecovery(ctx context.Context, r *Recovery) error {
	r.ID, r.Status, r.CreatedAt = NewID(PrefixRecovery), RecoveryRunning, s.now()
	if r.Until.IsZero() {
		r.Until = r.CreatedAt.Add(time.Millisecond)
	}
	r.Since, r.Until = timeAt(r.Since), *timeOf(r.Until)
	var w Webhook
	if err := alive(s.db.WithContext(ctx)).Select("id").Take(&w, "tenant = ? AND id = ?", r.Tenant, r.WebhookID).Error; err != nil {
		return found(err)
	}
	bounded := r.scope(s.db.WithContext(ctx)).Select("id").Limit(countedAtOnce + 1)
	if err := s.db.WithContext(ctx).Table("(?) AS first", bounded).Count(&r.Total).Error; err != nil {
		return err
	}
	uncounted := r.Total > countedAtOnce
	if uncounted {
		r.Total = TotalUnknown
	}
	return s.changeTenant(ctx, r.Tenant, func(tx *Store) error {
		if err := tx.holdTenant(ctx, r.Tenant); err != nil {
			return err
		}
		if err := tx.db.WithContext(ctx).Create(r).Error; err != nil {
			return err
		}
		if err := tx.auditRecovery(ctx, r, AuditRecoveryCreated); err != nil || !uncounted {
			return err
		}
		_, err := tx.addJob(ctx, Job{Kind: jobCount, Tenant: r.Tenant, WebhookID: r.WebhookID, Subject: r.ID})
		return err
	})
}

// Recovery reads one recovery of the tenant.
func (s *Store) Recovery(ctx context.Context, tenant, id string) (Recovery, error) {
	var r Recovery
	err := s.db.WithContext(ctx).Take(&r, "tenant = ? AND id = ?", tenant, id).Error
	return r, found(err)
}

// RecoveryByID reads a recovery of any tenant: for the engine, which knows the id from its own records.
func (s *Store) RecoveryByID(ctx context.Context, id string) (Recovery, error) {
	var r Recovery
	err := s.db.WithContext(ctx).Take(&r, "id = ?", id).Error
	return r, found(err)
}

// CancelRecovery ends a running recovery; what it has released stays released, and what it has not stays held until
// another.
func (s *Store) CancelRecovery(ctx context.Context, tenant, id string) (r Recovery, err error) {
	job := ""
	err = s.Tx(ctx, func(tx *Store) error {
		job = ""
		if err := found(tx.forUpdate(tx.db.WithContext(ctx)).Take(&r, "tenant = ? AND id = ?", tenant, id).Error); err != nil {
			return err
		}
		if r.Status != RecoveryRunning {
			return nil
		}
		if err := tx.finishRecovery(ctx, &r, RecoveryCanceled); err != nil {
			return err
		}
		if err := tx.auditRecovery(ctx, &r, AuditRecoveryCanceled); err != nil {
			return err
		}
		var w Webhook
		err := found(alive(tx.db.WithContext(ctx)).Select("epoch").Take(&w, "id = ?", r.WebhookID).Error)
		if errors.Is(err, ErrNotFound) { // what is held is being canceled
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

// PageSize is how many deliveries are released at once: a second's worth at the recovery's rate, at most a dispatch full.
func (r *Recovery) PageSize() int {
	if r.Rate <= 0 {
		return MaxDispatch
	}
	return min(MaxDispatch, max(1, int(r.Rate)))
}

// ReleasePage makes the next page of a recovery's deliveries pending, and gives the dispatches that drive them for
// the caller to start. The recovery is not running any more when nothing is left.
func (s *Store) ReleasePage(ctx context.Context, id string) (r Recovery, fresh []Dispatch, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		db := tx.db.WithContext(ctx)
		r, fresh = Recovery{}, nil
		if err := found(tx.forUpdate(db).Take(&r, "id = ?", id).Error); err != nil || r.Status != RecoveryRunning {
			return err
		}
		var w Webhook
		if err := found(alive(db).Take(&w, "id = ?", r.WebhookID).Error); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if w.Status != WebhookActive {
			return tx.finishRecovery(ctx, &r, RecoveryStopped)
		}
		var rows []Delivery
		if err := tx.forUpdate(r.scope(db)).Order("id").Limit(r.PageSize()).Find(&rows).Error; err != nil {
			return err
		}
		if len(rows) == 0 {
			if r.Sweep || !r.holds() {
				return tx.finishRecovery(ctx, &r, RecoveryDone)
			}
			r.Sweep = true
			return db.Model(&r).Select("sweep").Updates(&r).Error
		}
		if fresh, err = tx.dispatchAnew(ctx, rows, true); err != nil {
			return err
		}
		r.Position = rows[len(rows)-1].ID
		r.Released += int64(len(rows))
		return db.Model(&r).Select("position", "released").Updates(&r).Error
	})
	return r, fresh, err
}

func (s *Store) finishRecovery(ctx context.Context, r *Recovery, status RecoveryStatus) error {
	now := s.now()
	r.Status, r.FinishedAt = status, &now
	return s.db.WithContext(ctx).Model(r).Select("status", "finished_at").Updates(r).Error
}
