package delivery_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

const (
	tenant    = "acme"
	eventType = "order.created"
	payload   = `{"secret-of":"the payload"}`
)

// bundle is an installation with one tenant, its activities, and a receiver.
type bundle struct {
	*servicetest.Env
	*delivery.Courier
	t        *testing.T
	receiver *receiver
	failed   *names
}

func setup(t *testing.T, options ...servicetest.Option) *bundle {
	t.Helper()
	env := servicetest.New(t, options...)
	env.Tenant(tenant)
	env.EventTypes(eventType)
	b := &bundle{Env: env, t: t, receiver: newReceiver(t), failed: &names{}}
	b.Courier = &delivery.Courier{Service: env.Service, Store: env.Store, Desk: handoff.NewDesk(1<<20, env.Clock.Now),
		Recorder: delivery.NewRecorder(env.Store, quiet), Cap: delivery.NewCap(), Limits: delivery.NewLimits(env.Store.LeaseHolder, env.Store, env.Clock.Now),
		Failed: func(id string, _, _ int64) { b.failed.add(id) }, Metrics: metrics.New(prometheus.NewRegistry()), Log: quiet, Now: env.Clock.Now}
	return b
}

var quiet = slog.New(slog.DiscardHandler)

// names is a list that several may add to.
type names struct {
	mu  sync.Mutex
	all []string
}

func (n *names) add(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, name)
}

func (n *names) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.all...)
}

// receiver answers POSTs by their paths, with 204 unless the test sets another answer.
type receiver struct {
	url string

	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	posts   map[string]int
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{answers: map[string]http.HandlerFunc{}, posts: map[string]int{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.posts[request.URL.Path]++
		answer := r.answers[request.URL.Path]
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(w, request)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// answer makes a path answer with this status and these headers, given as name, value.
func (r *receiver) answer(path string, status int, header ...string) {
	r.handle(path, func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	})
}

func (r *receiver) handle(path string, answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[path] = answer
}

// got counts the POSTs a path has had.
func (r *receiver) got(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.posts[path]
}

// hook registers a webhook at a path of the receiver.
func (b *bundle) hook(path string, changes ...func(*service.WebhookChange)) models.Webhook {
	b.t.Helper()
	url := b.receiver.url + path
	c := service.WebhookChange{URL: &url, By: "test"}
	for _, change := range changes {
		change(&c)
	}
	w, _, err := b.Env.Service.CreateWebhook(b.t.Context(), tenant, c)
	require.NoError(b.t, err)
	return w
}

func retries(n int) func(*service.WebhookChange) {
	return func(c *service.WebhookChange) { c.Retry = &models.Retry{Max: &n} }
}

// publish publishes an event and returns the dispatch that was started for it.
func (b *bundle) publish() models.Dispatch {
	b.t.Helper()
	before := len(b.Engine.Dispatches())
	b.Publish(tenant, eventType, payload)
	all := b.Engine.Dispatches()
	require.Len(b.t, all, before+1)
	return all[before]
}

// delivery reads the only delivery of a dispatch.
func (b *bundle) delivery(d models.Dispatch) models.Delivery {
	b.t.Helper()
	require.Len(b.t, d.Deliveries, 1)
	return b.read(d.Deliveries[0].ID)
}

func (b *bundle) read(id string) models.Delivery {
	b.t.Helper()
	d, err := b.Env.Store.Delivery(b.t.Context(), tenant, id)
	require.NoError(b.t, err)
	return d
}

// work returns what a process that has accepted a dispatch holds of it.
func (b *bundle) work(d models.Dispatch) (work []handoff.Work) {
	b.t.Helper()
	for _, key := range d.Deliveries {
		delivery := b.read(key.ID)
		event, err := b.Env.Store.Event(b.t.Context(), delivery.Tenant, delivery.EventID)
		require.NoError(b.t, err)
		work = append(work, handoff.Work{Delivery: delivery, Event: &event})
	}
	return work
}

// first runs First.
func (b *bundle) first(dispatchID string) delivery.Batch {
	b.t.Helper()
	round, err := b.First(b.t.Context(), delivery.FirstInput{DispatchID: dispatchID})
	require.NoError(b.t, err)
	return plain(round)
}

// plain returns the results of a batch, without the reasons.
func plain(b delivery.Batch) delivery.Batch {
	b.Ended, b.Refused = nil, 0
	return b
}

// finished reports whether the outbox entry of a dispatch is gone.
func (b *bundle) finished(dispatchID string) bool {
	b.t.Helper()
	_, err := b.Env.Store.Dispatch(b.t.Context(), dispatchID)
	if err != nil {
		require.ErrorIs(b.t, err, models.ErrNotFound)
	}
	return err != nil
}

// attempt runs Retry.
func (b *bundle) attempt(dispatchID string, l delivery.Leftover) (delivery.Outcome, error) {
	b.t.Helper()
	return b.Retry(b.t.Context(), delivery.RetryInput{DispatchID: dispatchID, Delivery: l})
}

// due puts the clock forward to a little after a leftover's next attempt.
func (b *bundle) due(l delivery.Leftover) { b.Clock.Advance(l.Wait + 10*time.Millisecond) }

// fill takes every place at a webhook, until leave is called.
func (b *bundle) fill(webhookID string) (leave func()) {
	var all []func()
	for range delivery.DefaultInFlight {
		out, ok := b.Cap.Ask(webhookID, 1)[0].Enter(b.t.Context())
		require.True(b.t, ok)
		all = append(all, out)
	}
	return func() {
		for _, out := range all {
			out()
		}
	}
}

// unattempted returns the first delivery that is not being attempted, because its turn has not come.
func (b *bundle) unattempted(keys []models.DeliveryKey) string { return keys[len(keys)-1].ID }
