// Package pgtest gives tests a real, private PostgreSQL.
//
// It finds the server's programs, and makes a throw-away cluster and one database per test: an empty one, or a copy of
// one that the test's package has made. It knows nothing of Posthorn: of this module it must not import any package
// except internal/localpg, so that every package can use it in its tests. It runs on Unix only.
//
// `make test` starts one cluster for all packages through the command in cmd/pgtest and names it in
// POSTHORN_TEST_DATABASE_URL. A plain `go test ./models` works as well: the first call of [URL] in a test process then
// starts a cluster for that process, which goes away with it.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvURL names the environment variable with the URL of a cluster to use: `postgres://user:password@host:port/database`.
// The user must be allowed to create databases; the database itself is only connected to, never changed.
const EnvURL = "POSTHORN_TEST_DATABASE_URL"

// dropTimeout bounds the removal of a test's databases.
const dropTimeout = 30 * time.Second

// ownCluster starts the cluster of a test process that has no given one. It is never stopped: the cluster ends with the
// process, however the process ends.
var ownCluster = sync.OnceValues(func() (string, error) {
	c, err := Start(context.Background(), Options{Fast: true})
	if err != nil {
		return "", err
	}
	return c.URL(), nil
})

// URL creates an empty database for tb and returns its URL. When tb ends, it drops the database, even with open
// connections. It also drops every database whose name begins with that name and an underscore, because code under test
// may create such siblings. URL fails tb if there is no PostgreSQL.
func URL(tb testing.TB) string {
	tb.Helper()
	// Nobody connects to template0, so that any number of copies may be made at once.
	return copyOf(tb, clusterURL(tb), "template0")
}

// Copy creates a database for tb as URL does, but as a copy of what build makes of an empty one. The first call with a key
// builds that original; it stays in the cluster for all others, those of other test processes included. The key must change
// with whatever build does.
func Copy(tb testing.TB, key string, build func(ctx context.Context, databaseURL string) error) string {
	tb.Helper()
	admin := clusterURL(tb)
	name, err := originals.of(tb.Context(), admin, key, build)
	if err != nil {
		tb.Fatalf("pgtest: original: %v", err)
	}
	return copyOf(tb, admin, name)
}

// clusterURL is the URL of the cluster's maintenance database.
func clusterURL(tb testing.TB) string {
	tb.Helper()
	if admin := os.Getenv(EnvURL); admin != "" {
		return admin
	}
	admin, err := ownCluster()
	if err != nil {
		tb.Fatalf("pgtest: no %s, and no cluster of our own: %v", EnvURL, err)
	}
	return admin
}

func copyOf(tb testing.TB, admin, original string) string {
	tb.Helper()
	name := "test_" + strings.ToLower(rand.Text()[:16])
	database, err := withDatabase(admin, name)
	if err != nil {
		tb.Fatalf("pgtest: %s: %v", EnvURL, err)
	}
	if err := create(tb.Context(), admin, name, original); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dropTimeout)
		defer cancel()
		if err := drop(ctx, admin, name); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return database
}

// withDatabase returns raw with its database replaced by name.
func withDatabase(raw, name string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("parse URL: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// create makes a copy of a database that has no connections.
func create(ctx context.Context, admin, name, original string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()

	if _, err := conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` TEMPLATE `+pgx.Identifier{original}.Sanitize()); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

// drop removes the named database and its siblings.
func drop(ctx context.Context, admin, name string) error {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()

	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datname = $1 OR starts_with(datname, $1 || '_')`, name)
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	for _, n := range names {
		if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+pgx.Identifier{n}.Sanitize()+` WITH (FORCE)`); err != nil {
			return fmt.Errorf("drop database %s: %w", n, err)
		}
	}
	return nil
}
