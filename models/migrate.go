package models

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/posthorn/posthorn/internal/pause"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrations are listed in the order in which they are applied. A released migration is never edited: add another.
//
// A migration whose first line is "-- online" runs statement by statement, outside of a transaction: for CREATE INDEX
// CONCURRENTLY and DROP INDEX CONCURRENTLY. It may be interrupted, and is then run again from its beginning, so its
// statements must allow that (IF NOT EXISTS, IF EXISTS). Every other one is one transaction.
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
	"0010_autovacuum",
	"0011_installation",
	"0012_canary",
	"0013_leases_holder",
	"0014_key_use",
	"0015_keys_in_force",
	"0015_tenant_limits",
	"0016_attempts",
	"0017_keyset",
	"0018_audit",
	"0019_labels",
	"0020_uids",
	"0021_stats",
	"0022_recoveries",
	"0023_recovery_indexes",
	"0024_sessions",
	"0025_attempts_webhook",
	"0025_health_indexes",
	"0026_webhooks_stopped",
	"0027_tests",
	"0028_types",
	"0029_deliveries_event",
	"0030_deliveries_asked",
	"0031_attempts_manual",
	"0032_events_data_until",
	"0033_events_data_due",
	"0034_recovery_filters",
	"0035_tenants_rate",
	"0036_event_types_shown",
	"0037_webhook_health_announced",
	"0038_webhooks_operational",
	"0039_batches",
}

// online is the first line of migrations that run outside of a transaction.
const online = "-- online\n"

const (
	// migrateLock is the advisory lock key that keeps two migrations from running at once.
	migrateLock = 0x706f7374686f726e // "posthorn"
	// migrateWait is how long a change of a table waits for statements that use the table, in milliseconds. Everything
	// that comes after it queues behind it, so it gives up before the others do (waitForLocks), and tries again.
	migrateWait = 100
	// migratePause is the longest pause before the first further try. It doubles up to migratePauseMost, so that
	// statements that queued behind a try are done before the next one.
	migratePause     = 200 * time.Millisecond
	migratePauseMost = 5 * time.Second
	// migrateFor is how long one migration is tried while others keep the table locked.
	migrateFor = 10 * time.Minute
	// migrateLook is the time between two checks whether another migration is done.
	migrateLook = 200 * time.Millisecond
)

// Migrate brings the schema up to date. It may run twice, from two places at once, and while processes work.
func (s *Store) Migrate(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("models: migrate: %w", err)
	}
	return nil
}

func (s *Store) migrate(ctx context.Context) error {
	return s.migrating(ctx, func(m *migrator) error {
		for _, id := range migrations {
			text, err := migrationText(id)
			if err != nil {
				return err
			}
			if err := m.apply(ctx, id, text); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
		}
		return nil
	})
}

// migrating runs fn while no other process migrates.
func (s *Store) migrating(ctx context.Context, fn func(*migrator) error) error {
	m := &migrator{Store: s, db: s.db}
	if s.postgres {
		// Separate connections, because their settings and locks must not affect others.
		pool := bound(s.server.pool(""), 2)
		defer func() { _ = pool.Close() }()
		turn, err := takeTurn(ctx, pool)
		if err != nil {
			return err
		}
		defer func() { _ = turn.Rollback() }()
		if m.db, err = s.orm(postgresOn(pool)); err != nil {
			return err
		}
	}
	// The length is the one that the library which first kept this table gave the column.
	if err := m.db.WithContext(ctx).Exec("CREATE TABLE IF NOT EXISTS migrations (id varchar(255) PRIMARY KEY)").Error; err != nil {
		return err
	}
	return fn(m)
}

// further holds the texts of migrations that only test builds have.
var further = map[string]string{}

func migrationText(id string) (string, error) {
	if text, ok := further[id]; ok {
		return text, nil
	}
	text, err := migrationFiles.ReadFile("migrations/" + id + ".sql")
	return string(text), err
}

// migrator applies migrations.
type migrator struct {
	*Store

	db *gorm.DB
}

// apply applies one migration, unless it has been applied.
func (m *migrator) apply(ctx context.Context, id, text string) error {
	db := m.db.WithContext(ctx)
	if done, err := isApplied(db, id); done || err != nil {
		return err
	}
	if m.postgres && strings.HasPrefix(text, online) {
		for _, statement := range m.dialect(text) {
			if err := m.persist(ctx, func() error { return m.runOnline(db, statement) }); err != nil {
				return err
			}
		}
		return db.Exec("INSERT INTO migrations (id) VALUES (?)", id).Error
	}
	return m.persist(ctx, func() error {
		return db.Transaction(func(tx *gorm.DB) error {
			// SQLite: another process may have applied it, as its transactions wait for each other.
			if done, err := isApplied(tx, id); done || err != nil {
				return err
			}
			if err := m.waitBriefly(tx); err != nil {
				return err
			}
			for _, statement := range m.dialect(text) {
				if err := tx.Exec(statement).Error; err != nil {
					return err
				}
			}
			return tx.Exec("INSERT INTO migrations (id) VALUES (?)", id).Error
		})
	})
}

func isApplied(db *gorm.DB, id string) (bool, error) {
	var n int64
	err := db.Table("migrations").Where("id = ?", id).Count(&n).Error
	return n > 0, err
}

// persist repeats a step while others lock what it needs.
func (m *migrator) persist(ctx context.Context, step func() error) error {
	wait := migratePause
	for began := time.Now(); ; wait = min(2*wait, migratePauseMost) {
		err := step()
		if !IsLocked(err) && !isGivenUp(err) {
			return err
		}
		if time.Since(began) > migrateFor {
			return fmt.Errorf("others have kept a table locked for %s: look for long transactions in pg_stat_activity: %w", migrateFor, err)
		}
		if pause.For(ctx, wait/2+rand.N(wait/2)) != nil { //nolint:gosec // spreads waits, not a secret
			return err
		}
	}
}

// waitBriefly bounds the waits for locks in a transaction.
func (m *migrator) waitBriefly(tx *gorm.DB) error {
	if !m.postgres {
		return nil
	}
	return tx.Exec(fmt.Sprintf("SET LOCAL lock_timeout = %d", migrateWait)).Error
}

var (
	concurrently = regexp.MustCompile(`^(CREATE (?:UNIQUE )?INDEX|DROP INDEX) CONCURRENTLY\b`)
	newIndex     = regexp.MustCompile(`^CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+) ON`)
)

// runOnline runs one statement outside of a transaction. Statements with CONCURRENTLY block nothing except other
// changes of the table: they wait as long as there are older transactions. Others wait briefly.
func (m *migrator) runOnline(db *gorm.DB, statement string) error {
	statement = bare(statement)
	if !concurrently.MatchString(statement) {
		return db.Transaction(func(tx *gorm.DB) error {
			if err := m.waitBriefly(tx); err != nil {
				return err
			}
			return tx.Exec(statement).Error
		})
	}
	if index := newIndex.FindStringSubmatch(statement); index != nil {
		if err := dropInvalid(db, index[1]); err != nil {
			return err
		}
	}
	return db.Exec(statement).Error
}

// dropInvalid removes the remains of an interrupted CREATE INDEX CONCURRENTLY: they count as an index for IF NOT
// EXISTS, but not for queries.
func dropInvalid(db *gorm.DB, index string) error {
	var n int64
	err := db.Raw(`SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE c.relname = ? AND pg_table_is_visible(c.oid) AND NOT i.indisvalid`, index).Scan(&n).Error
	if err != nil || n == 0 {
		return err
	}
	return db.Exec("DROP INDEX CONCURRENTLY IF EXISTS " + index).Error
}

// bare returns a statement without its leading comments.
func bare(statement string) string {
	for {
		statement = strings.TrimSpace(statement)
		if !strings.HasPrefix(statement, "--") {
			return statement
		}
		_, statement, _ = strings.Cut(statement, "\n")
	}
}

// sqliteWords translates PostgreSQL's words to SQLite's: times are its driver's TIMESTAMP, and it needs neither
// storage parameters nor CONCURRENTLY.
var sqliteWords = strings.NewReplacer("timestamptz", "timestamp", "bytea", "blob", "WITH (fillfactor = 80)", "",
	"INDEX CONCURRENTLY", "INDEX")

// postgresOnly matches statements that SQLite does without: how a table is stored and vacuumed, and triggers that
// support an earlier build running at the same time, because SQLite has one process.
var postgresOnly = regexp.MustCompile(`^(CREATE FUNCTION|CREATE TRIGGER|ALTER TABLE \w+ SET \(|ALTER TABLE \w+ ALTER COLUMN \w+ SET STORAGE)`)

// dialect splits a migration into statements in this database's words. The files are written for PostgreSQL.
func (s *Store) dialect(text string) []string {
	if !s.postgres {
		text = sqliteWords.Replace(text)
	}
	var statements []string
	for statement := range strings.SplitSeq(text, ";\n") {
		plain := bare(statement)
		if plain == "" || !s.postgres && postgresOnly.MatchString(plain) {
			continue
		}
		statements = append(statements, statement)
	}
	return statements
}

// MigrationsHash changes whenever a migration does. Tests share what has been migrated by it.
func MigrationsHash() string {
	hash := sha256.New()
	for _, id := range migrations {
		text, err := migrationText(id)
		if err != nil {
			panic(err) // it is embedded
		}
		_, _ = fmt.Fprintf(hash, "%s\n%s\n", id, text)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// Migrated returns an error unless every migration that this binary knows has been applied.
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
