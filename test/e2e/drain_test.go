package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/app"
	"github.com/posthorn/posthorn/test/harness"
)

// stoppingIsAnnounced asks a process to stop: it is not ready any more while it still serves, so that a load balancer
// that asks /readyz sends it nothing that is refused. It ends within the drain time, although a POST is under way.
func stoppingIsAnnounced(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	s := newProduction(t, temporal).Start(t, "serve")
	x := newTenant(t, s.API)
	r := harness.NewReceiver(t, func(http.ResponseWriter, int) { <-time.After(3 * time.Second) })
	w := x.hook(r.URL)

	began := time.Now()
	s.Terminate(t)
	harness.Until(t, func() error {
		reply, err := s.Do(t.Context(), "GET /readyz", nil)
		require.NoError(t, err, "it must not stop listening before it has said that it is not ready")
		if reply.Status != http.StatusServiceUnavailable {
			return fmt.Errorf("/readyz answers %d", reply.Status)
		}
		require.Contains(t, string(reply.Body), "stopping")
		return nil
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/healthz", nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.True(t, response.Close, "its connections are not used again")
	accepted := x.publish(1)
	require.NoError(t, s.AwaitEnd(t))
	require.Less(t, time.Since(began), app.DrainFor)
	require.Len(t, r.Posts(), 1, "what was accepted on the way out is sent")

	s.Again(t)
	require.Equal(t, w.ID, x.await(accepted.ID, "delivered").WebhookID)
	require.Len(t, r.Posts(), 1, "and recorded")
}

// secondSignalEnds asks twice: the operator does not want to wait.
func secondSignalEnds(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	s := newProduction(t, temporal).Start(t, "serve")
	x := newTenant(t, s.API)
	arrived, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r := harness.NewReceiver(t, func(http.ResponseWriter, int) { once.Do(func() { close(arrived) }); <-release })
	t.Cleanup(func() { close(release) })
	x.hook(r.URL)
	x.publish(1)
	<-arrived // the drain would wait for it

	s.Terminate(t)
	harness.Until(t, func() error {
		reply, err := s.Do(t.Context(), "GET /readyz", nil)
		if err != nil || reply.Status == http.StatusOK {
			return fmt.Errorf("it does not drain yet: %d, %w", reply.Status, err)
		}
		return nil
	})
	s.Terminate(t)
	require.Error(t, s.AwaitEnd(t), "it was ended")
}
