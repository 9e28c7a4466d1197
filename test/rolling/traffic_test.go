package rolling

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

const (
	callers   = 3
	callEvery = 200 * time.Millisecond // by each caller: what a loaded machine can keep up with
)

// traffic publishes events and reads lists. No call may fail: none is repeated.
type traffic struct {
	t      *testing.T
	tenant harness.Tenant
	// steady receives everything, after a moment; second what it is sent a second time: its workflows wait for a while.
	steady, second *harness.Receiver
	stop           context.CancelFunc
	callers        sync.WaitGroup

	mu       sync.Mutex
	accepted map[string]bool
}

func startTraffic(t *testing.T, api harness.API) *traffic {
	t.Helper()
	x := &traffic{t: t, tenant: harness.NewTenant(t, api), accepted: map[string]bool{}}
	x.steady = harness.NewReceiver(t, func(http.ResponseWriter, int) { <-time.After(30 * time.Millisecond) })
	x.second = harness.NewReceiver(t, harness.FailFirst(1))
	x.tenant.Hook(t, x.steady.URL, harness.Retries(10, "2s"))
	x.tenant.Hook(t, x.second.URL, harness.Retries(10, "2s"))
	stopped, stop := context.WithCancel(t.Context())
	x.stop = stop
	for caller := range callers {
		x.callers.Go(func() {
			ticker := time.NewTicker(callEvery)
			defer ticker.Stop()
			for n := 0; stopped.Err() == nil; n++ {
				x.call(fmt.Sprintf("%d/%d", caller, n), n) //nolint:contextcheck // What has been begun is finished.
				<-ticker.C
			}
		})
	}
	return x
}

func (x *traffic) call(key string, n int) {
	reply, err := x.tenant.Do(x.t.Context(), "POST "+x.tenant.Path("/events"), harness.Object{"type": "order.created", "data": harness.Object{"order": key}})
	if err != nil || reply.Status != http.StatusAccepted {
		x.t.Errorf("publishing %s failed at %s: %v, %d %s", key, time.Now().UTC().Format(time.StampMilli), err, reply.Status, reply.Body)
		return
	}
	x.mu.Lock()
	x.accepted[harness.Read[harness.Accepted](x.t, reply).ID] = true
	x.mu.Unlock()
	if n%10 != 0 {
		return
	}
	for _, list := range []string{"/deliveries?limit=5", "/events?limit=5", "/webhooks"} {
		if reply, err := x.tenant.Do(x.t.Context(), "GET "+x.tenant.Path(list), nil); err != nil || reply.Status != http.StatusOK {
			x.t.Errorf("reading %s failed: %v, %d %s", list, err, reply.Status, reply.Body)
		}
	}
}

// await waits until n more events have been accepted.
func (x *traffic) await(n int) {
	x.t.Helper()
	before := x.count()
	harness.Until(x.t, func() error {
		if have := x.count() - before; have < n {
			return fmt.Errorf("%d of %d events", have, n)
		}
		return nil
	})
}

func (x *traffic) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.accepted)
}

// settle stops publishing, and waits until all is delivered: to the one receiver with one POST each, to the other with two.
func (x *traffic) settle() {
	x.t.Helper()
	x.stop()
	x.callers.Wait()
	harness.Until(x.t, func() error {
		if left := harness.All[harness.Delivery](x.t, x.tenant, "/deliveries?status=pending"); len(left) > 0 {
			return fmt.Errorf("%d deliveries of %d events are pending", len(left), x.count())
		}
		return nil
	})
	delivered := map[string]int{}
	for _, d := range harness.All[harness.Delivery](x.t, x.tenant, "/deliveries?") {
		require.Equal(x.t, "delivered", d.Status)
		delivered[d.EventID]++
	}
	require.Len(x.t, delivered, x.count())
	for want, receiver := range map[int]*harness.Receiver{1: x.steady, 2: x.second} {
		counts := receiver.Counts()
		for id := range x.accepted {
			require.Equal(x.t, 2, delivered[id], id)
			require.Equal(x.t, want, counts[id], "POSTs of %s", id)
		}
		require.Len(x.t, counts, x.count())
	}
	x.t.Logf("%d events", x.count())
}
