package devserver

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/tools/common/schema"
	sqltool "go.temporal.io/server/tools/sql"

	"github.com/posthorn/posthorn/internal/temporalstore"
	"github.com/posthorn/posthorn/test/pgtest"
)

// visibilityAt makes a visibility database with the schema of a version; "" is the newest.
func visibilityAt(t *testing.T, version string) (*pgx.Conn, func(version string)) {
	t.Helper()
	rawURL := pgtest.URL(t)
	cfg, err := postgresConfig(rawURL)
	require.NoError(t, err)
	logger := log.NewNoopLogger()
	update := func(version string) {
		t.Helper()
		conn, err := sqltool.NewConnection(cfg, logger)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, schema.NewUpdateSchemaTask(conn,
			&schema.UpdateConfig{DBName: cfg.DatabaseName, SchemaName: "postgresql/v12/visibility", TargetVersion: version}, logger).Run())
	}
	tool, err := sqltool.NewConnection(cfg, logger)
	require.NoError(t, err)
	require.NoError(t, schema.NewSetupSchemaTask(tool, &schema.SetupConfig{InitialVersion: "0.0"}, logger).Run())
	tool.Close()
	update(version)
	conn, err := pgx.Connect(t.Context(), rawURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn, update
}

// indexes returns the definitions of all indexes of the visibility table, by name.
func indexes(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'executions_visibility'`)
	require.NoError(t, err)
	found := map[string]string{}
	var name, definition string
	_, err = pgx.ForEachRow(rows, []any{&name, &definition}, func() error {
		found[name] = definition
		return nil
	})
	require.NoError(t, err)
	return found
}

// A lean database survives every upgrade of Temporal's schema since the first that keeps visibility here. After a
// restore it is like a new one.
func TestLean_DatabaseIsUpgradedAndRestored(t *testing.T) {
	t.Parallel()
	fresh, _ := visibilityAt(t, "")
	own := indexes(t, fresh)
	for _, version := range []string{"1.2", "1.5", "1.9", "1.13"} {
		conn, update := visibilityAt(t, version)
		names, err := temporalstore.Lean(t.Context(), conn)
		require.NoError(t, err)
		require.Greater(t, len(names), 30)
		update("")
		_, err = temporalstore.Lean(t.Context(), conn)
		require.NoError(t, err)
		names, err = temporalstore.Lean(t.Context(), conn)
		require.NoError(t, err)
		require.Empty(t, names, "it is lean already")
		require.Len(t, indexes(t, conn), len(own))
		_, err = temporalstore.Restore(t.Context(), conn)
		require.NoError(t, err)
		require.Equal(t, own, indexes(t, conn), version)
	}
}

// A row is in the indexes of the values that it has, and filters find it by them.
func TestLean_ARowIsInTheIndexesOfItsValues(t *testing.T) {
	t.Parallel()
	conn, _ := visibilityAt(t, "")
	_, err := temporalstore.Lean(t.Context(), conn)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `INSERT INTO executions_visibility
			(namespace_id, run_id, start_time, execution_time, workflow_id, workflow_type_name, status, encoding, task_queue, search_attributes)
		SELECT 'n', 'r' || i, now(), CURRENT_TIMESTAMP, 'w' || i, 'Deliver', 1, '', 'q', CASE WHEN i % 1000 = 0 THEN '{"Keyword01":"failed"}' ELSE '{"Keyword02":"x"}' END::jsonb
		FROM generate_series(1, 20000) i`)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `ANALYZE executions_visibility`)
	require.NoError(t, err)
	entries := func(name string) (n float64) {
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT reltuples FROM pg_class WHERE relname = $1`, name).Scan(&n))
		return n
	}
	require.Zero(t, entries("by_history_length"))
	require.Zero(t, entries("by_keyword_03"))
	require.InDelta(t, 20, entries("by_keyword_01"), 1)
	require.InDelta(t, 20000, entries("by_workflow_id"), 1)
	for _, filter := range []string{"Keyword01 = 'failed'", "workflow_id = 'w7'", "TemporalNamespaceDivision = 'TemporalScheduler'",
		"KeywordList01 @> '[\"acme\"]'", "TemporalScheduledById = 's'"} {
		rows, err := conn.Query(t.Context(), "EXPLAIN SELECT run_id FROM executions_visibility WHERE namespace_id = 'n' AND "+filter)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Contains(t, strings.Join(plan, "\n"), "by_", filter)
		require.NotContains(t, strings.Join(plan, "\n"), "Seq Scan", filter)
	}
}

// A new file has the same lean indexes, and filters find rows by them.
func TestLean_ANewFileIsLean(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "temporal.db")
	require.NoError(t, setUpSQLite(t.Context(), name))
	require.NoError(t, setUpSQLite(t.Context(), name), "it is known again")
	db, err := sql.Open("sqlite", "file:"+name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	count := func(condition string) (n int) {
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM sqlite_master WHERE type = 'index'
			AND tbl_name = 'executions_visibility' AND sql LIKE '`+condition+`'`).Scan(&n))
		return n
	}
	require.Equal(t, 8, count("%WHERE false"))
	require.Greater(t, count("%IS NOT NULL"), 30)
	require.Equal(t, 4, count("%)"), "default_idx, and those of the id, the type and the status")
	for _, column := range []string{"Keyword01", "workflow_id", "TemporalNamespaceDivision", "TemporalScheduledById"} {
		var id, parent, unused int
		var detail string
		require.NoError(t, db.QueryRowContext(t.Context(), `EXPLAIN QUERY PLAN SELECT run_id FROM executions_visibility WHERE namespace_id = ? AND `+
			column+` = ?`, "n", "x").Scan(&id, &parent, &unused, &detail))
		require.Contains(t, detail, " INDEX by_", column)
	}
}
