package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

// The settings of workflows: for every event, or only for deliveries that are not received at the first attempt.
const (
	workflowsForEvents  = "POSTHORN_WORKFLOWS=event"
	workflowsForRetries = "POSTHORN_WORKFLOWS=retries"
)

// onlyRetries has workflows only for deliveries that are not received at the first attempt. Receivers have a quarter of
// the time after which the reconciler takes over a delivery.
var onlyRetries = []string{workflowsForRetries, "POSTHORN_TIMEOUT=5s"}

func onlyRetriesHaveWorkflows(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := newProduction(t, temporal, onlyRetries...)
	s := i.Start(t, "serve")
	workflowsFollowFailures(t, s)
	t.Run("a bare api starts a workflow for each event", func(t *testing.T) {
		x := newTenant(t, i.Start(t, "api").API)
		r := harness.NewReceiver(t, nil)
		x.hook(r.URL)
		require.NotEmpty(t, x.await(x.publish(1).ID, "delivered").WorkflowID)
	})
	t.Run("it stops when its POSTs have ended", func(t *testing.T) {
		x := newTenant(t, s.API)
		arrived, release := make(chan struct{}), make(chan struct{})
		r := harness.NewReceiver(t, func(w http.ResponseWriter, n int) {
			if n == 1 {
				close(arrived)
				<-release
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		x.hook(r.URL, harness.Retries(5, "1s"))
		accepted := x.publish(1)
		<-arrived
		s.Terminate(t)
		harness.Until(t, func() error {
			reply, err := s.Do(t.Context(), "GET /readyz", nil)
			if err != nil || reply.Status == http.StatusOK {
				return fmt.Errorf("it does not drain yet: %d, %w", reply.Status, err)
			}
			return nil
		})
		close(release)
		require.NoError(t, s.AwaitEnd(t))
		s.Again(t)
		require.Len(t, x.await(accepted.ID, "delivered").Attempts, 2)
		require.Len(t, r.Posts(), 2)
	})
}

// onlyRetriesHaveWorkflowsInDev is the same on SQLite.
func onlyRetriesHaveWorkflowsInDev(t *testing.T) {
	t.Helper()
	workflowsFollowFailures(t, harness.NewDev(t, &programs, append(patience[:2:2], onlyRetries...)...).Start(t, "dev"))
}

// workflowsFollowFailures publishes to receivers that work and to one that does not, and counts POSTs and workflows.
func workflowsFollowFailures(t *testing.T, s *harness.Server) {
	t.Helper()
	const events = 40
	x := newTenant(t, s.API)
	good := harness.NewReceiver(t, nil)
	x.hook(good.URL, object{"event_types": []string{"order.created"}})
	var ids []string
	for n := range events {
		accepted := x.publish(n)
		require.Empty(t, accepted.WorkflowID)
		ids = append(ids, accepted.ID)
	}
	for _, id := range ids {
		d := x.await(id, "delivered")
		require.Empty(t, d.WorkflowID)
		require.Empty(t, d.UIURL)
		require.Len(t, d.Attempts, 1)
	}
	require.Len(t, good.Posts(), events)
	for id, n := range good.Counts() {
		require.Equal(t, 1, n, id)
	}
	require.Zero(t, started(t, s), "nothing that is received has a workflow")

	bad := harness.NewReceiver(t, harness.FailFirst(1))
	x.hook(bad.URL, object{"event_types": []string{"order.paid"}}, harness.Retries(5, "2s"))
	paid := harness.Read[harness.Accepted](t, x.api.Call(t, http.StatusAccepted, "POST "+x.path("/events"), `{"type":"order.paid","data":{}}`))
	require.Empty(t, paid.WorkflowID)
	d := x.await(paid.ID, "delivered")
	require.Len(t, d.Attempts, 2)
	require.NotEmpty(t, d.WorkflowID)
	require.Len(t, bad.Posts(), 2)
	require.Equal(t, 1, int(started(t, s)), "what is not received has one")

	x = newTenant(t, s.API)
	lost := harness.NewReceiver(t, harness.Status(http.StatusNotFound))
	x.hook(lost.URL, harness.Retries(0, "1s"))
	d = x.await(x.publish(1).ID, "failed")
	require.NotEmpty(t, d.WorkflowID)
	require.Len(t, lost.Posts(), 1)
	harness.Until(t, func() error {
		if n := started(t, s); n != 2 {
			return fmt.Errorf("%v workflows", n)
		}
		return nil
	})
}

// whatHasWorkflowsChanges runs a process of each kind beside each other, and restarts each as the other kind while deliveries
// wait for their retries.
func whatHasWorkflowsChanges(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := newProduction(t, temporal, onlyRetries...)
	one, two := i.Start(t, "serve"), i.Start(t, "serve", workflowsForEvents)
	x := newTenant(t, one.API)
	good, bad := harness.NewReceiver(t, nil), harness.NewReceiver(t, harness.FailFirst(1))
	received := x.hook(good.URL)
	retried := x.hook(bad.URL, harness.Retries(5, "3s"))
	const events = 10
	n := 0
	publish := func() {
		t.Helper()
		for _, s := range []*harness.Server{one, two} {
			for range events {
				harness.API{URL: s.URL, Key: x.api.Key}.Call(t, http.StatusAccepted, "POST "+x.path("/events"), x.order(n))
				n++
			}
		}
	}
	publish()
	one.Stop(t)
	one = one.Again(t, workflowsForEvents)
	two.Stop(t)
	two = two.Again(t, workflowsForRetries)
	publish()
	one.Stop(t)
	one = one.Again(t, workflowsForRetries)
	publish()
	x.awaitAll(received, "delivered", n)
	x.awaitAll(retried, "delivered", n)
	require.Len(t, good.Posts(), n)
	require.Len(t, bad.Posts(), 2*n)
}

// started reads how many dispatch workflows the process has started.
func started(t *testing.T, s *harness.Server) (n float64) {
	t.Helper()
	reply, err := s.Do(t.Context(), "GET /metrics", nil)
	require.NoError(t, err)
	for line := range strings.Lines(string(reply.Body)) {
		if value, ok := strings.CutPrefix(line, `posthorn_workflow_starts_total{result="started"} `); ok {
			_, err := fmt.Sscan(value, &n)
			require.NoError(t, err)
		}
	}
	return n
}
