// Package e2e drives the real programs over HTTP. It tests the same behaviours on `posthorn dev`, which keeps
// everything in SQLite, and on `posthorn serve` with Postgres and a separate Temporal. Then it tests installations with
// several processes, restarts and settings.
package e2e

import (
	"os"
	"slices"
	"testing"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

var programs harness.Programs

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &programs)) }

// behaviours are the tests that every installation must pass.
var behaviours = []struct {
	name string
	show func(*tenant)
}{
	{"an event arrives as a signed POST", eventArrives},
	{"every attempt sends the same bytes", attemptsAreAlike},
	{"a key makes one event of many requests", keyMakesOneEvent},
	{"a batch is accepted whole or not at all", batchIsWhole},
	{"ten webhooks, one failing", oneOfTenFails},
	{"the timeline keeps its promises", timelineIsKept},
	{"Retry-After is honoured up to the cap", retryAfterIsHonoured},
	{"410 deactivates at once", goneDeactivates},
	{"redirects are not followed", redirectsAreNotFollowed},
	{"a receiver that does not answer is tried again", slowReceiverIsRetried},
	{"pause holds and resume releases", pauseHolds},
	{"a disabled webhook's deliveries wait for recover", disabledWaitsForRecover},
	{"one delivery is retried, canceled, paused", oneDeliveryIsSteered},
	{"a webhook that keeps failing is looked after", failingWebhookIsLookedAfter},
	{"both secrets sign while they overlap", secretsOverlap},
	{"bad input changes nothing", badInputChangesNothing},
	{"forbidden destinations are refused", destinationsAreRefused},
	{"Temporal lists workflows by tenant, webhook and status", workflowsAreListed},
}

// usual is the default time until doubt, with looks more often than by default.
var usual = []string{"POSTHORN_RECONCILE_AFTER=1m", "POSTHORN_RECONCILE_EVERY=2s"}

// kinds are the settings of workflows. All installations behave the same with either.
var kinds = []struct {
	name string
	env  []string
}{
	// First attempts at receivers that may take the time that they have by default are made outside of workflows if the
	// time until doubt is that by default, too.
	{"behaviour", usual},
	{"behaviour, workflows for retries", append([]string{workflowsForRetries}, usual...)},
}

// TestE2E_Dev runs everything on `posthorn dev`.
func TestE2E_Dev(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "dev", func(env ...string) *harness.Installation {
				return harness.NewDev(t, &programs, slices.Concat(kind.env, env)...)
			})
			w.show(t)
		})
	}
	t.Run("a restart keeps everything", func(t *testing.T) {
		t.Parallel()
		restartKeepsEverything(t)
	})
	t.Run("only retries have workflows", func(t *testing.T) {
		t.Parallel()
		onlyRetriesHaveWorkflowsInDev(t)
	})
}

// TestE2E_Production runs everything on Postgres and a separate Temporal server.
func TestE2E_Production(t *testing.T) {
	t.Parallel()
	temporal := harness.NewTemporal(t, &programs, harness.Sibling(t, pgtest.URL(t), "temporal"))
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "serve", func(env ...string) *harness.Installation {
				return newProduction(t, temporal, slices.Concat(kind.env, env)...)
			})
			w.show(t)
		})
	}
	for name, show := range map[string]func(*testing.T, *harness.Temporal){
		"one api and two workers deliver":               apiAndWorkersDeliver,
		"the guard acts when an address is dialled":     guardActsWhenDialling,
		"the guard acts when a webhook is registered":   guardActsWhenRegistering,
		"every event has its workflow where none share": everyEventHasItsWorkflow,
		"only retries have workflows":                   onlyRetriesHaveWorkflows,
		"what has workflows changes under way":          whatHasWorkflowsChanges,
		"SIGTERM loses nothing and sends nothing twice": stoppingLosesNothing,
		"a process that stops says so first":            stoppingIsAnnounced,
		"a second SIGTERM ends a process at once":       secondSignalEnds,
		"pgbouncer in transaction mode is enough":       pgbouncerIsEnough,
		"the key of the keyset is replaced":             keysetIsReplaced,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			show(t, temporal)
		})
	}
}

// patience has the reconciler look sooner than by default, so that a machine too slow to start a workflow in time is
// only slow.
var patience = []string{"POSTHORN_RECONCILE_AFTER=20s", "POSTHORN_RECONCILE_EVERY=2s"}

// newProduction is an installation with a schema on a database of its own.
func newProduction(t *testing.T, temporal *harness.Temporal, env ...string) *harness.Installation {
	t.Helper()
	i := harness.NewInstallation(t, &programs, pgtest.URL(t), temporal, append(patience[:2:2], env...)...)
	i.Migrate(t)
	return i
}
