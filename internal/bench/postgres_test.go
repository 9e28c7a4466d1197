package bench

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/pgtest"
)

func TestDBStats_CountTransactionsAndWAL(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), pgtest.URL(t))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	execute := func(sql string) {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	execute(`CREATE TABLE x (n int)`)
	execute(`SELECT pg_stat_force_next_flush()`)
	before, err := readDBStats(t.Context(), conn)
	require.NoError(t, err)
	for range 20 {
		execute(`INSERT INTO x VALUES (1)`)
	}
	execute(`SELECT pg_stat_force_next_flush()`)
	after, err := readDBStats(t.Context(), conn)
	require.NoError(t, err)

	var name string
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name))
	got := after.since(before, 10)
	require.GreaterOrEqual(t, got.Transactions[name], int64(20))
	require.GreaterOrEqual(t, got.TransactionsPerDelivery, 2.0)
	require.Greater(t, got.WALBytes, int64(20*30))
	require.InDelta(t, float64(got.WALBytes)/10, got.WALBytesPerDelivery, 1e-9)
	require.Zero(t, after.since(before, 0).TransactionsPerDelivery, "of nothing delivered nothing is said")

	settings, err := postgresSettings(t.Context(), conn)
	require.NoError(t, err)
	require.Contains(t, settings, "synchronous_commit")
	require.NotEmpty(t, settings["server_version"])
}
