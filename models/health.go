package models

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// WebhookHealth is a webhook's failure count. A success resets it to 0, unless the webhook's profile counts in total.
// Epoch is increased whenever the webhook is enabled or deactivated: POSTs that began in an earlier one are recorded
// and do not count.
type WebhookHealth struct {
	WebhookID     string `gorm:"primaryKey"`
	Failed        int64
	Epoch         int64
	Warned        int // the highest mark at which the administrators were warned, in percent of the threshold
	LastFailureAt *time.Time
	LastStatus    int // of the last failure; 0 = no answer
	LastError     string
	LastSuccessAt *time.Time
	LastNotice    *Notice `gorm:"serializer:json"` // the result of the latest notification
}

// TableName returns the name of the table.
func (WebhookHealth) TableName() string { return "webhook_health" }

func (s *Store) resetHealth(ctx context.Context, h *WebhookHealth) error {
	h.Failed, h.Warned = 0, 0
	h.Epoch++
	return s.db.WithContext(ctx).Model(h).Select("failed", "warned", "epoch").Updates(h).Error
}

// WarningMarks are the percentages of the threshold at which the administrators are warned.
var WarningMarks = []int{50, 90}

// MarkAt returns the count at which a warning mark of the threshold is reached.
func MarkAt(threshold int64, percent int) int64 {
	return max(1, (threshold*int64(percent)+99)/100)
}

// due returns what the count requires: deactivation, or a warning at a mark; 0 and false if neither.
func (h WebhookHealth) due(threshold int64) (mark int, deactivate bool) {
	if h.Failed >= threshold {
		return 0, true
	}
	for _, mark := range slices.Backward(WarningMarks) {
		if h.Failed >= MarkAt(threshold, mark) && h.Warned < mark {
			return mark, false
		}
	}
	return 0, false
}

// JudgeWebhook checks a webhook's count and does what is due: it deactivates the webhook at the threshold, or records
// a warning. It returns the webhook. If nothing is due it changes nothing, not even the tenant's version. ErrNotFound
// if the webhook is gone.
func (s *Store) JudgeWebhook(ctx context.Context, id string, threshold int64) (Webhook, error) {
	w, err := s.WebhookByID(ctx, id)
	if err != nil || w.Status != WebhookActive {
		return w, err
	}
	switch mark, deactivate := w.Health.due(threshold); {
	case deactivate:
		_, err = s.deactivate(ctx, &w, threshold, func(h *WebhookHealth) (string, bool) {
			return fmt.Sprintf("%d receptions failed", h.Failed), h.Failed >= threshold
		})
	case mark > 0:
		err = s.Tx(ctx, func(tx *Store) error { return tx.warn(ctx, &w, threshold) })
	}
	return w, err
}

// lockHealth reads the webhook's health and locks it against recorders until the transaction ends.
func (s *Store) lockHealth(ctx context.Context, w *Webhook) error {
	w.Health = WebhookHealth{}
	return found(s.forUpdate(s.db.WithContext(ctx)).Take(&w.Health, "webhook_id = ?", w.ID).Error)
}

// warn records the warning that is due, if it still is.
func (s *Store) warn(ctx context.Context, w *Webhook, threshold int64) error {
	if err := s.lockHealth(ctx, w); err != nil {
		return err
	}
	mark, deactivate := w.Health.due(threshold)
	if mark == 0 || deactivate {
		return nil
	}
	w.Health.Warned = mark
	if err := s.db.WithContext(ctx).Model(&w.Health).Update("warned", mark).Error; err != nil {
		return err
	}
	return s.notify(ctx, w, NotifyWarning, threshold, mark, fmt.Sprintf("%d of %d failed receptions", w.Health.Failed, threshold))
}

// DeactivateWebhook takes an active webhook out of service at once, for a reason other than its count, and records the
// notification that is due. changed is false if it was not active.
func (s *Store) DeactivateWebhook(ctx context.Context, id string, threshold int64, reason string) (changed bool, err error) {
	w, err := s.WebhookByID(ctx, id)
	if err != nil {
		return false, err
	}
	return s.deactivate(ctx, &w, threshold, func(*WebhookHealth) (string, bool) { return reason, true })
}

// DeactivateInEpoch is DeactivateWebhook for the result of a POST that began in an epoch of the webhook's count: it
// changes nothing if that epoch is over.
func (s *Store) DeactivateInEpoch(ctx context.Context, id string, threshold int64, reason string, epoch int64) (changed bool, err error) {
	w, err := s.WebhookByID(ctx, id)
	if err != nil {
		return false, err
	}
	return s.deactivate(ctx, &w, threshold, func(h *WebhookHealth) (string, bool) { return reason, h.Epoch == epoch })
}

// ActorPosthorn stands for Posthorn itself as the author of a change.
const ActorPosthorn = "posthorn"

// deactivate takes a webhook out of service if it is active and verdict, which sees its locked count, says so. A job
// holds its pending deliveries. The epoch of its count is increased: POSTs in flight are recorded, and do not count.
func (s *Store) deactivate(ctx context.Context, w *Webhook, threshold int64, verdict func(*WebhookHealth) (reason string, is bool)) (changed bool, err error) {
	tenant, job := w.Tenant, ""
	err = s.changeTenant(ctx, tenant, func(tx *Store) error {
		changed, job = false, ""
		if err := tx.changeWebhook(ctx, tenant, w.ID, w); err != nil {
			return err
		}
		if w.Status != WebhookActive {
			return nil
		}
		if err := tx.lockHealth(ctx, w); err != nil {
			return err
		}
		reason, is := verdict(&w.Health)
		if !is {
			return nil
		}
		changed = true
		var err error
		change := StatusChange{To: WebhookDeactivated, Reason: reason, By: ActorPosthorn}
		if job, err = tx.applyStatus(ctx, w, change); err != nil {
			return err
		}
		if err := tx.auditStatus(WithAuditNote(ctx, &AuditNote{Automatic: true}), w, WebhookActive, change); err != nil {
			return err
		}
		w.Health.Epoch++
		if err := tx.db.WithContext(ctx).Model(&w.Health).Select("epoch").Updates(&w.Health).Error; err != nil {
			return err
		}
		return tx.notify(ctx, w, NotifyDeactivated, threshold, 0, reason)
	})
	if err == nil {
		s.follow(ctx, job)
	}
	return changed, err
}

func (s *Store) notify(ctx context.Context, w *Webhook, kind NotificationKind, threshold int64, mark int, reason string) error {
	h := w.Health
	return s.db.WithContext(ctx).Create(&Notification{
		ID: NewID(PrefixNotification), Tenant: w.Tenant, WebhookID: w.ID, Kind: kind, CreatedAt: s.now(),
		Detail: NotificationDetail{Failed: h.Failed, Threshold: threshold, Mark: mark, Reason: reason,
			LastFailureAt: h.LastFailureAt, LastStatus: h.LastStatus, LastError: h.LastError},
	}).Error
}
