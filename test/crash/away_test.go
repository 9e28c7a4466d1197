package crash

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

// acceptsWithoutTemporal publishes while Temporal is down: it is accepted, and delivered when Temporal is back.
func acceptsWithoutTemporal(t *testing.T, p *production) {
	t.Helper()
	x := harness.NewTenant(t, p.api.API)
	r := harness.NewReceiver(t, nil)
	x.Hook(t, r.URL)
	p.temporal.Kill()

	accepted, err := publish(t, x)

	require.NoError(t, err)
	require.Equal(t, http.StatusOK, ready(t, p.api), "an API accepts without Temporal")
	d := harness.All[harness.Delivery](t, x, "/deliveries?")
	require.Len(t, d, 1)
	require.Equal(t, "pending", d[0].Status)
	require.Empty(t, r.Posts())
	p.temporal = p.temporal.Again(t)
	awaitDelivered(t, x)
	require.Equal(t, map[string]int{accepted.ID: 1}, r.Counts())
}

// refusesWithoutPostgres publishes while the database is down: it is refused, and nothing of it is there afterwards.
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
