package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// forget removes the original of a key when the test ends.
func forget(t *testing.T, key string) {
	t.Helper()
	admin := clusterURL(t)
	t.Cleanup(func() {
		name := pgx.Identifier{nameOf(key)}.Sanitize()
		conn, err := pgx.Connect(context.Background(), admin)
		require.NoError(t, err)
		defer func() { _ = conn.Close(context.Background()) }()
		_, err = conn.Exec(context.Background(), "ALTER DATABASE "+name+" IS_TEMPLATE false")
		require.NoError(t, err)
		_, err = conn.Exec(context.Background(), "DROP DATABASE "+name)
		require.NoError(t, err)
	})
}

func TestOriginal_CopyBuildsItsOriginalOnce(t *testing.T) {
	t.Parallel()
	key := rand.Text()
	forget(t, key)
	var built atomic.Int32
	build := func(_ context.Context, databaseURL string) error {
		built.Add(1)
		execute(t, databaseURL, `CREATE TABLE of_original (id int)`)
		return nil
	}
	copies := make([]string, 4)
	t.Run("while it runs", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range copies {
			wg.Go(func() { copies[i] = Copy(t, key, build) })
		}
		wg.Wait()
		for _, database := range copies {
			execute(t, database, `INSERT INTO of_original VALUES (1)`)
			require.Equal(t, 1, query[int](t, database, `SELECT count(*) FROM of_original`), "a copy of its own")
		}
		another := originalSet{done: map[string]bool{}} // of another process
		_, err := another.of(t.Context(), clusterURL(t), key, build)
		require.NoError(t, err)
		require.Equal(t, int32(1), built.Load())
	})
	_, err := pgx.Connect(t.Context(), copies[0])
	require.ErrorContains(t, err, "does not exist", "dropped when its test ended")
	require.Zero(t, query[int](t, Copy(t, key, build), `SELECT count(*) FROM of_original`))
}

func TestOriginal_ThatWasNotCompletedIsBuiltAgain(t *testing.T) {
	t.Parallel()
	key := rand.Text()
	forget(t, key)
	half := errors.New("half")
	_, err := originals.of(t.Context(), clusterURL(t), key, func(_ context.Context, databaseURL string) error {
		execute(t, databaseURL, `CREATE TABLE half (id int)`)
		return half
	})
	require.ErrorIs(t, err, half)
	database := Copy(t, key, func(_ context.Context, databaseURL string) error {
		execute(t, databaseURL, `CREATE TABLE whole (id int)`)
		return nil
	})
	require.Equal(t, "whole", query[string](t, database, `SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname IN ('half', 'whole')`))
}
