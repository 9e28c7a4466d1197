package models

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/go-gormigrate/gormigrate/v2"
	"gorm.io/gorm"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations in the order they are applied. A migration that has been released is never edited: add another.
var migrations = []string{
	"0001_initial",
	"0002_systems",
	"0003_retention",
	"0004_limits",
	"0005_held",
	"0006_stopped",
	"0007_paces",
	"0008_mass",
	"0009_processes",
	"0011_installation",
	"0012_canary",
}

// migrateLock is the advisory lock key that keeps two migrations at once from running into each other.
const migrateLock = 0x706f7374686f726e // "posthorn"

// migrateWait is how long a change of a table waits for what uses the table. All that comes after it waits behind it.
const migrateWait = "30s"

// Migrate brings the schema up to date. It may be run twice, and at once from two places.
func (s *Store) Migrate(ctx context.Context) error {
	if !s.postgres {
		return s.migrate(s.db.WithContext(ctx))
	}
	// All on one connection: those who wait for the lock must not keep its holder from getting another.
	return s.db.WithContext(ctx).Connection(func(db *gorm.DB) error {
		conn := db.Statement.ConnPool
		// The lock is held for as long as another process migrates, and a table may be in use when it is changed.
		if _, err := conn.ExecContext(ctx, "SET lock_timeout = 0"); err != nil {
			return fmt.Errorf("models: migrate: %w", err)
		}
		defer func() { _, _ = conn.ExecContext(context.Background(), waitForLocks) }()
		if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(migrateLock)); err != nil {
			return fmt.Errorf("models: migrate: lock: %w", err)
		}
		defer unlock(conn)
		if _, err := conn.ExecContext(ctx, "SET lock_timeout = '"+migrateWait+"'"); err != nil {
			return fmt.Errorf("models: migrate: %w", err)
		}
		return s.migrate(db.Session(&gorm.Session{}))
	})
}

// unlock outlives the caller's context: a cancelled migration must not leave the pooled connection holding the lock.
func unlock(conn gorm.ConnPool) {
	_, _ = conn.ExecContext(context.Background(), `SELECT pg_advisory_unlock($1)`, int64(migrateLock))
}

func (s *Store) migrate(db *gorm.DB) error {
	steps := make([]*gormigrate.Migration, 0, len(migrations))
	for _, id := range migrations {
		text, err := migrationFiles.ReadFile("migrations/" + id + ".sql")
		if err != nil {
			return fmt.Errorf("models: migrate: %w", err)
		}
		statements := s.dialect(string(text))
		steps = append(steps, &gormigrate.Migration{ID: id, Migrate: func(tx *gorm.DB) error {
			for _, statement := range statements {
				if err := tx.Exec(statement).Error; err != nil {
					return fmt.Errorf("%s: %w", id, err)
				}
			}
			return nil
		}})
	}
	options := *gormigrate.DefaultOptions
	options.UseTransaction = true
	if err := gormigrate.New(db, &options, steps).Migrate(); err != nil {
		return fmt.Errorf("models: migrate: %w", err)
	}
	return nil
}

// dialect splits a migration into statements in this database's words. The files are written for PostgreSQL; what
// SQLite says otherwise is little: times are its driver's TIMESTAMP, and neither a table nor a column has storage
// parameters.
func (s *Store) dialect(text string) []string {
	if !s.postgres {
		text = strings.NewReplacer("timestamptz", "timestamp", "bytea", "blob", "WITH (fillfactor = 80)", "",
			"ALTER TABLE jobs ALTER COLUMN members SET STORAGE EXTERNAL;\n", "").Replace(text)
	}
	var statements []string
	for statement := range strings.SplitSeq(text, ";\n") {
		// SQLite has one process, so that no earlier build ever runs beside this one.
		if !s.postgres && (strings.Contains(statement, "CREATE FUNCTION") || strings.Contains(statement, "CREATE TRIGGER")) {
			continue
		}
		if strings.TrimSpace(statement) != "" {
			statements = append(statements, statement)
		}
	}
	return statements
}

// Migrated tells whether every migration this binary knows has been applied.
func (s *Store) Migrated(ctx context.Context) error {
	var n int64
	if err := s.db.WithContext(ctx).Table("migrations").Where("id IN ?", migrations).Count(&n).Error; err != nil {
		return fmt.Errorf("models: the schema cannot be read; has `posthorn migrate` been run? %w", err)
	}
	if int(n) != len(migrations) {
		return fmt.Errorf("models: %d of %d migrations are applied: run `posthorn migrate`", n, len(migrations))
	}
	return nil
}
