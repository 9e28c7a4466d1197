package models

import (
	"context"
	"time"

	"gorm.io/gorm/clause"
)

// EventType is a kind of event. Tenant is empty for a type that every tenant shares.
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
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// PutEventTypes creates or replaces event types, all of the same tenant ("" = shared), in one transaction.
func (s *Store) PutEventTypes(ctx context.Context, types []EventType) error {
	if len(types) == 0 {
		return nil
	}
	now := s.now()
	for i := range types {
		types[i].CreatedAt, types[i].UpdatedAt = now, now
	}
	return s.Tx(ctx, func(tx *Store) error {
		if err := tx.touchTypes(ctx, types[0].Tenant); err != nil {
			return err
		}
		return tx.upsertTypes(ctx, types)
	})
}

func (s *Store) upsertTypes(ctx context.Context, types []EventType) error {
	return s.db.WithContext(ctx).Clauses(clause.OnConflict{
		Columns: []clause.Column{{Name: "tenant"}, {Name: "name"}},
		DoUpdates: clause.AssignmentColumns([]string{"system", "title", "category", "description", "documentation",
			"schema", "example", "deprecated", "updated_at"}),
	}).Create(&types).Error
}

// EventTypes gives every type the tenant can use by name: its own before the shared ones. With tenant "" only the
// shared ones.
func (s *Store) EventTypes(ctx context.Context, tenant string) ([]EventType, error) {
	var rows []EventType
	err := s.db.WithContext(ctx).Where("tenant IN ?", []string{"", tenant}).Order("name, tenant DESC").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	kept := rows[:0]
	for _, r := range rows { // a tenant's own type comes just before the shared one it goes before
		if len(kept) == 0 || kept[len(kept)-1].Name != r.Name {
			kept = append(kept, r)
		}
	}
	return kept, nil
}

// DeleteEventType removes one type of the tenant ("" = shared).
func (s *Store) DeleteEventType(ctx context.Context, tenant, name string) error {
	return s.Tx(ctx, func(tx *Store) error {
		if err := tx.touchTypes(ctx, tenant); err != nil {
			return err
		}
		result := tx.db.WithContext(ctx).Delete(&EventType{}, "tenant = ? AND name = ?", tenant, name)
		if result.Error == nil && result.RowsAffected == 0 {
			return ErrNotFound
		}
		return result.Error
	})
}

// touchTypes says that the types of a tenant have changed, or those of all.
func (s *Store) touchTypes(ctx context.Context, tenant string) error {
	if tenant == "" {
		return s.db.WithContext(ctx).Exec("UPDATE tenants SET version = version + 1").Error
	}
	return s.touchWebhooks(ctx, tenant)
}
