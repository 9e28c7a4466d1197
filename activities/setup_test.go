package activities_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

const (
	tenant    = "acme"
	eventType = "order.created"
	payload   = `{"secret-of":"the payload"}`
)

// bundle is an installation with one tenant, its activities, and a receiver.
type bundle struct {
	*servicetest.Env
	*activities.Deliveries
	t        *testing.T
	receiver *receiver
}

func setup(t *testing.T, options ...servicetest.Option) *bundle {
	t.Helper()
	env := servicetest.New(t, options...)
	env.Tenant(tenant)
	env.EventTypes(eventType)
	b := &bundle{Env: env, t: t, receiver: newReceiver(t)}
	b.Deliveries = &activities.Deliveries{Courier: &delivery.Courier{Service: env.Service, Store: env.Store, Desk: handoff.NewDesk(1<<20, env.Clock.Now),
		Recorder: delivery.NewRecorder(env.Store, quiet), Cap: delivery.NewCap(), Limits: delivery.NewLimits(env.Store.LeaseHolder, env.Store, env.Clock.Now),
		Failed: func(string, int64, int64) {}, Metrics: metrics.New(prometheus.NewRegistry()), Log: quiet, Now: env.Clock.Now}}
	return b
}

var quiet = slog.New(slog.DiscardHandler)

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
	w, _, err := b.Service.CreateWebhook(b.t.Context(), tenant, c)
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
	d, err := b.Store.Delivery(b.t.Context(), tenant, id)
	require.NoError(b.t, err)
	return d
}

// first runs FirstAttempts.
func (b *bundle) first(dispatchID string) workflows.Round {
	b.t.Helper()
	round, err := b.FirstAttempts(b.t.Context(), workflows.FirstAttemptsInput{DispatchID: dispatchID})
	require.NoError(b.t, err)
	return round
}

// finished reports whether the outbox entry of a dispatch is gone.
func (b *bundle) finished(dispatchID string) bool {
	b.t.Helper()
	_, err := b.Store.Dispatch(b.t.Context(), dispatchID)
	if err != nil {
		require.ErrorIs(b.t, err, models.ErrNotFound)
	}
	return err != nil
}

// run runs a regular activity as Temporal does.
func run[R any](b *bundle, name string, method any, in ...any) (result R, err error) {
	b.t.Helper()
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(quiet))
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(time.Minute)
	env.RegisterActivityWithOptions(method, activity.RegisterOptions{Name: name})
	value, err := env.ExecuteActivity(name, in...)
	if err != nil {
		return result, err
	}
	require.NoError(b.t, value.Get(&result))
	return result, nil
}

// attempt runs Attempt.
func (b *bundle) attempt(dispatchID string, l workflows.Leftover) (workflows.Outcome, error) {
	b.t.Helper()
	return run[workflows.Outcome](b, workflows.Attempt, b.Deliveries.Attempt, workflows.AttemptInput{DispatchID: dispatchID, Delivery: l})
}

// due puts the clock forward to a little after a leftover's next attempt.
func (b *bundle) due(l workflows.Leftover) { b.Clock.Advance(l.Wait + 10*time.Millisecond) }
