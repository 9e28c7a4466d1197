package crash

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/posthorn/posthorn/test/harness"
)

// acceptsWithoutTemporal publishes while Temporal is down. The events are accepted, and delivered when Temporal is
// back. Dispatches are not shared. So publishers would wait for the few start slots if Posthorn did not know that
// Temporal is down. ahead says that the process makes first attempts until it knows.
func acceptsWithoutTemporal(t *testing.T, p *production, ahead bool) {
	t.Helper()
	sharing := p.api
	sharing.Kill()
	p.api = sharing.Again(t, "POSTHORN_GROUP_MAX=1")
	defer func() {
		p.api.Kill()
		p.api = sharing.Again(t)
	}()
	x := harness.NewTenant(t, p.api.API)
	r := harness.NewReceiver(t, nil)
	x.Hook(t, r.URL)
	_, err := publish(t, x)
	require.NoError(t, err)
	awaitDelivered(t, x)
	before := failedStarts(t, p.api)
	p.temporal.Kill()

	const more = 500
	post := func() error {
		reply, err := x.Do(t.Context(), "POST "+x.Path("/events"), event(2))
		if err == nil && reply.Status != http.StatusAccepted {
			err = fmt.Errorf("answered %d: %s", reply.Status, reply.Body)
		}
		return err
	}
	require.NoError(t, post())
	harness.Until(t, func() error {
		if failedStarts(t, p.api) == before {
			return errors.New("nobody knows yet that Temporal is away")
		}
		return nil
	})
	var all errgroup.Group
	for range more - 1 {
		all.Go(post)
	}
	require.NoError(t, all.Wait())

	require.Equal(t, http.StatusOK, ready(t, p.api), "an API accepts without Temporal")
	pending := func() int { return len(harness.All[harness.Delivery](t, x, "/deliveries?status=pending&")) }
	if !ahead {
		require.Equal(t, more, pending())
	}
	harness.Until(t, func() error { // attempts that had begun before that are being recorded
		if posts, waiting := len(r.Posts()), pending(); posts+waiting != 1+more {
			return fmt.Errorf("%d POSTs were made and %d deliveries wait, of %d", posts, waiting, 1+more)
		}
		return nil
	})
	p.temporal = p.temporal.Again(t)
	harness.Until(t, func() error {
		if n := len(r.Counts()); n != 1+more {
			return fmt.Errorf("%d events of %d have been received", n, 1+more)
		}
		return nil
	})
}

// deliversWithoutTemporal publishes while Temporal is down to a process that makes first attempts without a workflow. A
// received delivery needs no Temporal, and the others wait for it.
func deliversWithoutTemporal(t *testing.T, p *production) {
	t.Helper()
	x, y := harness.NewTenant(t, p.api.API), harness.NewTenant(t, p.api.API)
	good, bad := harness.NewReceiver(t, nil), harness.NewReceiver(t, harness.FailFirst(1))
	x.Hook(t, good.URL)
	y.Hook(t, bad.URL, harness.Retries(3, "1s"))
	p.temporal.Kill()
	_, err := publish(t, x)
	require.NoError(t, err)
	require.Empty(t, awaitDelivered(t, x).WorkflowID)
	_, err = publish(t, y)
	require.NoError(t, err)
	awaitAttempt(t, y)
	p.temporal = p.temporal.Again(t)
	require.Len(t, awaitDelivered(t, y).Attempts, 2)
	require.Len(t, good.Posts(), 1)
	require.Len(t, bad.Posts(), 2)
}

// failedStarts returns how many starts of workflows have failed in a process, as its metrics say it.
func failedStarts(t *testing.T, s *harness.Server) (n string) {
	t.Helper()
	_, after, ok := strings.Cut(string(s.Call(t, http.StatusOK, "GET /metrics", nil).Body), `posthorn_workflow_starts_total{result="failed"} `)
	require.True(t, ok)
	n, _, _ = strings.Cut(after, "\n")
	return n
}

// refusesWithoutPostgres publishes while the database is down. The event is refused, and nothing of it is stored.
func refusesWithoutPostgres(t *testing.T, p *production) {
	t.Helper()
	x := harness.NewTenant(t, p.api.API)
	r := harness.NewReceiver(t, nil)
	x.Hook(t, r.URL)
	p.killPostgres(t)

	// No answer at all would be an error of Call.
	reply, err := x.Do(t.Context(), "POST "+x.Path("/events"), event(1), "Idempotency-Key", "only")
	require.NoError(t, err)
	require.GreaterOrEqual(t, reply.Status, http.StatusInternalServerError)
	require.Equal(t, "application/problem+json", reply.Header.Get("Content-Type"))
	require.NotContains(t, string(reply.Body), "127.0.0.1", "what is inside stays inside")
	require.Equal(t, http.StatusServiceUnavailable, ready(t, p.api))

	p.restartPostgres(t)
	harness.Until(t, func() error { return p.api.Ready(t.Context()) })
	require.Empty(t, harness.All[harness.Event](t, x, "/events?"))
	require.Empty(t, harness.All[harness.Delivery](t, x, "/deliveries?"))
	accepted, err := publish(t, x)
	require.NoError(t, err)
	awaitDelivered(t, x)
	require.Equal(t, map[string]int{accepted.ID: 1}, r.Counts())
}

func ready(t *testing.T, s *harness.Server) int {
	t.Helper()
	reply, err := s.Do(t.Context(), "GET /readyz", nil)
	require.NoError(t, err)
	return reply.Status
}
