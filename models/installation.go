package models

import "context"

// InstallationID returns the id of this database's installation: random, created once, and permanent. Copies and
// restored backups have it too.
func (s *Store) InstallationID(ctx context.Context) (id string, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		db := tx.db.WithContext(ctx)
		// If several processes start at once, one of them creates it.
		if err := db.Exec("INSERT INTO installation (one, id) VALUES (1, ?) ON CONFLICT DO NOTHING", NewID(PrefixInstallation)).Error; err != nil {
			return err
		}
		return db.Raw("SELECT id FROM installation").Scan(&id).Error
	})
	return id, err
}
