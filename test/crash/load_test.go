package crash

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

const (
	callers   = 3
	callEvery = 40 * time.Millisecond // by each caller: what a loaded machine can keep up with
)

// load publishes events until it is stopped. A call with an error or without an answer is repeated with the same key,
// as the API's contract says, so that every event is accepted in the end.
type load struct {
	t        *testing.T
	tenant   harness.Tenant
	receiver *harness.Receiver
	stop     context.CancelFunc
	callers  sync.WaitGroup

	mu       sync.Mutex
	accepted map[string]bool
	// may is how many POSTs of an event are allowed after the first: one for every death while it was on its way.
	may map[string]int
}

// startLoad begins to publish for a separate tenant, to a receiver that takes a moment to answer.
func startLoad(t *testing.T, api harness.API) *load {
	t.Helper()
	l := &load{t: t, tenant: harness.NewTenant(t, api), accepted: map[string]bool{}, may: map[string]int{}}
	l.receiver = harness.NewReceiver(t, func(http.ResponseWriter, int) { <-time.After(10 * time.Millisecond) })
	l.tenant.Hook(t, l.receiver.URL, harness.Retries(100, "1s"))
	stopped, stop := context.WithCancel(t.Context())
	l.stop = stop
	for caller := range callers {
		l.callers.Go(func() {
			ticker := time.NewTicker(callEvery)
			defer ticker.Stop()
			for n := 0; stopped.Err() == nil; n++ {
				l.publish(fmt.Sprintf("%d/%d", caller, n), event(n), ticker) //nolint:contextcheck // Begun calls are finished.
				<-ticker.C
			}
		})
	}
	return l
}

// publish publishes one event until it is accepted.
func (l *load) publish(key string, event harness.Object, pace *time.Ticker) {
	ctx := l.t.Context()
	for ctx.Err() == nil {
		reply, err := l.tenant.Do(ctx, "POST "+l.tenant.Path("/events"), event, "Idempotency-Key", key)
		switch {
		case err != nil, reply.Status >= http.StatusInternalServerError: // unknown: the same again
		case reply.Status == http.StatusAccepted:
			l.mu.Lock()
			l.accepted[harness.Read[harness.Accepted](l.t, reply).ID] = true
			l.mu.Unlock()
			return
		default:
			l.t.Errorf("publish answered %d: %s", reply.Status, reply.Body)
			return
		}
		<-pace.C
	}
}

// around kills a part and brings it back. It notes the events that were on their way meanwhile: sent, but not on record
// before.
func (l *load) around(kill, restart func()) {
	l.t.Helper()
	recorded := l.receiver.Counts()
	for _, d := range harness.All[harness.Delivery](l.t, l.tenant, "/deliveries?status=pending") {
		delete(recorded, d.EventID)
	}
	kill()
	for id := range l.receiver.Counts() {
		if recorded[id] == 0 {
			l.may[id]++
		}
	}
	restart()
}

// settle stops publishing, waits until everything is delivered, and asserts that nothing is lost, made twice, or sent
// more often than it may be.
func (l *load) settle() {
	l.t.Helper()
	l.stop()
	l.callers.Wait()
	require.NotEmpty(l.t, l.accepted)
	harness.Until(l.t, func() error {
		if left := harness.All[harness.Delivery](l.t, l.tenant, "/deliveries?status=pending"); len(left) > 0 {
			return fmt.Errorf("%d of %d deliveries are pending", len(left), len(l.accepted))
		}
		return nil
	})
	delivered := map[string]bool{}
	for _, d := range harness.All[harness.Delivery](l.t, l.tenant, "/deliveries?") {
		require.Equal(l.t, "delivered", d.Status)
		require.False(l.t, delivered[d.EventID], "two deliveries of %s", d.EventID)
		delivered[d.EventID] = true
	}
	require.Equal(l.t, l.accepted, delivered, "what was accepted is what was delivered")
	extra := 0
	counts := l.receiver.Counts()
	for id, n := range counts {
		if n > 1+l.may[id] {
			l.t.Fatalf("%s was on its way at %d deaths, and sent %d times%s", id, l.may[id], n, l.story(id))
		}
		extra += n - 1
	}
	require.Len(l.t, counts, len(l.accepted))
	l.t.Logf("%d events, %d were on their way at a death, %d POSTs were made again", len(counts), len(l.may), extra)
}

// story returns when an event was sent, and its records.
func (l *load) story(id string) string {
	var b strings.Builder
	for _, p := range l.receiver.Posts() {
		if p.ID() == id {
			fmt.Fprintf(&b, "\nsent at %s", p.At.UTC().Format(time.RFC3339Nano))
		}
	}
	for _, d := range harness.All[harness.Delivery](l.t, l.tenant, "/deliveries?event_id="+id) {
		reply := l.tenant.Call(l.t, http.StatusOK, "GET "+l.tenant.Path("/deliveries/"+d.ID), nil)
		fmt.Fprintf(&b, "\n%s", reply.Body)
	}
	return b.String()
}
