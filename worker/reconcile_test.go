package worker_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/worker"
)

const (
	tenant    = "acme"
	eventType = "order.created"
)

// engine answers like a Temporal, and remembers the requests to it.
type engine struct {
	*servicetest.Engine
	away      error           // answer to Ready
	silent    error           // answer to Alive
	running   map[string]bool // dispatches whose workflows are running
	questions map[string]int  // how often each was asked after
	asked     chan<- struct{} // hears of each look
}

func (e *engine) Ready(ctx context.Context) error {
	if e.asked != nil {
		select {
		case e.asked <- struct{}{}:
		case <-ctx.Done():
		}
	}
	return e.away
}

func (e *engine) Alive(_ context.Context, dispatchIDs []string) (map[string]bool, error) {
	alive := map[string]bool{}
	for _, id := range dispatchIDs {
		e.questions[id]++
		alive[id] = e.running[id]
	}
	return alive, e.silent
}

// bundle is an installation whose reconciler looks when the test says so.
type bundle struct {
	*servicetest.Env
	*worker.Reconciler
	t      *testing.T
	engine *engine
	m      *metrics.Metrics
}

func setup(t *testing.T, options ...servicetest.Option) *bundle {
	t.Helper()
	env := servicetest.New(t, options...)
	env.Tenant(tenant)
	env.EventTypes(eventType)
	b := &bundle{Env: env, t: t, engine: &engine{Engine: env.Engine, running: map[string]bool{}, questions: map[string]int{}}, m: metrics.New(prometheus.NewRegistry())}
	b.Reconciler = &worker.Reconciler{Store: env.Store, Engine: b.engine, Threshold: servicetest.Threshold, Metrics: b.m,
		Log: slog.New(slog.DiscardHandler), Every: 10 * time.Second, Overdue: time.Minute}
	return b
}

// look runs the reconciler once, and returns the launched dispatches.
func (b *bundle) look() []models.Dispatch {
	b.t.Helper()
	before := len(b.Env.Engine.Dispatches())
	require.NoError(b.t, b.Reconcile(b.t.Context()))
	return b.Env.Engine.Dispatches()[before:]
}

func (b *bundle) catches() float64 { return value(b.t, b.m.Catches) }

// value reads a counter or gauge.
func value(t *testing.T, metric prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	require.NoError(t, metric.Write(&m))
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

// named returns the metrics of a vector.
func named(vector prometheus.Collector) (all []prometheus.Metric) {
	metrics := make(chan prometheus.Metric)
	go func() {
		vector.Collect(metrics)
		close(metrics)
	}()
	for m := range metrics {
		all = append(all, m)
	}
	return all
}

// publish publishes an event to one webhook and returns its delivery and dispatch.
func (b *bundle) publish() (models.Delivery, string) {
	b.t.Helper()
	id := b.Publish(tenant, eventType, `{}`)
	d := b.Deliveries(tenant, id)[0]
	return d, d.DispatchID
}

func (b *bundle) read(d models.Delivery) models.Delivery {
	b.t.Helper()
	d, err := b.Env.Store.Delivery(b.t.Context(), tenant, d.ID)
	require.NoError(b.t, err)
	return d
}

func TestReconcile_WhatIsNotBeingDrivenIsDispatchedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Webhook(tenant, "https://receiver.example/hook")
	d, lost := b.publish()

	require.Empty(t, b.look(), "it is not overdue yet")
	b.Clock.Advance(59 * time.Second)
	require.Empty(t, b.look())
	b.Clock.Advance(2 * time.Second)
	fresh := b.look()
	require.Len(t, fresh, 1)
	require.NotEqual(t, lost, fresh[0].ID, "the workflow of the old id may run yet")
	require.Equal(t, []models.DeliveryKey{{Tenant: tenant, ID: d.ID}}, fresh[0].Deliveries)
	require.InDelta(t, 1, b.catches(), 0)
	now := b.read(d)
	require.Equal(t, fresh[0].ID, now.DispatchID)
	require.Greater(t, now.Generation, d.Generation, "what the old workflow still does counts no more")
	_, err := b.Env.Store.Dispatch(t.Context(), lost)
	require.ErrorIs(t, err, models.ErrNotFound)

	require.Empty(t, b.look(), "it has been seen to")
	b.engine.running[fresh[0].ID] = true
	b.Clock.Advance(2 * time.Minute)
	require.Empty(t, b.look(), "it is being driven now")
	b.engine.running[fresh[0].ID] = false // terminated by hand
	b.Clock.Advance(2 * time.Minute)
	again := b.look()
	require.Len(t, again, 1)
	require.NotEqual(t, fresh[0].ID, again[0].ID)
	require.InDelta(t, 2, b.catches(), 0)
}

func TestReconcile_ARunningDispatchIsLeftAloneHoweverLate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Webhook(tenant, "https://receiver.example/hook")
	d, id := b.publish()
	b.engine.running[id] = true
	for range 3 {
		b.Clock.Advance(time.Hour)
		require.Empty(t, b.look())
	}
	require.Zero(t, b.catches())
	require.Equal(t, d.Generation, b.read(d).Generation)
}

// A dispatch is terminated while its delivery waits for a retry: it is missed when the retry is due, and goes on
// where its schedule stood.
func TestReconcile_ATerminatedRetryGoesOnWhereItStood(t *testing.T) {
	t.Parallel()
	b := setup(t)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	t.Cleanup(receiver.Close)
	b.Webhook(tenant, receiver.URL)
	d, _ := b.publish()
	for range 5 {
		b.Attempt(tenant, d.ID)
	}
	wait := b.read(d).NextAttemptAt.Sub(b.Env.Store.Now())
	require.Greater(t, wait, 2*time.Minute)

	b.Clock.Advance(2 * time.Minute)
	require.Empty(t, b.look(), "it is waiting, as it should")
	b.Clock.Advance(wait)
	require.Len(t, b.look(), 1)
	now := b.read(d)
	require.Equal(t, 5, now.Failures)
	require.Equal(t, 5, now.Attempts)
}

func TestReconcile_WhatWasAcceptedWithoutADispatchGetsOne(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Webhook(tenant, "https://receiver.example/hook")
	b.Env.Engine.SetBusy(true) // and the process dies before the shared dispatch is written
	for range 300 {
		b.Publish(tenant, eventType, `{}`)
	}
	b.Clock.Advance(2 * time.Minute)
	fresh := b.look()
	require.Len(t, fresh, 2)
	require.Len(t, fresh[0].Deliveries, models.MaxDispatch)
	require.Len(t, fresh[1].Deliveries, 300-models.MaxDispatch)
	require.InDelta(t, 300, b.catches(), 0)
	require.Empty(t, b.look())
}

func TestReconcile_MoreThanOneLookfulIsSeenTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Webhook(tenant, "https://receiver.example/hook")
	const events = 1100 // more dispatches than are asked after at once
	for range events {
		b.Publish(tenant, eventType, `{}`)
	}
	b.Clock.Advance(2 * time.Minute)
	n := 0
	for _, d := range b.look() {
		n += len(d.Deliveries)
	}
	require.Equal(t, events, n)
}

func TestReconcile_WhileTemporalIsAwayNothingIsDoubted(t *testing.T) {
	t.Parallel()
	unavailable := errors.New("unavailable")
	for name, c := range map[string]func(*engine){
		"it does not answer":            func(e *engine) { e.away = unavailable },
		"it goes in the middle of it":   func(e *engine) { e.silent = unavailable },
		"it answers and then it is not": func(e *engine) { e.away, e.silent = nil, context.DeadlineExceeded },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Webhook(tenant, "https://receiver.example/hook")
			d, _ := b.publish()
			b.Clock.Advance(time.Hour)
			c(b.engine)
			require.Error(t, b.Reconcile(t.Context()))
			require.Zero(t, b.catches())
			require.Equal(t, d.DispatchID, b.read(d).DispatchID)
			require.InDelta(t, 3600, value(t, b.m.OldestDue), 60, "the metrics still show it")

			b.engine.away, b.engine.silent = nil, nil
			require.Len(t, b.look(), 1)
		})
	}
}

func TestReconcile_WhatIsNotPendingIsNotDispatched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.Webhook(tenant, "https://receiver.example/hook")
	canceled, _ := b.publish()
	_, err := b.Service.CancelDelivery(t.Context(), tenant, canceled.ID, "test")
	require.NoError(t, err)
	b.publish()
	_, err = b.Service.Pause(t.Context(), tenant, w.ID, "test")
	require.NoError(t, err)
	b.Clock.Advance(30 * time.Minute)
	require.Empty(t, b.look())
	require.Zero(t, b.catches())

	b.Clock.Advance(time.Hour)
	require.Empty(t, b.look())
	for _, d := range b.Env.Engine.Dispatches() {
		_, err := b.Env.Store.Dispatch(t.Context(), d.ID)
		require.ErrorIs(t, err, models.ErrNotFound, "an outbox entry of which nothing is owed is swept")
	}
}

func TestReconcile_TheLeasesOfProcessesThatAreGoneAreSwept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.Webhook(tenant, "https://receiver.example/hook")
	for _, holder := range []string{"a", "b"} {
		_, err := b.Env.Store.Lease(t.Context(), w.ID, holder, 1, 5, time.Minute)
		require.NoError(t, err)
	}
	b.Clock.Advance(2 * time.Hour)
	b.look()
	left, err := b.Env.Store.ForgetLeases(t.Context(), b.Env.Store.Now(), 10)
	require.NoError(t, err)
	require.Zero(t, left)
}

// fail records n failed receptions.
func (b *bundle) fail(w models.Webhook, n int) {
	b.t.Helper()
	group := make([]*models.Record, n)
	for i := range group {
		group[i] = &models.Record{Status: models.Pending, Attempt: models.Attempt{Tenant: tenant, ID: models.NewID(models.PrefixAttempt),
			DeliveryID: models.NewID(models.PrefixDelivery), WebhookID: w.ID, StartedAt: b.Clock.Now(), Error: "timeout"}}
	}
	_, err := b.Env.Store.Record(b.t.Context(), group, nil)
	require.NoError(b.t, err)
}

func TestReconcile_AWebhookThatMissedItsSignalIsWoken(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.Webhook(tenant, "https://receiver.example/hook")
	judge := func() {
		_, err := b.Service.Judge(t.Context(), w.ID)
		require.NoError(t, err)
	}
	woken := 0
	expect := func(more int, why string) {
		t.Helper()
		require.Empty(t, b.look())
		woken += more
		require.Len(t, b.Env.Engine.Woken(), woken, why)
	}
	b.fail(w, 1499)
	expect(0, "nothing is due")
	b.fail(w, 1)
	expect(1, "a warning is due")
	judge()
	expect(0, "the notification has a minute to go out")
	b.Clock.Advance(61 * time.Second)
	expect(1, "it has not gone out")
	unsent, err := b.Env.Store.UnsentNotifications(t.Context(), w.ID)
	require.NoError(t, err)
	require.NoError(t, b.Env.Store.NotificationEnded(t.Context(), &models.Notification{ID: unsent[0]}, models.NoticeSent, ""))
	expect(0, "it has")
	b.fail(w, servicetest.Threshold-1500)
	expect(1, "it is over the threshold and active")
	judge()
	expect(0, "it is deactivated")
	require.Equal(t, []string{w.ID, w.ID, w.ID}, b.Env.Engine.Woken())
}

func TestReconcile_ARecoveryThatStandsStillIsStartedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.Webhook(tenant, "https://receiver.example/hook")
	r, err := b.Service.Recover(t.Context(), tenant, w.ID, service.RecoveryRequest{})
	require.NoError(t, err)
	require.Equal(t, []string{r.ID}, b.Env.Engine.Recoveries())
	b.look()
	require.Equal(t, []string{r.ID, r.ID}, b.Env.Engine.Recoveries(), "starting what runs is nothing")

	_, err = b.Service.CancelRecovery(t.Context(), tenant, r.ID)
	require.NoError(t, err)
	b.look()
	require.Len(t, b.Env.Engine.Recoveries(), 2)
}

func TestReconcile_TheBacklogIsMeasured(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.Webhook(tenant, "https://receiver.example/hook")
	d, id := b.publish()
	b.publish()
	b.engine.running[id] = true
	b.look()
	require.InDelta(t, 2, value(t, b.m.Pending), 0)
	require.InDelta(t, 2, value(t, b.m.Backlog.WithLabelValues(w.ID)), 0)
	require.Less(t, value(t, b.m.OldestDue), 30.0)

	_, err := b.Service.PauseDelivery(t.Context(), tenant, d.ID)
	require.NoError(t, err)
	b.Clock.Advance(50 * time.Second)
	b.look()
	require.InDelta(t, 1, value(t, b.m.Pending), 0)
	require.InDelta(t, 1, value(t, b.m.Held), 0)
	require.GreaterOrEqual(t, value(t, b.m.OldestDue), 50.0)

	_, err = b.Service.Pause(t.Context(), tenant, w.ID, "test")
	require.NoError(t, err)
	b.look()
	require.Zero(t, value(t, b.m.Pending))
	require.Zero(t, value(t, b.m.OldestDue))
	require.Empty(t, named(b.m.Backlog), "a webhook without a queue is not named")
}

func TestReconcile_ItLooksAgainAndAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	asked := make(chan struct{})
	b.engine.asked, b.engine.away = asked, errors.New("unavailable")
	b.Every = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx)
	}()
	for range 3 { // a look that fails is not the last
		<-asked
	}
	cancel()
	<-ended
}

func TestReconcile_ALongBacklogIsCountedSeldom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Webhook(tenant, "https://receiver.example/hook")
	b.publish()
	b.look()
	require.InDelta(t, 1, value(t, b.m.Pending), 0)
	b.CountedFor(2 * time.Second)

	b.publish()
	b.Clock.Advance(90 * time.Second)
	b.look()
	require.InDelta(t, 1, value(t, b.m.Pending), 0, "it took 2 s: the next time is 100 s later")
	require.Positive(t, value(t, b.m.OldestDue), "what an alert asks for is measured at every look")
	b.Clock.Advance(10 * time.Second)
	b.look()
	require.InDelta(t, 2, value(t, b.m.Pending), 0)
	b.publish()
	b.look()
	require.InDelta(t, 3, value(t, b.m.Pending), 0)
}

// A delivery whose workflow is paused in Temporal is overdue for a reason. It is left alone, and counted (A10).
func TestReconcile_WhatIsPausedInTemporalIsCountedAndLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Webhook(tenant, "https://receiver.example/hook")
	_, id := b.publish()
	_, other := b.publish()
	b.engine.running[id], b.engine.running[other] = true, true
	b.Env.Engine.Pause(id)
	require.Empty(t, b.look())
	require.Zero(t, value(t, b.m.Paused), "it is not overdue")
	b.Clock.Advance(2 * time.Minute)
	require.Empty(t, b.look())
	require.InDelta(t, 1, value(t, b.m.Paused), 0)
	require.Empty(t, b.look())
	require.InDelta(t, 1, value(t, b.m.Paused), 0, "as long as it is paused, also when its dispatch is not asked after")
}

// New counts are merged in the next pass.
func TestReconcile_StatsAreMerged(t *testing.T) {
	b := setup(t)
	b.Publish(tenant, eventType, `{}`)
	require.NoError(t, b.Reconcile(t.Context()))
	n, _, err := b.Env.Store.MergeStats(t.Context(), models.DeliveryKey{})
	require.NoError(t, err)
	require.Zero(t, n, "nothing is left to merge")
	counts, err := b.Env.Store.Stats(t.Context(), models.StatFilter{Since: b.Clock.Now().Add(-24 * time.Hour).Truncate(24 * time.Hour),
		Until: b.Clock.Now().Add(24 * time.Hour).Truncate(24 * time.Hour), Bucket: 24 * time.Hour})
	require.NoError(t, err)
	require.Equal(t, int64(1), counts[0].Events+counts[1].Events)
}
