package models_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// endless runs until it is ended.
func endless(ctx context.Context, s *models.Store) error {
	return s.DB().WithContext(ctx).Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i > 0 AND i < 2000000000) SELECT max(i % 7) FROM n").Error
}

func (s *database) openReading(t *testing.T, readFor time.Duration) *models.Store {
	t.Helper()
	store, err := models.Open(t.Context(), s.URL, models.Options{Now: s.Clock.Now, ReadFor: readFor})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestReads_AReadEndsAtItsDeadline(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		store := s.openReading(t, 100*time.Millisecond)
		err := store.Read(t.Context(), endless)
		require.ErrorIs(t, err, models.ErrSlow)
		require.Eventually(t, func() bool { // a machine under load may take longer even for this
			return store.Read(t.Context(), func(ctx context.Context, s *models.Store) error {
				_, _, err := s.Tenants(ctx, models.Page{Limit: 1})
				return err
			}) == nil
		}, 30*time.Second, time.Millisecond, "the next has all its time")
		require.ErrorIs(t, s.Read(t.Context(), func(ctx context.Context, s *models.Store) error {
			_, err := s.Tenant(ctx, "none")
			return err
		}), models.ErrNotFound)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		err = store.Read(gone, endless)
		require.Error(t, err)
		require.NotErrorIs(t, err, models.ErrSlow, "the caller is gone")
	})
}

// Lists that take all reading connections take none from accepting and recording.
func TestReads_DoNotStarveWritesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	store := s.openReading(t, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 30 { // more than there are connections of both kinds
		wg.Go(func() { _ = store.Read(ctx, endless) })
	}
	require.Eventually(t, func() bool { return store.ReaderInUse() == store.Readers() }, 20*time.Second, time.Millisecond)
	for range 10 {
		a := s.Acceptance(t, "acme", w)
		results, err := store.Accept(t.Context(), []*models.Acceptance{a})
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
		recorded, err := store.Record(t.Context(), []*models.Record{s.Attempted(a.Deliveries[0], models.Delivered)}, nil)
		require.NoError(t, err)
		require.True(t, recorded[0].Applied)
	}
	cancel()
	wg.Wait()
}

func TestReads_AReaderWritesNothingOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	require.ErrorContains(t, s.Read(t.Context(), func(ctx context.Context, s *models.Store) error {
		return s.DB().WithContext(ctx).Exec("DELETE FROM tenants").Error
	}), "read-only")
}

// A page of calls does not count millions.
func TestReads_CallsAreCountedAsFarAsNeeded(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		d := s.Publish(t, "acme", w)[0]
		const calls = models.CountedMost + 120
		require.NoError(t, s.DB().Exec(`INSERT INTO attempts (tenant, id, delivery_id, webhook_id, number, started_at, duration_ms, status_code,
				error, request_headers, response_headers, response_body)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			SELECT 'acme', 'att_' || (100000 + i), ?, ?, 1, ?, 1, 200, '', '{}', '{}', '' FROM n`, calls, d.ID, w.ID, s.Now()).Error)
		for _, tt := range []struct{ offset, total int }{{0, models.CountedMost}, {100, models.CountedMost + 100}, {models.CountedMost, calls}} {
			rows, total, err := s.Calls(t.Context(), "acme", models.CallFilter{}, 50, tt.offset)
			require.NoError(t, err)
			require.Len(t, rows, 50)
			require.Equal(t, int64(tt.total), total)
		}
	})
}

// A restart of the server ends the unused connections. No caller notices that.
func TestReads_AReadOutlivesItsConnectionsOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.Tenant(t, "acme")
	store := s.openReading(t, time.Minute)
	list := func(ctx context.Context, s *models.Store) error {
		_, _, err := s.Tenants(ctx, models.Page{Limit: 1})
		return err
	}
	for range 3 {
		var at sync.WaitGroup // all of the connections are open then
		at.Add(store.Readers())
		var wg sync.WaitGroup
		for range store.Readers() {
			wg.Go(func() {
				assert.NoError(t, store.Read(t.Context(), func(ctx context.Context, s *models.Store) error {
					return s.Tx(ctx, func(tx *models.Store) error {
						err := list(ctx, tx)
						at.Done()
						at.Wait()
						return err
					})
				}))
			})
		}
		wg.Wait()
		require.NoError(t, s.DB().Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`).Error)
		require.NoError(t, store.Read(t.Context(), list))
	}
}
