package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

func apiAndWorkersDeliver(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := newProduction(t, temporal)
	api := i.Start(t, "api")
	workers := []*harness.Server{i.Start(t, "worker"), i.Start(t, "worker")}
	x := newTenant(t, api.API)
	r := harness.NewReceiver(t, harness.FailFirst(1))
	w := x.hook(r.URL, harness.Retries(3, "200ms"))

	x.publishMany(40)
	x.awaitAll(w, "delivered", 40)
	require.Len(t, r.Posts(), 80)
	for _, p := range r.Posts() {
		require.NoError(t, p.Verify(w.Secret))
	}

	for _, s := range workers {
		reply, err := s.Do(t.Context(), "GET /v1/tenants", nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, reply.Status, "a worker has no API")
		require.Contains(t, string(s.Call(t, http.StatusOK, "GET /metrics", nil).Body), "posthorn_")
	}
	// One worker carries on when the other stops.
	workers[0].Stop(t)
	x.publishMany(5)
	x.awaitAll(w, "delivered", 45)
}

func everyEventHasItsWorkflow(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := newProduction(t, temporal, "POSTHORN_GROUP_MAX=1")
	s := i.Start(t, "serve")
	x := newTenant(t, s.API)
	r := harness.NewReceiver(t, nil)
	w := x.hook(r.URL)

	const events = 60 // more than may be starting at once on a small machine
	accepted := make([]harness.Accepted, events)
	var wg sync.WaitGroup
	for k := range accepted {
		wg.Go(func() {
			reply, err := x.api.Do(t.Context(), "POST "+x.path("/events"), x.order(k))
			if err == nil && reply.Status == http.StatusAccepted {
				accepted[k] = harness.Read[harness.Accepted](t, reply)
			}
		})
	}
	wg.Wait()
	x.awaitAll(w, "delivered", events)
	client := harness.DialTemporal(t, i.TemporalAddr)
	workflows := map[string]bool{}
	for _, a := range accepted {
		require.Equal(t, i.DeliverID(a.ID), a.WorkflowID)
		id := x.only(a.ID).WorkflowID
		_, err := client.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		workflows[id] = true
	}
	require.Len(t, workflows, events)
	require.Len(t, r.Posts(), events)
}

// stoppingLosesNothing asks a busy process to stop. What it has accepted arrives, and as it may finish what it has
// begun, it arrives once.
func stoppingLosesNothing(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	s := newProduction(t, temporal).Start(t, "serve")
	x := newTenant(t, s.API)
	arrived := make(chan struct{})
	var once sync.Once
	r := harness.NewReceiver(t, nil)
	r.SetAnswer(func(http.ResponseWriter, int) {
		if len(r.Posts()) >= 20 {
			once.Do(func() { close(arrived) })
		}
	})
	w := x.hook(r.URL)

	var mu sync.Mutex
	accepted := map[string]int{}
	var wg sync.WaitGroup
	for caller := range 6 {
		wg.Go(func() {
			for n := 0; ; n++ {
				reply, err := x.api.Do(t.Context(), "POST "+x.path("/events"), x.order(100*caller+n))
				if err != nil || reply.Status != http.StatusAccepted {
					return // it does not take any more
				}
				mu.Lock()
				accepted[harness.Read[harness.Accepted](t, reply).ID] = 1
				mu.Unlock()
			}
		})
	}
	<-arrived
	s.Stop(t)
	wg.Wait()
	require.GreaterOrEqual(t, len(accepted), 20)

	s.Again(t)
	harness.Until(t, func() error {
		for id, n := range r.Counts() {
			if accepted[id] == 0 {
				return fmt.Errorf("%s was sent and not accepted", id)
			}
			require.Equal(t, 1, n, id)
		}
		if have := len(r.Counts()); have != len(accepted) {
			return fmt.Errorf("%d of %d have arrived", have, len(accepted))
		}
		return nil
	})
	harness.Until(t, func() error {
		if left := x.list("status=pending&webhook_id=" + w.ID); len(left) > 0 {
			return fmt.Errorf("%d are pending", len(left))
		}
		return nil
	})
	require.Len(t, r.Posts(), len(accepted))
}

func restartKeepsEverything(t *testing.T) {
	t.Helper()
	i := harness.NewDev(t, &programs)
	s := i.Start(t, "dev")
	x := newTenant(t, s.API)
	r := harness.NewReceiver(t, harness.FailFirst(1))
	w := x.hook(r.URL, harness.Retries(5, "3s"))
	delivered, retrying := x.publish(1).ID, x.publish(2).ID
	x.await(delivered, "delivered")
	x.act(w, "pause", nil)
	held := x.publish(3).ID
	x.act(w, "resume", nil)
	x.await(retrying, "delivered")
	x.await(held, "delivered")
	r.SetAnswer(harness.Status(http.StatusInternalServerError))
	open := x.publish(4).ID
	x.awaitAttempts(open, 1)
	before := x.only(delivered)

	s.Stop(t)
	r.SetAnswer(nil)
	s.Again(t)

	require.Equal(t, before, x.only(delivered))
	require.Equal(t, w.URL, x.webhook(w.ID).URL)
	x.await(open, "delivered")
	x.await(x.publish(5).ID, "delivered")
	for _, p := range r.Posts() {
		require.NoError(t, p.Verify(w.Secret))
	}
	temporal := harness.DialTemporal(t, i.TemporalAddr)
	_, err := temporal.DescribeWorkflowExecution(t.Context(), before.WorkflowID, "")
	require.NoError(t, err, "Temporal shows what happened before the restart")
}

func TestE2E_MigrateTwiceAndAtOnce(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]string{"postgres": pgtest.URL(t), "sqlite": "sqlite:" + filepath.Join(t.TempDir(), "posthorn.db")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			migrate := func() error {
				c := exec.Command(programs.Lean, "migrate")
				c.Env = []string{"POSTHORN_DATABASE_URL=" + database}
				if out, err := c.CombinedOutput(); err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			}
			errs := make([]error, 4)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() { errs[i] = migrate() })
			}
			wg.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
			require.NoError(t, migrate())
		})
	}
}
