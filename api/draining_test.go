package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
)

// A process that has to stop reports that it is not ready, and serves until its listener closes.
func TestDraining_AProcessThatDrainsIsNotReady(t *testing.T) {
	t.Parallel()
	draining := false
	e := newEnvWith(t, func(o *api.Options) { o.Draining = func() bool { return draining } })
	require.Equal(t, http.StatusOK, e.call("GET /readyz", "").status)
	draining = true
	answer := e.call("GET /readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, answer.status)
	require.Contains(t, answer.body, "is stopping")
	require.Equal(t, http.StatusOK, e.call("GET /healthz", "").status)
	require.Equal(t, http.StatusOK, e.call("GET /v1/tenants/acme/events", "").status)
}
