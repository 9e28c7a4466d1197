package models

import (
	"context"
	"database/sql"
	"reflect"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"
)

// EventType is a kind of event. Tenant is empty for a type that all tenants share.
type EventType struct {
	Tenant        string
	Name          string
	System        string
	Title         string
	Category      string
	Description   string
	Documentation string
	Schema        string // JSON Schema, or empty
	Example       string // JSON, or empty
	Deprecated    bool
	Archived      bool     // it is in no list; what names it still gets its events
	FeatureFlags  []string `gorm:"serializer:json"` // portal links without any of them do not see it; empty = all do
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// sameAs reports whether storing o would change nothing.
func (t EventType) sameAs(o *EventType) bool {
	t.CreatedAt, t.UpdatedAt = o.CreatedAt, o.UpdatedAt
	if len(t.FeatureFlags) == 0 && len(o.FeatureFlags) == 0 {
		t.FeatureFlags = o.FeatureFlags
	}
	return reflect.DeepEqual(t, *o)
}

// PutEventTypes creates or replaces event types, all of the same tenant ("" = shared), in one transaction. Unchanged
// ones stay untouched; if all are unchanged, no version changes and no process reads anything again. It sets their
// times. A *FullError if there would be too many, or too many bytes of them.
func (s *Store) PutEventTypes(ctx context.Context, types []EventType) error {
	if len(types) == 0 {
		return nil
	}
	return s.changeTenant(ctx, types[0].Tenant, func(tx *Store) error {
		if err := tx.lockTypes(ctx, types[0].Tenant); err != nil {
			return err
		}
		return tx.putTypes(ctx, types[0].Tenant, types)
	})
}

// putTypes stores types of a tenant that lockTypes has locked.
func (s *Store) putTypes(ctx context.Context, tenant string, types []EventType) error {
	if len(types) == 0 {
		return nil
	}
	changed, stored, err := s.changedTypes(ctx, types)
	if err != nil || len(changed) == 0 {
		return err
	}
	if err := s.touchTypes(ctx, tenant); err != nil {
		return err
	}
	if err := s.upsertTypes(ctx, changed); err != nil {
		return err
	}
	if err := s.boundTypes(ctx, tenant); err != nil {
		return err
	}
	return s.auditTypes(ctx, changed, stored)
}

// The bounds of a tenant's own event types, and of those that all tenants share: every process that serves the tenant
// keeps them in memory.
const (
	maxOwnTypes        = 1000
	maxOwnTypeBytes    = 4 << 20
	maxSharedTypes     = 10_000
	maxSharedTypeBytes = 32 << 20
)

// boundTypes returns a *FullError if the types of a tenant ("" = shared) have become too many.
func (s *Store) boundTypes(ctx context.Context, tenant string) error {
	most, mostBytes := int64(maxOwnTypes), int64(maxOwnTypeBytes)
	if tenant == "" {
		most, mostBytes = maxSharedTypes, maxSharedTypeBytes
	}
	var are struct{ N, Bytes int64 }
	err := s.db.WithContext(ctx).Raw(`SELECT count(*) AS n, COALESCE(sum(octet_length(description) + octet_length(schema) + octet_length(example)), 0) AS bytes
		FROM event_types WHERE tenant = ?`, tenant).Scan(&are).Error
	switch {
	case err != nil:
		return err
	case are.N > most:
		return &FullError{Kind: "event types", Limit: most}
	case are.Bytes > mostBytes:
		return &FullError{Kind: "bytes of event types", Limit: mostBytes}
	}
	return nil
}

// changedTypes returns the types that differ from the stored ones, and the stored ones. It sets the times of all.
func (s *Store) changedTypes(ctx context.Context, types []EventType) (changed []EventType, stored map[string]*EventType, err error) {
	stored = make(map[string]*EventType, len(types))
	err = bulk(ctx, s, types, typeColumns[:2], "SELECT t.* FROM v JOIN event_types t ON t.tenant = v.tenant AND t.name = v.name", func(rows *sql.Rows) error {
		var t EventType
		err := s.db.ScanRows(rows, &t)
		stored[t.Name] = &t
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	now := s.now()
	last := make(map[string]int, len(types)) // if a name is put twice, the last one counts
	for i := range types {
		last[types[i].Name] = i
	}
	for i := range types {
		t := &types[i]
		was := stored[t.Name]
		t.CreatedAt, t.UpdatedAt = now, now
		switch {
		case was != nil && t.sameAs(was):
			t.CreatedAt, t.UpdatedAt = was.CreatedAt, was.UpdatedAt
			continue
		case was != nil:
			t.CreatedAt = was.CreatedAt
		}
		if last[t.Name] == i {
			changed = append(changed, *t)
		}
	}
	return changed, stored, nil
}

var typeColumns = []column[EventType]{
	{"tenant", "text", func(t *EventType) any { return t.Tenant }},
	{"name", "text", func(t *EventType) any { return t.Name }},
	{"system", "text", func(t *EventType) any { return t.System }},
	{"title", "text", func(t *EventType) any { return t.Title }},
	{"category", "text", func(t *EventType) any { return t.Category }},
	{"description", "text", func(t *EventType) any { return t.Description }},
	{"documentation", "text", func(t *EventType) any { return t.Documentation }},
	{"schema", "text", func(t *EventType) any { return t.Schema }},
	{"example", "text", func(t *EventType) any { return t.Example }},
	{"deprecated", "boolean", func(t *EventType) any { return t.Deprecated }},
	{"archived", "boolean", func(t *EventType) any { return t.Archived }},
	{"feature_flags", "text", func(t *EventType) any { return listText(t.FeatureFlags) }},
	{"created_at", "timestamptz", func(t *EventType) any { return timeOf(t.CreatedAt) }},
	{"updated_at", "timestamptz", func(t *EventType) any { return timeOf(t.UpdatedAt) }},
}

func (s *Store) upsertTypes(ctx context.Context, types []EventType) error {
	return bulk(ctx, s, types, typeColumns, `INSERT INTO event_types (tenant, name, system, title, category, description, documentation,
		schema, example, deprecated, archived, feature_flags, created_at, updated_at) SELECT tenant, name, system, title, category, description,
		documentation, schema, example, deprecated, archived, NULLIF(feature_flags, ''), created_at, updated_at FROM v WHERE true ON CONFLICT (tenant, name) DO UPDATE SET
		system = excluded.system, title = excluded.title, category = excluded.category, description = excluded.description,
		documentation = excluded.documentation, schema = excluded.schema, example = excluded.example,
		deprecated = excluded.deprecated, archived = excluded.archived, feature_flags = excluded.feature_flags, updated_at = excluded.updated_at`, nil)
}

// EventTypes returns every type that the tenant can use, by name: its own take precedence over shared ones. With
// tenant "" it returns only shared ones.
func (s *Store) EventTypes(ctx context.Context, tenant string) ([]EventType, error) {
	var rows []EventType
	err := s.db.WithContext(ctx).Where("tenant IN ?", []string{"", tenant}).Order("name, tenant DESC").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	kept := rows[:0]
	for _, r := range rows { // a tenant's own type comes just before the shared one with its name
		if len(kept) == 0 || kept[len(kept)-1].Name != r.Name {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// TypeView is a caller's view of the event types.
type TypeView struct {
	Archived bool      // archived types are visible too
	Flags    *[]string // of the types with feature flags only those with one of these; nil = all
}

// Shows reports whether the flags of the view show a type.
func (v TypeView) Shows(t *EventType) bool {
	return v.Flags == nil || len(t.FeatureFlags) == 0 || slices.ContainsFunc(t.FeatureFlags, func(f string) bool { return slices.Contains(*v.Flags, f) })
}

// seen narrows a query of event types to the view.
func (s *Store) seen(q *gorm.DB, v TypeView) *gorm.DB {
	if !v.Archived {
		q = q.Where("NOT archived")
	}
	if v.Flags == nil {
		return q
	}
	contains := "instr(feature_flags, ?) > 0"
	if s.postgres {
		contains = "position(? IN feature_flags) > 0"
	}
	conditions, args := []string{"feature_flags IS NULL"}, []any{}
	for _, f := range *v.Flags {
		conditions, args = append(conditions, contains), append(args, jsonText(f))
	}
	return q.Where("("+strings.Join(conditions, " OR ")+")", args...)
}

// EventTypePage is EventTypes, a page at a time, in either order, as far as a view shows them.
func (s *Store) EventTypePage(ctx context.Context, tenant string, v TypeView, p Page) ([]EventType, string, error) {
	order, behind := p.ascending()
	q := s.seen(s.db.WithContext(ctx), v).Order("name" + order).Limit(p.Limit + 1)
	if tenant == "" {
		q = q.Where("tenant = ''")
	} else {
		q = q.Where(`(tenant = ? OR tenant = '' AND NOT EXISTS (
			SELECT 1 FROM event_types own WHERE own.tenant = ? AND own.name = event_types.name))`, tenant, tenant)
	}
	cursors := cursorsOf(listEventTypes, tenant)
	key, err := p.begin(cursors, 1)
	if err != nil {
		return nil, "", err
	}
	if key != nil {
		q = q.Where("name"+behind+"?", key[0])
	}
	var rows []EventType
	if err := q.Find(&rows).Error; err != nil {
		return nil, "", err
	}
	rows, next := cut(rows, p.Limit, func(t EventType) string { return cursors.next(t.Name) })
	return rows, next, nil
}

// EventType reads one type as the tenant can use it: its own, or else the shared one.
func (s *Store) EventType(ctx context.Context, tenant, name string) (EventType, error) {
	var t EventType
	err := s.db.WithContext(ctx).Where("tenant IN ? AND name = ?", []string{"", tenant}, name).Order("tenant DESC").Limit(1).Take(&t).Error
	return t, found(err)
}

// EventTypeNames returns the names of the types that the tenant can use.
func (s *Store) EventTypeNames(ctx context.Context, tenant string) ([]string, error) {
	var names []string
	err := s.db.WithContext(ctx).Model(&EventType{}).Distinct("name").Where("tenant IN ?", []string{"", tenant}).Order("name").Pluck("name", &names).Error
	return names, err
}

// Schemas returns the schemas of the tenant's own types by name ("" = of the shared ones); "" if a type has none.
func (s *Store) Schemas(ctx context.Context, tenant string) (map[string]string, error) {
	rows, err := s.db.WithContext(ctx).Raw("SELECT name, schema FROM event_types WHERE tenant = ?", tenant).Rows()
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	schemas := map[string]string{}
	for rows.Next() {
		var name, schema string
		if err := rows.Scan(&name, &schema); err != nil {
			return nil, err
		}
		schemas[name] = schema
	}
	return schemas, rows.Err()
}

// DeleteEventType removes one type of the tenant ("" = shared).
func (s *Store) DeleteEventType(ctx context.Context, tenant, name string) error {
	return s.changeTenant(ctx, tenant, func(tx *Store) error {
		if err := tx.touchTypes(ctx, tenant); err != nil {
			return err
		}
		result := tx.db.WithContext(ctx).Delete(&EventType{}, "tenant = ? AND name = ?", tenant, name)
		if result.Error == nil && result.RowsAffected == 0 {
			return ErrNotFound
		}
		if result.Error != nil {
			return result.Error
		}
		return tx.audit(ctx, tenant, AuditEventTypeDeleted, AuditTarget{"event_type", name}, nil)
	})
}

// lockTypes locks the row that touchTypes updates, so that changes of types come one after the other. ErrNotFound if
// the tenant does not exist.
func (s *Store) lockTypes(ctx context.Context, tenant string) error {
	q := s.forUpdate(s.db.WithContext(ctx)).Select("version")
	if tenant == "" {
		return found(q.Table("shared_catalog").Take(new(struct{ Version int64 })).Error)
	}
	return found(q.Take(&Tenant{}, "id = ? AND deleted_at IS NULL", tenant).Error)
}

// touchTypes increases the version of a tenant, or of the shared event types, because its types change.
func (s *Store) touchTypes(ctx context.Context, tenant string) error {
	if tenant == "" {
		return s.db.WithContext(ctx).Exec("UPDATE shared_catalog SET version = version + 1").Error
	}
	_, err := s.touchWebhooks(ctx, tenant)
	return err
}
