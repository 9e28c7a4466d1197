package models

import "context"

// CreateOnlyWebhook stores a new webhook unless the tenant already has one of its profile: then ErrConflict. Of
// several at once, one wins.
func (s *Store) CreateOnlyWebhook(ctx context.Context, w *Webhook) error {
	return s.changeTenant(ctx, w.Tenant, func(tx *Store) error {
		if _, err := tx.touchWebhooks(ctx, w.Tenant); err != nil { // locks the tenant: the others wait here
			return err
		}
		var n int64
		err := alive(tx.db.WithContext(ctx)).Model(&Webhook{}).Where("tenant = ? AND profile = ?", w.Tenant, w.Profile).Count(&n).Error
		switch {
		case err != nil:
			return err
		case n > 0:
			return ErrConflict
		}
		return tx.CreateWebhook(ctx, w)
	})
}
