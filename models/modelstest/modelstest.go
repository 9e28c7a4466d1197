// Package modelstest gives tests databases that are migrated already. Migrating takes some hundred times as long as copying
// what has been migrated, and nearly every test has a database of its own.
//
// It is for tests alone.
package modelstest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"modernc.org/sqlite"

	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/test/pgtest"
)

// Databases of tests need not survive a crash of the machine. Without this, most tests would spend their time waiting for the
// disk: each commit waits until it is written.
func init() {
	sqlite.RegisterConnectionHook(func(conn sqlite.ExecQuerierContext, _ string) error {
		_, err := conn.ExecContext(context.Background(), "PRAGMA synchronous = OFF", nil)
		return err
	})
}

// SQLite makes a migrated SQLite database for tb and returns its URL.
func SQLite(tb testing.TB) string {
	tb.Helper()
	migrated, err := sqliteFile()
	if err != nil {
		tb.Fatalf("modelstest: %v", err)
	}
	path := filepath.Join(tb.TempDir(), "posthorn.db")
	if err := os.WriteFile(path, migrated, 0o600); err != nil {
		tb.Fatalf("modelstest: %v", err)
	}
	return "sqlite:" + path
}

// sqliteFile is the content of a migrated database.
var sqliteFile = sync.OnceValues(func() (_ []byte, err error) {
	dir, err := os.MkdirTemp("", "posthorn-modelstest-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "posthorn.db")
	if err := migrate(context.Background(), "sqlite:"+path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// onPostgres matches the names of the tests that `make test-fast` leaves out, so that it needs no PostgreSQL.
var onPostgres = regexp.MustCompile(`OnPostgres|Pgbouncer|/postgres(/|$)`)

// Postgres makes a migrated PostgreSQL database for tb and returns its URL. A test that calls it says so in its name.
func Postgres(tb testing.TB) string {
	tb.Helper()
	if _, test := tb.(*testing.T); test && !onPostgres.MatchString(tb.Name()) {
		tb.Fatalf("modelstest: call %s …OnPostgres, or take the database in a subtest named postgres", tb.Name())
	}
	return pgtest.Copy(tb, models.MigrationsHash(), migrate)
}

func migrate(ctx context.Context, databaseURL string) (err error) {
	store, err := models.Open(ctx, databaseURL, models.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return store.Migrate(ctx)
}
