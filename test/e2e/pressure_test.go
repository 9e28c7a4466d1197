package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

// TestBackPressure accepts more than can be started: a Temporal that is stuck takes the starts and does not answer them.
// The callers are kept waiting, then refused; what was accepted arrives when Temporal goes on.
func TestBackPressure(t *testing.T) {
	t.Parallel()
	temporal := harness.NewTemporal(t, &programs, harness.Sibling(t, pgtest.URL(t), "temporal"))
	// Small dispatches: what may wait goes with their size.
	x := newTenant(t, newProduction(t, temporal, "POSTHORN_GROUP_MAX=64").Start(t, "serve").API)
	const webhooks, events = 5, 400 // 2,000 deliveries a batch
	r := harness.NewReceiver(t, nil)
	for range webhooks {
		x.hook(r.URL)
	}
	accepted := map[string]int{x.publish(0).ID: webhooks}
	r.Await(t, webhooks)
	batch := func(n int) ([]object, []string) {
		all, ids := make([]object, events), make([]string, events)
		for k := range all {
			ids[k] = fmt.Sprintf("batch-%d-%d", n, k)
			all[k] = object{"id": ids[k], "type": "order.created", "data": object{"order": k}}
		}
		return all, ids
	}
	publish := func(n int) (harness.Reply, time.Duration) {
		all, ids := batch(n)
		begun := time.Now()
		reply, err := x.api.Do(t.Context(), "POST "+x.path("/events/batch"), object{"events": all})
		require.NoError(t, err)
		if reply.Status == http.StatusAccepted {
			for _, id := range ids {
				accepted[id] = webhooks
			}
		}
		return reply, time.Since(begun)
	}

	temporal.Suspend(t)
	n := 1
	reply, took := publish(n)
	for ; reply.Status == http.StatusAccepted && n < 100; reply, took = publish(n) {
		n++
	}
	t.Logf("%d batches of %d deliveries were accepted, the next was refused after %s", n-1, webhooks*events, took)
	require.Equal(t, http.StatusServiceUnavailable, reply.Status, "%s", reply.Body)
	require.Greater(t, took, 4*time.Second, "there might have been room")
	require.NotEmpty(t, reply.Header.Get("Retry-After"))
	require.Equal(t, "application/problem+json", reply.Header.Get("Content-Type"))
	require.Equal(t, http.StatusServiceUnavailable, harness.Read[struct{ Status int }](t, reply).Status)
	stored := map[string]int{}
	for _, e := range harness.All[harness.Event](t, x.made, "/events?") {
		stored[e.ID] = webhooks
	}
	require.Equal(t, accepted, stored, "nothing of what was refused, and all the rest")

	isAccepted := func() error {
		if reply, _ := publish(n); reply.Status != http.StatusAccepted {
			return fmt.Errorf("publishing is answered %d", reply.Status)
		}
		n++
		return nil
	}
	// What does not answer for as long as a start may take is away: then it is the database that everything waits in.
	harness.Until(t, isAccepted)
	temporal.Resume(t)
	harness.Until(t, isAccepted)
	harness.Until(t, func() error {
		if have, want := len(r.Counts()), len(accepted); have < want {
			return fmt.Errorf("%d of %d events have arrived", have, want)
		}
		return nil
	})
	harness.Until(t, func() error {
		if left := x.list("status=pending"); len(left) > 0 {
			return fmt.Errorf("%d are pending", len(left))
		}
		return nil
	})
	// At least once: where the machine is so slow that what waits is overdue, the reconciler may set it off beside.
	arrived := r.Counts()
	require.Len(t, arrived, len(accepted), "all that was accepted, and nothing else")
	for id, n := range accepted {
		require.GreaterOrEqual(t, arrived[id], n, id)
	}
}
