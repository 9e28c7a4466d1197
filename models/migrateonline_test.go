package models_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// connection is a connection outside a Store.
func (s *database) connection(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// A long transaction on deliveries keeps a migration waiting, but the migration keeps no other transaction waiting:
// accepting and recording continue. When the transaction ends, the migration is applied.
func TestMigrations_AMigrationUnderLoadKeepsNobodyWaitingOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	long := s.connection(t)
	_, err := long.Exec(t.Context(), "BEGIN; SELECT count(*) FROM deliveries")
	require.NoError(t, err)

	migrated := make(chan error, 1)
	go func() {
		migrated <- s.Apply(t.Context(), "9001_test", "ALTER TABLE deliveries ADD COLUMN extra text;\n")
	}()
	tries := s.connection(t)
	waiting := func() (waits bool) {
		require.NoError(t, tries.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE deliveries%')`).Scan(&waits))
		return waits
	}
	for range 3 { // tries of the migration that it gives up
		require.Eventually(t, waiting, 30*time.Second, time.Millisecond)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 5 {
					a := s.Acceptance(t, "acme", w)
					results, err := s.Accept(t.Context(), []*models.Acceptance{a})
					if err != nil || results[0].Err != nil {
						t.Error(err, results)
						return
					}
					recorded, err := s.Record(t.Context(), []*models.Record{s.Attempted(a.Deliveries[0], models.Delivered)}, nil)
					if err != nil || !recorded[0].Applied && !recorded[0].Locked {
						t.Error(err, recorded)
					}
				}
			})
		}
		wg.Wait()
		require.Eventually(t, func() bool { return !waiting() }, 30*time.Second, time.Millisecond)
	}
	select {
	case err := <-migrated:
		require.Fail(t, "it did not wait", err)
	default:
	}
	_, err = long.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, <-migrated)
	require.Equal(t, 60, s.Count(t, "deliveries"))
	require.NoError(t, s.DB().Exec("SELECT extra FROM deliveries").Error)
}

// An index that was being built when the migration was killed is built again.
func TestMigrations_AnOnlineMigrationIsResumed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.Publish(t, "acme", w)
		s.Publish(t, "acme", w)
		if s.IsPostgres() { // an index left behind by a build that failed
			require.Error(t, s.DB().Exec("CREATE UNIQUE INDEX CONCURRENTLY again ON deliveries (status)").Error)
		}
		const text = "-- online\n-- For the test.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS again ON deliveries (status, id);\n" +
			"DROP INDEX CONCURRENTLY IF EXISTS deliveries_paused;\n"
		for range 2 {
			require.NoError(t, s.Apply(t.Context(), "9001_test", text))
		}
		if s.IsPostgres() {
			var valid, unique bool
			require.NoError(t, s.DB().Raw("SELECT indisvalid, indisunique FROM pg_index WHERE indexrelid = 'again'::regclass").Row().Scan(&valid, &unique))
			require.True(t, valid)
			require.False(t, unique)
		}
	})
}

// A migration that waits for its turn does not prevent the current one from building an index.
func TestMigrations_OnlineMigrationsAtOnceOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	errs := make(chan error)
	for range 4 {
		go func() {
			errs <- s.Apply(t.Context(), "9001_test", "-- online\nCREATE INDEX CONCURRENTLY IF NOT EXISTS again ON events (type, id);\n")
		}()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
}

// A process that runs while a migration adds columns notices nothing, whatever statements it had prepared.
func TestMigrations_AddedColumnsAreNotNoticedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	d := s.Publish(t, "acme", w)[0]
	s.MustRecord(t, s.Attempted(d, models.Delivered))
	page := models.Page{Limit: 10}
	reads := func(ctx context.Context, s *models.Store) error {
		for name, read := range map[string]func() error{
			"tenant":     func() error { _, err := s.Tenant(ctx, "acme"); return err },
			"tenants":    func() error { _, _, err := s.Tenants(ctx, page); return err },
			"webhook":    func() error { _, err := s.Webhook(ctx, "acme", w.ID); return err },
			"webhooks":   func() error { _, _, err := s.Webhooks(ctx, "acme", models.WebhookFilter{}, page); return err },
			"view":       func() error { _, _, err := s.AllWebhooks(ctx, "acme"); return err },
			"event":      func() error { _, err := s.Event(ctx, "acme", d.EventID); return err },
			"events":     func() error { _, _, err := s.Events(ctx, "acme", models.EventFilter{}, page); return err },
			"delivery":   func() error { _, err := s.Delivery(ctx, "acme", d.ID); return err },
			"deliveries": func() error { _, _, err := s.Deliveries(ctx, "acme", models.DeliveryFilter{}, page); return err },
			"by id":      func() error { _, err := s.DeliveriesByID(ctx, []models.DeliveryKey{d.Key()}); return err },
			"attempts":   func() error { _, err := s.Attempts(ctx, "acme", d.ID); return err },
			"keys":       func() error { _, err := s.APIKeys(ctx, "acme"); return err },
			"types":      func() error { _, err := s.EventTypes(ctx, "acme"); return err },
		} {
			if err := read(); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	}
	everywhere := func() { // on many connections, of both pools, and in transactions
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				for _, err := range []error{reads(t.Context(), s.Store), s.Read(t.Context(), reads),
					s.Tx(t.Context(), func(tx *models.Store) error { return reads(t.Context(), tx) })} {
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	everywhere()
	for i, table := range []string{"tenants", "webhooks", "webhook_health", "events", "deliveries", "attempts", "api_keys", "event_types"} {
		require.NoError(t, s.Apply(t.Context(), fmt.Sprintf("900%d_test", i), "ALTER TABLE "+table+" ADD COLUMN extra text NOT NULL DEFAULT '';\n"))
	}
	everywhere()
}
