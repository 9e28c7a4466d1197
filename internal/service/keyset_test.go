package service_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
)

// keysetStores runs the body on an empty, migrated SQLite and PostgreSQL.
func keysetStores(t *testing.T, body func(t *testing.T, s *models.Store)) {
	t.Helper()
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { t.Helper(); return modelstest.SQLite(t) },
		"postgres": func(t *testing.T) string { t.Helper(); return modelstest.Postgres(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := models.Open(t.Context(), url(t), models.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			body(t, s)
		})
	}
}

func newKeyset(t *testing.T) string {
	t.Helper()
	text, err := secrets.NewKeyset()
	require.NoError(t, err)
	return text
}

// added returns a keyset with one more key, which does not seal yet.
func added(t *testing.T, keyset string) string {
	t.Helper()
	text, _, err := secrets.AddKey(keyset)
	require.NoError(t, err)
	return text
}

// promoted returns a keyset whose newest key seals.
func promoted(t *testing.T, keyset string) string {
	t.Helper()
	text, err := secrets.PromoteKey(keyset, boxOf(t, keyset).Newest())
	require.NoError(t, err)
	return text
}

func rotated(t *testing.T, keyset string) string {
	t.Helper()
	return promoted(t, added(t, keyset))
}

func boxOf(t *testing.T, keyset string) *secrets.Box {
	t.Helper()
	box, err := secrets.OpenBox(keyset)
	require.NoError(t, err)
	return box
}

// start does the work of a starting process with a keyset.
func start(t *testing.T, s *models.Store, keyset string) error {
	t.Helper()
	return service.CheckKeyset(t.Context(), s, boxOf(t, keyset))
}

// refused returns the error of a start with a keyset that lacks one key.
func refused(t *testing.T, err error, missing secrets.KeyID) {
	t.Helper()
	var wrong *service.KeysetError
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, []secrets.KeyID{missing}, wrong.Missing)
	require.Empty(t, wrong.Altered)
}

// sealWebhook makes a tenant and a webhook that are sealed with a keyset's primary key, as a process with it does.
func sealWebhook(t *testing.T, s *models.Store, keyset, tenant string) models.Webhook {
	t.Helper()
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) { o.Store, o.Box, o.Now = s, boxOf(t, keyset), s.Clock })
	env.Tenant(tenant)
	return env.Webhook(tenant, "https://shop.example/hooks")
}

func canaries(t *testing.T, s *models.Store) []secrets.KeyID {
	t.Helper()
	rows, err := s.KeysetCanaries(t.Context())
	require.NoError(t, err)
	ids := []secrets.KeyID{}
	for _, row := range rows {
		ids = append(ids, secrets.KeyID(row.KeyID))
	}
	return ids
}

func TestKeyset_ThatDoesNotFitRefusesToStart(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		first := newKeyset(t)
		second := rotated(t, first)
		require.NoError(t, start(t, s, first))
		require.NoError(t, start(t, s, first))
		require.Equal(t, []secrets.KeyID{boxOf(t, first).Primary()}, canaries(t, s))

		refused(t, start(t, s, newKeyset(t)), boxOf(t, first).Primary())
		require.Len(t, canaries(t, s), 1, "a keyset that is refused leaves nothing")

		require.NoError(t, start(t, s, second))
		require.ElementsMatch(t, boxOf(t, second).Keys(), canaries(t, s))
		refused(t, start(t, s, first), boxOf(t, second).Primary())
		require.NoError(t, start(t, s, rotated(t, second)))
		require.Len(t, canaries(t, s), 3)
	})
}

// An earlier build has left sealed secrets and no canaries.
func TestKeyset_IsComparedWithWhatIsSealedAlready(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		first := newKeyset(t)
		second := rotated(t, first)
		third := rotated(t, second)
		sealWebhook(t, s, first, "one")
		sealWebhook(t, s, third, "two")

		refused(t, start(t, s, second), boxOf(t, third).Primary())
		var wrong *service.KeysetError
		require.ErrorAs(t, start(t, s, newKeyset(t)), &wrong)
		require.ElementsMatch(t, []secrets.KeyID{boxOf(t, first).Primary(), boxOf(t, third).Primary()}, wrong.Missing)
		require.Empty(t, canaries(t, s))

		require.NoError(t, start(t, s, third))
		require.ElementsMatch(t, boxOf(t, third).Keys(), canaries(t, s), "the second key may have sealed something too")
	})
}

// A damaged row affects only its webhook, because the key that sealed it exists.
func TestKeyset_ADamagedWebhookDoesNotKeepAProcessFromStarting(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		keyset := newKeyset(t)
		damaged := sealWebhook(t, s, keyset, "one")
		sealWebhook(t, s, keyset, "two")
		_, err := s.UpdateWebhook(t.Context(), damaged.Tenant, damaged.ID, func(w *models.Webhook) error {
			w.Secrets[len(w.Secrets)-1] ^= 1
			return nil
		})
		require.NoError(t, err)
		require.NoError(t, start(t, s, keyset))
	})
}

// An operator who has lost a key for good says so, and starts with another keyset.
func TestKeyset_ALostKeyCanBeGivenUp(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		lost, found := newKeyset(t), newKeyset(t)
		giveUp := []models.KeysetCanary{{KeyID: int64(boxOf(t, lost).Primary()), Sealed: []byte{}}}
		sealWebhook(t, s, lost, "acme")
		refused(t, start(t, s, found), boxOf(t, lost).Primary())
		require.NoError(t, s.AddKeysetCanaries(t.Context(), giveUp))
		require.NoError(t, start(t, s, found))
		require.NoError(t, start(t, s, found))
		refused(t, start(t, s, newKeyset(t)), boxOf(t, found).Primary())
	})
}

// When processes with unrelated keysets start on a new database at once, only those with one of the keysets start.
func TestKeyset_OnlyOneKeysetStartsOnANewDatabase(t *testing.T) {
	keysetStores(t, func(t *testing.T, s *models.Store) {
		keysets := []string{newKeyset(t), newKeyset(t)}
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = service.CheckKeyset(t.Context(), s, boxOf(t, keysets[i%2])) })
		}
		wg.Wait()
		started := canaries(t, s)
		require.Len(t, started, 1)
		for i, err := range errs {
			if boxOf(t, keysets[i%2]).Primary() == started[0] {
				require.NoError(t, err)
			} else {
				refused(t, err, started[0])
			}
		}
	})
}
