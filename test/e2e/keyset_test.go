package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

// keysetCommand starts a step of `posthorn keyset` on an installation.
func keysetCommand(t *testing.T, i *harness.Installation, keyset, step string) *harness.Process {
	t.Helper()
	return harness.Start(t, harness.Command{Name: "keyset " + step, Path: i.Programs.Lean, Args: []string{"keyset", step},
		Env: append(slices.Clip(i.Env), "POSTHORN_ENCRYPTION_KEYSET="+keyset)})
}

// keysetStep makes a step and returns its output.
func keysetStep(t *testing.T, i *harness.Installation, keyset, step string) string {
	t.Helper()
	p := keysetCommand(t, i, keyset, step)
	require.NoError(t, p.AwaitEnd(t), p.Log())
	return strings.TrimSpace(p.Out())
}

// keysetIsReplaced replaces the key of an installation's keyset in the four steps, while processes with the keyset before and
// after a step work side by side. The re-encryption is killed in the middle. Everything that was sealed still signs.
func keysetIsReplaced(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := newProduction(t, temporal)
	first := i.Keyset(t)
	old, worker, fresh := i.Start(t, "api"), i.Start(t, "worker"), i.Start(t, "api")
	restart := func(s *harness.Server, keyset string) *harness.Server {
		s.Kill()
		return s.Again(t, "POSTHORN_ENCRYPTION_KEYSET="+keyset)
	}
	x := newTenant(t, old.API)
	r := harness.NewReceiver(t, nil)
	kept := x.hook(r.URL)
	const more = 210 // more than one page
	var last harness.Webhook
	for range more {
		last = x.hook(r.URL, object{"event_types": []string{"order.paid"}})
	}
	arrives := func(n int, secrets ...string) { // some time: a worker learns of a new secret within a second
		harness.Until(t, func() error {
			before, id := len(r.Posts()), x.publish(n).ID
			harness.Until(t, func() error {
				for _, d := range x.list("event_id=" + id) {
					if d.Status != "delivered" {
						return fmt.Errorf("the delivery to %s is %s: %s", d.WebhookID, d.Status, d.StatusReason)
					}
				}
				return nil
			})
			signed := map[string]bool{}
			for _, p := range r.Posts()[before:] {
				for _, secret := range secrets {
					if p.Verify(secret) == nil {
						signed[secret] = true
					}
				}
			}
			if len(signed) != len(secrets) {
				return fmt.Errorf("%d of %d secrets have signed", len(signed), len(secrets))
			}
			return nil
		})
	}

	second := keysetStep(t, i, first, "add")
	old, worker = restart(old, second), restart(worker, second)
	third := keysetStep(t, i, second, "rotate")
	fresh = restart(fresh, third)
	x.api.URL, x.made.URL = fresh.URL, fresh.URL
	made := x.hook(r.URL)
	x.api.URL, x.made.URL = old.URL, old.URL
	arrives(1, kept.Secret, made.Secret)

	admin, err := pgx.Connect(t.Context(), i.Setting("POSTHORN_DATABASE_URL"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close(context.WithoutCancel(t.Context())) })
	by, err := pgx.Connect(t.Context(), i.Setting("POSTHORN_DATABASE_URL"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = by.Close(context.WithoutCancel(t.Context())) })
	_, err = admin.Exec(t.Context(), "BEGIN")
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), "SELECT 1 FROM webhooks WHERE id = $1 FOR UPDATE", last.ID) // on the second page
	require.NoError(t, err)
	p := keysetCommand(t, i, third, "reencrypt")
	harness.Until(t, func() error {
		n := 0
		if err := by.QueryRow(t.Context(), `SELECT count(*) FROM webhooks w JOIN webhooks m ON substr(w.secrets, 1, 5) = substr(m.secrets, 1, 5)
			WHERE m.id = $1`, made.ID).Scan(&n); err != nil || n < 100 {
			return fmt.Errorf("%d webhooks are sealed with the new key: %w", n, err)
		}
		return nil
	})
	p.Kill()
	_, err = admin.Exec(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	secret := harness.Read[struct{ Secret string }](t, x.act(kept, "secret/rotate", object{"overlap": "1h"})).Secret // by an old process
	arrives(2, kept.Secret, secret, made.Secret)

	refused := keysetCommand(t, i, third, "remove")
	require.Error(t, refused.AwaitEnd(t))
	require.Regexp(t, `key \d+ cannot be removed: \d+ of the webhooks`, refused.Log())
	require.Empty(t, refused.Out())
	keysetStep(t, i, third, "reencrypt")
	old, worker = restart(old, third), restart(worker, third)
	fourth := keysetStep(t, i, third, "remove")
	for _, s := range []*harness.Server{old, worker, fresh} {
		restart(s, fourth)
	}
	arrives(3, kept.Secret, secret, made.Secret)
	require.Len(t, harness.All[harness.Webhook](t, x.made, "/webhooks?"), more+2)

	early := i.Launch(t, "api", "POSTHORN_ENCRYPTION_KEYSET="+second)
	require.Error(t, early.AwaitEnd(t))
	require.Contains(t, early.Log(), "has been removed")
}
