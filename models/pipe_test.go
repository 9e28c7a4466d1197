package models_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// wire is a way to PostgreSQL that counts what is sent to it, and can be cut.
type wire struct {
	sent atomic.Int64 // how often the client has sent something
	deaf atomic.Bool  // a connection ends when an answer comes, and the client does not get it

	mu    sync.Mutex
	conns []net.Conn
}

// throughWire opens another Store on the database, by way of a wire.
func (s *database) throughWire(t *testing.T) (*models.Store, *wire) {
	t.Helper()
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{}
	t.Cleanup(func() { _ = listener.Close() })
	server := u.Host
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go w.join(client, server)
		}
	}()
	u.Host = listener.Addr().String()
	store, err := models.Open(t.Context(), u.String(), models.Options{Now: s.Clock.Now})
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return store, w
}

// acceptThrough accepts an event through one of the Stores.
func (s *database) acceptThrough(t *testing.T, store *models.Store, tenant string, w models.Webhook, changes ...func(*models.Acceptance)) *models.Acceptance {
	t.Helper()
	a := s.Acceptance(t, tenant, w)
	for _, change := range changes {
		change(a)
	}
	a.Version = s.Version(t, tenant)
	results, err := store.Accept(t.Context(), []*models.Acceptance{a})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	return a
}

func (w *wire) join(client net.Conn, server string) {
	defer func() { _ = client.Close() }()
	w.mu.Lock()
	w.conns = append(w.conns, client)
	w.mu.Unlock()
	up, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", server)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	ended := make(chan struct{}, 2)
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := up.Read(buffer)
			if err != nil || w.deaf.Load() {
				break
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				break
			}
		}
		ended <- struct{}{}
	}()
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if err != nil {
				break
			}
			w.sent.Add(1)
			if _, err := up.Write(buffer[:n]); err != nil {
				break
			}
		}
		ended <- struct{}{}
	}()
	<-ended
}

// cut ends all connections that there are.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func TestPipe_AStatementThatFailsUndoesTheTransactionOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	d := s.Publish(t, tenant, w)[0]

	first, second := s.Attempted(d, models.Pending), s.Attempted(d, models.Pending)
	second.Attempt.ID = first.Attempt.ID // it cannot be stored twice, which shows with COMMIT
	_, err := s.Record(t.Context(), []*models.Record{first, second}, nil)
	require.True(t, models.IsUniqueViolation(err), err)
	require.Equal(t, d, s.Reload(t, d))
	require.Zero(t, s.Count(t, "attempts"))
	require.Zero(t, s.health(t, w).Failed)
	require.Zero(t, s.Pool().InUse)

	second = s.Attempted(d, models.Pending)
	s.MustRecord(t, second)
	require.Equal(t, 1, s.Reload(t, d).Attempts)
}

func TestPipe_AnErrorThatNobodyMindsIsNotCommittedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	err := s.Tx(t.Context(), func(tx *models.Store) error {
		require.NoError(t, tx.DB().Exec("UPDATE shared_catalog SET version = version + 1").Error)
		require.Error(t, tx.DB().Exec("SELECT 1/0").Error)
		return nil
	})
	require.Error(t, err)
	require.Zero(t, s.Pool().InUse)
}

func TestPipe_ACallerThatGivesUpLeavesNothingBehindOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Tx(ctx, func(tx *models.Store) error {
		require.NoError(t, tx.DB().Exec("UPDATE tenants SET version = version + 1").Error)
		cancel()
		return tx.DB().WithContext(ctx).Exec("SELECT 1").Error
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, s.Pool().InUse)
	version := s.Version(t, tenant)

	gone := errors.New("gone")
	require.PanicsWithValue(t, gone, func() {
		_ = s.Tx(t.Context(), func(tx *models.Store) error {
			require.NoError(t, tx.DB().Exec("UPDATE tenants SET version = version + 1").Error)
			panic(gone)
		})
	})
	require.Zero(t, s.Pool().InUse)
	require.Equal(t, version, s.Version(t, tenant))
}

func TestPipe_IdleConnectionsThatHaveEndedAreReplacedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w := s.Webhook(t, tenant)
	store, wire := s.throughWire(t)
	for range 3 {
		s.acceptThrough(t, store, tenant, w)
		wire.cut()
	}
	require.Equal(t, 3, s.Count(t, "events"))
}

func TestPipe_APartOfATransactionIsUndoneByItselfOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	version := s.Version(t, tenant)
	add := "UPDATE tenants SET version = version + 1 WHERE id IN (SELECT id FROM v)"
	changed := errors.New("changed its mind")
	err := s.Tx(t.Context(), func(tx *models.Store) error {
		if err := tx.Later(t.Context(), []string{tenant}, add); err != nil {
			return err
		}
		err := tx.Tx(t.Context(), func(part *models.Store) error {
			return part.Later(t.Context(), []string{tenant}, "DELETE FROM nowhere")
		})
		require.ErrorContains(t, err, "nowhere", "the part itself reports it")
		err = tx.Tx(t.Context(), func(part *models.Store) error {
			require.NoError(t, part.Later(t.Context(), []string{tenant}, add))
			return changed
		})
		require.ErrorIs(t, err, changed)
		return tx.Tx(t.Context(), func(part *models.Store) error { return part.Later(t.Context(), []string{tenant}, add) })
	})
	require.NoError(t, err)
	require.Equal(t, version+2, s.Version(t, tenant))
}

func TestPipe_ARowSaysWhyItCannotBeReadOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	err := s.Tx(t.Context(), func(tx *models.Store) error {
		require.NoError(t, tx.Later(t.Context(), []string{"x"}, "DELETE FROM nowhere"))
		var n int
		return tx.DB().Raw("SELECT 1").Row().Scan(&n)
	})
	require.ErrorContains(t, err, "nowhere")
	require.Zero(t, s.Pool().InUse)
}
