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
	"sync"
	"testing"

	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/test/pgtest"
)

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

// Postgres makes a migrated PostgreSQL database for tb and returns its URL.
func Postgres(tb testing.TB) string {
	tb.Helper()
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
