package models_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// lock locks a delivery by hand until unlock is called.
func (s *database) lock(t *testing.T, d models.Delivery) (unlock func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `BEGIN; SELECT 1 FROM deliveries WHERE id = '`+d.ID+`' FOR UPDATE`)
	require.NoError(t, err)
	unlock = func() {
		ctx := context.WithoutCancel(t.Context())
		_, _ = conn.Exec(ctx, "ROLLBACK")
		_ = conn.Close(ctx)
	}
	t.Cleanup(unlock)
	return unlock
}

// A row that is locked by hand, or by a page of a large act, does not keep callers waiting for the whole time of the
// lock.
func TestLocks_NobodyWaitsForALockedRowOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	d := s.Publish(t, "acme", w)[0]
	unlock := s.lock(t, d)
	hold := func(d *models.Delivery, _ models.WebhookStatus) error { d.Hold(); return nil }

	_, _, err := s.ChangeDelivery(t.Context(), d.Tenant, d.ID, hold)
	require.True(t, models.IsLocked(err), err)
	require.False(t, models.IsOutage(err))
	require.False(t, models.IsLocked(errors.New("another")))

	runs := 0
	err = s.Tx(t.Context(), func(tx *models.Store) error {
		if runs++; runs == 2 {
			unlock()
		}
		_, _, err := tx.ChangeDelivery(t.Context(), d.Tenant, d.ID, hold)
		return err
	})
	require.NoError(t, err, "it is run again, and finds the row free")
	require.GreaterOrEqual(t, runs, 2)
}

// A migration waits until another one is done, for any time. Its settings apply only to itself.
func TestLocks_MigrationsTakeTurnsOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	timeout := func() (text string) {
		require.NoError(t, s.DB().Raw("SHOW lock_timeout").Scan(&text).Error)
		return text
	}
	require.Equal(t, "250ms", timeout())

	other, err := pgx.Connect(t.Context(), s.URL)
	require.NoError(t, err)
	defer func() { _ = other.Close(context.WithoutCancel(t.Context())) }()
	_, err = other.Exec(t.Context(), "SELECT pg_advisory_lock($1)", int64(models.MigrateLock))
	require.NoError(t, err)
	migrated := make(chan error, 1)
	go func() { migrated <- s.Migrate(t.Context()) }()
	asked := map[time.Time]bool{}
	require.Eventually(t, func() bool { // it has asked several times
		var at *time.Time
		err := other.QueryRow(t.Context(), `SELECT max(query_start) FROM pg_stat_activity WHERE datname = current_database()
			AND (query LIKE '%pg_try_advisory_xact_lock%' OR query = 'rollback') AND pid <> pg_backend_pid()`).Scan(&at)
		if err == nil && at != nil {
			asked[*at] = true
		}
		return len(asked) >= 3
	}, 20*time.Second, 20*time.Millisecond)
	require.Empty(t, migrated)
	_, err = other.Exec(t.Context(), "SELECT pg_advisory_unlock($1)", int64(models.MigrateLock))
	require.NoError(t, err)
	require.NoError(t, <-migrated)
	for range 5 {
		require.Equal(t, "250ms", timeout())
	}
}
