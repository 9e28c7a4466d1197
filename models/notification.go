package models

import (
	"context"
	"time"
)

// NotificationKind is the kind of a notification to the administrators of a tenant.
type NotificationKind string

// The notifications about a webhook.
const (
	NotifyWarning     NotificationKind = "warning"
	NotifyDeactivated NotificationKind = "deactivated"
)

// Notification is one message to a tenant's administrators. It is kept until it is sent, and afterwards as a record.
type Notification struct {
	ID        string
	Tenant    string
	WebhookID string
	Kind      NotificationKind
	Detail    NotificationDetail `gorm:"serializer:json;not null"`
	CreatedAt time.Time
	SentAt    *time.Time   // when it was finished, whatever the result
	Result    NoticeResult // "" = not finished, or finished by an earlier build
}

// NotificationDetail is the webhook's state when the notification was decided.
type NotificationDetail struct {
	Failed        int64      `json:"failed"`
	Threshold     int64      `json:"threshold"`
	Mark          int        `json:"mark,omitempty"` // percent of the threshold
	Reason        string     `json:"reason"`
	LastFailureAt *time.Time `json:"last_failure_at,omitempty"`
	LastStatus    int        `json:"last_status,omitempty"`
	LastError     string     `json:"last_error,omitempty"`

	// Told are the addresses that a mail was sent to, once it is finished. Missed says who was not notified and why.
	Told   []string `json:"told,omitempty"`
	Missed string   `json:"missed,omitempty"`
}

// NoticeResult is the result of a notification.
type NoticeResult string

// The results of a notification.
const (
	NoticeSent    NoticeResult = "sent"    // somebody was reached
	NoticeSkipped NoticeResult = "skipped" // there was nobody to reach, or no way to
	NoticeFailed  NoticeResult = "failed"  // the mail server accepted it for nobody
)

// Notice is the result of the latest notification about a webhook.
type Notice struct {
	ID     string           `json:"id"`
	Kind   NotificationKind `json:"kind"`
	At     time.Time        `json:"at"`
	Result NoticeResult     `json:"result"`
	Detail string           `json:"detail,omitempty"` // who was not notified and why; "" = everybody was
}

// notificationsShown is how many notifications of a webhook are shown.
const notificationsShown = 20

// Notifications returns the latest notifications about a webhook, newest first.
func (s *Store) Notifications(ctx context.Context, tenant, webhookID string) ([]Notification, error) {
	var rows []Notification
	err := s.db.WithContext(ctx).Where("tenant = ? AND webhook_id = ?", tenant, webhookID).Order("id DESC").Limit(notificationsShown).Find(&rows).Error
	return rows, err
}

// UnsentNotifications returns the ids of a webhook's unsent notifications, oldest first.
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

// NotificationEnded records the result of a notification, on itself and on its webhook. It is not sent again.
func (s *Store) NotificationEnded(ctx context.Context, n *Notification, result NoticeResult, detail string) error {
	return s.Tx(ctx, func(tx *Store) error {
		now := tx.now()
		n.SentAt, n.Result, n.Detail.Missed = &now, result, detail
		err := tx.db.WithContext(ctx).Model(n).Select("sent_at", "result", "detail").Updates(n).Error
		if err != nil {
			return err
		}
		return tx.noteNotice(ctx, n, result, detail)
	})
}

// NotificationTried records on its webhook that a notification has not been sent yet.
func (s *Store) NotificationTried(ctx context.Context, n *Notification, detail string) error {
	return s.Tx(ctx, func(tx *Store) error { return tx.noteNotice(ctx, n, NoticeFailed, detail) })
}

// noteNotice records the result of a notification on its webhook, unless that has a later one. A deleted webhook needs
// nothing.
func (s *Store) noteNotice(ctx context.Context, n *Notification, result NoticeResult, detail string) error {
	var rows []WebhookHealth
	if err := s.forUpdate(s.db.WithContext(ctx)).Limit(1).Find(&rows, "webhook_id = ?", n.WebhookID).Error; err != nil {
		return err
	}
	if len(rows) == 0 || rows[0].LastNotice != nil && rows[0].LastNotice.ID > n.ID {
		return nil
	}
	rows[0].LastNotice = &Notice{ID: n.ID, Kind: n.Kind, At: s.now(), Result: result, Detail: detail}
	return s.db.WithContext(ctx).Model(&rows[0]).Select("last_notice").Updates(&rows[0]).Error
}

// nobodyToTell records that a deleted webhook's notifications will not be sent.
func (s *Store) nobodyToTell(ctx context.Context, webhookID string) error {
	return s.db.WithContext(ctx).Model(&Notification{}).Where("webhook_id = ? AND sent_at IS NULL", webhookID).
		Updates(map[string]any{"sent_at": s.now(), "result": NoticeSkipped}).Error
}

// IsGoingOut reports whether an event is being sent, or has been, to at least one webhook: held deliveries reach
// nobody.
func (s *Store) IsGoingOut(ctx context.Context, tenant, eventID string) (bool, error) {
	var is bool
	err := s.db.WithContext(ctx).Raw(`SELECT EXISTS (SELECT 1 FROM deliveries WHERE tenant = @tenant AND event_id = @event
		AND status NOT IN ('held', 'canceled')) OR EXISTS (SELECT 1 FROM events WHERE tenant = @tenant AND id = @event AND `+isUnmade("events")+")",
		map[string]any{"tenant": tenant, "event": eventID}).Scan(&is).Error
	return is, err
}
