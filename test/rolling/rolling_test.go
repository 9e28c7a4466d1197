package rolling

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

// between is how many events are accepted between two replacements.
const between = 20

// installation is what is replaced.
type installation struct {
	*harness.Installation
	processes []*harness.Server // in the order they are replaced: workers first
	balancer  *balancer
}

func install(t *testing.T, temporal *harness.Temporal, env ...string) *installation {
	t.Helper()
	i := &installation{Installation: harness.NewInstallation(t, &programs, pgtest.URL(t), temporal, env...)}
	i.Migrate(t)
	apis := []*harness.Server{i.Start(t, "api"), i.Start(t, "serve")} // which makes first attempts itself
	i.processes = append([]*harness.Server{i.Start(t, "worker"), i.Start(t, "worker")}, apis...)
	i.balancer = newBalancer(t, apis...)
	return i
}

// replace replaces the processes one by one, each by one that program makes.
func (i *installation) replace(t *testing.T, x *traffic, program string, env ...string) {
	t.Helper()
	for k, s := range i.processes {
		x.await(between)
		s.Stop(t)
		s.Path = program
		i.processes[k] = s.Again(t, env...)
	}
	x.await(between)
}

func TestRolling_UpgradeLosesNothing(t *testing.T) {
	t.Parallel()
	temporal := harness.NewTemporal(t, &programs, harness.Sibling(t, pgtest.URL(t), "temporal"))

	t.Run("restart", func(t *testing.T) {
		t.Parallel()
		i := install(t, temporal)
		x := startTraffic(t, harness.API{URL: i.balancer.URL, Key: i.AdminKey})
		i.replace(t, x, programs.Lean)
		x.settle()
		require.Zero(t, i.balancer.refused.Load(), "not ready comes before not listening")
	})

	t.Run("upgrade", func(t *testing.T) {
		t.Parallel()
		upgraded := programs.Variant(t, "upgraded", "upgrade")
		i := install(t, temporal)
		x := startTraffic(t, harness.API{URL: i.balancer.URL, Key: i.AdminKey})
		x.await(between)
		i.Programs = &harness.Programs{Lean: upgraded}
		i.Migrate(t)
		i.replace(t, x, upgraded)
		x.settle()
		require.Zero(t, i.balancer.refused.Load())
	})
	t.Run("deployment", func(t *testing.T) {
		t.Parallel()
		versionsRun(t, temporal)
	})
}
