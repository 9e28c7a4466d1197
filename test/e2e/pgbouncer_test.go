package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

// pgbouncerIsEnough runs an installation, its migration included, on a pgbouncer in transaction mode.
func pgbouncerIsEnough(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := harness.NewInstallation(t, &programs, pgtest.Bouncer(t, pgtest.URL(t)), temporal, patience...)
	i.Migrate(t)
	api := i.Start(t, "api")
	i.Start(t, "worker")
	x := newTenant(t, api.API)
	r := harness.NewReceiver(t, harness.FailFirst(1))
	w := x.hook(r.URL, harness.Retries(3, "200ms"))
	x.publishMany(30)
	x.awaitAll(w, "delivered", 30)
	require.Len(t, r.Posts(), 60)
	x.act(w, "pause", nil)
	held := x.publish(31).ID
	x.await(held, "held")
	x.act(w, "resume", nil)
	x.await(held, "delivered")
}
