package crash

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

// Someone terminates workflows by hand in the Web UI: one whose delivery waits for its retry, and one that is making
// its first attempt.
func TestCrash_TerminatedWorkflowLosesNothing(t *testing.T) {
	t.Parallel()
	i := harness.NewDev(t, &programs, impatient...)
	s := i.Start(t, "dev")
	temporal := harness.DialTemporal(t, i.TemporalAddr)
	terminate := func(workflowID string) {
		require.NoError(t, temporal.TerminateWorkflow(t.Context(), workflowID, "", "by hand"))
	}

	t.Run("waiting for its retry", func(t *testing.T) {
		x := harness.NewTenant(t, s.API)
		r := harness.NewReceiver(t, harness.FailFirst(1))
		x.Hook(t, r.URL, harness.Retries(3, "2s"))
		accepted, err := publish(t, x)
		require.NoError(t, err)
		r.Await(t, 1)
		before := awaitAttempt(t, x)

		terminate(before.WorkflowID)

		after := awaitDelivered(t, x)
		require.NotEqual(t, before.WorkflowID, after.WorkflowID)
		require.Len(t, after.Attempts, 2)
		require.Equal(t, map[string]int{accepted.ID: 2}, r.Counts())
		require.Positive(t, catches(t, s), "the reconciler counts what it finds")
	})

	t.Run("making its first attempt", func(t *testing.T) {
		x := harness.NewTenant(t, s.API)
		terminated := make(chan struct{})
		r := harness.NewReceiver(t, func(w http.ResponseWriter, n int) {
			if n == 1 {
				<-terminated
				w.WriteHeader(http.StatusInternalServerError)
			}
		})
		x.Hook(t, r.URL, harness.Retries(3, "1s"))
		accepted, err := publish(t, x)
		require.NoError(t, err)
		r.Await(t, 1)

		terminate(i.DeliverID(accepted.ID))
		close(terminated)

		after := awaitDelivered(t, x)
		require.Len(t, after.Attempts, 2)
		require.Equal(t, map[string]int{accepted.ID: 2}, r.Counts())
	})
}

// awaitAttempt waits until the one delivery of a test is pending after its first attempt.
func awaitAttempt(t *testing.T, x harness.Tenant) (d harness.Timeline) {
	t.Helper()
	harness.Until(t, func() error {
		list := harness.All[harness.Delivery](t, x, "/deliveries?")
		require.Len(t, list, 1)
		d = harness.Get[harness.Timeline](t, x.API, x.Path("/deliveries/"+list[0].ID))
		if len(d.Attempts) != 1 {
			return fmt.Errorf("%d attempts are on record", len(d.Attempts))
		}
		return nil
	})
	return d
}

var catchesLine = regexp.MustCompile(`(?m)^posthorn_reconciler_catches_total (\S+)$`)

// catches reads how many deliveries the reconciler had to dispatch again.
func catches(t *testing.T, s *harness.Server) float64 {
	t.Helper()
	metrics := s.Call(t, http.StatusOK, "GET /metrics", nil)
	found := catchesLine.FindSubmatch(metrics.Body)
	require.NotNil(t, found)
	n, err := strconv.ParseFloat(string(found[1]), 64)
	require.NoError(t, err)
	return n
}
