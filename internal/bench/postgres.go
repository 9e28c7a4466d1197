package bench

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// dbStats are counters of one PostgreSQL cluster.
type dbStats struct {
	wal     int64            // bytes written to the log
	commits map[string]int64 // transactions by database, including those rolled back
}

func readDBStats(ctx context.Context, conn *pgx.Conn) (dbStats, error) {
	s := dbStats{commits: map[string]int64{}}
	if err := conn.QueryRow(ctx, `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`).Scan(&s.wal); err != nil {
		return s, fmt.Errorf("database: WAL position: %w", err)
	}
	rows, err := conn.Query(ctx, `SELECT datname, xact_commit + xact_rollback FROM pg_stat_database WHERE datname IS NOT NULL`)
	if err != nil {
		return s, fmt.Errorf("database: statistics: %w", err)
	}
	var name string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
		s.commits[name] = n
		return nil
	})
	if err != nil {
		return s, fmt.Errorf("database: statistics: %w", err)
	}
	return s, nil
}

// Database is PostgreSQL's work in a run, in all its databases.
type Database struct {
	Transactions            map[string]int64 `json:"transactions"` // by database, where there were any
	TransactionsPerDelivery float64          `json:"transactions_per_delivery"`
	WALBytes                int64            `json:"wal_bytes"`
	WALBytesPerDelivery     float64          `json:"wal_bytes_per_delivery"`
}

// since returns the difference between two readings.
func (s dbStats) since(before dbStats, deliveries int64) *Database {
	d := &Database{Transactions: map[string]int64{}, WALBytes: s.wal - before.wal}
	var total int64
	for name, n := range s.commits {
		if n -= before.commits[name]; n > 0 {
			d.Transactions[name] = n
			total += n
		}
	}
	if deliveries > 0 {
		d.TransactionsPerDelivery = float64(total) / float64(deliveries)
		d.WALBytesPerDelivery = float64(d.WALBytes) / float64(deliveries)
	}
	return d
}

// postgresSettings returns the settings that matter to a benchmark.
func postgresSettings(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, `SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1)`,
		[]string{"server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "wal_compression", "jit"})
	if err != nil {
		return nil, fmt.Errorf("database: settings: %w", err)
	}
	settings := map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		settings[name] = value
		return nil
	})
	return settings, err
}
