package models

import (
	"cmp"
	"context"
	"database/sql"
	"time"

	"gorm.io/gorm/clause"
)

// Tenant is a customer of the platform: the owner of webhooks, events and keys.
type Tenant struct {
	ID string
	// Slug is what the tenant is called outside. Everything that hangs on the tenant names its ID, which no other tenant
	// ever has: the slug of a deleted one is free at once.
	Slug        string
	Name        string
	AdminEmails []string `gorm:"serializer:json;not null"`
	// Version counts the changes to the tenant's webhooks, event types and keys; what is cached of them is good while
	// it stays the same.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt *time.Time // what it owned goes in pages
}

// PutTenant creates the tenant or replaces its name and addresses; created tells which.
func (s *Store) PutTenant(ctx context.Context, t *Tenant) (created bool, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		now := tx.now()
		t.CreatedAt, t.UpdatedAt = now, now
		t.Slug = cmp.Or(t.Slug, t.ID)
		result := tx.db.WithContext(ctx).Clauses(clause.OnConflict{DoNothing: true}).Create(t) // of several at once, one creates
		if created = result.RowsAffected == 1; created || result.Error != nil {
			return result.Error
		}
		err := tx.db.WithContext(ctx).Model(t).Select("name", "admin_emails", "updated_at").Updates(t).Error
		if err != nil {
			return err
		}
		return tx.db.WithContext(ctx).Take(t, "id = ?", t.ID).Error
	})
	return created, err
}

// Tenant reads one tenant.
func (s *Store) Tenant(ctx context.Context, id string) (Tenant, error) {
	var t Tenant
	err := s.db.WithContext(ctx).Take(&t, "id = ?", id).Error
	return t, found(err)
}

// Tenants lists all tenants by id.
func (s *Store) Tenants(ctx context.Context, p Page) ([]Tenant, string, error) {
	q := s.db.WithContext(ctx).Order("id").Limit(p.Limit + 1)
	if p.After != "" {
		after, err := parseCursor(listTenants, p.After, 1)
		if err != nil {
			return nil, "", err
		}
		q = q.Where("id > ?", after[0])
	}
	var rows []Tenant
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(t Tenant) string { return cursor(listTenants, t.ID) })
	return rows, next, nil
}

// DeleteTenant removes the tenant and everything it owns.
func (s *Store) DeleteTenant(ctx context.Context, id string) error {
	return s.Tx(ctx, func(tx *Store) error {
		if _, err := tx.touchWebhooks(ctx, id); err != nil { // first the tenant, then what is its own: as every other change does
			return err
		}
		db := tx.db.WithContext(ctx)
		// Deliveries before attempts: that waits for those being recorded, and none is recorded of a delivery that is gone.
		for _, table := range []string{"deliveries", "attempts", "events", "idempotency_keys", "event_types"} {
			if err := db.Exec("DELETE FROM "+table+" WHERE tenant = ?", id).Error; err != nil {
				return err
			}
		}
		return db.Delete(&Tenant{}, "id = ?", id).Error // keys, webhooks, recoveries and notifications go with it
	})
}

// tenantVersions reads the versions of the tenants in v that exist.
const tenantVersions = "SELECT id, version FROM tenants WHERE id IN (SELECT id FROM v) AND deleted_at IS NULL"

// TenantVersions reads the versions of several tenants' webhooks at once, and under "" the version of the event types that
// all tenants share. Tenants that do not exist are left out.
func (s *Store) TenantVersions(ctx context.Context, ids []string) (map[string]int64, error) {
	return s.versions(ctx, ids, tenantVersions+" UNION ALL SELECT '', version FROM shared_catalog")
}

// lockVersions reads the versions of several tenants and keeps them from changing until the transaction ends. A tenant
// that is being changed at the moment is left out: waiting for it would hold up all the others of the transaction.
func (s *Store) lockVersions(ctx context.Context, ids []string) (map[string]int64, error) {
	query := tenantVersions + " ORDER BY id"
	if s.postgres { // SQLite has one writer at a time
		query += " FOR SHARE SKIP LOCKED"
	}
	return s.versions(ctx, ids, query)
}

func (s *Store) versions(ctx context.Context, ids []string, query string) (map[string]int64, error) {
	versions := make(map[string]int64, len(ids)+1)
	err := bulk(ctx, s, ids, idColumns, query, func(rows *sql.Rows) error {
		var id string
		var version int64
		err := rows.Scan(&id, &version)
		versions[id] = version
		return err
	})
	return versions, err
}

// touchWebhooks raises the tenant's version, because its webhooks, event types or keys change, and returns it. It also
// serialises such changes, so that versions are in the order of the commits.
func (s *Store) touchWebhooks(ctx context.Context, tenant string) (version int64, err error) {
	result := s.db.WithContext(ctx).Raw("UPDATE tenants SET version = version + 1 WHERE id = ? AND deleted_at IS NULL RETURNING version", tenant).
		Scan(&version)
	if result.Error == nil && result.RowsAffected == 0 {
		return 0, ErrNotFound
	}
	return version, result.Error
}
