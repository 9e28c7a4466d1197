package models

import "context"

// InstallationID returns the id of the installation that this database is: random, made once, and the same for ever. Copies
// and restored backups have it, too.
func (s *Store) InstallationID(ctx context.Context) (id string, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		db := tx.db.WithContext(ctx)
		// Of several processes that start at once, one makes it.
		if err := db.Exec("INSERT INTO installation (one, id) VALUES (1, ?) ON CONFLICT DO NOTHING", NewID(PrefixInstallation)).Error; err != nil {
			return err
		}
		return db.Raw("SELECT id FROM installation").Scan(&id).Error
	})
	return id, err
}
