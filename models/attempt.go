package models

import (
	"context"
	"time"
)

// Attempt is the record of one POST. It is written once and never changed.
type Attempt struct {
	Tenant          string
	ID              string
	DeliveryID      string
	WebhookID       string
	Number          int // from 1
	StartedAt       time.Time
	DurationMS      int64
	StatusCode      int               // 0 = no answer
	Error           string            // empty if received
	RequestHeaders  map[string]string `gorm:"serializer:json;not null"` // secrets masked
	ResponseHeaders map[string]string `gorm:"serializer:json;not null"`
	ResponseBody    []byte            // the first 16 KiB
}

// Attempts lists the attempts of a delivery, oldest first.
func (s *Store) Attempts(ctx context.Context, tenant, deliveryID string) ([]Attempt, error) {
	var rows []Attempt
	err := s.db.WithContext(ctx).Where("tenant = ? AND delivery_id = ?", tenant, deliveryID).Order("number, id").Find(&rows).Error
	return rows, err
}
