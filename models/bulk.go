package models

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// sqliteChunk bounds the rows of one statement on SQLite. The driver's time to bind parameters grows with the square
// of their number.
const sqliteChunk = 256

// column is one column of a multi-row statement. kind is its PostgreSQL type.
type column[T any] struct {
	name, kind string
	value      func(*T) any
}

// bulk runs one statement over many rows, which it sees as the common table v with the given columns. On PostgreSQL
// each column is sent as one array, so the statement's text never changes and stays prepared; on SQLite the rows are
// sent as VALUES. scan is called for each returned row; nil = none is expected.
func bulk[T any](ctx context.Context, s *Store, rows []T, columns []column[T], statement string, scan func(*sql.Rows) error) error {
	size := len(rows)
	if !s.postgres {
		size = min(size, sqliteChunk)
	}
	for len(rows) > 0 {
		n := min(size, len(rows))
		if err := bulkChunk(ctx, s, rows[:n], columns, statement, scan); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

func bulkChunk[T any](ctx context.Context, s *Store, rows []T, columns []column[T], statement string, scan func(*sql.Rows) error) error {
	text, args := valuesOf(s, rows, columns)
	pool := s.db.Statement.ConnPool
	if scan == nil {
		_, err := pool.ExecContext(ctx, text+statement, args...)
		return err
	}
	result, err := pool.QueryContext(ctx, text+statement, args...)
	if err != nil {
		return err
	}
	defer func() { _ = result.Close() }()
	for result.Next() {
		if err := scan(result); err != nil {
			return err
		}
	}
	return result.Err()
}

// valuesOf returns the common table "v" of rows, and its arguments.
func valuesOf[T any](s *Store, rows []T, columns []column[T]) (string, []any) {
	return s.common(len(rows), len(columns), func(i int) (name, kind string) { return columns[i].name, columns[i].kind },
		func(row, col int) any { return columns[col].value(&rows[row]) })
}

// was is a column with the status that rows must have to be changed. As a constant it would make PostgreSQL prefer the
// index of rows with that status, of which there were few at the last ANALYZE and may now be a hundred thousand.
func was[T any](status DeliveryStatus) column[T] {
	return column[T]{"was", "text", func(*T) any { return string(status) }}
}

// rowKeyColumns are the columns of a DeliveryKey.
var rowKeyColumns = []column[DeliveryKey]{
	{"tenant", "text", func(k *DeliveryKey) any { return k.Tenant }},
	{"id", "text", func(k *DeliveryKey) any { return k.ID }},
}

// byKey reads the existing rows of a table, of one tenant or of several.
func byKey[T any](ctx context.Context, s *Store, table string, keys []DeliveryKey) ([]T, error) {
	all := make([]T, 0, len(keys))
	err := bulk(ctx, s, keys, rowKeyColumns, "SELECT t.* FROM v JOIN "+table+" t ON t.tenant = v.tenant AND t.id = v.id", func(rows *sql.Rows) error {
		var row T
		if err := s.db.ScanRows(rows, &row); err != nil {
			return err
		}
		all = append(all, row)
		return nil
	})
	return all, err
}

// keysOf returns the keys of a tenant's rows with these ids.
func keysOf(tenant string, ids []string) []DeliveryKey {
	keys := make([]DeliveryKey, len(ids))
	for i, id := range ids {
		keys[i] = DeliveryKey{Tenant: tenant, ID: id}
	}
	return keys
}

// idColumns is the column of bare ids.
var idColumns = []column[string]{{"id", "text", func(id *string) any { return *id }}}

// oneOf returns the condition that a column has one of several values, and its one parameter.
func (s *Store) oneOf(column string, values []string) (condition string, parameter string) {
	if !s.postgres {
		return column + " IN (SELECT value FROM json_each(?))", jsonText(values)
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
	}
	return column + " = ANY(CAST(? AS text[]))", "{" + strings.Join(quoted, ",") + "}"
}

// common returns the common table "v" and its arguments.
func (s *Store) common(rows, columns int, column func(int) (name, kind string), value func(row, col int) any) (string, []any) {
	names, sources := make([]string, columns), make([]string, columns)
	var args []any
	for c := range columns {
		name, kind := column(c)
		names[c] = name
		if s.postgres {
			sources[c] = fmt.Sprintf("$%d::%s[]", c+1, kind)
			if c == 0 {
				// The planner cannot see how long this array is. Otherwise it would find a plan for each length cheaper than its plan for
				// any, and plan each time; for one row that takes as long as the work itself.
				sources[c] = "(SELECT " + sources[c] + ")"
			}
			args = append(args, array(kind, rows, func(r int) any { return value(r, c) }))
		} else {
			sources[c] = "?"
		}
	}
	head := "WITH v(" + strings.Join(names, ", ") + ") AS ("
	if s.postgres {
		return head + "SELECT * FROM unnest(" + strings.Join(sources, ", ") + ")) ", args
	}
	for r := range rows {
		for c := range columns {
			args = append(args, value(r, c))
		}
	}
	row := "(" + strings.Join(sources, ", ") + ")"
	return head + "VALUES " + row + strings.Repeat(", "+row, rows-1) + ") ", args
}

// array collects a column's values into a slice that the PostgreSQL driver sends as an array of that kind.
func array(kind string, rows int, value func(int) any) any {
	switch kind {
	case "text":
		return gather[string](rows, value)
	case "bytea":
		return gather[[]byte](rows, value)
	case "bigint":
		return gather[int64](rows, value)
	case "boolean":
		return gather[bool](rows, value)
	case "timestamptz":
		return gather[*time.Time](rows, value)
	default:
		panic("models: no such kind of column: " + kind)
	}
}

func gather[V any](rows int, value func(int) any) []V {
	out := make([]V, rows)
	for i := range out {
		out[i] = value(i).(V)
	}
	return out
}

// timeOf returns a time as bulk needs it: in UTC and whole milliseconds; nil for the zero time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// timeAt is timeOf for a time that may be nil.
func timeAt(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return timeOf(*t)
}

// jsonText encodes a value that can always be encoded.
func jsonText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("models: %T cannot be JSON: %v", v, err))
	}
	return string(text)
}
