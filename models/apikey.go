package models

import (
	"context"
	"time"
)

// Role says what an API key may do.
type Role string

// The roles, widest first. RoleAdmin belongs to the installation, not to a tenant, and is never stored.
const (
	RoleAdmin   Role = "admin"
	RoleTenant  Role = "tenant"
	RolePublish Role = "publish"
	RoleRead    Role = "read"
	// RoleSettings may only save InMemory4's settings: receivers of InMemory4 see the key that saved them.
	RoleSettings Role = "settings"
)

// Roles returns the roles that the keys of a tenant can have, widest first.
func Roles() []Role { return []Role{RoleTenant, RolePublish, RoleRead, RoleSettings} }

// APIKey is a tenant's credential. Only its SHA-256 is stored.
type APIKey struct {
	ID        string
	Tenant    string
	Name      string
	Role      Role
	Hash      []byte
	CreatedAt time.Time
	RevokedAt *time.Time
	// LastUsedAt is accurate to about a minute. nil = never used.
	LastUsedAt *time.Time
}

// TableName returns the name of the table; GORM would derive a_p_i_keys.
func (APIKey) TableName() string { return "api_keys" }

// CreateAPIKey stores a key. ErrNotFound if the tenant does not exist, a *FullError if the tenant has reached its
// limit.
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

// APIKeyByHash returns the key in force with this hash. The keys of a deleted tenant are not in force.
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

// RevokeAPIKey revokes a key at once: the tenant's new version invalidates it wherever it is in memory.
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
