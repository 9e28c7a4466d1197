package models

import (
	"context"
	"time"
)

// Role is what an API key may do.
type Role string

// The roles, widest first. RoleAdmin belongs to the installation, not to a tenant, and is never stored.
const (
	RoleAdmin   Role = "admin"
	RoleTenant  Role = "tenant"
	RolePublish Role = "publish"
	RoleRead    Role = "read"
	// RoleSettings saves InMemory4's settings, and nothing else: receivers of InMemory4 are shown the key that did.
	RoleSettings Role = "settings"
)

// APIKey is a tenant's credential. Only its SHA-256 is kept.
type APIKey struct {
	ID        string
	Tenant    string
	Name      string
	Role      Role
	Hash      []byte
	CreatedAt time.Time
	RevokedAt *time.Time
	// LastUsedAt is right to about a minute. nil = it has not been used.
	LastUsedAt *time.Time
}

// TableName names the table; GORM would say a_p_i_keys.
func (APIKey) TableName() string { return "api_keys" }

// CreateAPIKey stores a key. ErrNotFound if the tenant does not exist, a *FullError if it has as many as it may have.
func (s *Store) CreateAPIKey(ctx context.Context, k *APIKey) error {
	k.CreatedAt = s.now()
	return s.changeTenant(ctx, k.Tenant, func(tx *Store) error {
		if _, err := tx.touchWebhooks(ctx, k.Tenant); err != nil {
			return err
		}
		if err := tx.takePlace(ctx, k.Tenant, countKeys); err != nil {
			return err
		}
		if err := tx.db.WithContext(ctx).Create(k).Error; err != nil {
			return found(err)
		}
		return tx.audit(ctx, k.Tenant, AuditKeyCreated, AuditTarget{"key", k.ID}, AuditChanges{"name": FromTo(nil, k.Name), "role": FromTo(nil, string(k.Role))})
	})
}

// APIKeyByHash finds the key that is in force and hashes to hash. The keys of a deleted tenant are not.
func (s *Store) APIKeyByHash(ctx context.Context, hash []byte) (APIKey, error) {
	var k APIKey
	err := s.db.WithContext(ctx).Take(&k, `hash = ? AND revoked_at IS NULL AND NOT EXISTS (
			SELECT 1 FROM tenants t WHERE t.id = api_keys.tenant AND t.deleted_at IS NOT NULL)`, hash).Error
	return k, found(err)
}

// APIKeys lists a tenant's keys in force, oldest first.
func (s *Store) APIKeys(ctx context.Context, tenant string) ([]APIKey, error) {
	var rows []APIKey
	err := s.db.WithContext(ctx).Where("tenant = ? AND revoked_at IS NULL", tenant).Order("id").Find(&rows).Error
	return rows, err
}

// APIKeyPage lists a tenant's keys in force, oldest first, a page at a time.
func (s *Store) APIKeyPage(ctx context.Context, tenant string, p Page) ([]APIKey, string, error) {
	q := s.db.WithContext(ctx).Where("tenant = ? AND revoked_at IS NULL", tenant).Order("id").Limit(p.Limit + 1)
	cursors := cursorsOf(listKeys, tenant)
	if p.After != "" {
		key, err := cursors.parse(p.After, 1)
		if err != nil {
			return nil, "", err
		}
		q = q.Where("id > ?", key[0])
	}
	var rows []APIKey
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(k APIKey) string { return cursors.next(k.ID) })
	return rows, next, nil
}

// RevokeAPIKey ends a key at once: the tenant's new version tells those who have it in memory.
func (s *Store) RevokeAPIKey(ctx context.Context, tenant, id string) error {
	return s.changeTenant(ctx, tenant, func(tx *Store) error {
		if _, err := tx.touchWebhooks(ctx, tenant); err != nil {
			return err
		}
		result := tx.db.WithContext(ctx).Model(&APIKey{}).Where("tenant = ? AND id = ? AND revoked_at IS NULL", tenant, id).
			Update("revoked_at", tx.now())
		if result.Error == nil && result.RowsAffected == 0 {
			return ErrNotFound
		}
		if result.Error != nil {
			return result.Error
		}
		if err := tx.freePlace(ctx, tenant, countKeys); err != nil {
			return err
		}
		return tx.audit(ctx, tenant, AuditKeyRevoked, AuditTarget{"key", id}, nil)
	})
}
