package models

import (
	"context"
	"time"
)

// KeysetCanary is a known value that a key of the encryption keyset has sealed. What the value is and how it is sealed
// is decided in internal/hooks.
type KeysetCanary struct {
	KeyID     int64 `gorm:"primaryKey;autoIncrement:false"`
	Sealed    []byte
	CreatedAt time.Time
}

// TableName names the table.
func (KeysetCanary) TableName() string { return "keyset_canary" }

// KeysetCanaries returns the canaries of all keys.
func (s *Store) KeysetCanaries(ctx context.Context) ([]KeysetCanary, error) {
	var rows []KeysetCanary
	err := s.db.WithContext(ctx).Order("key_id").Find(&rows).Error
	return rows, err
}

// LockKeysetCanaries keeps other processes from adding canaries until the transaction ends. Two processes that start
// on a new database with different keysets would otherwise both find it empty.
func (s *Store) LockKeysetCanaries(ctx context.Context) error {
	if !s.postgres {
		return nil // a transaction of SQLite is the only writer
	}
	return s.db.WithContext(ctx).Exec("LOCK TABLE keyset_canary IN SHARE ROW EXCLUSIVE MODE").Error
}

// AddKeysetCanaries stores canaries.
func (s *Store) AddKeysetCanaries(ctx context.Context, rows []KeysetCanary) error {
	for i := range rows {
		rows[i].CreatedAt = s.now()
	}
	return s.db.WithContext(ctx).Create(&rows).Error
}

// SealedSecrets are the secrets of a webhook, as they are stored.
type SealedSecrets struct {
	WebhookID string
	Secrets   []byte
}

// sampled is how many webhooks SampleSecrets reads from each end.
const sampled = 1000

// SampleSecrets returns the sealed secrets of the oldest and of the newest webhooks, at most sampled of each: the keys of
// a keyset come one after the other. Deleted webhooks have none.
func (s *Store) SampleSecrets(ctx context.Context) ([]SealedSecrets, error) {
	var all []SealedSecrets
	for _, order := range []string{"id", "id DESC"} {
		var rows []SealedSecrets
		err := s.db.WithContext(ctx).Model(&Webhook{}).Select("id AS webhook_id, secrets").
			Where("length(secrets) > 0").Order(order).Limit(sampled).Scan(&rows).Error
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}
