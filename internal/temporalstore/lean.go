// Package temporalstore makes the PostgreSQL database of Temporal's visibility lean, and restores its own indexes.
//
// Temporal keeps some seventy indexes on one table of workflows, most of them on empty columns: every start and every
// end of a workflow is written to each of them. In a lean database an index of such a column covers only the rows that
// have a value. An index that neither Posthorn's filters nor the Web UI's views need covers no row. Each index keeps
// its name, so that Temporal's own schema upgrades find it, and its definition, as a comment.
//
// The package must not import any package of Posthorn except pause.
package temporalstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/posthorn/posthorn/internal/pause"
)

// table is the table in which Temporal keeps each workflow for lists.
const table = "executions_visibility"

// empty are the indexes of columns that every row has, and that neither Posthorn's filters nor the Web UI's views use.
// The build ids are those of the older versioning, which deployments have replaced.
var empty = map[string]bool{
	"by_execution_time":         true,
	"by_history_length":         true,
	"by_history_size_bytes":     true,
	"by_execution_duration":     true,
	"by_state_transition_count": true,
	"by_task_queue":             true,
	"by_root_workflow_id":       true,
	"by_root_run_id":            true,
	"by_build_ids":              true,
}

// mark is the prefix of a lean index's comment. The index's own definition follows.
const mark = "posthorn lean: "

// draft is the name of an index while it is being built.
const draft = "posthorn_lean_draft"

// index is one of the table's indexes that can be rebuilt; primary keys cannot.
type index struct {
	name, definition, comment string
	column                    *string // the column after the namespace; nil if it is an expression
	nullable                  bool
}

// lean returns the lean definition of the index, and "" if it stays as it is.
func (i *index) lean() string {
	if strings.HasPrefix(i.comment, mark) || strings.Contains(i.definition, " WHERE ") {
		return ""
	}
	column := ""
	if i.column != nil && i.nullable {
		column = pgx.Identifier{*i.column}.Sanitize()
	}
	if rows := Rows(i.name, column); rows != "" {
		return i.definition + " WHERE " + rows
	}
	return ""
}

// Rows returns the condition of the rows that an index covers in a lean database; "" = all. column is the index's
// column, "" if each row has a value there.
func Rows(index, column string) string {
	switch {
	case empty[index]:
		return "false"
	case column != "":
		return column + " IS NOT NULL"
	}
	return ""
}

// Lean makes the database lean while Temporal uses it. It returns the names of the rebuilt indexes. Run again, for
// instance after an upgrade, it rebuilds those that are not lean yet.
func Lean(ctx context.Context, conn *pgx.Conn) (names []string, err error) {
	return change(ctx, conn, func(i *index) (definition, comment string) {
		if definition = i.lean(); definition != "" {
			comment = mark + i.definition
		}
		return definition, comment
	})
}

// Restore restores Temporal's own indexes. It returns the names of those that it has rebuilt.
func Restore(ctx context.Context, conn *pgx.Conn) (names []string, err error) {
	return change(ctx, conn, func(i *index) (definition, comment string) {
		if own, ok := strings.CutPrefix(i.comment, mark); ok {
			definition = own
		}
		return definition, ""
	})
}

// change rebuilds each index for which want returns a definition, one after the other; finished ones stay.
func change(ctx context.Context, conn *pgx.Conn, want func(*index) (definition, comment string)) (names []string, err error) {
	indexes, err := list(ctx, conn)
	if err != nil {
		return nil, err
	}
	if len(indexes) == 0 {
		return nil, fmt.Errorf("there is no table %s in this database: it must be the one of Temporal's visibility", table)
	}
	for i := range indexes {
		definition, comment := want(&indexes[i])
		if definition == "" {
			continue
		}
		if err := replace(ctx, conn, indexes[i].name, definition, comment); err != nil {
			return names, fmt.Errorf("index %s: %w", indexes[i].name, err)
		}
		names = append(names, indexes[i].name)
	}
	return names, nil
}

func list(ctx context.Context, conn *pgx.Conn) ([]index, error) {
	rows, err := conn.Query(ctx, `SELECT c.relname, pg_get_indexdef(i.indexrelid), COALESCE(obj_description(i.indexrelid, 'pg_class'), ''),
			a.attname, NOT COALESCE(a.attnotnull, true)
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
		LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[1] AND a.attnum > 0
		WHERE t.relname = $1 AND t.relnamespace = current_schema()::regnamespace AND NOT i.indisunique AND c.relname <> $2
		ORDER BY c.relname`, table, draft)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (i index, err error) {
		return i, row.Scan(&i.name, &i.definition, &i.comment, &i.column, &i.nullable)
	})
}

// How often, and for how long each time, the swap of two indexes waits for the table. Temporal waits behind it.
const (
	swapTries = 10
	swapWait  = "500ms"
	swapPause = time.Second

	lockNotAvailable = "55P03" // PostgreSQL manual, appendix A
)

// replace builds an index next to the one in use, and then replaces that.
func replace(ctx context.Context, conn *pgx.Conn, name, definition, comment string) error {
	_, what, ok := strings.Cut(definition, " ON ")
	if !ok {
		return fmt.Errorf("its definition is %q", definition)
	}
	for _, statement := range []string{
		"DROP INDEX IF EXISTS " + draft, // left by an interrupted run
		"CREATE INDEX CONCURRENTLY " + draft + " ON " + what,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		err := swap(ctx, conn, pgx.Identifier{name}.Sanitize(), comment)
		if pg, locked := errors.AsType[*pgconn.PgError](err); !locked || pg.Code != lockNotAvailable || try == swapTries {
			return err
		}
		if err := pause.For(ctx, swapPause); err != nil {
			return err
		}
	}
}

func swap(ctx context.Context, conn *pgx.Conn, name, comment string) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		note := "NULL"
		if comment != "" {
			note = "'" + strings.ReplaceAll(comment, "'", "''") + "'"
		}
		for _, statement := range []string{
			"SET LOCAL lock_timeout = '" + swapWait + "'",
			"DROP INDEX " + name,
			"ALTER INDEX " + draft + " RENAME TO " + name,
			"COMMENT ON INDEX " + name + " IS " + note,
		} {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}
