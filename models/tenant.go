package models

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Tenant is a customer of the platform: the owner of webhooks, events and keys.
type Tenant struct {
	ID string
	// Slug is the tenant's public name. Everything that belongs to the tenant names its ID, which no other tenant ever
	// has: the slug of a deleted tenant is free at once.
	Slug        string
	UID         string `gorm:"column:uid"` // another name, which no other tenant has as uid or slug; "" = none
	Name        string
	Metadata    map[string]string `gorm:"serializer:json;not null"` // the platform's own notes
	AdminEmails []string          `gorm:"serializer:json;not null"`
	// Version counts the changes to the tenant's webhooks, event types and keys. Caches of them are valid as long as
	// it stays the same.
	Version int64
	// MaxWebhooks and MaxKeys are the tenant's own limits; nil = the installation's.
	MaxWebhooks, MaxKeys *int64
	RateLimit            float64 // deliveries a second to all of its webhooks together; 0 = no limit
	CreatedAt            time.Time
	UpdatedAt            time.Time
	DeletedAt            *time.Time
}

// OperationalTenant is what the tenant is called whose webhooks get the operational events about the webhooks of all tenants. The
// names of others begin with a letter or a digit.
const OperationalTenant = "_operational"

// slugEnd ends the slug in the id of a tenant whose name has been used before. No slug contains it.
const slugEnd = "~"

// TenantSlug returns the public name of the tenant with this id.
func TenantSlug(id string) string {
	slug, _, _ := strings.Cut(id, slugEnd)
	return slug
}

// nextTenantID returns an id for a tenant with a name that an earlier one had.
func nextTenantID(slug string) string {
	return slug + slugEnd + strings.ToLower(rand.Text()[:8])
}

// PutTenant creates the tenant with the slug t.Slug (t.ID if there is no slug), or replaces its name, metadata and
// addresses; created reports which. A new tenant gets t.UID; the uid of an existing one stays. An unchanged one stays
// untouched. t.ID is the slug unless an earlier tenant had it.
func (s *Store) PutTenant(ctx context.Context, t *Tenant) (created bool, err error) {
	t.Slug = cmp.Or(t.Slug, t.ID)
	err = s.Tx(ctx, func(tx *Store) error {
		was, err := tx.putTenant(ctx, t)
		if err != nil {
			return err
		}
		created = was.ID == ""
		return tx.auditTenant(ctx, &was, t)
	})
	return created, err
}

// putTenant returns the tenant's previous state; the zero Tenant if it is new.
func (s *Store) putTenant(ctx context.Context, t *Tenant) (Tenant, error) {
	db, now := s.db.WithContext(ctx), s.now()
	t.CreatedAt, t.UpdatedAt, t.DeletedAt = now, now, nil
	// If there are several at once, one creates: the others wait for it, insert nothing and replace what it has
	// created.
	for range 3 {
		var was Tenant
		switch err := found(called(s.forUpdate(db), t.Slug).Take(&was).Error); {
		case err == nil:
			is := was
			if t.Name != was.Name || !slices.Equal(t.AdminEmails, was.AdminEmails) || !maps.Equal(t.Metadata, was.Metadata) {
				is.Name, is.AdminEmails, is.Metadata, is.UpdatedAt = t.Name, t.AdminEmails, t.Metadata, now
				err = db.Model(&is).Select("name", "admin_emails", "metadata", "updated_at").Updates(&is).Error
			}
			*t = is
			return was, err
		case !errors.Is(err, ErrNotFound):
			return Tenant{}, err
		}
		if err := s.freeAsSlug(ctx, t.Slug); err != nil {
			return Tenant{}, err
		}
		if err := s.freeForNew(ctx, t.UID); err != nil {
			return Tenant{}, err
		}
		for _, id := range []string{t.Slug, nextTenantID(t.Slug)} {
			t.ID = id
			result := db.Clauses(clause.OnConflict{DoNothing: true}).Create(t)
			if result.Error != nil || result.RowsAffected == 1 {
				return Tenant{}, result.Error
			}
		}
	}
	return Tenant{}, ErrConflict // it was created and deleted again each time
}

// freeAsSlug refuses a slug that is a tenant's uid. Until the end of the transaction no tenant gets a slug or a uid.
func (s *Store) freeAsSlug(ctx context.Context, slug string) error {
	if err := s.lockTypes(ctx, ""); err != nil {
		return err
	}
	if _, err := s.TenantByUID(ctx, slug); !errors.Is(err, ErrNotFound) {
		return cmp.Or(err, ErrUIDTaken)
	}
	return nil
}

// freeForNew refuses a new tenant's uid that is another's uid or slug; "" = it has none.
func (s *Store) freeForNew(ctx context.Context, uid string) error {
	if uid == "" {
		return nil
	}
	if err := s.freeAsUID(ctx, "", uid); err != nil {
		return err
	}
	if _, err := s.TenantByUID(ctx, uid); !errors.Is(err, ErrNotFound) {
		return cmp.Or(err, ErrUIDTaken)
	}
	return nil
}

// freeAsUID refuses a uid that is the slug of a tenant other than the one with this id. It needs the same transaction
// as freeAsSlug.
func (s *Store) freeAsUID(ctx context.Context, id, uid string) error {
	if err := s.lockTypes(ctx, ""); err != nil {
		return err
	}
	if other, err := s.TenantBySlug(ctx, uid); !errors.Is(err, ErrNotFound) && (err != nil || other.ID != id) {
		return cmp.Or(err, ErrUIDTaken)
	}
	return nil
}

// called is the scope of the tenant that currently has a slug.
func called(db *gorm.DB, slug string) *gorm.DB {
	return db.Where("slug = ? AND deleted_at IS NULL", slug)
}

// Tenant reads one tenant.
func (s *Store) Tenant(ctx context.Context, id string) (Tenant, error) {
	var t Tenant
	err := s.db.WithContext(ctx).Take(&t, "id = ? AND deleted_at IS NULL", id).Error
	return t, found(err)
}

// TenantBySlug reads the tenant that currently has a slug.
func (s *Store) TenantBySlug(ctx context.Context, slug string) (Tenant, error) {
	var t Tenant
	err := called(s.db.WithContext(ctx), slug).Take(&t).Error
	return t, found(err)
}

// TenantByUID reads the tenant that has a uid.
func (s *Store) TenantByUID(ctx context.Context, uid string) (Tenant, error) {
	var t Tenant
	// The index covers tenants that have a uid: PostgreSQL cannot match a partial index against a bound parameter.
	err := s.db.WithContext(ctx).Take(&t, "uid = ? AND uid <> '' AND deleted_at IS NULL", uid).Error
	return t, found(err)
}

// Tenants lists all tenants by slug, in either order.
func (s *Store) Tenants(ctx context.Context, p Page) ([]Tenant, string, error) {
	return tenants(s.db.WithContext(ctx), cursorsOf(listTenants), p)
}

// TenantsLike lists the tenants whose slug begins with a text, by slug.
func (s *Store) TenantsLike(ctx context.Context, text string, p Page) ([]Tenant, string, error) {
	like := strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
	return tenants(s.db.WithContext(ctx).Where("slug LIKE ? ESCAPE '!'", like), cursorsOf(listTenants, text), p)
}

func tenants(q *gorm.DB, cursors cursors, p Page) ([]Tenant, string, error) {
	order, behind := p.ascending()
	q = q.Where("deleted_at IS NULL").Order("slug" + order).Limit(p.Limit + 1)
	after, err := p.begin(cursors, 1)
	if err != nil {
		return nil, "", err
	}
	if after != nil {
		q = q.Where("slug"+behind+"?", after[0])
	}
	var rows []Tenant
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(t Tenant) string { return cursors.next(t.Slug) })
	return rows, next, nil
}

// DeleteTenant ends the tenant at once: nothing finds it any more, its keys fail, nothing is sent for it, and its slug
// is free. A job removes its data in pages. The row stays, without personal data, so that no other tenant ever gets
// its id.
func (s *Store) DeleteTenant(ctx context.Context, id string) error {
	return s.changeTenant(ctx, id, func(tx *Store) error {
		result := tx.db.WithContext(ctx).Exec(`UPDATE tenants SET version = version + 1, name = '', uid = '', admin_emails = '[]', metadata = '{}',
			updated_at = ?, deleted_at = ? WHERE id = ? AND deleted_at IS NULL`, tx.now(), tx.now(), id)
		if result.Error != nil {
			return result.Error
		}
		if result.RowsAffected == 0 {
			return ErrNotFound
		}
		if _, err := tx.addJob(ctx, Job{Kind: JobPurge, Tenant: id}); err != nil {
			return err
		}
		return tx.audit(ctx, id, AuditTenantDeleted, AuditTarget{"tenant", TenantSlug(id)}, nil)
	})
}

// tenantVersions reads the versions of the existing tenants in v.
const tenantVersions = "SELECT id, version FROM tenants WHERE id IN (SELECT id FROM v) AND deleted_at IS NULL"

// TenantVersions reads the versions of several tenants' webhooks at once, and under "" the version of the shared event
// types. Tenants that do not exist, or have been deleted, are left out.
func (s *Store) TenantVersions(ctx context.Context, ids []string) (map[string]int64, error) {
	versions := make(map[string]int64, len(ids)+1)
	if err := s.tenantVersions(ctx, ids, versions); err != nil {
		return nil, err
	}
	return versions, s.wait(ctx)
}

// tenantVersions asks for what TenantVersions returns. It is complete after wait.
func (s *Store) tenantVersions(ctx context.Context, ids []string, into map[string]int64) error {
	return s.askVersions(ctx, ids, tenantVersions+" UNION ALL SELECT '', version FROM shared_catalog", into)
}

// lockVersions asks for the versions of several tenants and locks them until the transaction ends. A tenant that is just
// being changed is left out: waiting for it would delay all others of the transaction.
func (s *Store) lockVersions(ctx context.Context, ids []string, into map[string]int64) error {
	query := tenantVersions + " ORDER BY id"
	if s.postgres { // SQLite has one writer at a time
		query += " FOR SHARE SKIP LOCKED"
	}
	return s.askVersions(ctx, ids, query, into)
}

func (s *Store) askVersions(ctx context.Context, ids []string, query string, into map[string]int64) error {
	return later(ctx, s, ids, idColumns, query, func(row scanner) error {
		var id string
		var version int64
		err := row.Scan(&id, &version)
		into[id] = version
		return err
	})
}

// touchWebhooks increases the tenant's version because its webhooks, event types or keys change, and returns it. It
// also serialises such changes, so that versions are in the order of the commits. Correct counts stay correct: a
// caller that adds or removes something calls takePlace or freePlace next. ErrNotFound if the tenant does not exist or
// has been deleted.
func (s *Store) touchWebhooks(ctx context.Context, tenant string) (version int64, err error) {
	result := s.db.WithContext(ctx).Raw(`UPDATE tenants SET version = version + 1,
		counted = CASE WHEN counted = version THEN version + 1 ELSE counted END
		WHERE id = ? AND deleted_at IS NULL RETURNING version`, tenant).Scan(&version)
	if result.Error == nil && result.RowsAffected == 0 {
		return 0, ErrNotFound
	}
	return version, result.Error
}

// TenantRate reads the tenant's RateLimit.
func (s *Store) TenantRate(ctx context.Context, tenant string) (rate float64, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT rate_limit FROM tenants WHERE id = ?", tenant).Scan(&rate).Error
	return rate, err
}

// holdTenant keeps the tenant from being deleted until the transaction ends, for writes without a new version.
// ErrNotFound if the tenant does not exist or has been deleted.
func (s *Store) holdTenant(ctx context.Context, tenant string) error {
	q := s.db.WithContext(ctx)
	if s.postgres {
		q = q.Clauses(clause.Locking{Strength: clause.LockingStrengthShare})
	}
	var t Tenant
	return found(q.Select("id").Take(&t, "id = ? AND deleted_at IS NULL", tenant).Error)
}
