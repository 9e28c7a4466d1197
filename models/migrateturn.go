package models

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/posthorn/posthorn/internal/pause"
)

// takeTurn waits until no other process migrates, and returns the transaction that keeps the others waiting. A lock
// that belongs to a transaction also works through a pooler. A transaction that does nothing delays no migration.
//
// It polls: a statement that waited for the lock would hold a snapshot for as long, and CREATE INDEX CONCURRENTLY of
// the process that has the lock waits for all of these.
func takeTurn(ctx context.Context, pool *sql.DB) (*sql.Tx, error) {
	for {
		tx, err := pool.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		var mine bool
		if _, err = tx.ExecContext(ctx, "SET LOCAL idle_in_transaction_session_timeout = 0"); err == nil {
			// By the simple protocol, which closes its portal: an open portal would keep its snapshot.
			err = tx.QueryRowContext(ctx, fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d)", int64(migrateLock)), pgx.QueryExecModeSimpleProtocol).Scan(&mine)
		}
		if err == nil && mine {
			return tx, nil
		}
		_ = tx.Rollback()
		if err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		if err := pause.For(ctx, migrateLook); err != nil {
			return nil, err
		}
	}
}

// postgresOn returns GORM's dialector for a pool.
func postgresOn(pool gorm.ConnPool) gorm.Dialector {
	return postgres.New(postgres.Config{Conn: pool})
}
