package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/bench"
	"github.com/posthorn/posthorn/internal/secrets"
)

// Storing what the API would take hours for. Rows are copies of one that Posthorn has made, so that this knows only the
// columns in which they differ.

// storeAtOnce limits the rows of one statement.
const storeAtOnce = 100_000

// storedAge is the age of the stored rows.
const storedAge = 2 * time.Hour

// database connects to Posthorn's database.
func (g *stage) database(ctx context.Context) (*pgx.Conn, error) {
	return pgx.Connect(ctx, withDatabase(g.postgres, g.st.databases[0]))
}

// copyRows inserts copies of the row that a condition names, numbered by i. set has the expressions of the columns that
// differ; t is the row.
func copyRows(ctx context.Context, conn *pgx.Conn, table, condition, argument string, n int, set map[string]string) error {
	rows, err := conn.Query(ctx, `SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, table)
	if err != nil {
		return err
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !slices.Contains(columns, name) {
			return fmt.Errorf("%s has no column %s", table, name)
		}
	}
	values := make([]string, len(columns))
	for i, name := range columns {
		if values[i] = "t." + name; set[name] != "" {
			values[i] = set[name]
		}
	}
	for from := 1; from <= n; from += storeAtOnce {
		result, err := conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s (%s) SELECT %s FROM (SELECT * FROM %s WHERE %s LIMIT 1) t, generate_series(%d, %d) i`,
			table, strings.Join(columns, ", "), strings.Join(values, ", "), table, condition, from, min(n, from+storeAtOnce-1)), argument)
		if err != nil {
			return fmt.Errorf("store %s: %w", table, err)
		}
		if result.RowsAffected() == 0 {
			return fmt.Errorf("%s has no row to copy", table)
		}
	}
	return nil
}

// idAt returns the expression for the ids of rows numbered by i: a prefix and a UUIDv7, a thousand in each millisecond
// before a time.
func idAt(prefix string, before time.Time, n int) string {
	return idIn(prefix, fmt.Sprintf("%d + i / 1000", before.UnixMilli()-int64(n/1000)-1))
}

// idIn returns the expression for the ids of rows numbered by i: a prefix and a UUIDv7 of a millisecond, at most a
// thousand in each.
func idIn(prefix, millisecond string) string {
	millisecond = fmt.Sprintf("lpad(to_hex(%s), 12, '0')", millisecond)
	return fmt.Sprintf("'%s' || left(%s, 8) || '-' || right(%s, 4) || '-7' || lpad(to_hex(i %% 1000), 3, '0') || '-8000-' || lpad(to_hex(i), 12, '0')",
		prefix, millisecond, millisecond)
}

// tidy brings the tables into the state of old rows.
func tidy(ctx context.Context, conn *pgx.Conn, tables ...string) error {
	for _, table := range tables {
		if _, err := conn.Exec(ctx, "VACUUM (ANALYZE) "+table); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, "CHECKPOINT")
	return err
}

// Store stores deliveries and their events.
func (g *stage) Store(ctx context.Context, webhook string, n, first int, due time.Duration) error {
	conn, err := g.database(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	made := time.Now().Add(-storedAge)
	at := func(t time.Time) string { return "'" + t.UTC().Format(time.RFC3339Nano) + "'::timestamptz" }
	event := idAt("evt_", made, n)
	const newest = "WHERE webhook_id = $1 ORDER BY id DESC LIMIT 1"
	if err := copyRows(ctx, conn, "events", "(tenant, id) = (SELECT tenant, event_id FROM deliveries "+newest+")", webhook, n, map[string]string{
		"id": event, "created_at": at(made),
		"data": fmt.Sprintf(`overlay(t.data placing convert_to(lpad((%d + i - 1)::text, 8, '0'), 'UTF8') from position('"seq":"'::bytea in t.data) + 7 for 8)`, first),
	}); err != nil {
		return err
	}
	if err := copyRows(ctx, conn, "deliveries", "id = (SELECT id FROM deliveries "+newest+")", webhook, n, map[string]string{
		"id": idAt("dlv_", made, n), "event_id": event, "status": "'pending'", "status_reason": "''", "attempts": "0", "failures": "0",
		"generation": "0", "dispatch_id": "''", "next_attempt_at": at(time.Now().Add(due)), "created_at": at(made), "finished_at": "NULL",
	}); err != nil {
		return err
	}
	return tidy(ctx, conn, "events", "deliveries")
}

// Widen stores webhooks. Each secret is sealed for its webhook, so the secrets are made here.
func (g *stage) Widen(ctx context.Context, webhook string, n int, url, eventType string) error {
	conn, err := g.database(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	box, err := secrets.OpenBox(g.keyset())
	if err != nil {
		return err
	}
	made := time.Now().Add(-storedAge)
	var ids []string
	rows, err := conn.Query(ctx, fmt.Sprintf("SELECT %s FROM generate_series(1, %d) i", idAt("wh_", made, n), n))
	if err != nil {
		return err
	}
	if ids, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return err
	}
	var sealedHeaders, sealedSecrets []byte
	if err := conn.QueryRow(ctx, "SELECT headers, secrets FROM webhooks WHERE id = $1", webhook).Scan(&sealedHeaders, &sealedSecrets); err != nil {
		return err
	}
	headers, err := box.Open(sealedHeaders, webhook+"/headers")
	if err != nil {
		return err
	}
	signing, err := box.Open(sealedSecrets, webhook+"/secrets")
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "CREATE TEMPORARY TABLE sealed (i bigint PRIMARY KEY, headers bytea, secrets bytea)"); err != nil {
		return err
	}
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"sealed"}, []string{"i", "headers", "secrets"}, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		h, err := box.Seal(headers, ids[i]+"/headers")
		if err != nil {
			return nil, err
		}
		s, err := box.Seal(signing, ids[i]+"/secrets")
		return []any{i + 1, h, s}, err
	}))
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "UPDATE tenants SET version = version + 1 WHERE id = (SELECT tenant FROM webhooks WHERE id = $1)", webhook); err != nil {
		return err
	}
	if err := copyRows(ctx, conn, "webhooks", "id = $1", webhook, n, map[string]string{
		"id": idAt("wh_", made, n), "url": fmt.Sprintf("'%s' || i", url), "event_types": fmt.Sprintf(`'["%s"]'`, eventType),
		"headers": "(SELECT headers FROM sealed WHERE sealed.i = i.i)", "secrets": "(SELECT secrets FROM sealed WHERE sealed.i = i.i)",
		"version": "(SELECT version FROM tenants WHERE id = t.tenant)",
	}); err != nil {
		return err
	}
	if err := copyRows(ctx, conn, "webhook_health", "webhook_id = $1", webhook, n, map[string]string{"webhook_id": idAt("wh_", made, n)}); err != nil {
		return err
	}
	return tidy(ctx, conn, "webhooks", "webhook_health")
}

// mergeWait is how long Fill waits for the first statistics.
const mergeWait = time.Minute

// Fill stores data for the pages. Of a hundred deliveries ninety are delivered, four have failed, three are held and
// three are pending.
func (g *stage) Fill(ctx context.Context, webhook string, n int) error {
	conn, err := g.database(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range []string{
		`CREATE TEMPORARY TABLE wide AS SELECT row_number() OVER (ORDER BY id) - 1 AS number, id, tenant FROM webhooks
			WHERE tenant = (SELECT tenant FROM webhooks WHERE id = '` + webhook + `')`,
		`CREATE UNIQUE INDEX ON wide (number)`,
		`ANALYZE wide`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	var wide int
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM wide").Scan(&wide); err != nil {
		return err
	}
	millisecond := fmt.Sprintf("%d + i::bigint * %d / %d", time.Now().Add(-bench.FillPeriod).UnixMilli(), (bench.FillPeriod - time.Minute).Milliseconds(), n)
	at := "to_timestamp((" + millisecond + ") / 1000.0)"
	one := func(of string) string { return fmt.Sprintf("(SELECT id FROM wide WHERE number = %s %% %d)", of, wide) }
	event, delivery, attempt := idIn("evt_", millisecond), idIn("dlv_", millisecond), idIn("att_", millisecond)
	const newest = "WHERE webhook_id = $1 ORDER BY id DESC LIMIT 1"
	if err := copyRows(ctx, conn, "events", "(tenant, id) = (SELECT tenant, event_id FROM deliveries "+newest+")", webhook, n, map[string]string{
		"id": event, "created_at": at,
	}); err != nil {
		return err
	}
	if err := copyRows(ctx, conn, "attempts", "id = (SELECT id FROM attempts "+newest+")", webhook, n, map[string]string{
		"id": attempt, "delivery_id": delivery, "webhook_id": one("i"), "started_at": at,
		"status_code": "CASE WHEN i % 100 < 90 THEN 204 ELSE 500 END", "error": "CASE WHEN i % 100 < 90 THEN '' ELSE 'status 500' END",
	}); err != nil {
		return err
	}
	if err := copyRows(ctx, conn, "deliveries", "id = (SELECT id FROM deliveries "+newest+")", webhook, n, map[string]string{
		"id": delivery, "event_id": event, "webhook_id": one("i"), "dispatch_id": "''", "created_at": at, "status_reason": "''",
		"status":          "CASE WHEN i % 100 < 90 THEN 'delivered' WHEN i % 100 < 94 THEN 'failed' WHEN i % 100 < 97 THEN 'held' ELSE 'pending' END",
		"finished_at":     "CASE WHEN i % 100 < 94 THEN " + at + " END",
		"next_attempt_at": "CASE WHEN i % 100 >= 97 THEN '" + time.Now().Add(bench.FillPeriod).UTC().Format(time.RFC3339) + "'::timestamptz END",
		"attempts":        "1", "failures": "CASE WHEN i % 100 < 90 THEN 0 ELSE 1 END",
	}); err != nil {
		return err
	}
	if err := fillStatistics(ctx, conn, webhook, wide); err != nil {
		return err
	}
	for _, statement := range []string{
		`UPDATE webhooks SET status = 'deactivated', status_reason = 'too many failures' WHERE id IN (SELECT id FROM wide WHERE number % 30000 = 20000)`,
		`UPDATE webhook_health SET failed = 412, last_failure_at = now(), last_status = 500, last_error = 'status 500'
			WHERE webhook_id IN (SELECT id FROM wide WHERE number % 20000 = 10000)`,
		`UPDATE tenants SET version = version + 1 WHERE id IN (SELECT tenant FROM wide)`,
		`UPDATE webhooks w SET version = t.version FROM tenants t WHERE t.id = w.tenant AND w.status = 'deactivated'`,
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return tidy(ctx, conn, "events", "deliveries", "attempts", "stats", "webhooks", "webhook_health")
}

// fillStatistics copies the statistics of one minute. For the installation, the tenant and the webhook, it copies them
// to each minute of the last seven days and to each hour before. For each other webhook, it copies them to four minutes
// of the last hour.
func fillStatistics(ctx context.Context, conn *pgx.Conn, webhook string, wide int) error {
	const row = "ctid = (SELECT ctid FROM stats WHERE webhook_id = $1 AND span = 1 LIMIT 1)"
	for end := time.Now().Add(mergeWait); ; time.Sleep(time.Second) {
		var merged bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM stats WHERE webhook_id = $1 AND span = 1)", webhook).Scan(&merged); err != nil {
			return err
		}
		if merged {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("no statistics were merged within %s", mergeWait)
		}
	}
	const minutes, hours, rest = 7 * 24 * 60, 21 * 24, 10 // the last minutes are left to real events
	now := time.Now().Unix() / 60
	week := now - rest - minutes
	week -= week % 60
	for _, of := range []string{row, "ctid = (SELECT ctid FROM stats WHERE tenant = (SELECT tenant FROM webhooks WHERE id = $1) AND webhook_id = '' AND event_type = '' AND span = 1 LIMIT 1)",
		"$1 <> '' AND ctid = (SELECT ctid FROM stats WHERE tenant = '' AND webhook_id = '' AND event_type = '' AND span = 1 LIMIT 1)"} {
		if err := copyRows(ctx, conn, "stats", of, webhook, minutes, map[string]string{"minute": fmt.Sprintf("%d + i", week)}); err != nil {
			return err
		}
		if err := copyRows(ctx, conn, "stats", of, webhook, hours, map[string]string{"minute": fmt.Sprintf("%d - 60 * i", week), "span": "60"}); err != nil {
			return err
		}
	}
	const each, apart = 4, 12
	return copyRows(ctx, conn, "stats", row, webhook, each*(wide-1), map[string]string{ // the webhook itself has the last number
		"webhook_id": fmt.Sprintf("(SELECT id FROM wide WHERE number = (i - 1) / %d)", each),
		"minute":     fmt.Sprintf("%d - %d * (i %% %d)", now-rest, apart, each)})
}

// Left asks for one row.
func (g *stage) Left(ctx context.Context, webhook string, ways ...bench.Standing) (left bool, err error) {
	conn, err := g.database(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if len(ways) == 0 {
		ways = []bench.Standing{{}}
	}
	for _, way := range ways {
		// The values stand in the statement so that partial indexes serve it.
		query := "SELECT EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = $1"
		if way.Status != "" {
			query += " AND status = '" + way.Status + "'"
		}
		if way.Reason != "" {
			query += " AND status_reason = '" + way.Reason + "'"
		}
		if err := conn.QueryRow(ctx, query+")", webhook).Scan(&left); err != nil || left {
			return left, err
		}
	}
	return false, nil
}

// Count counts.
func (g *stage) Count(ctx context.Context, webhook, status string) (n int, err error) {
	conn, err := g.database(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	err = conn.QueryRow(ctx, "SELECT count(*) FROM deliveries WHERE webhook_id = $1 AND status = $2", webhook, status).Scan(&n)
	return n, err
}

// Transactions reads PostgreSQL's statistics, which lag by a second. Its connection is to neither of the two databases.
func (g *stage) Transactions(ctx context.Context) (ours, engines int64, err error) {
	conn, err := pgx.Connect(ctx, g.postgres)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	const query = "SELECT coalesce(sum(xact_commit + xact_rollback), 0)::bigint FROM pg_stat_database WHERE datname = $1"
	if err := conn.QueryRow(ctx, query, g.st.databases[0]).Scan(&ours); err != nil {
		return 0, 0, err
	}
	err = conn.QueryRow(ctx, query, g.st.databases[1]).Scan(&engines)
	return ours, engines, err
}

// keyset returns the keyset of Posthorn's processes.
func (g *stage) keyset() string {
	for _, setting := range g.env {
		if value, ok := strings.CutPrefix(setting, "POSTHORN_ENCRYPTION_KEYSET="); ok {
			return value
		}
	}
	return ""
}
