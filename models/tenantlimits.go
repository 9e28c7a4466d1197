package models

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// The default limits of a tenant.
const (
	DefaultMaxWebhooks = 10_000
	DefaultMaxKeys     = 1_000
)

// FullError means that a tenant, or all of them together, have reached a limit.
type FullError struct {
	Kind  string // "webhooks", "keys", "event types" or "bytes of event types"
	Limit int64
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("models: the limit of %d %s is reached", e.Limit, e.Kind)
}

// tenantLimits are the installation's limits for a tenant.
type tenantLimits struct{ webhooks, keys int64 }

func (o *Options) tenantLimits() tenantLimits {
	return tenantLimits{webhooks: cmp.Or(o.MaxWebhooks, DefaultMaxWebhooks), keys: cmp.Or(o.MaxKeys, DefaultMaxKeys)}
}

// countedThing is something that is counted for a tenant, by the columns of tenants for the number and the limit.
type countedThing struct {
	kind, column, limit string
	most                func(tenantLimits) int64
}

var (
	countWebhooks = countedThing{"webhooks", "webhook_count", "max_webhooks", func(l tenantLimits) int64 { return l.webhooks }}
	countKeys     = countedThing{"keys", "key_count", "max_keys", func(l tenantLimits) int64 { return l.keys }}
)

// takePlace counts one more of something for the tenant, or returns a *FullError. It follows touchWebhooks in the same
// transaction, which has locked the tenant's row: of several requests for the last place one gets it, whatever process
// they are in.
func (s *Store) takePlace(ctx context.Context, tenant string, c countedThing) error {
	most := c.most(s.limits)
	take := func() (bool, error) {
		result := s.db.WithContext(ctx).Exec("UPDATE tenants SET "+c.column+" = "+c.column+" + 1 WHERE id = ? AND counted = version AND "+
			c.column+" < COALESCE("+c.limit+", ?)", tenant, most)
		return result.RowsAffected == 1, result.Error
	}
	if ok, err := take(); ok || err != nil {
		return err
	}
	var is struct {
		IsRight bool // the counts are correct
		Most    int64
	}
	err := s.db.WithContext(ctx).Raw("SELECT counted = version AS is_right, COALESCE("+c.limit+", ?) AS most FROM tenants WHERE id = ?", most, tenant).Scan(&is).Error
	if err != nil {
		return err
	}
	if !is.IsRight {
		if err := s.count(ctx, tenant); err != nil {
			return err
		}
		if ok, err := take(); ok || err != nil {
			return err
		}
	}
	return &FullError{Kind: c.kind, Limit: is.Most}
}

// freePlace counts one less of something for the tenant. It follows touchWebhooks, as takePlace does.
func (s *Store) freePlace(ctx context.Context, tenant string, c countedThing) error {
	return s.db.WithContext(ctx).Exec("UPDATE tenants SET "+c.column+" = "+c.column+" - 1 WHERE id = ? AND counted = version", tenant).Error
}

// count counts the rows: once for each tenant, and after an earlier build has changed something.
func (s *Store) count(ctx context.Context, tenant string) error {
	return s.db.WithContext(ctx).Exec(`UPDATE tenants SET counted = version,
		webhook_count = (SELECT count(*) FROM webhooks w WHERE w.tenant = tenants.id AND w.deleted_at IS NULL),
		key_count = (SELECT count(*) FROM api_keys k WHERE k.tenant = tenants.id AND k.revoked_at IS NULL)
		WHERE id = ?`, tenant).Error
}

// UpdateTenant locks the tenant, lets change alter its name, uid, metadata, addresses and limits, and stores the
// result. If change alters nothing, nothing is written. ErrNotFound if the tenant does not exist.
func (s *Store) UpdateTenant(ctx context.Context, id string, change func(*Tenant) error) (Tenant, error) {
	var t Tenant
	err := s.changeTenant(ctx, id, func(tx *Store) error {
		t = Tenant{}
		if err := found(tx.forUpdate(tx.db.WithContext(ctx)).Take(&t, "id = ? AND deleted_at IS NULL", id).Error); err != nil {
			return err
		}
		was := t
		was.AdminEmails, was.Metadata = slices.Clone(t.AdminEmails), maps.Clone(t.Metadata)
		if err := change(&t); err != nil || reflect.DeepEqual(was, t) {
			return err
		}
		if t.UID != was.UID && t.UID != "" {
			if err := tx.freeAsUID(ctx, id, t.UID); err != nil {
				return err
			}
		}
		if t.RateLimit != was.RateLimit { // what sends keeps it in memory
			if _, err := tx.touchWebhooks(ctx, id); err != nil {
				return err
			}
		}
		t.UpdatedAt = tx.now()
		if err := tx.db.WithContext(ctx).Model(&t).Select("name", "uid", "metadata", "admin_emails", "max_webhooks", "max_keys", "rate_limit", "updated_at").Updates(&t).Error; err != nil {
			return taken(err, t.UID)
		}
		return tx.auditTenant(ctx, &was, &t)
	})
	return t, err
}
