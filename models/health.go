package models

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// WebhookHealth is a webhook's failure count. A success brings it back to 0, unless the webhook's profile counts
// in total. Epoch is raised whenever the webhook is enabled again, so that a late signal about the time before
// cannot deactivate it anew.
type WebhookHealth struct {
	WebhookID     string `gorm:"primaryKey"`
	Failed        int64
	Epoch         int64
	Warned        int // the highest mark, in percent of the threshold, that the administrators were warned at
	LastFailureAt *time.Time
	LastStatus    int // of the last failure; 0 = no answer
	LastError     string
	LastSuccessAt *time.Time
}

// TableName names the table.
func (WebhookHealth) TableName() string { return "webhook_health" }

func (s *Store) resetHealth(ctx context.Context, h *WebhookHealth) error {
	h.Failed, h.Warned = 0, 0
	h.Epoch++
	return s.db.WithContext(ctx).Model(h).Select("failed", "warned", "epoch").Updates(h).Error
}

// NotificationKind is what the administrators of a tenant are told.
type NotificationKind string

// The notifications about a webhook.
const (
	NotifyWarning     NotificationKind = "warning"
	NotifyDeactivated NotificationKind = "deactivated"
)

// Notification is one message to a tenant's administrators, kept until it has gone out and afterwards as a record.
type Notification struct {
	ID        string
	Tenant    string
	WebhookID string
	Kind      NotificationKind
	Detail    NotificationDetail `gorm:"serializer:json;not null"`
	CreatedAt time.Time
	SentAt    *time.Time
}

// NotificationDetail is what was true of the webhook when the notification was decided on.
type NotificationDetail struct {
	Failed        int64      `json:"failed"`
	Threshold     int64      `json:"threshold"`
	Mark          int        `json:"mark,omitempty"` // percent of the threshold
	Reason        string     `json:"reason"`
	LastFailureAt *time.Time `json:"last_failure_at,omitempty"`
	LastStatus    int        `json:"last_status,omitempty"`
	LastError     string     `json:"last_error,omitempty"`
}

// WarningMarks are the percentages of the threshold at which the administrators are warned.
var WarningMarks = []int{50, 90}

// MarkAt gives the count at which a warning mark of the threshold is reached.
func MarkAt(threshold int64, percent int) int64 {
	return max(1, (threshold*int64(percent)+99)/100)
}

// JudgeWebhook looks at a webhook's count and does what is due: deactivates at the threshold (holding what is
// pending) or notes a warning. It returns the webhook, and is a no-op when nothing is due. ErrNotFound if the
// webhook is gone.
func (s *Store) JudgeWebhook(ctx context.Context, id string, threshold int64) (Webhook, error) {
	w, err := s.WebhookByID(ctx, id)
	if err != nil || w.Status != WebhookActive || w.Health.Failed < MarkAt(threshold, WarningMarks[0]) {
		return w, err
	}
	tenant := w.Tenant
	err = s.Tx(ctx, func(tx *Store) error {
		if err := tx.touchWebhooks(ctx, tenant); err != nil {
			return err
		}
		if err := tx.lockWebhook(ctx, tenant, id, &w); err != nil {
			return err
		}
		if w.Status != WebhookActive {
			return nil
		}
		if w.Health.Failed >= threshold {
			reason := fmt.Sprintf("%d receptions failed", w.Health.Failed)
			return tx.deactivate(ctx, &w, threshold, reason)
		}
		for _, mark := range slices.Backward(WarningMarks) {
			if w.Health.Failed < MarkAt(threshold, mark) || w.Health.Warned >= mark {
				continue
			}
			w.Health.Warned = mark
			// The count may have been brought back since it was read: then there is nothing to warn of.
			result := tx.db.WithContext(ctx).Model(&w.Health).Where("failed >= ?", MarkAt(threshold, mark)).Update("warned", mark)
			if result.Error != nil || result.RowsAffected == 0 {
				return result.Error
			}
			reason := fmt.Sprintf("%d of %d failed receptions", w.Health.Failed, threshold)
			return tx.notify(ctx, &w, NotifyWarning, threshold, mark, reason)
		}
		return nil
	})
	return w, err
}

// DeactivateWebhook takes an active webhook out of service at once, for a reason other than its count, and notes
// the notification that is due. changed is false if it was not active.
func (s *Store) DeactivateWebhook(ctx context.Context, id string, threshold int64, reason string) (changed bool, err error) {
	w, err := s.WebhookByID(ctx, id)
	if err != nil {
		return false, err
	}
	tenant := w.Tenant
	err = s.Tx(ctx, func(tx *Store) error {
		if err := tx.touchWebhooks(ctx, tenant); err != nil {
			return err
		}
		if err := tx.lockWebhook(ctx, tenant, id, &w); err != nil {
			return err
		}
		if changed = w.Status == WebhookActive; !changed {
			return nil
		}
		return tx.deactivate(ctx, &w, threshold, reason)
	})
	return changed, err
}

func (s *Store) deactivate(ctx context.Context, w *Webhook, threshold int64, reason string) error {
	if err := s.applyStatus(ctx, w, StatusChange{To: WebhookDeactivated, Reason: reason}); err != nil {
		return err
	}
	return s.notify(ctx, w, NotifyDeactivated, threshold, 0, reason)
}

func (s *Store) notify(ctx context.Context, w *Webhook, kind NotificationKind, threshold int64, mark int, reason string) error {
	h := w.Health
	return s.db.WithContext(ctx).Create(&Notification{
		ID: NewID(PrefixNotification), Tenant: w.Tenant, WebhookID: w.ID, Kind: kind, CreatedAt: s.now(),
		Detail: NotificationDetail{Failed: h.Failed, Threshold: threshold, Mark: mark, Reason: reason,
			LastFailureAt: h.LastFailureAt, LastStatus: h.LastStatus, LastError: h.LastError},
	}).Error
}

// UnsentNotifications gives the ids of what a webhook's administrators have not been told yet, oldest first.
func (s *Store) UnsentNotifications(ctx context.Context, webhookID string) ([]string, error) {
	var ids []string
	err := s.db.WithContext(ctx).Model(&Notification{}).Where("webhook_id = ? AND sent_at IS NULL", webhookID).
		Order("id").Limit(20).Pluck("id", &ids).Error
	return ids, err
}

// Notification reads one notification.
func (s *Store) Notification(ctx context.Context, id string) (Notification, error) {
	var n Notification
	err := s.db.WithContext(ctx).Take(&n, "id = ?", id).Error
	return n, found(err)
}

// NotificationSent notes that a notification has gone out.
func (s *Store) NotificationSent(ctx context.Context, id string) error {
	return s.db.WithContext(ctx).Model(&Notification{ID: id}).Update("sent_at", s.now()).Error
}

// NeedHealthCheck finds the webhooks whose health workflow has something to do that it may have missed: active over
// the threshold or a mark, or with a notification that has not gone out. For the reconciler.
func (s *Store) NeedHealthCheck(ctx context.Context, threshold int64, limit int) ([]string, error) {
	var ids []string
	err := s.db.WithContext(ctx).Raw(`
		SELECT w.id FROM webhooks w JOIN webhook_health h ON h.webhook_id = w.id
		WHERE w.status = ? AND w.deleted_at IS NULL AND (h.failed >= ? OR (h.failed >= ? AND h.warned < ?) OR (h.failed >= ? AND h.warned < ?))
		UNION
		SELECT webhook_id FROM notifications WHERE sent_at IS NULL AND created_at < ?
		LIMIT ?`,
		WebhookActive, threshold, MarkAt(threshold, WarningMarks[0]), WarningMarks[0], MarkAt(threshold, WarningMarks[1]), WarningMarks[1],
		s.now().Add(-time.Minute), limit).Scan(&ids).Error
	return ids, err
}
