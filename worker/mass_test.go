package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
	"github.com/posthorn/posthorn/worker"
)

// patient starts its dispatches and remembers how many came at once, and which ones were checked.
type patient struct {
	mu         sync.Mutex
	alive      bool // all that is asked about
	asked      map[string]int
	started    []models.Dispatch
	atOnce     []int // dispatches of each call
	goroutines int   // the most there were
	refuse     int   // calls before which nothing is started
	judged     map[string]int
	recovered  map[string]int
	block      chan struct{} // Alive waits for it, if it is set
}

func newPatient() *patient {
	return &patient{asked: map[string]int{}, judged: map[string]int{}, recovered: map[string]int{}}
}

func (p *patient) Alive(ctx context.Context, ids []string) (map[string]bool, error) {
	if p.block != nil {
		select {
		case <-p.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	alive := map[string]bool{}
	for _, id := range ids {
		p.asked[id]++
		alive[id] = p.alive || slices.ContainsFunc(p.started, func(d models.Dispatch) bool { return d.ID == id })
	}
	return alive, nil
}

func (p *patient) Ready(context.Context) error { return nil }

func (p *patient) LaunchWait(_ context.Context, dispatches ...models.Dispatch) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.atOnce = append(p.atOnce, len(dispatches))
	p.goroutines = max(p.goroutines, runtime.NumGoroutine())
	if p.refuse > 0 {
		p.refuse--
		return 0
	}
	p.started = append(p.started, dispatches...)
	return len(dispatches)
}

func (p *patient) WakeHealth(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judged[id]++
}

func (p *patient) PausedDispatches(context.Context) (map[string]bool, error) {
	return map[string]bool{}, nil
}

func (p *patient) StartRecovery(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recovered[id]++
}

// outage is an installation after an outage of Temporal: n events, each with its own dispatch that never started.
func outage(t *testing.T, groupMax, n int) (*worker.Reconciler, *patient, *servicetest.Clock) {
	t.Helper()
	clock := &servicetest.Clock{}
	store, err := models.Open(t.Context(), modelstest.SQLite(t), models.Options{Now: clock.Now, GroupMax: groupMax})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	_, err = store.PutTenant(t.Context(), &models.Tenant{ID: tenant, Name: tenant})
	require.NoError(t, err)
	w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Status: models.WebhookActive}
	require.NoError(t, store.CreateWebhook(t.Context(), &w))
	versions, err := store.TenantVersions(t.Context(), []string{tenant})
	require.NoError(t, err)
	a := models.Acceptance{Tenant: tenant, Version: versions[tenant]}
	for range n {
		now := store.Now()
		e := models.Event{Tenant: tenant, ID: models.NewID(models.PrefixEvent), Type: eventType, Data: []byte("{}"), CreatedAt: now}
		d := models.Delivery{Tenant: tenant, ID: models.NewID(models.PrefixDelivery), EventID: e.ID, EventType: eventType, WebhookID: w.ID,
			Status: models.Pending, DispatchID: e.ID, CreatedAt: now, NextAttemptAt: &now}
		a.Events, a.Deliveries = append(a.Events, e), append(a.Deliveries, d)
		a.Dispatches = append(a.Dispatches, models.Dispatch{ID: e.ID, Deliveries: []models.DeliveryKey{d.Key()}, CreatedAt: now})
	}
	if n > 0 {
		results, err := store.Accept(t.Context(), []*models.Acceptance{&a})
		require.NoError(t, err)
		require.NoError(t, results[0].Err)
	}
	clock.Advance(10 * time.Minute)
	engine := newPatient()
	return &worker.Reconciler{Store: store, Engine: engine, Threshold: servicetest.Threshold, Metrics: metrics.New(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler), Every: time.Millisecond, Overdue: time.Minute}, engine, clock
}

// With every POSTHORN_GROUP_MAX, one pass takes over all deliveries after an outage, each once, with few starts and few
// goroutines at a time.
func TestReconcileMass_AnOutageIsCaughtUpWithWhateverTheGroup(t *testing.T) { //nolint:paralleltest // it counts the process's goroutines
	const n = 3000
	for _, groupMax := range []int{1, 2, models.MaxDispatch} { //nolint:paralleltest // likewise
		t.Run(fmt.Sprint(groupMax), func(t *testing.T) {
			r, engine, _ := outage(t, groupMax, n)
			before := runtime.NumGoroutine()
			require.NoError(t, r.Reconcile(t.Context()))
			seen := map[models.DeliveryKey]int{}
			for _, d := range engine.started {
				for _, key := range d.Deliveries {
					seen[key]++
				}
			}
			require.Len(t, seen, n)
			for key, times := range seen {
				require.Equal(t, 1, times, key)
			}
			require.InDelta(t, n, value(t, r.Metrics.Catches), 0)
			require.Len(t, engine.started, (n+models.MaxDispatch-1)/models.MaxDispatch, "so many of them share dispatches")
			require.Less(t, engine.goroutines, before+100)
			require.Len(t, engine.asked, n)
			for id, times := range engine.asked {
				require.Equal(t, 1, times, id)
			}

			require.NoError(t, r.Reconcile(t.Context()))
			require.InDelta(t, n, value(t, r.Metrics.Catches), 0, "what has been started is not taken over again")
			require.Len(t, engine.asked, n)
		})
	}
}

// Beside another tenant a takeover pauses after each part of it, and still takes over everything.
func TestReconcileMass_ATakeoverStepsAsideForOthers(t *testing.T) {
	t.Parallel()
	const n = 3000
	r, engine, _ := outage(t, models.MaxDispatch, n)
	var asked []string
	r.Others = func(tenant string) bool {
		asked = append(asked, tenant)
		return true
	}
	require.NoError(t, r.Reconcile(t.Context()))
	require.Len(t, asked, 2, "once for each %d deliveries", 10*models.MaxDispatch)
	require.NotEmpty(t, asked[0])
	require.Len(t, engine.started, (n+models.MaxDispatch-1)/models.MaxDispatch)
}

// A few deliveries keep the operator's setting, and are started before more dispatches are made.
func TestReconcileMass_AFewThatAreCaughtKeepToTheGroup(t *testing.T) {
	t.Parallel()
	r, engine, _ := outage(t, 1, 150)
	require.NoError(t, r.Reconcile(t.Context()))
	require.Len(t, engine.started, 150)
	require.Equal(t, []int{64, 64, 22}, engine.atOnce)
}

// While Temporal starts nothing, only one page is taken over, and the rest waits in the database.
func TestReconcileMass_ATemporalThatStartsNothingIsNotGivenMore(t *testing.T) {
	t.Parallel()
	const n = 3000
	r, engine, clock := outage(t, 1, n)
	engine.refuse = 2
	for range 2 {
		require.Error(t, r.Reconcile(t.Context()))
	}
	require.Equal(t, []int{10, 64}, engine.atOnce, "once in each look: a page, then a few")
	caught := func() (n int) {
		for _, d := range engine.started {
			n += len(d.Deliveries)
		}
		return n
	}
	require.NoError(t, r.Reconcile(t.Context()))
	require.Equal(t, n-2560-64, caught(), "the others are not overdue again yet")
	clock.Advance(2 * time.Minute)
	require.NoError(t, r.Reconcile(t.Context()))
	require.Equal(t, n, caught())
}

// Dispatches that are alive are asked about once in a while, however many of their deliveries are overdue.
func TestReconcileMass_WhatIsAliveIsAskedAboutOnce(t *testing.T) {
	t.Parallel()
	r, engine, clock := outage(t, models.MaxDispatch, 3000)
	engine.alive = true
	for range 3 {
		require.NoError(t, r.Reconcile(t.Context()))
	}
	require.Len(t, engine.asked, 3000)
	for id, times := range engine.asked {
		require.Equal(t, 1, times, id)
	}
	clock.Advance(2 * time.Minute)
	require.NoError(t, r.Reconcile(t.Context()))
	for id, times := range engine.asked {
		require.Equal(t, 2, times, id)
	}
	require.Empty(t, engine.started)
}

// If more webhooks and recoveries need waking than one pass allows, all get their turn.
func TestReconcileMass_EveryWebhookAndRecoveryIsComeTo(t *testing.T) {
	t.Parallel()
	r, engine, _ := outage(t, 1, 0)
	for range 250 {
		w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Status: models.WebhookActive}
		require.NoError(t, r.Store.CreateWebhook(t.Context(), &w))
		_, err := r.Store.Record(t.Context(), []*models.Record{{Status: models.Pending, Attempt: models.Attempt{Tenant: tenant, ID: models.NewID(models.PrefixAttempt),
			DeliveryID: models.NewID(models.PrefixDelivery), WebhookID: w.ID, StartedAt: r.Store.Now(), Error: "timeout"}}}, nil)
		require.NoError(t, err)
		require.NoError(t, r.Store.CreateRecovery(t.Context(), &models.Recovery{Tenant: tenant, WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Held}}))
	}
	r.Threshold = 1
	for _, want := range []int{100, 200, 250} {
		require.NoError(t, r.Reconcile(t.Context()))
		require.Len(t, engine.judged, want)
		require.Len(t, engine.recovered, want)
	}
}

// A loop that hangs, here because Temporal does not list its workflows, does not stop other loops.
func TestReconcileMass_ASlowLoopKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	r, engine, _ := outage(t, 1, 3)
	engine.block = make(chan struct{})
	w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Status: models.WebhookActive}
	require.NoError(t, r.Store.CreateWebhook(t.Context(), &w))
	recovery := models.Recovery{Tenant: tenant, WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Held}}
	require.NoError(t, r.Store.CreateRecovery(t.Context(), &recovery))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	require.Eventually(t, func() bool {
		engine.mu.Lock()
		defer engine.mu.Unlock()
		return engine.recovered[recovery.ID] > 2 && value(t, r.Metrics.Pending) == 3 && value(t, r.Metrics.OldestDue) > 0
	}, 20*time.Second, 5*time.Millisecond)
	require.Empty(t, engine.started)
	close(engine.block)
	require.Eventually(t, func() bool {
		engine.mu.Lock()
		defer engine.mu.Unlock()
		return len(engine.started) == 3
	}, 20*time.Second, 5*time.Millisecond)
	cancel()
	<-ended
}

// While Temporal is away, only work that needs it waits.
func TestReconcileMass_WhileTemporalIsAwayTheRestGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Webhook(tenant, "https://receiver.example/hook")
	d, id := b.publish()
	_, err := b.Service.CancelDelivery(t.Context(), tenant, d.ID, "test")
	require.NoError(t, err)
	b.publish()
	b.engine.away = errors.New("unavailable")
	b.Clock.Advance(2 * time.Hour)
	require.Error(t, b.Reconcile(t.Context()))
	require.InDelta(t, 1, value(t, b.m.Pending), 0)
	_, err = b.Env.Store.Dispatch(t.Context(), id)
	require.ErrorIs(t, err, models.ErrNotFound, "it is swept")
}
