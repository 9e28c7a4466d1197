package devserver

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"hash/crc32"
	"io/fs"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"go.temporal.io/server/common/config"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	dbschemas "go.temporal.io/server/schema"
	_ "modernc.org/sqlite" // the driver named sqlite, which the server uses too

	"github.com/posthorn/posthorn/internal/temporalstore"
)

// schemaFiles are the server's tables. There are no migrations for them: SQLite is for one version at a time.
var schemaFiles = []string{"sqlite/v3/temporal/schema.sql", "sqlite/v3/visibility/schema.sql"}

// inMemory returns a store that ends with the process. The server sets up its schema itself.
func inMemory() store {
	cfg := &config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      "posthorn-" + rand.Text(), // shared by all connections of this server only
		ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
	}
	return store{main: cfg, visibility: cfg}
}

// openSQLite returns the store in the file at path, created if missing.
func openSQLite(ctx context.Context, path string) (store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return store{}, fmt.Errorf("database file: %w", err)
	}
	// The name becomes part of a URI, in which SQLite decodes escapes.
	name := (&url.URL{Path: path}).EscapedPath()
	if err := setUpSQLite(ctx, name); err != nil {
		return store{}, fmt.Errorf("database %s: %w", path, err)
	}
	cfg := &config.SQL{
		PluginName:   sqliteplugin.PluginName,
		DatabaseName: name,
		// Write-ahead log, synced at every commit: two thirds faster than the default journal, and as durable.
		ConnectAttributes: map[string]string{"mode": "rw", "journal_mode": "wal", "synchronous": "2"},
	}
	return store{main: cfg, visibility: cfg}, nil
}

// setUpSQLite creates the server's schema in an empty file, in one transaction, so that a killed start leaves all of it
// or nothing. The file keeps the schema's checksum. A different checksum is an error.
func setUpSQLite(ctx context.Context, name string) (err error) {
	schema, err := sqliteSchema()
	if err != nil {
		return err
	}
	// user_version holds a signed number of 32 bits.
	want := int64(int32(crc32.ChecksumIEEE([]byte(schema)))) //nolint:gosec // The bits count, not the sign.

	db, err := sql.Open("sqlite", "file:"+name+"?mode=rwc&_txlock=immediate&_pragma=busy_timeout=5000")
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing

	var tables, have int64
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master`).Scan(&tables); err != nil {
		return fmt.Errorf("read schema: %w", err)
	}
	if err := tx.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&have); err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if tables > 0 {
		if have != want {
			return fmt.Errorf("made by another version of Temporal (schema %08x, want %08x): move the file away, "+
				"pending deliveries are not in it and will be dispatched again", uint32(have), uint32(want)) //nolint:gosec // Printed bits.
		}
		return nil
	}
	if _, err := tx.ExecContext(ctx, leanSchema(schema)); err != nil {
		return fmt.Errorf("create schema: %w", err)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, want)); err != nil {
		return fmt.Errorf("note schema version: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("create schema: %w", err)
	}
	return nil
}

// indexOfColumn matches a statement that makes an index of one column of the visibility table: its name, and the
// column.
var indexOfColumn = regexp.MustCompile(`CREATE INDEX (\w+)\s+ON executions_visibility \(namespace_id,\s*(\w+),[^;]*\)`)

// always are the columns that have a value in every row.
var always = map[string]bool{"workflow_id": true, "workflow_type_name": true, "status": true}

// leanSchema returns a schema without the unneeded indexes of the visibility table.
func leanSchema(schema string) string {
	return indexOfColumn.ReplaceAllStringFunc(schema, func(statement string) string {
		found := indexOfColumn.FindStringSubmatch(statement)
		column := found[2]
		if always[column] {
			column = ""
		}
		if rows := temporalstore.Rows(found[1], column); rows != "" {
			return statement + " WHERE " + rows
		}
		return statement
	})
}

func sqliteSchema() (string, error) {
	var schema strings.Builder
	for _, name := range schemaFiles {
		statements, err := fs.ReadFile(dbschemas.Assets(), name)
		if err != nil {
			return "", fmt.Errorf("read embedded schema: %w", err)
		}
		schema.Write(statements)
		schema.WriteByte('\n')
	}
	return schema.String(), nil
}
