package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/worker"
)

func TestLoops_ALoopThatPanicsLooksAgain(t *testing.T) {
	b := setup(t)
	before := value(t, metrics.Panics)
	err := b.Once(t.Context(), func(context.Context) (bool, error) { panic("the cat sat on the keyboard") })
	require.EqualError(t, err, "the reconciler's loop test panicked; the log says where")
	require.InDelta(t, before+1, value(t, metrics.Panics), 0)
	require.NoError(t, b.Once(t.Context(), func(context.Context) (bool, error) { return false, nil }))
}

// A look that waits for seconds for a dead connection keeps nobody waiting for a minute.
func TestLoops_ALoopRestsByWhatItHadToRead(t *testing.T) {
	b := setup(t)
	b.Every, b.Overdue = 10*time.Second, time.Minute
	failed := errors.New("conn closed")
	for _, c := range []struct {
		loop  string
		took  time.Duration
		found bool
		err   error
		rest  time.Duration
	}{
		{"takeover", time.Millisecond, false, nil, 10 * time.Second},
		{"takeover", 4 * time.Second, false, nil, 10 * time.Second},
		{"takeover", 4 * time.Second, true, nil, 500 * time.Millisecond},
		{"takeover", 4 * time.Second, true, failed, 4 * time.Second},
		{"takeover", 15 * time.Minute, false, failed, 10 * time.Second},
		{"due", 4 * time.Second, false, nil, 500 * time.Millisecond},
		{"deliveries", time.Millisecond, false, nil, 10 * time.Second},
		{"deliveries", time.Second, false, nil, 19 * time.Second},
		{"deliveries", 4 * time.Second, false, nil, time.Minute},
		{"deliveries", 4 * time.Second, true, nil, 10 * time.Second},
		{"deliveries", 4 * time.Second, false, failed, 10 * time.Second},
	} {
		require.Equal(t, c.rest, b.RestOf(c.loop, c.took, c.found, c.err), "%+v", c)
	}
}

// panickingJobs panics at the first page, and ends the test's context at the second.
type panickingJobs struct {
	pages int
	end   context.CancelFunc
}

func (p *panickingJobs) RunJob(context.Context) (models.Job, models.JobPage, error) {
	if p.pages++; p.pages == 1 {
		panic("the cat sat on the keyboard")
	}
	p.end()
	return models.Job{}, models.JobPage{}, nil
}

func (*panickingJobs) LastTraffic() time.Time { return time.Time{} }

func TestLoops_OperationsNamesEachOfThem(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	_, row, found := strings.Cut(string(page), "`posthorn_reconciler_loop_seconds{loop}`")
	require.True(t, found)
	row, _, _ = strings.Cut(row, "\n")
	var named []string
	for _, name := range regexp.MustCompile("`([a-z]+)`").FindAllStringSubmatch(row, -1) {
		named = append(named, name[1])
	}
	require.ElementsMatch(t, (&worker.Reconciler{}).LoopNames(), named)
}

func TestLoops_AJobThatPanicsIsNotTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store := &panickingJobs{end: cancel}
		jobs := &worker.Jobs{Store: store, Metrics: metrics.New(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler), Now: time.Now}
		jobs.Run(ctx)
		require.Equal(t, 2, store.pages)
	})
}
