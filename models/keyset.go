package models

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// KeysetCanary is a known value that a key of the encryption keyset has sealed. internal/service defines the value and
// how it is sealed.
type KeysetCanary struct {
	KeyID     int64  `gorm:"primaryKey;autoIncrement:false"`
	Sealed    []byte // empty = no keyset needs the key any more
	CreatedAt time.Time
	RemovedAt *time.Time // nothing has been sealed with the key since; while Sealed is not empty, its removal is in progress
}

// TableName names the table.
func (KeysetCanary) TableName() string { return "keyset_canary" }

// ErrKeyRemoved is returned for values sealed with a key that has been removed from the keyset. The process that
// sealed them has an outdated keyset.
var ErrKeyRemoved = errors.New("models: the key that sealed it has been removed from the keyset")

// KeysetCanaries returns the canaries of all keys.
func (s *Store) KeysetCanaries(ctx context.Context) ([]KeysetCanary, error) {
	var rows []KeysetCanary
	err := s.db.WithContext(ctx).Order("key_id").Find(&rows).Error
	return rows, err
}

// LockKeysetCanaries keeps other processes from adding canaries and from sealing until the transaction ends, and waits
// for transactions that have sealed something. Otherwise two processes that start on a new database with different
// keysets would both find it empty. Also, a key must not be removed while something is being sealed with it.
func (s *Store) LockKeysetCanaries(ctx context.Context) error {
	if !s.postgres {
		return nil // a transaction of SQLite is the only writer
	}
	return s.db.WithContext(ctx).Exec("LOCK TABLE keyset_canary IN EXCLUSIVE MODE").Error
}

// AddKeysetCanaries stores canaries.
func (s *Store) AddKeysetCanaries(ctx context.Context, rows []KeysetCanary) error {
	for i := range rows {
		rows[i].CreatedAt = s.now()
	}
	return s.db.WithContext(ctx).Create(&rows).Error
}

// StopSealing marks a key as being removed. When it returns, everything that was sealed with the key is committed, and
// nothing more is sealed with it. canary is stored if the key has none.
func (s *Store) StopSealing(ctx context.Context, canary KeysetCanary) error {
	return s.Tx(ctx, func(tx *Store) error {
		if err := tx.LockKeysetCanaries(ctx); err != nil {
			return err
		}
		canary.CreatedAt, canary.RemovedAt = tx.now(), new(tx.now())
		return tx.db.WithContext(ctx).Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "key_id"}},
			DoUpdates: clause.AssignmentColumns([]string{"removed_at"})}).Create(&canary).Error
	})
}

// SealAgain undoes StopSealing, unless the key has been forgotten since.
func (s *Store) SealAgain(ctx context.Context, keyID int64) error {
	return s.again(ctx, func() error {
		return s.db.WithContext(ctx).Model(&KeysetCanary{}).Where("key_id = ? AND length(sealed) > 0", keyID).Update("removed_at", nil).Error
	})
}

// ForgetKey completes a removal: processes start without the key.
func (s *Store) ForgetKey(ctx context.Context, keyID int64) error {
	return s.again(ctx, func() error {
		return s.db.WithContext(ctx).Model(&KeysetCanary{}).Where("key_id = ? AND removed_at IS NOT NULL", keyID).Update("sealed", []byte{}).Error
	})
}

// sealing keeps the key that sealed something from being removed until the transaction ends. It comes last in a
// transaction, because a removal waits for it. ErrKeyRemoved if the key has been removed.
func (s *Store) sealing(ctx context.Context, keyID int64) error {
	if keyID == 0 {
		return nil
	}
	q := s.db.WithContext(ctx)
	if s.postgres {
		q = q.Clauses(clause.Locking{Strength: clause.LockingStrengthShare})
	}
	var c KeysetCanary
	err := q.Select("key_id", "removed_at").Take(&c, "key_id = ?", keyID).Error
	switch {
	case errors.Is(err, gorm.ErrRecordNotFound): // the lock is on the table as well
		return nil
	case err == nil && c.RemovedAt != nil:
		return ErrKeyRemoved
	}
	return err
}

// Sealed is the sealed part of a webhook, as it is stored. An empty part is not sealed.
type Sealed struct {
	ID      string
	Headers []byte
	Secrets []byte
}

// SealedPage is the most webhooks that SealedAfter reads.
const SealedPage = 200

// SealedAfter returns the sealed parts of the webhooks after an id, by id, of all tenants and including deleted ones:
// SealedPage of them, fewer only at the end.
func (s *Store) SealedAfter(ctx context.Context, id string) ([]Sealed, error) {
	var rows []Sealed
	err := s.db.WithContext(ctx).Model(&Webhook{}).Select("id, headers, secrets").Where("id > ?", id).Order("id").Limit(SealedPage).Scan(&rows).Error
	return rows, err
}

// Resealed replaces a sealed part.
type Resealed struct {
	Was, Now Sealed
}

var resealedColumns = []column[Resealed]{
	{"id", "text", func(r *Resealed) any { return r.Was.ID }},
	{"was_headers", "bytea", func(r *Resealed) any { return notNil(r.Was.Headers) }},
	{"was_secrets", "bytea", func(r *Resealed) any { return notNil(r.Was.Secrets) }},
	{"headers", "bytea", func(r *Resealed) any { return notNil(r.Now.Headers) }},
	{"secrets", "bytea", func(r *Resealed) any { return notNil(r.Now.Secrets) }},
}

// Reseal replaces the sealed parts of webhooks, in one transaction, if they are unchanged: parts that have changed in
// the meantime stay. Like everything that seals, it can fail with ErrKeyRemoved.
func (s *Store) Reseal(ctx context.Context, keyID int64, rows []Resealed) error {
	return s.Tx(ctx, func(tx *Store) error {
		err := bulk(ctx, tx, rows, resealedColumns, `UPDATE webhooks SET headers = v.headers, secrets = v.secrets FROM v
			WHERE webhooks.id = v.id AND webhooks.headers = v.was_headers AND webhooks.secrets = v.was_secrets`, nil)
		if err != nil {
			return err
		}
		return tx.sealing(ctx, keyID)
	})
}

// SealedSecrets are the secrets of a webhook, as they are stored.
type SealedSecrets struct {
	WebhookID string
	Secrets   []byte
}

// sampled is how many webhooks SampleSecrets reads from each end.
const sampled = 1000

// SampleSecrets returns the sealed secrets of the oldest and of the newest webhooks, at most sampled of each, because
// the keys of a keyset follow each other in time. Deleted webhooks have none.
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
