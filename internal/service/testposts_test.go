package service_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/internal/slots"
)

// answer is a poster that passes each POST to a function.
type answer func(ctx context.Context) sender.Result

func (a answer) Post(ctx context.Context, _ sender.Request) sender.Result { return a(ctx) }

// holding is a poster that keeps each POST in flight until open is closed, and counts them.
type holding struct {
	inFlight, most atomic.Int64
	open           chan struct{}
}

func (h *holding) Post(context.Context, sender.Request) sender.Result {
	h.most.Store(max(h.most.Load(), h.inFlight.Add(1)))
	<-h.open
	h.inFlight.Add(-1)
	return sender.Result{Outcome: sender.Received, StatusCode: 200}
}

// Test POSTs take slots as deliveries do. A host gets only its share of them, however many tests run.
func TestTestPosts_TakeSlots(t *testing.T) {
	t.Parallel()
	posts := slots.New(slots.Options{Capacity: 8, MaxPerHost: 0.25})
	holding := &holding{open: make(chan struct{})}
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) {
		o.Posts = posts
		o.Poster = holding
	})
	env.Tenant("acme")
	for i := range 20 {
		env.EventTypes(fmt.Sprint("type.n", i))
	}
	w := env.Webhook("acme", "https://receiver.example/hook")
	done := make(chan service.TestReport, 1)
	go func() {
		report, err := env.Service.TestWebhook(t.Context(), "acme", w.ID, "")
		if err != nil {
			t.Error(err)
		}
		done <- report
	}()
	require.Eventually(t, func() bool { return posts.Usage() == slots.Usage{Capacity: 8, Used: 2, Waiting: 18} }, 10*time.Second, time.Millisecond)
	close(holding.open)
	report := <-done
	require.Equal(t, 20, report.Succeeded())
	require.LessOrEqual(t, holding.most.Load(), int64(2))
	require.Zero(t, posts.Usage().Used)
}

func TestTestPosts_ATestThatCouldNotBeSent(t *testing.T) {
	t.Parallel()
	m := metrics.New(prometheus.NewRegistry())
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) {
		o.Metrics = m
		o.Poster = answer(func(context.Context) sender.Result {
			return sender.Result{Outcome: sender.Local, Reason: sender.ReasonFileDescriptors, Error: "not sent"}
		})
	})
	env.Tenant("acme")
	env.EventTypes("order.created")
	w := env.Webhook("acme", "https://receiver.example/hook")
	report, err := env.Service.TestWebhook(t.Context(), "acme", w.ID, "order.created")
	require.NoError(t, err)
	require.Zero(t, report.Succeeded())
	require.Equal(t, "not sent", report.Tests[0].Attempt.Error)
	var count dto.Metric
	require.NoError(t, m.LocalFailures.WithLabelValues("file_descriptors").Write(&count))
	require.InDelta(t, 1, count.GetCounter().GetValue(), 0)
}

// A webhook and a tenant may have only so many tests under way. Further tests are refused without a POST.
func TestTestPosts_TestsAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	open := make(chan struct{})
	env := servicetest.New(t, servicetest.WithPoster(answer(func(context.Context) sender.Result {
		posts.Add(1)
		<-open
		return sender.Result{Outcome: sender.Received, StatusCode: 200}
	})))
	env.Tenant("acme")
	env.Tenant("globex")
	env.EventTypes("order.created")
	tests := map[string]func(ctx context.Context, tenant, id string) error{
		"TestWebhook": func(ctx context.Context, tenant, id string) error {
			_, err := env.Service.TestWebhook(ctx, tenant, id, "")
			return err
		},
		"SendExample": func(ctx context.Context, tenant, id string) error {
			_, err := env.Service.SendExample(ctx, tenant, id, "order.created")
			return err
		},
		"TestURL": func(ctx context.Context, tenant, _ string) error {
			_, err := env.Service.TestURL(ctx, tenant, "languageweaver", "https://receiver.example/", "", "order.created")
			return err
		},
	}
	var under atomic.Int64
	done := make(chan error, 100)
	begin := func(test, tenant, id string) {
		n := under.Add(1)
		go func() { done <- tests[test](t.Context(), tenant, id) }()
		require.Eventually(t, func() bool { return posts.Load() == n }, 10*time.Second, time.Millisecond)
	}
	refused := func(test, tenant, id string) {
		t.Helper()
		var refusal *service.Error
		require.ErrorAs(t, tests[test](t.Context(), tenant, id), &refusal, test)
		require.Equal(t, service.TooMany, refusal.Code)
	}
	w := env.Webhook("acme", "https://receiver.example/hook")
	begin("TestWebhook", "acme", w.ID)
	begin("SendExample", "acme", w.ID)
	refused("TestWebhook", "acme", w.ID)
	refused("SendExample", "acme", w.ID)
	for range 3 {
		w := env.Webhook("acme", "https://receiver.example/hook")
		begin("TestWebhook", "acme", w.ID)
		begin("TestURL", "acme", "")
	}
	other := env.Webhook("acme", "https://receiver.example/hook")
	for test := range tests {
		refused(test, "acme", other.ID)
	}
	theirs := env.Webhook("globex", "https://receiver.example/hook")
	begin("TestWebhook", "globex", theirs.ID)

	close(open)
	for range under.Load() {
		require.NoError(t, <-done)
	}
	require.Equal(t, under.Load(), posts.Load())
	for test, run := range tests {
		require.NoError(t, run(t.Context(), "acme", w.ID), test)
	}
}

// limits are a webhook's limits as a test wants them.
type limits struct {
	places chan struct{}
	paced  atomic.Int64
	asked  chan struct{} // one for each test that finds no place
}

func (l *limits) Enter(_ context.Context, _ string, limit int) (func(), time.Duration, error) {
	if limit != cap(l.places) {
		return nil, 0, fmt.Errorf("limit %d", limit)
	}
	select {
	case l.places <- struct{}{}:
		return func() { <-l.places }, 0, nil
	default:
	}
	select {
	case l.asked <- struct{}{}:
	default:
	}
	return nil, time.Millisecond, nil
}

func (l *limits) Pace(_ context.Context, _ string, perSecond float64, _ time.Duration) (time.Duration, error) {
	l.paced.Add(1)
	if perSecond != 5 {
		return 0, fmt.Errorf("rate %g", perSecond)
	}
	return 0, nil
}

// Test POSTs and deliveries together keep the webhook's own limits.
func TestTestPosts_KeepToTheWebhooksLimits(t *testing.T) {
	t.Parallel()
	own := &limits{places: make(chan struct{}, 2), asked: make(chan struct{}, 1)}
	holding := &holding{open: make(chan struct{})}
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) {
		o.Limits = own
		o.Poster = holding
	})
	env.Tenant("acme")
	for i := range 10 {
		env.EventTypes(fmt.Sprint("type.n", i))
	}
	url, two, rate := "https://receiver.example/hook", 2, 5.0
	w, _, err := env.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: &url, MaxInFlight: &two, RateLimit: &rate})
	require.NoError(t, err)
	done := make(chan service.TestReport, 1)
	go func() {
		report, err := env.Service.TestWebhook(t.Context(), "acme", w.ID, "")
		if err != nil {
			t.Error(err)
		}
		done <- report
	}()
	<-own.asked
	require.Eventually(t, func() bool { return holding.inFlight.Load() == 2 }, 10*time.Second, time.Millisecond)
	close(holding.open)
	require.Equal(t, 10, (<-done).Succeeded())
	require.Equal(t, int64(2), holding.most.Load())
	require.Equal(t, int64(10), own.paced.Load())
	require.Empty(t, own.places)
}

// A test POST that finds no room at its webhook says why it was not sent.
func TestTestPosts_ATestThatFoundNoRoom(t *testing.T) {
	t.Parallel()
	own := &limits{places: make(chan struct{}, 1), asked: make(chan struct{}, 1)}
	own.places <- struct{}{}
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) { o.Limits = own })
	env.Tenant("acme")
	env.EventTypes("order.created")
	url, one := "https://receiver.example/hook", 1
	w, _, err := env.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: &url, MaxInFlight: &one})
	require.NoError(t, err)
	env.Service.WaitForTests(time.Millisecond)
	report, err := env.Service.TestWebhook(t.Context(), "acme", w.ID, "")
	require.NoError(t, err)
	require.Equal(t, "not sent: the webhook's limits (max_in_flight 1) allowed no POST within 1ms", report.Tests[0].Attempt.Error)
}
