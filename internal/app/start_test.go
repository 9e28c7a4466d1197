package app

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models/modelstest"
)

// No process of any kind starts with a keyset that lacks a key of the database.
func TestStart_AProcessRefusesAnotherKeyset(t *testing.T) {
	t.Parallel()
	url := modelstest.SQLite(t)
	temporal, err := client.NewLazyClient(client.Options{})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	start := func(o Options, keyset string) error {
		o.Config = config.Config{DatabaseURL: config.Secret(url), EncryptionKeyset: config.Secret(keyset), TaskQueue: "posthorn"}
		o.Temporal, o.Log = temporal, slog.New(slog.DiscardHandler)
		a, err := New(t.Context(), o)
		if err == nil {
			a.Close()
		}
		return err
	}
	right, err := secrets.NewKeyset()
	require.NoError(t, err)
	wrong, err := secrets.NewKeyset()
	require.NoError(t, err)
	require.NoError(t, start(Options{API: true}, right))
	for _, o := range []Options{{API: true}, {Worker: true}, {API: true, Worker: true}, {API: true, Worker: true, Dev: true}} {
		var refused *service.KeysetError
		require.ErrorAs(t, start(o, wrong), &refused)
		require.Len(t, refused.Missing, 1)
		require.NoError(t, start(o, right))
	}
}
