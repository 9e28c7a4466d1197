package models_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
	"github.com/posthorn/posthorn/test/pgtest"
)

// bounced is a database behind a pgbouncer in transaction mode, migrated through it.
func bounced(t *testing.T) *database {
	t.Helper()
	s := opened(t, pgtest.Bouncer(t, pgtest.URL(t)))
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

// Behind pgbouncer in transaction mode every transaction may have another session. Everything works without one.
func TestPgbouncer_BehindPgbouncer(t *testing.T) {
	t.Parallel()
	s := bounced(t)
	other := s.Open(t)
	require.NoError(t, s.Migrated(t.Context()))
	require.NoError(t, other.Migrate(t.Context()), "again")
	w := s.Webhook(t, s.Tenant(t, "acme"))

	const callers, each = 12, 15 // more callers than pgbouncer has connections
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			store := []*models.Store{s.Store, other}[caller%2]
			for n := range each {
				if err := s.roundTrip(t, store, w, n); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, callers*each, s.Count(t, "attempts"))
	require.Equal(t, map[string]int{"delivered": callers * each}, s.statuses(t, w))
	_, _, err := s.Backlog(t.Context(), 20)
	require.NoError(t, err)
	_, total, err := s.Calls(t.Context(), "acme", models.CallFilter{EventTypes: []string{"order.created"}}, 10, 0)
	require.NoError(t, err)
	require.Equal(t, int64(callers*each), total)
}

// roundTrip accepts an event, records its delivery, and reads it.
func (s *database) roundTrip(t *testing.T, store *models.Store, w models.Webhook, n int) error {
	t.Helper()
	a := s.Acceptance(t, w.Tenant, w)
	results, err := store.Accept(t.Context(), []*models.Acceptance{a})
	if err != nil || results[0].Err != nil {
		return fmt.Errorf("accept: %w, %v", err, results)
	}
	d := a.Deliveries[0]
	recorded, err := store.Record(t.Context(), []*models.Record{s.Attempted(d, models.Delivered)}, []string{d.DispatchID})
	for tries := 0; err == nil && recorded[0].Locked && tries < 20; tries++ { // all callers change the row of one webhook
		recorded, err = store.Record(t.Context(), []*models.Record{s.Attempted(d, models.Delivered)}, []string{d.DispatchID})
	}
	if err != nil || !recorded[0].Applied {
		return fmt.Errorf("record: %w, %v", err, recorded)
	}
	rows, _, err := store.Deliveries(t.Context(), w.Tenant, models.DeliveryFilter{WebhookID: w.ID, Status: models.Delivered}, models.Page{Limit: 1 + n})
	if err != nil || len(rows) == 0 {
		return fmt.Errorf("list: %w, %v", err, rows)
	}
	attempts, err := store.Attempts(t.Context(), w.Tenant, d.ID)
	if err != nil || len(attempts) != 1 {
		return fmt.Errorf("attempts: %w, %v", err, attempts)
	}
	return nil
}

// There too, a locked row keeps no caller waiting: each transaction limits its wait.
func TestPgbouncer_LocksBehindPgbouncer(t *testing.T) {
	t.Parallel()
	direct := modelstest.Postgres(t)
	s := opened(t, pgtest.Bouncer(t, direct))
	w := s.Webhook(t, s.Tenant(t, "acme"))
	d := s.Publish(t, "acme", w)[0]
	(&database{URL: direct}).lock(t, d)
	_, _, err := s.ChangeDelivery(t.Context(), d.Tenant, d.ID, func(d *models.Delivery, _ models.WebhookStatus) error { d.Hold(); return nil })
	require.True(t, models.IsLocked(err), err)
}

// An added column and a new index are not noticed there either.
func TestPgbouncer_MigrationsBehindPgbouncer(t *testing.T) {
	t.Parallel()
	s := bounced(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	var wg sync.WaitGroup
	everywhere := func() {
		for range 8 {
			wg.Go(func() {
				if err := s.roundTrip(t, s.Store, w, 1); err != nil {
					t.Error(err)
				}
				if _, err := s.Store.Webhook(t.Context(), "acme", w.ID); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	everywhere()
	require.NoError(t, s.Apply(t.Context(), "9001_test", "ALTER TABLE deliveries ADD COLUMN extra text;\nALTER TABLE webhooks ADD COLUMN extra text;\n"))
	require.NoError(t, s.Apply(t.Context(), "9002_test", "-- online\nCREATE INDEX CONCURRENTLY IF NOT EXISTS again ON events (type, id);\n"))
	everywhere()
}
