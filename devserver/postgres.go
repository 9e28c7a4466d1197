package devserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/tools/common/schema"
	sqltool "go.temporal.io/server/tools/sql"

	"github.com/posthorn/posthorn/internal/temporalstore"
)

const (
	// maxConns limits the connections of one pool. Every service has one pool for each database. With 20 connections it
	// is no faster on two cores, and PostgreSQL takes 80 MiB more.
	maxConns        = 8
	maxConnLifetime = time.Hour

	// setUpLock is the advisory lock for setting up databases, so that servers that start at once take turns.
	setUpLock = 0x706f737468 // "posth"

	duplicateDatabase = "42P04" // PostgreSQL manual, appendix A
)

// openPostgres returns the store on the database at rawURL and its sibling for visibility, both created if missing and
// brought up to the server's schema.
func openPostgres(ctx context.Context, rawURL string, logger log.Logger) (store, error) {
	base, err := postgresConfig(rawURL)
	if err != nil {
		return store{}, fmt.Errorf("postgres URL: %w", err)
	}
	main, visibility := *base, *base
	visibility.DatabaseName += "_visibility"

	unlock, err := lockSetUp(ctx, rawURL)
	if err != nil {
		return store{}, fmt.Errorf("postgres: %w", err)
	}
	defer unlock()
	for _, db := range []struct {
		cfg    *config.SQL
		schema string
	}{
		{&main, "postgresql/v12/temporal"},
		{&visibility, "postgresql/v12/visibility"},
	} {
		if err := createDatabase(ctx, rawURL, db.cfg.DatabaseName); err != nil {
			return store{}, fmt.Errorf("postgres: create database %s: %w", db.cfg.DatabaseName, err)
		}
		if err := migrate(db.cfg, db.schema, logger); err != nil {
			return store{}, fmt.Errorf("postgres: schema of %s: %w", db.cfg.DatabaseName, err)
		}
	}
	if err := lean(ctx, rawURL, visibility.DatabaseName); err != nil {
		return store{}, fmt.Errorf("postgres: indexes of %s: %w", visibility.DatabaseName, err)
	}
	return store{main: &main, visibility: &visibility}, nil
}

// postgresConfig translates a URL into the server's own form. It understands TCP addresses only.
func postgresConfig(rawURL string) (*config.SQL, error) {
	parsed, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme == "" {
		return nil, errors.New("must begin with postgres://")
	}
	if strings.HasPrefix(parsed.Host, "/") {
		return nil, errors.New("must name a host: Temporal does not connect through Unix sockets")
	}
	if parsed.Database == "" {
		return nil, errors.New("must name a database")
	}
	attributes := map[string]string{}
	for key, values := range u.Query() {
		attributes[key] = values[0]
	}
	return &config.SQL{
		PluginName: postgresql.PluginNamePGX,
		// The server puts everything except the password into a URL unescaped.
		User:              url.PathEscape(parsed.User),
		Password:          parsed.Password,
		ConnectAddr:       net.JoinHostPort(parsed.Host, strconv.Itoa(int(parsed.Port))),
		ConnectProtocol:   "tcp",
		DatabaseName:      parsed.Database,
		ConnectAttributes: attributes,
		MaxConns:          maxConns,
		MaxIdleConns:      maxConns,
		MaxConnLifetime:   maxConnLifetime,
	}, nil
}

// lockSetUp waits until no other process sets up databases on this cluster. The lock ends with unlock or with the
// process.
func lockSetUp(ctx context.Context, rawURL string) (unlock func(), err error) {
	conn, err := connectMaintenance(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = conn.Close(context.WithoutCancel(ctx)) }
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, setUpLock); err != nil {
		unlock()
		return nil, fmt.Errorf("wait for set-up lock: %w", err)
	}
	return unlock, nil
}

func createDatabase(ctx context.Context, rawURL, name string) error {
	conn, err := connectMaintenance(ctx, rawURL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()

	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil {
		return fmt.Errorf("look for it: %w", err)
	}
	if exists {
		return nil
	}
	_, err = conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize())
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == duplicateDatabase {
		return nil
	}
	return err
}

// lean drops the unneeded indexes of the visibility database.
func lean(ctx context.Context, rawURL, name string) error {
	conn, err := connectTo(ctx, rawURL, name)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = temporalstore.Lean(ctx, conn)
	return err
}

// connectMaintenance connects to the database that every cluster has.
func connectMaintenance(ctx context.Context, rawURL string) (*pgx.Conn, error) {
	return connectTo(ctx, rawURL, "postgres")
}

func connectTo(ctx context.Context, rawURL, database string) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig(rawURL)
	if err != nil {
		return nil, err
	}
	cfg.Database = database
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// migrate brings a database of any version to the server's version. Running it again does nothing.
func migrate(cfg *config.SQL, name string, logger log.Logger) error {
	conn, err := sqltool.NewConnection(cfg, logger)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()

	setUp := schema.NewSetupSchemaTask(conn, &schema.SetupConfig{InitialVersion: "0.0"}, logger)
	if err := setUp.Run(); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	update := schema.NewUpdateSchemaTask(conn, &schema.UpdateConfig{DBName: cfg.DatabaseName, SchemaName: name}, logger)
	if err := update.Run(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	return nil
}
