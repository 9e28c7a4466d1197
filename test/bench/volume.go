package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/bench"
	"github.com/posthorn/posthorn/models"
)

// Tables reads the sizes of the tables that grow with deliveries.
func (g *stage) Tables(ctx context.Context) ([]bench.Table, error) {
	conn, err := g.database(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT c.relname, greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid), pg_indexes_size(c.oid), coalesce((
			SELECT string_agg(relname || ' ' || pg_size_pretty(size), ', ' ORDER BY size DESC) FROM (
				SELECT i.relname, pg_relation_size(i.oid) AS size FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
				WHERE x.indrelid = c.oid ORDER BY 2 DESC LIMIT 3) s), '')
		FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND pg_total_relation_size(c.oid) > 10 << 20
		ORDER BY pg_total_relation_size(c.oid) DESC`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[bench.Table])
}

// Expire removes deliveries as the retention does, in this process.
func (g *stage) Expire(ctx context.Context, before time.Time) (e bench.Expired, err error) {
	store, err := models.Open(ctx, withDatabase(g.postgres, g.st.databases[0]), models.Options{MaxConns: 2})
	if err != nil {
		return e, err
	}
	defer func() { _ = store.Close() }()
	conn, err := g.database(ctx)
	if err != nil {
		return e, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM deliveries WHERE finished_at < $1 AND status NOT IN ('pending', 'held')`, before).Scan(&e.Deliveries); err != nil {
		return e, err
	}
	run := store.Expire(before, models.ExpiredAtOnce)
	for {
		began := time.Now()
		n, more, err := run.Step(ctx)
		e.Rows, e.Steps, e.Slowest = e.Rows+n, e.Steps+1, max(e.Slowest, time.Since(began))
		if err != nil || !more {
			return e, err
		}
	}
}

// Vacuum vacuums a table.
func (g *stage) Vacuum(ctx context.Context, table string) error {
	conn, err := g.database(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "VACUUM (ANALYZE) "+pgx.Identifier{table}.Sanitize())
	return err
}
