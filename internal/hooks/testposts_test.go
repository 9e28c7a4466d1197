package hooks_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/hookstest"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/slots"
)

// answer is a poster that gives each POST to a function.
type answer func(ctx context.Context) sender.Result

func (a answer) Post(ctx context.Context, _ sender.Request) sender.Result { return a(ctx) }

// Test POSTs take slots as deliveries do: whatever is tested, a host has its share of them.
func TestTestPostsTakeSlots(t *testing.T) {
	t.Parallel()
	posts := slots.New(slots.Options{Capacity: 8, MaxPerHost: 0.25})
	var inFlight, most atomic.Int64
	open := make(chan struct{})
	env := hookstest.New(t, func(_ *sender.Config, o *hooks.Options) {
		o.Posts = posts
		o.Poster = answer(func(context.Context) sender.Result {
			most.Store(max(most.Load(), inFlight.Add(1)))
			<-open
			inFlight.Add(-1)
			return sender.Result{Outcome: sender.Received, StatusCode: 200}
		})
	})
	env.Tenant("acme")
	for i := range 20 {
		env.EventTypes(fmt.Sprint("type.n", i))
	}
	w := env.Webhook("acme", "https://receiver.example/hook")
	done := make(chan hooks.TestReport, 1)
	go func() {
		report, err := env.Hooks.TestWebhook(t.Context(), "acme", w.ID, "")
		if err != nil {
			t.Error(err)
		}
		done <- report
	}()
	require.Eventually(t, func() bool { return posts.Usage() == slots.Usage{Capacity: 8, Used: 2, Waiting: 18} }, 10*time.Second, time.Millisecond)
	close(open)
	report := <-done
	require.Equal(t, 20, report.Succeeded())
	require.LessOrEqual(t, most.Load(), int64(2))
	require.Zero(t, posts.Usage().Used)
}

func TestATestThatCouldNotBeSent(t *testing.T) {
	t.Parallel()
	m := metrics.New(prometheus.NewRegistry())
	env := hookstest.New(t, func(_ *sender.Config, o *hooks.Options) {
		o.Metrics = m
		o.Poster = answer(func(context.Context) sender.Result {
			return sender.Result{Outcome: sender.Local, Reason: sender.ReasonFileDescriptors, Error: "not sent"}
		})
	})
	env.Tenant("acme")
	env.EventTypes("order.created")
	w := env.Webhook("acme", "https://receiver.example/hook")
	report, err := env.Hooks.TestWebhook(t.Context(), "acme", w.ID, "order.created")
	require.NoError(t, err)
	require.Zero(t, report.Succeeded())
	require.Equal(t, "not sent", report.Tests[0].Attempt.Error)
	var count dto.Metric
	require.NoError(t, m.LocalFailures.WithLabelValues("file_descriptors").Write(&count))
	require.InDelta(t, 1, count.GetCounter().GetValue(), 0)
}
