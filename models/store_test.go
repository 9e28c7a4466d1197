package models_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	pgdriver "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
)

// TestMain runs everything in a time zone that nobody would take for UTC.
func TestMain(m *testing.M) {
	time.Local = time.FixedZone("elsewhere", 5*3600+1800)
	os.Exit(m.Run())
}

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock {
	return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 120_000_000, time.UTC)} // ends in a zero: text forms drop it
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	c.at = c.at.Add(d)
	c.mu.Unlock()
}

// database is an empty, migrated database of one kind and a Store on it.
type database struct {
	*models.Store
	URL   string
	Clock *clock
}

// stores runs the body on SQLite and on PostgreSQL, side by side.
func stores(t *testing.T, body func(t *testing.T, s *database)) {
	t.Helper()
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		body(t, sqlite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		body(t, postgres(t))
	})
}

func sqlite(tb testing.TB) *database {
	tb.Helper()
	return opened(tb, modelstest.SQLite(tb))
}

func postgres(tb testing.TB) *database {
	tb.Helper()
	return opened(tb, modelstest.Postgres(tb))
}

func opened(tb testing.TB, url string) *database {
	tb.Helper()
	s := &database{URL: url, Clock: newClock()}
	s.Store = s.Open(tb)
	return s
}

// Open returns another Store on the same database, as another process would.
func (s *database) Open(tb testing.TB) *models.Store {
	tb.Helper()
	store, err := models.Open(tb.Context(), s.URL, models.Options{Now: s.Clock.Now})
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, store.Close()) })
	return store
}

// patiently runs statements on PostgreSQL that wait for locks as long as it takes. Where the processor is short, autovacuum can hold
// the lock for extending a table for longer than a Store waits.
func (s *database) patiently(tb testing.TB, args map[string]any, statements ...string) {
	tb.Helper()
	db, err := gorm.Open(pgdriver.Open(s.URL), &gorm.Config{Logger: logger.Discard})
	require.NoError(tb, err)
	pool, err := db.DB()
	require.NoError(tb, err)
	defer func() { require.NoError(tb, pool.Close()) }()
	var values []any
	if args != nil {
		values = append(values, args)
	}
	for _, statement := range statements {
		require.NoError(tb, db.Exec(statement, values...).Error)
	}
}

// Tenant creates a tenant and returns its id.
func (s *database) Tenant(tb testing.TB, slug string) string {
	tb.Helper()
	t := models.Tenant{Slug: slug, Name: slug}
	_, err := s.PutTenant(tb.Context(), &t)
	require.NoError(tb, err)
	return t.ID
}

// Webhook registers an active webhook for every event type.
func (s *database) Webhook(tb testing.TB, tenant string) models.Webhook {
	tb.Helper()
	w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: "standard", URL: "https://example.com/hook",
		Status: models.WebhookActive, Headers: []byte("sealed too"), Secrets: []byte("sealed")}
	require.NoError(tb, s.CreateWebhook(tb.Context(), &w))
	return w
}

// Version returns the version of the tenant's webhooks.
func (s *database) Version(tb testing.TB, tenant string) int64 {
	tb.Helper()
	versions, err := s.TenantVersions(tb.Context(), []string{tenant})
	require.NoError(tb, err)
	return versions[tenant]
}

// idAt makes an id as NewID does, with the time of the test's clock.
func idAt(prefix string, at time.Time) string {
	const timestamp = 13 // of the characters of a UUIDv7, with the dash between them
	return models.IDBefore(prefix, at)[:len(prefix)+timestamp] + models.NewID(prefix)[len(prefix)+timestamp:]
}

// Acceptance returns one event with its deliveries to the webhooks, in its own dispatch.
func (s *database) Acceptance(tb testing.TB, tenant string, webhooks ...models.Webhook) *models.Acceptance {
	tb.Helper()
	a := &models.Acceptance{Tenant: tenant, Version: s.Version(tb, tenant)}
	s.Add(a, idAt(models.PrefixEvent, s.Now()), webhooks...)
	return a
}

// Add adds one more event, with its deliveries, to an acceptance.
func (s *database) Add(a *models.Acceptance, eventID string, webhooks ...models.Webhook) {
	now := s.Now()
	a.Events = append(a.Events, models.Event{Tenant: a.Tenant, ID: eventID, Type: "order.created", Data: []byte(`{"n": 1}`), CreatedAt: now})
	p := models.Dispatch{ID: a.Tenant + "/" + eventID, CreatedAt: now, CheckedAt: now}
	for _, w := range webhooks {
		d := models.Delivery{Tenant: a.Tenant, ID: idAt(models.PrefixDelivery, now), EventID: eventID, EventType: "order.created",
			WebhookID: w.ID, Status: models.Pending, DispatchID: p.ID, NextAttemptAt: &now, CreatedAt: now}
		a.Deliveries = append(a.Deliveries, d)
		p.Deliveries = append(p.Deliveries, models.DeliveryKey{Tenant: d.Tenant, ID: d.ID})
	}
	a.Dispatches = append(a.Dispatches, p)
}

// Publish accepts one event for the webhooks and returns its deliveries.
func (s *database) Publish(tb testing.TB, tenant string, webhooks ...models.Webhook) []models.Delivery {
	tb.Helper()
	a := s.Acceptance(tb, tenant, webhooks...)
	s.mustAccept(tb, a)
	return a.Deliveries
}

func (s *database) mustAccept(tb testing.TB, group ...*models.Acceptance) {
	tb.Helper()
	results, err := s.Accept(tb.Context(), group)
	require.NoError(tb, err)
	for _, r := range results {
		require.NoError(tb, r.Err)
	}
}

// Reload returns the current state of a delivery.
func (s *database) Reload(tb testing.TB, d models.Delivery) models.Delivery {
	tb.Helper()
	now, err := s.Delivery(tb.Context(), d.Tenant, d.ID)
	require.NoError(tb, err)
	return now
}

// Attempted returns the record of an attempt after which the delivery has this status.
func (s *database) Attempted(d models.Delivery, status models.DeliveryStatus) *models.Record {
	now := s.Now()
	r := &models.Record{Generation: d.Generation, Status: status, DispatchID: d.DispatchID, AcceptedAt: d.CreatedAt, EventType: d.EventType, Attempt: models.Attempt{
		Tenant: d.Tenant, ID: idAt(models.PrefixAttempt, now), DeliveryID: d.ID, WebhookID: d.WebhookID,
		StartedAt: now, DurationMS: 40, StatusCode: 200}}
	if status != models.Delivered {
		r.Attempt.StatusCode, r.Attempt.Error = 500, "the receiver answered 500"
	}
	if status == models.Pending {
		r.NextAttemptAt = now.Add(time.Minute)
	}
	s.DB().Raw("SELECT epoch FROM webhook_health WHERE webhook_id = ?", d.WebhookID).Scan(&r.Epoch)
	return r
}

// MustRecord records attempts in one group.
func (s *database) MustRecord(tb testing.TB, group ...*models.Record) []models.Recorded {
	tb.Helper()
	results, err := s.Record(tb.Context(), group, nil)
	require.NoError(tb, err)
	return results
}

// Count counts the rows of a table.
func (s *database) Count(tb testing.TB, table string) int {
	tb.Helper()
	var n int64
	require.NoError(tb, s.DB().WithContext(tb.Context()).Table(table).Count(&n).Error)
	return int(n)
}

// Deadlocks closes the Stores and returns how many deadlocks PostgreSQL has resolved in this database. SQLite has one
// writer at a time, so it has none.
func (s *database) Deadlocks(tb testing.TB, others ...*models.Store) int {
	tb.Helper()
	if !s.IsPostgres() {
		return 0
	}
	for _, store := range append(others, s.Store) {
		require.NoError(tb, store.Close())
	}
	conn, err := pgx.Connect(tb.Context(), s.URL)
	require.NoError(tb, err)
	defer func() { require.NoError(tb, conn.Close(context.WithoutCancel(tb.Context()))) }()
	n := 0
	count := func(query string) int {
		require.NoError(tb, conn.QueryRow(tb.Context(), query).Scan(&n))
		return n
	}
	// A connection tells its statistics when it ends.
	require.Eventually(tb, func() bool {
		return count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
			AND backend_type = 'client backend'`) == 0
	}, 10*time.Second, 5*time.Millisecond)
	return count(`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`)
}

func TestStore_OpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "mysql://localhost", "postgres://user:secret@host:port/x"} {
		_, err := models.Open(t.Context(), url, models.Options{})
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestStore_WhatIsOpenAnswers(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		require.NoError(t, s.Ping(t.Context()))
		require.Positive(t, s.Pool().MaxOpenConnections)
		for name, pool := range s.Pools() {
			require.Positive(t, pool.MaxOpenConnections, name)
		}
		require.Equal(t, time.UTC, s.Now().Location())
	})
}

func TestStore_ATransactionIsAllOrNothing(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		broken := errors.New("broken")
		err := s.Tx(t.Context(), func(tx *models.Store) error {
			if _, err := tx.PutTenant(t.Context(), &models.Tenant{ID: "acme"}); err != nil {
				return err
			}
			return broken
		})
		require.ErrorIs(t, err, broken)
		_, err = s.Store.Tenant(t.Context(), "acme")
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

// Two transactions lock the same two rows crosswise. PostgreSQL aborts one of them, and it is run again.
func TestStore_ADeadlockIsRunAgainOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	a, b := s.Publish(t, tenant, w)[0], s.Publish(t, tenant, w)[0]

	for round := 1; ; round++ { // on a starved machine a wait for a lock may end before the deadlock is found
		var first, wg sync.WaitGroup
		first.Add(2)
		for _, order := range [][]models.Delivery{{a, b}, {b, a}} {
			wg.Go(func() {
				met := false
				err := s.Tx(t.Context(), func(tx *models.Store) error {
					for i, d := range order {
						_, _, err := tx.ChangeDelivery(t.Context(), d.Tenant, d.ID, func(d *models.Delivery, _ models.WebhookStatus) error {
							d.Failures++
							return nil
						})
						if err != nil {
							return err
						}
						if i == 0 && !met {
							met = true
							first.Done()
							first.Wait() // until the other has its first row too
						}
					}
					return nil
				})
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.Equal(t, 2*round, s.Reload(t, a).Failures)
		require.Equal(t, 2*round, s.Reload(t, b).Failures)
		if s.Deadlocks(t) > 0 {
			return
		}
		require.Less(t, round, 5)
	}
}

func TestStore_AnErrorThatStaysIsNotTriedForEver(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		runs := 0
		givenUp := &pgconn.PgError{Code: "40001"}
		err := s.Tx(t.Context(), func(outer *models.Store) error {
			return outer.Tx(t.Context(), func(*models.Store) error {
				runs++
				return givenUp
			})
		})
		require.ErrorIs(t, err, givenUp)
		require.Equal(t, 5, runs, "only the outermost transaction is run again")
	})
}

func TestStore_IsOutage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"none", nil, false},
		{"not found", models.ErrNotFound, false},
		{"exists", models.ErrConflict, false},
		{"canceled by the caller", fmt.Errorf("query: %w", context.Canceled), false},
		{"connection refused", errors.New("dial tcp: connection refused"), true},
		{"deadline", context.DeadlineExceeded, true},
		{"too many connections", &pgconn.PgError{Code: "53300"}, true},
		{"shutting down", &pgconn.PgError{Code: "57P01"}, true},
		{"a row is locked", &pgconn.PgError{Code: "55P03"}, false},
		{"not in state", &pgconn.PgError{Code: "55000"}, true},
		{"deadlock", &pgconn.PgError{Code: "40P01"}, true},
		{"read-only after a failover", &pgconn.PgError{Code: "25006"}, true},
		{"unique violation", &pgconn.PgError{Code: "23505"}, false},
		{"bad text", &pgconn.PgError{Code: "22021"}, false},
		{"SQLite busy", sqliteError(5), true},
		{"SQLite busy, extended", sqliteError(5 | 2<<8), true},
		{"SQLite interrupted", sqliteError(9), true},
		{"SQLite full", sqliteError(13), true},
		{"SQLite constraint", sqliteError(2067), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, models.IsOutage(tt.err))
		})
	}
}

// sqliteError is an error of the SQLite driver with this result code.
type sqliteError int

func (e sqliteError) Error() string { return fmt.Sprintf("sqlite: %d", int(e)) }
func (e sqliteError) Code() int     { return int(e) }
