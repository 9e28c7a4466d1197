package crash

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

// patient leaves the reconciler time: as long as work is kept in memory, nothing is doubted that is only slow.
var patient = []string{"POSTHORN_RECONCILE_AFTER=12s", "POSTHORN_RECONCILE_EVERY=1s"}

// posts is for processes that make first attempts outside of workflows. They do so only for receivers that may take at
// most a quarter of the time until the reconciler takes over a delivery.
var posts = []string{"POSTHORN_TIMEOUT=6s", "POSTHORN_RECONCILE_AFTER=24s", "POSTHORN_RECONCILE_EVERY=1s"}

// kinds are the settings of workflows, with the process that accepts.
var kinds = []struct {
	name string
	api  string
	env  []string
}{
	{"workflows for events", "api", patient},
	{"workflows for events, attempts ahead", "serve", posts},
	{"workflows for retries", "serve", append([]string{retries}, posts...)},
}

// deaths is how often each part dies under load.
func deaths() int {
	if testing.Short() {
		return 1
	}
	return 3
}

// dice gives the random instants of a test. What it rolls is logged.
type dice struct {
	t   *testing.T
	rng *rand.Rand
}

func newDice(t *testing.T) dice {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return dice{t, rand.New(rand.NewPCG(seed, 0))}
}

// wait waits for some time up to most.
func (d dice) wait(most time.Duration) { <-time.After(time.Duration(d.rng.Int64N(int64(most)))) }

// production is one whole installation, every part of which can die.
type production struct {
	postgres    *pgtest.Cluster
	temporal    *harness.Temporal
	api, worker *harness.Server
}

func newMortalProduction(t *testing.T, api string, env []string) *production {
	t.Helper()
	// An answered commit must survive the end of the server. The machine keeps running.
	postgres, err := pgtest.Start(t.Context(), pgtest.Options{Fast: true, Settings: []string{"synchronous_commit=on"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, postgres.Stop()) })
	p := &production{postgres: postgres}
	p.temporal = harness.NewTemporal(t, &programs, harness.Sibling(t, postgres.URL(), "temporal"))
	i := harness.NewInstallation(t, &programs, postgres.URL(), p.temporal, env...)
	i.Migrate(t)
	p.api, p.worker = i.Start(t, api), i.Start(t, "worker")
	return p
}

// part is a process that can be killed with kill -9 and come back.
type part struct {
	name          string
	kill, restart func(testing.TB)
}

func (p *production) parts() []part {
	return []part{
		{"api", func(testing.TB) { p.api.Kill() }, func(tb testing.TB) { tb.Helper(); p.api = p.api.Again(tb) }},
		{"worker", func(testing.TB) { p.worker.Kill() }, func(tb testing.TB) { tb.Helper(); p.worker = p.worker.Again(tb) }},
		{"Temporal", func(testing.TB) { p.temporal.Kill() }, func(tb testing.TB) { tb.Helper(); p.temporal = p.temporal.Again(tb) }},
		{"Postgres", p.killPostgres, p.restartPostgres}, // the database of all, Temporal included
	}
}

func (p *production) killPostgres(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, p.postgres.Kill(tb.Context()))
}

func (p *production) restartPostgres(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, p.postgres.Restart(tb.Context()))
}

func TestCrash_DeathUnderLoad(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			p := newMortalProduction(t, kind.api, kind.env)
			everyPartDies(t, p)
			if slices.Contains(kind.env, retries) {
				t.Run("Temporal away", func(t *testing.T) { deliversWithoutTemporal(t, p) })
			} else {
				t.Run("Temporal away", func(t *testing.T) { acceptsWithoutTemporal(t, p, kind.api == "serve") })
			}
			t.Run("Postgres away", func(t *testing.T) { refusesWithoutPostgres(t, p) })
		})
	}
}

// The parts share an installation and die one after the other. Each test finds the state that the previous one left.
func everyPartDies(t *testing.T, p *production) {
	t.Helper()
	for _, part := range p.parts() {
		t.Run(part.name, func(t *testing.T) {
			chance := newDice(t)
			l := startLoad(t, p.api.API)
			for range deaths() {
				l.receiver.Await(t, len(l.receiver.Posts())+20) // it is in full swing
				chance.wait(time.Second)
				l.around(func() {
					part.kill(t)
					chance.wait(time.Second)
				}, func() { part.restart(t) })
			}
			l.settle()
		})
	}
}

func TestCrash_DeathOfDevUnderLoad(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			chance := newDice(t)
			s := harness.NewDev(t, &programs, kind.env...).Start(t, "dev")
			l := startLoad(t, s.API)
			for range deaths() {
				l.receiver.Await(t, len(l.receiver.Posts())+20)
				chance.wait(time.Second)
				l.around(s.Kill, func() { s = s.Again(t) })
			}
			l.settle()
		})
	}
}
