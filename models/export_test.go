package models

import (
	"context"
	"database/sql"

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

// DropNotifications is dropNotifications, for tests.
func (s *Store) DropNotifications(ctx context.Context, webhookID string) error {
	return s.dropNotifications(ctx, webhookID)
}

// statements counts what a transaction sends.
type statements struct {
	*sql.Tx
	n *int
}

func (s *statements) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	*s.n++
	return s.Tx.ExecContext(ctx, query, args...)
}

func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	*s.n++
	return s.Tx.QueryContext(ctx, query, args...)
}

// Statements counts the statements of do, which runs in one transaction.
func (s *Store) Statements(ctx context.Context, do func(tx *Store) error) (n int, err error) {
	err = s.Tx(ctx, func(tx *Store) error {
		n = 0
		tx.db.Statement.ConnPool = &statements{tx.db.Statement.ConnPool.(*sql.Tx), &n}
		return do(tx)
	})
	return n, err
}

// MigrateLock is migrateLock, for tests.
const MigrateLock = migrateLock

// On gives a copy of the run that goes on in a transaction.
func (e *Expiry) On(tx *Store) *Expiry {
	run := *e
	run.store = tx
	return &run
}
