package models

import (
	"context"
	"time"
)

// LastAttempts reads the last attempt of each delivery that has one, without its headers and the answer's body, by the
// delivery's id.
func (s *Store) LastAttempts(ctx context.Context, deliveries []Delivery) (map[string]*Attempt, error) {
	var ids []string
	for i := range deliveries {
		if deliveries[i].Attempts > 0 {
			ids = append(ids, deliveries[i].ID)
		}
	}
	last := make(map[string]*Attempt, len(ids))
	if len(ids) == 0 {
		return last, nil
	}
	var rows []Attempt
	err := s.db.WithContext(ctx).Table("attempts a").Joins("JOIN deliveries d ON d.tenant = a.tenant AND d.id = a.delivery_id AND d.attempts = a.number").
		Select("a.tenant, a.id, a.delivery_id, a.webhook_id, a.number, a.started_at, a.duration_ms, a.status_code, a.error").
		Where(s.oneOf("a.delivery_id", ids)).Find(&rows).Error
	for i := range rows {
		last[rows[i].DeliveryID] = &rows[i]
	}
	return last, err
}

// WebhookCount counts what happened at a webhook in a minute.
type WebhookCount struct {
	WebhookID string
	At        time.Time
	Counts
}

// CountsSince reads what has happened at webhooks since a time, minute by minute, as far as it is merged.
func (s *Store) CountsSince(ctx context.Context, webhooks []Webhook, since time.Time) ([]WebhookCount, error) {
	tenants, ids := []string{}, []string{}
	for i := range webhooks {
		tenants, ids = append(tenants, webhooks[i].Tenant), append(ids, webhooks[i].ID)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	var rows []struct {
		WebhookID string
		Minute    int64
		Data      []byte
	}
	err := s.db.WithContext(ctx).Table("stats").Select("webhook_id, minute, data").Where(s.oneOf("tenant", tenants)).Where(s.oneOf("webhook_id", ids)).
		Where("event_type = '' AND span = 1 AND minute >= ?", minuteOf(since)).Scan(&rows).Error
	if err != nil {
		return nil, err
	}
	counts := make([]WebhookCount, len(rows))
	for i, row := range rows {
		counts[i] = WebhookCount{WebhookID: row.WebhookID, At: time.Unix(60*row.Minute, 0)}
		if err := eachType(row.Data, func(_ string, c *Counts) { counts[i].Add(c) }); err != nil {
			return nil, err
		}
	}
	return counts, nil
}
