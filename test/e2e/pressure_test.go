package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

// TestE2E_BackPressure accepts more than can be started, for the receivers do not answer. The callers are kept waiting, then
// refused, except those with large batches: these wait in the database. What was accepted arrives when the receivers go on. A
// Temporal that is known not to answer refuses nobody: all is accepted, and arrives when it goes on.
func TestE2E_BackPressure(t *testing.T) {
	t.Parallel()
	temporal := harness.NewTemporal(t, &programs, harness.Sibling(t, pgtest.URL(t), "temporal"))
	// Small dispatches: what may wait goes with their size, and is little more than a batch here.
	x := newTenant(t, newProduction(t, temporal, "POSTHORN_GROUP_MAX=2").Start(t, "serve").API)
	const webhooks, small, large = 6, 90, 200
	goOn := make(chan struct{})
	open := sync.OnceFunc(func() { close(goOn) })
	r := harness.NewReceiver(t, func(http.ResponseWriter, int) { <-goOn })
	t.Cleanup(open) // before the receiver's own, which waits for its answers
	for range webhooks {
		x.hook(r.URL, object{"timeout": "1m"})
	}
	accepted := map[string]bool{}
	publish := func(n, events int) (harness.Reply, time.Duration) {
		all, ids := make([]object, events), make([]string, events)
		for k := range all {
			ids[k] = fmt.Sprintf("batch-%d-%d", n, k)
			all[k] = object{"id": ids[k], "type": "order.created", "data": object{"order": k}}
		}
		begun := time.Now()
		reply, err := x.api.Do(t.Context(), "POST "+x.path("/events/batch"), object{"events": all})
		require.NoError(t, err)
		if reply.Status == http.StatusAccepted {
			for _, id := range ids {
				accepted[id] = true
			}
		}
		return reply, time.Since(begun)
	}
	arrive := func() {
		t.Helper()
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
	}

	reply, _ := publish(1, small)
	require.Equal(t, http.StatusAccepted, reply.Status, "%s", reply.Body)
	reply, took := publish(2, small)
	require.Equal(t, http.StatusServiceUnavailable, reply.Status, "%s", reply.Body)
	require.Greater(t, took, 4*time.Second, "there might have been room")
	require.NotEmpty(t, reply.Header.Get("Retry-After"))
	require.Equal(t, "application/problem+json", reply.Header.Get("Content-Type"))
	require.Equal(t, http.StatusServiceUnavailable, harness.Read[struct{ Status int }](t, reply).Status)
	reply, took = publish(3, large)
	require.Equal(t, http.StatusAccepted, reply.Status, "%s", reply.Body)
	require.Less(t, took, 4*time.Second, "it does not wait for room")
	stored := map[string]bool{}
	for _, e := range harness.All[harness.Event](t, x.made, "/events?") {
		stored[e.ID] = true
	}
	require.Equal(t, accepted, stored, "nothing of what was refused, and all the rest")

	open()
	n := 3
	again := func() error {
		n++
		if reply, _ := publish(n, small); reply.Status != http.StatusAccepted {
			return fmt.Errorf("publishing is answered %d", reply.Status)
		}
		return nil
	}
	harness.Until(t, again)
	arrive()

	// The first finds room. Until it is known that Temporal does not answer, the next waits: that takes as long as a caller is
	// kept waiting, so it may be refused once. Then it is the database that everything waits in.
	temporal.Suspend(t)
	harness.Until(t, again)
	harness.Until(t, again)
	require.NoError(t, again())
	temporal.Resume(t)
	arrive()
	// At least once: where the machine is so slow that what waits is overdue, the reconciler may set it off beside.
	for id, times := range r.Counts() {
		require.True(t, accepted[id], id)
		require.GreaterOrEqual(t, times, webhooks, id)
	}
}
