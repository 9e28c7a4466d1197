package models

import (
	"context"

	"gorm.io/gorm"
)

// DB lets tests look at what no method shows: row counts, planner statistics.
func (s *Store) DB() *gorm.DB { return s.db }

// PostgresConfig is postgresConfig, for tests.
var PostgresConfig = postgresConfig

// IsPostgres tells tests which database they run on.
func (s *Store) IsPostgres() bool { return s.postgres }

// NewIDAhead is NewID where the database's clock is some milliseconds ahead.
var NewIDAhead = newID

// MeasureClock measures now what is measured every few seconds.
func (s *Store) MeasureClock(ctx context.Context) error {
	pool, err := s.db.DB()
	if err != nil {
		return err
	}
	return s.clock.measure(ctx, pool)
}

// MigrateLock is migrateLock, for tests.
const MigrateLock = migrateLock

// On gives a copy of the run that goes on in a transaction.
func (e *Expiry) On(tx *Store) *Expiry {
	run := *e
	run.store = tx
	return &run
}
