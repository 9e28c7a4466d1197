// Package crash ends processes with kill -9 and looks for losses: at every step between accepting an event and
// recording its delivery (the fault points of internal/fault, in programs built with the tag "faults"), and at any
// instant under load. Whichever process dies and comes back, every accepted event is delivered. It is sent at most once
// more for each time that it was on its way when a process died.
package crash

import (
	"os"
	"testing"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

var programs harness.Programs

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &programs, "faults")) }

// impatient makes the reconciler check soon. It is for tests that publish single events: under load, a slow start would
// be sent twice.
var impatient = []string{"POSTHORN_RECONCILE_AFTER=3s", "POSTHORN_RECONCILE_EVERY=500ms"}

// newProduction returns an installation with a migrated database of its own.
func newProduction(tb testing.TB, temporal *harness.Temporal, env ...string) *harness.Installation {
	tb.Helper()
	i := harness.NewInstallation(tb, &programs, pgtest.URL(tb), temporal, env...)
	i.Migrate(tb)
	return i
}

// event is the event that the tests publish.
func event(n int) harness.Object {
	return harness.Object{"type": "order.created", "data": harness.Object{"order": n}}
}
