package cli

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// keysetStep runs a step of `posthorn keyset` as the command line does. out is its output, hint its message.
func keysetStep(t *testing.T, args ...string) (out, hint string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	parser := newParser(nil, kong.Vars{"version": "test"}, kong.Writers(io.Discard, io.Discard), kong.BindTo(t.Context(), (*context.Context)(nil)),
		kong.Bind(Environment{Out: &stdout, Err: &stderr}), kong.Exit(func(int) { t.Error("exit") }))
	command, err := parser.Parse(append([]string{"keyset"}, args...))
	if err == nil {
		err = command.Run()
	}
	return strings.TrimSpace(stdout.String()), stderr.String(), err
}

func primaryOf(t *testing.T, keyset string) secrets.KeyID {
	t.Helper()
	box, err := secrets.OpenBox(keyset)
	require.NoError(t, err)
	return box.Primary()
}

// The four steps on one database, each with what the one before printed.
func TestKeyset_Steps(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "posthorn.db")
	store, err := models.Open(t.Context(), url, models.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	step := func(name, keyset string, more ...string) (string, string, error) {
		return keysetStep(t, append([]string{name, "--encryption-keyset=" + keyset}, more...)...)
	}

	first, hint, err := keysetStep(t, "new")
	require.NoError(t, err)
	require.Empty(t, hint)
	_, _, err = step("rotate", first)
	require.ErrorContains(t, err, `Run "posthorn keyset add" first`)
	_, _, err = step("remove", first, "--database-url="+url)
	require.ErrorContains(t, err, "has no key older than")

	second, hint, err := step("add", first)
	require.NoError(t, err)
	require.Contains(t, hint, "posthorn keyset rotate")
	require.Equal(t, primaryOf(t, first), primaryOf(t, second))
	third, hint, err := step("rotate", second)
	require.NoError(t, err)
	require.Contains(t, hint, "posthorn keyset reencrypt")
	require.NotEqual(t, primaryOf(t, first), primaryOf(t, third))
	_, _, err = step("rotate", third)
	require.ErrorContains(t, err, "already encrypts")
	back, _, err := step("rotate", third, "--key="+decimal(primaryOf(t, first)))
	require.NoError(t, err)
	require.Equal(t, primaryOf(t, first), primaryOf(t, back))

	_, _, err = step("reencrypt", third, "--database-url="+url)
	require.ErrorContains(t, err, "posthorn migrate", "an empty database")
	require.NoError(t, store.Migrate(t.Context()))
	box, err := secrets.OpenBox(first)
	require.NoError(t, err)
	require.NoError(t, service.CheckKeyset(t.Context(), store, box))
	_, err = store.PutTenant(t.Context(), &models.Tenant{ID: "acme"})
	require.NoError(t, err)
	w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: "acme", Status: models.WebhookActive, EventTypes: []string{}, Settings: map[string]string{}}
	w.Secrets, err = box.Seal([]byte(`[{"value":"hunter2"}]`), w.ID+"/secrets")
	require.NoError(t, err)
	require.NoError(t, store.CreateWebhook(t.Context(), &w))

	_, _, err = step("remove", third, "--database-url="+url)
	require.ErrorContains(t, err, "key "+decimal(primaryOf(t, first))+" cannot be removed: 1 of the webhooks")
	out, _, err := step("reencrypt", third, "--database-url="+url)
	require.NoError(t, err)
	require.Equal(t, "webhooks reencrypted: 1; everything is encrypted with key "+decimal(primaryOf(t, third)), out)
	fourth, hint, err := step("remove", third, "--database-url="+url)
	require.NoError(t, err)
	require.Contains(t, hint, "Restart every process")
	last, err := secrets.OpenBox(fourth)
	require.NoError(t, err)
	require.Equal(t, []secrets.KeyID{primaryOf(t, third)}, last.Keys())
	require.NoError(t, service.CheckKeyset(t.Context(), store, last))
	stored, err := store.Webhook(t.Context(), "acme", w.ID)
	require.NoError(t, err)
	plain, err := last.Open(stored.Secrets, w.ID+"/secrets")
	require.NoError(t, err)
	require.JSONEq(t, `[{"value":"hunter2"}]`, string(plain))
}

// A step that is refused prints no keyset, and quotes none.
func TestKeyset_StepsRefuse(t *testing.T) {
	t.Parallel()
	keyset, _, err := keysetStep(t, "new")
	require.NoError(t, err)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"add"}, "--encryption-keyset"},
		{[]string{"add", "--encryption-keyset=hunter2"}, "POSTHORN_ENCRYPTION_KEYSET: "},
		{[]string{"rotate", "--encryption-keyset=hunter2"}, "POSTHORN_ENCRYPTION_KEYSET: "},
		{[]string{"rotate", "--encryption-keyset=" + keyset, "--key=1"}, "--key 1: the keyset has no such key"},
		{[]string{"reencrypt", "--encryption-keyset=hunter2", "--database-url=sqlite:x"}, "POSTHORN_ENCRYPTION_KEYSET: "},
		{[]string{"reencrypt", "--encryption-keyset=" + keyset, "--database-url=mysql://x"}, "postgres:// or sqlite:"},
		{[]string{"remove", "--encryption-keyset=" + keyset, "--database-url=sqlite:x", "--key=" + decimal(primaryOf(t, keyset))}, "it is the keyset's primary key"},
		{[]string{"remove", "--encryption-keyset=" + keyset}, "--database-url"},
	} {
		out, _, err := keysetStep(t, tt.args...)
		require.ErrorContains(t, err, tt.want, tt.args)
		require.Empty(t, out)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), keyset)
	}
}

func decimal(id secrets.KeyID) string { return strconv.FormatUint(uint64(id), 10) }
