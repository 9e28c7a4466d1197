package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/worker"
)

// Loops hear of what waits in the database, and only of that. One that does not listen keeps nobody waiting.
func TestDue_LoopsAreWokenForWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs, batches := make(chan struct{}, 1), make(chan struct{}, 1)
	b.Jobs, b.Batches = jobs, batches
	looks := func(want ...int) {
		t.Helper()
		for range 3 {
			require.NoError(t, b.Reconcile(t.Context()))
		}
		require.Equal(t, want, []int{len(jobs), len(batches)})
	}
	b.Tenant(tenant)
	w := b.Webhook(tenant, "https://receiver.example/hook")
	looks(0, 0)
	b.Tenant("globex")
	globex := b.Webhook("globex", "https://receiver.example/hook")
	require.NoError(t, b.Service.DeleteTenant(t.Context(), globex.Tenant))
	looks(1, 0)
	versions, err := b.Env.Store.TenantVersions(t.Context(), []string{w.Tenant})
	require.NoError(t, err)
	now := b.Clock.Now()
	results, err := b.Env.Store.Accept(t.Context(), []*models.Acceptance{{Tenant: w.Tenant, Version: versions[w.Tenant],
		Events:  []models.Event{{Tenant: w.Tenant, ID: "evt_1", Type: eventType, Data: []byte(`{}`), CreatedAt: now, BatchID: "bat_1"}},
		Batches: []models.Batch{{Tenant: w.Tenant, ID: "bat_1", CreatedAt: now, Events: []string{"evt_1"}, Members: []byte{}}}}})
	require.NoError(t, err)
	require.NoError(t, results[0].Err)
	looks(1, 1)
	<-jobs
	looks(1, 1)
}

// countedJobs has no job, and counts how often it is asked. While it is broken it fails.
type countedJobs struct {
	asked  atomic.Int64
	broken atomic.Bool
}

func (c *countedJobs) RunJob(context.Context) (models.Job, models.JobPage, error) {
	c.asked.Add(1)
	if c.broken.Load() {
		return models.Job{ID: "job_1"}, models.JobPage{}, errors.New("conn closed")
	}
	return models.Job{}, models.JobPage{}, nil
}

func (*countedJobs) LastTraffic() time.Time { return time.Time{} }

// A loop that has nothing to do asks the database when it is woken, and every ten seconds by itself. One that has failed
// rests first.
func TestDue_AnIdleLoopAsksWhenItIsWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, due := &countedJobs{}, make(chan struct{}, 1)
		jobs := &worker.Jobs{Store: store, Metrics: metrics.New(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler), Now: time.Now, Due: due}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			jobs.Run(ctx)
		}()
		asked := func(n int64, after time.Duration) {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			require.Equal(t, n, store.asked.Load())
		}
		asked(1, 9*time.Second)
		due <- struct{}{}
		asked(2, 0)
		asked(2, 9*time.Second)
		asked(3, time.Second)
		store.broken.Store(true)
		due <- struct{}{}
		asked(4, 0)
		due <- struct{}{}
		asked(4, 499*time.Millisecond)
		asked(5, time.Millisecond)
		cancel()
		<-done
	})
}

// Batches are made within a moment after the loop was woken.
func TestDue_AnIdleLoopOfBatchesIsWoken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &batches{pages: map[string]int{}, most: 1, room: map[string]int{}, due: make(chan struct{}, 1)}
		b.running(t, time.Second, func() {
			require.Equal(t, 1, b.asked)
			b.pages["acme"] = 1
			b.due <- struct{}{}
		})
		require.Equal(t, []string{"acme"}, b.turns)
	})
}

// The work of a process that is silent, or has ended, is taken over at once.
func TestDue_TheTakeoverIsWoken(t *testing.T) {
	t.Parallel()
	b, _ := watched(t)
	woken := func() bool {
		t.Helper()
		woken, err := b.Due(t.Context())
		require.NoError(t, err)
		return woken
	}
	silent := func() (looks []bool) {
		for range 6 {
			b.Clock.Advance(time.Second)
			looks = append(looks, woken())
		}
		return looks
	}
	require.False(t, woken())
	b.Reports(false)
	require.Equal(t, []bool{false, false, false, false, false, false}, silent(), "the database takes no writes: that silences all")
	b.Reports(true)
	require.Equal(t, []bool{false, false, false, false, false, true}, silent(), "it has been watched for five seconds")
	require.True(t, woken(), "nobody has taken it over yet")
}

// Where nobody knows what is due, each loop looks by itself.
func TestDue_WithoutAnAnswerAllAreWoken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs, batches := make(chan struct{}, 1), make(chan struct{}, 1)
	b.Jobs, b.Batches = jobs, batches
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	woken, err := b.Due(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, woken)
	require.Equal(t, []int{1, 1}, []int{len(jobs), len(batches)})
}
