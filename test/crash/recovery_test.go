package crash

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
	"github.com/posthorn/posthorn/test/pgtest"
)

// recoverWithin is how soon after the kill of a process everything that it held is delivered.
const recoverWithin = 10 * time.Second

// Everything that a killed process held is delivered within seconds, with the default settings. Only trouble that looks
// like normal work takes others a minute to notice.
func TestCrash_RecoveryAfterAKillTakesUnderTenSeconds(t *testing.T) {
	t.Parallel()
	temporal := harness.NewTemporal(t, &programs, harness.Sibling(t, pgtest.URL(t), "temporal"))
	t.Run("of an API with deliveries in its memory", func(t *testing.T) { anAPIIsKilled(t, temporal) })
	t.Run("of a worker in the middle of POSTs", func(t *testing.T) { aWorkerIsKilled(t, temporal) })
	t.Run("of an API that is only suspended", func(t *testing.T) { anAPIIsSuspended(t, temporal) })
	t.Run("of Temporal", func(t *testing.T) { temporalIsKilled(t, temporal) })
}

// held is an API that has accepted events while Temporal did not answer: they are in its memory, or written and not started.
func held(t *testing.T, temporal *harness.Temporal) (api *harness.Server, x harness.Tenant, r *harness.Receiver, events int) {
	t.Helper()
	i := newProduction(t, temporal)
	i.Start(t, "worker")
	api = i.Start(t, "api")
	x, r = harness.NewTenant(t, api.API), harness.NewReceiver(t, nil)
	x.Hook(t, r.URL)
	temporal.Suspend(t)
	const batches, size = 3, 300
	for b := range batches {
		batch := make([]harness.Object, size)
		for n := range batch {
			batch[n] = event(b*size + n)
		}
		x.Call(t, http.StatusAccepted, "POST "+x.Path("/events/batch"), harness.Object{"events": batch})
	}
	return api, x, r, batches * size
}

func anAPIIsKilled(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	api, _, r, events := held(t, temporal)
	api.Kill()
	killed := time.Now()
	temporal.Resume(t)
	require.Empty(t, r.Posts())
	requireRecovered(t, r, events, killed)
	requireOnce(t, r)
}

// Others take over the deliveries of a suspended process. When it continues, it sends none of them.
func anAPIIsSuspended(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	api, x, r, events := held(t, temporal)
	api.Suspend(t)
	suspended := time.Now()
	temporal.Resume(t)
	requireReceived(t, r, events) // it may have rows locked, which are passed over for a while
	t.Logf("taken over %s after the suspension", time.Since(suspended))
	api.Resume(t)
	x.Call(t, http.StatusAccepted, "POST "+x.Path("/events"), event(events))
	r.Await(t, events+1)
	harness.Until(t, func() error {
		if left := harness.All[harness.Delivery](t, x, "/deliveries?status=pending&"); len(left) > 0 {
			return fmt.Errorf("%d deliveries are pending", len(left))
		}
		return nil
	})
	requireOnce(t, r)
}

// Events accepted while Temporal was away are delivered soon after its return, even if no more events are published.
func temporalIsKilled(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := newProduction(t, temporal)
	i.Start(t, "worker")
	api := i.Start(t, "api")
	x, r := harness.NewTenant(t, api.API), harness.NewReceiver(t, nil)
	x.Hook(t, r.URL)
	x.Call(t, http.StatusAccepted, "POST "+x.Path("/events"), event(0))
	r.Await(t, 1)
	temporal.Kill()
	const events = 50
	for n := range events {
		x.Call(t, http.StatusAccepted, "POST "+x.Path("/events"), event(1+n))
	}
	temporal.Again(t)
	requireRecovered(t, r, 1+events, time.Now())
	requireOnce(t, r)
}

func requireOnce(t *testing.T, r *harness.Receiver) {
	t.Helper()
	for id, n := range r.Counts() {
		require.Equal(t, 1, n, id)
	}
}

func aWorkerIsKilled(t *testing.T, temporal *harness.Temporal) {
	t.Helper()
	i := newProduction(t, temporal)
	api, mortal := i.Start(t, "api"), i.Start(t, "worker")
	x := harness.NewTenant(t, api.API)
	released := make(chan struct{})
	wait := func() { <-released }
	first := harness.NewReceiver(t, func(_ http.ResponseWriter, n int) {
		if n == 1 {
			wait()
		}
	})
	retry := harness.NewReceiver(t, func(w http.ResponseWriter, n int) {
		switch n {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			wait()
		}
	})
	t.Cleanup(func() { close(released) })
	x.Hook(t, first.URL, harness.Retries(3, "1s"))
	x.Hook(t, retry.URL, harness.Retries(3, "1s"))
	const events = 5
	for n := range events {
		x.Call(t, http.StatusAccepted, "POST "+x.Path("/events"), event(n))
	}
	first.Await(t, events)
	retry.Await(t, 2*events) // each is being retried
	i.Start(t, "worker")
	mortal.Kill()
	killed := time.Now()
	harness.Until(t, func() error {
		if n := len(harness.All[harness.Delivery](t, x, "/deliveries?status=delivered&")); n < 2*events {
			return fmt.Errorf("%d of %d are delivered", n, 2*events)
		}
		return nil
	})
	requireSoon(t, killed)
	require.Len(t, first.Posts(), 2*events)
	require.Len(t, retry.Posts(), 3*events)
}

// requireRecovered waits until so many events have been received, and requires that it was soon after the kill.
func requireRecovered(t *testing.T, r *harness.Receiver, events int, killed time.Time) {
	t.Helper()
	requireReceived(t, r, events)
	requireSoon(t, killed)
}

func requireReceived(t *testing.T, r *harness.Receiver, events int) {
	t.Helper()
	harness.Until(t, func() error {
		if n := len(r.Counts()); n < events {
			return fmt.Errorf("%d of %d events have been received", n, events)
		}
		return nil
	})
}

func requireSoon(t *testing.T, killed time.Time) {
	t.Helper()
	took := time.Since(killed)
	t.Logf("recovered %s after the kill", took)
	require.Less(t, took, recoverWithin)
}
