package models

import (
	"context"
	"errors"
	"time"

	"gorm.io/gorm/clause"
)

// SystemSettings are another system's settings for a tenant while no webhook holds them: InMemory4 has its settings
// even if it has no URL. Settings is the system's own JSON.
type SystemSettings struct {
	Tenant    string `gorm:"primaryKey"`
	System    string `gorm:"primaryKey"`
	Settings  string
	UpdatedAt time.Time
}

// TableName returns the name of the table.
func (SystemSettings) TableName() string { return "system_settings" }

// SystemSettings reads a system's settings for a tenant. ErrNotFound if there are none.
func (s *Store) SystemSettings(ctx context.Context, tenant, system string) (SystemSettings, error) {
	var row SystemSettings
	err := s.db.WithContext(ctx).Take(&row, "tenant = ? AND system = ?", tenant, system).Error
	return row, found(err)
}

// PutSystemSettings replaces a system's settings for a tenant. ErrNotFound if the tenant does not exist.
func (s *Store) PutSystemSettings(ctx context.Context, tenant, system, settings string) error {
	row := SystemSettings{Tenant: tenant, System: system, Settings: settings, UpdatedAt: s.now()}
	return s.changeTenant(ctx, tenant, func(tx *Store) error {
		if err := tx.holdTenant(ctx, tenant); err != nil {
			return err
		}
		was, err := tx.SystemSettings(ctx, tenant, system)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		err = tx.db.WithContext(ctx).Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "tenant"}, {Name: "system"}},
			DoUpdates: clause.AssignmentColumns([]string{"settings", "updated_at"}),
		}).Create(&row).Error
		if err != nil || was.Settings == settings {
			return err
		}
		return tx.auditSettings(ctx, &was, &row)
	})
}

// DeleteSystemSettings removes a system's settings for a tenant because a webhook holds them now: the audit log has
// that webhook's change.
func (s *Store) DeleteSystemSettings(ctx context.Context, tenant, system string) error {
	return s.db.WithContext(ctx).Delete(&SystemSettings{}, "tenant = ? AND system = ?", tenant, system).Error
}
