package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	temporalsdk "go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// temporal implements the few calls of a Temporal client that the engine makes.
type temporal struct {
	client.Client

	takes       time.Duration // to start one
	signalTakes time.Duration

	mu      sync.Mutex
	err     error
	taken   map[string]bool // workflow ids that exist
	now     int             // being started
	most    int             // at once, so far
	started []client.StartWorkflowOptions
	// failures counts the starts that failed.
	failures int
	inputs   []any
	signals  []string

	signalOptions []client.StartWorkflowOptions
}

func (c *temporal) ExecuteWorkflow(_ context.Context, o client.StartWorkflowOptions, _ any, in ...any) (client.WorkflowRun, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(c.takes)
	c.mu.Lock()
	c.now--
	if c.err != nil {
		c.failures++
		return nil, c.err
	}
	if c.taken[o.ID] {
		return nil, serviceerror.NewWorkflowExecutionAlreadyStarted("it exists", "", "")
	}
	c.started, c.inputs = append(c.started, o), append(c.inputs, in...)
	return nil, nil //nolint:nilnil // nobody looks at the run
}

func (c *temporal) SignalWithStartWorkflow(_ context.Context, id, _ string, _ any, o client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	time.Sleep(c.signalTakes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signals, c.signalOptions = append(c.signals, id), append(c.signalOptions, o)
	return nil, c.err
}

func (c *temporal) CheckHealth(context.Context, *client.CheckHealthRequest) (*client.CheckHealthResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &client.CheckHealthResponse{}, c.err
}

func (c *temporal) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
}

func (c *temporal) failed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failures
}

func (c *temporal) starts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.started)
}

// outbox remembers the sizes of the shared dispatches written.
type outbox struct {
	takes time.Duration // to write one

	mu    sync.Mutex
	err   error
	sizes []int
	gone  map[string]bool     // dispatches
	moved []string            // dispatches that were put into others
	left  map[string][]string // deliveries handed over, by dispatch
	ended []string            // deliveries handed over that had failed for good
}

func (o *outbox) Redispatch(_ context.Context, id string) ([]models.Dispatch, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.moved = append(o.moved, id)
	return []models.Dispatch{{ID: id + "/1", Deliveries: []models.DeliveryKey{{Tenant: "acme", ID: "dlv_1"}}}}, nil
}

func (o *outbox) CreateSharedDispatch(ctx context.Context, keys []models.DeliveryKey) (models.Dispatch, error) {
	select {
	case <-ctx.Done():
		return models.Dispatch{}, ctx.Err()
	case <-time.After(o.takes):
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return models.Dispatch{}, o.err
	}
	o.sizes = append(o.sizes, len(keys))
	return models.Dispatch{ID: fmt.Sprintf("dsp_%d", len(o.sizes)), Deliveries: keys}, nil
}

// remove removes a dispatch, as the record of its last delivery does.
func (o *outbox) remove(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone == nil {
		o.gone = map[string]bool{}
	}
	o.gone[id] = true
}

// replaced returns the dispatches that were put into others.
func (o *outbox) replaced() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.moved)
}

func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

func (o *outbox) Dispatch(_ context.Context, id string) (models.Dispatch, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.gone[id] {
		return models.Dispatch{}, models.ErrNotFound
	}
	return models.Dispatch{ID: id}, nil
}

// written returns the sizes so far.
func (o *outbox) written() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.sizes)
}

func (c *temporal) signaled() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.signals)
}

const slots = 4

// cores is how many cores every engine of the tests has, whatever the machine has.
const cores = 2

// setup makes an engine with a few slots; it must run in a synctest bubble, where time passes only when all wait.
func setup(change ...func(*engine.Options)) (*engine.Engine, *temporal, *outbox) {
	c, o := &temporal{}, &outbox{}
	options := engine.Options{Client: c, Queues: workflows.NewQueues("test"), Outbox: o, Metrics: metrics.New(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler), Slots: slots, Cores: cores, GroupMax: 256, MaxWaiting: 1000}
	for _, f := range change {
		f(&options)
	}
	return engine.New(options), c, o
}

func work(n int) []handoff.Work {
	all := make([]handoff.Work, n)
	for i := range all {
		all[i] = handoff.Work{Event: &models.Event{ID: fmt.Sprintf("evt_%d", i)}, Delivery: models.Delivery{Tenant: "acme",
			ID: fmt.Sprintf("dlv_%d", i), EventID: fmt.Sprintf("evt_%d", i), EventType: "order.created", WebhookID: fmt.Sprintf("wh_%d", i)}}
	}
	return all
}

// own starts one event's own dispatch, if it gets a slot.
func own(e *engine.Engine, id string) bool {
	if !e.Reserve(context.Background(), "acme", false) {
		return false
	}
	e.Start("acme", []models.Dispatch{{ID: id, Deliveries: []models.DeliveryKey{{Tenant: "acme", ID: "dlv_1"}}}}, nil)
	return true
}

func TestEngine_AtAnEverydayRateEachEventHasItsOwnWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		for i := range 100 { // twenty a second
			require.True(t, own(e, fmt.Sprint(i)), "event %d", i)
			time.Sleep(50 * time.Millisecond)
		}
		require.Equal(t, 100, c.starts())
		require.Equal(t, workflows.DeliverInput{About: &workflows.About{What: "1 deliveries", Deliveries: 1}, DispatchID: "0", Queue: "test-deliveries",
			Tenant: "acme", Size: 1}, c.inputs[0])
		require.Equal(t, "test/deliver/0", c.started[0].ID, "no other installation's workflow has this id")
		e.Close()
	})
}

func TestEngine_BeyondItEventsShareWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, o := setup()
		const n = 3000
		var alone, shared int
		for i := range n { // a thousand a second
			if own(e, fmt.Sprint(i)) {
				alone++
			} else {
				require.True(t, e.Admit(t.Context(), "acme", 1))
				e.Queue(work(1))
				shared++
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		total := 0
		for _, size := range o.written() {
			total += size
		}
		require.Equal(t, shared, total, "nobody is forgotten")
		require.Equal(t, n, alone+shared)
		require.Less(t, len(o.written()), n/10)
		require.LessOrEqual(t, alone, 2*slots, "in a crowd none has one of its own")
		time.Sleep(2 * time.Second)
		require.True(t, own(e, "the first after it"))
		e.Close()
	})
}

func TestEngine_AFullGroupStartsAtOnceAndAnyOtherWhenItIsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup()
		require.True(t, e.Admit(t.Context(), "acme", 256+10))
		began := time.Now()
		e.Queue(work(256))
		e.Queue(work(10))
		synctest.Wait()
		require.Equal(t, []int{256}, o.written())
		require.Zero(t, time.Since(began))
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		require.Equal(t, []int{256, 10}, o.written())
		require.Equal(t, 2, c.starts())
		e.Close()
	})
}

func TestEngine_FewSharedDispatchesAreOnTheirWayAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		desk := handoff.NewDesk(1<<20, time.Now)
		e, _, o := setup(func(o *engine.Options) { o.Desk, o.Slots = desk, 2*cores })
		require.True(t, e.Admit(t.Context(), "acme", (cores+2)*256))
		e.Queue(work((cores + 2) * 256))
		synctest.Wait()
		require.Len(t, o.written(), cores)
		desk.Done("dsp_1")
		synctest.Wait()
		require.Len(t, o.written(), cores+1)
		time.Sleep(time.Minute) // slow receivers do not keep their places
		require.Len(t, o.written(), cores+2)
		e.Close()
	})
}

func TestEngine_WhatWaitsKeepsSoMuchDataInMemoryAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		desk := handoff.NewDesk(1<<30, time.Now)
		e, _, o := setup(func(o *engine.Options) { o.Desk, o.GroupMax = desk, 8 })
		all := work(48)
		for i := range all {
			all[i].Event.Data = make([]byte, 1<<20)
			all[i].Delivery.CreatedAt = time.Now()
		}
		require.True(t, e.Admit(t.Context(), "acme", len(all)))
		e.Queue(all)
		for i := range 6 {
			synctest.Wait()
			require.Greater(t, len(o.written()), i)
			id := fmt.Sprintf("dsp_%d", i+1)
			if i < 4 {
				require.Len(t, desk.Take(id), 8, id)
			} else {
				require.Empty(t, desk.Take(id), "%s is read from the database", id)
			}
			desk.Done(id)
		}
		require.True(t, e.Admit(t.Context(), "acme", 8))
		e.Queue(all[:8])
		synctest.Wait()
		require.Len(t, desk.Take("dsp_7"), 8, "there is room again")
		desk.Done("dsp_7")
		e.Close()
	})
}

func TestEngine_ASlotIsHeldUntilTheFirstAttemptsAreMade(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		desk := handoff.NewDesk(1<<20, time.Now)
		e, _, _ := setup(func(o *engine.Options) { o.Desk = desk })
		start := func(id string) bool {
			if !e.Reserve(t.Context(), "acme", false) {
				return false
			}
			e.Start("acme", []models.Dispatch{{ID: id}}, map[string][]handoff.Work{id: work(1)})
			synctest.Wait()
			return true
		}
		for i := range slots {
			require.True(t, start(fmt.Sprint(i)))
		}
		require.False(t, start("one too many"))
		desk.Done("0")
		time.Sleep(100 * time.Millisecond) // the rate alone would have allowed its start then
		require.True(t, start("in the place of 0"))
		require.False(t, start("one too many"))
		time.Sleep(300 * time.Millisecond) // slow receivers do not keep their slots
		require.True(t, start("after a while"))
		time.Sleep(time.Minute)
		e.Close()
	})
}

func TestEngine_WaitersAreBoundedAndToldSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := setup()
		require.True(t, e.Admit(t.Context(), "acme", 5000), "a lone request may be larger than the bound")
		began := time.Now()
		require.False(t, e.Admit(t.Context(), "acme", 1))
		require.Equal(t, 5*time.Second, time.Since(began))

		admitted := make(chan bool)
		go func() { admitted <- e.Admit(t.Context(), "acme", 1) }()
		synctest.Wait()
		e.Withdraw("acme", 5000)
		require.True(t, <-admitted)
		e.Close()
	})
}

func TestEngine_StrictlyAWorkflowPerEventWaitsForASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := setup(func(o *engine.Options) { o.GroupMax = 1 })
		for range slots {
			require.True(t, e.Reserve(t.Context(), "acme", true))
		}
		got := make(chan bool)
		go func() { got <- e.Reserve(t.Context(), "acme", true) }()
		synctest.Wait()
		e.Release("acme")
		require.True(t, <-got)
		require.False(t, e.Reserve(t.Context(), "acme", true), "not for ever")
		e.Close()
	})
}

func TestEngine_ALargeBatchDoesNotStartAllAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(func(o *engine.Options) { o.GroupMax = 1 })
		c.takes = 10 * time.Millisecond
		batch := make([]models.Dispatch, 1000)
		for i := range batch {
			batch[i].ID = fmt.Sprint(i)
		}
		require.True(t, e.Reserve(t.Context(), "acme", true))
		e.Start("acme", batch, nil)
		time.Sleep(time.Minute)
		require.Equal(t, 1000, c.starts())
		require.Equal(t, 1+slots, c.most, "its slot, and as many beside them as there are")
		for range slots {
			require.True(t, e.Reserve(t.Context(), "acme", true), "the slots are free again")
		}
		e.Close()
	})
}

func TestEngine_WhileTemporalIsAwayAcceptingGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup()
		c.fail(serviceerror.NewUnavailable("away"))
		require.True(t, own(e, "the first finds out"))
		synctest.Wait()
		for range 10 * slots {
			require.True(t, e.Reserve(t.Context(), "acme", false))
			e.Release("acme")
			require.True(t, e.Admit(t.Context(), "acme", 5000))
			e.Queue(work(5000))
		}
		require.Empty(t, o.written(), "the reconciler has them")

		c.fail(nil)
		time.Sleep(3 * time.Second)
		require.True(t, own(e, "and back"))
		synctest.Wait()
		require.Equal(t, 2, c.starts(), "and the first, which is tried again")
		e.Close()
	})
}

func TestEngine_WhatTheWebUIShowsIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		require.True(t, e.Admit(t.Context(), "acme", 256))
		e.Queue(work(256))
		synctest.Wait()
		e.Close()
		o := c.started[0]
		webhooks, ok := o.TypedSearchAttributes.GetKeywordList(workflows.WebhookAttribute)
		require.True(t, ok)
		require.Len(t, webhooks, workflows.MaxAttributeValues)
		require.Equal(t, "256 × order.created of acme to several webhooks", o.StaticSummary)
		require.Less(t, len(o.StaticDetails), 20_000)
	})
}

func TestEngine_LongNamesDoNotKeepASharedDispatchFromStarting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		all := work(256)
		for i := range all {
			d := &all[i].Delivery
			d.Tenant, d.EventType = fmt.Sprintf("%064d~abcdefgh", i), fmt.Sprintf("%0128d", i) // the longest there are
		}
		require.True(t, e.Admit(t.Context(), "acme", len(all)))
		e.Queue(all)
		synctest.Wait()
		e.Close()
		attributes := c.started[0].TypedSearchAttributes
		for _, key := range []temporalsdk.SearchAttributeKeyKeywordList{workflows.TenantAttribute, workflows.EventTypeAttribute, workflows.WebhookAttribute} {
			values, ok := attributes.GetKeywordList(key)
			require.True(t, ok)
			require.NotContains(t, fmt.Sprint(values), "~", "tenants are called by their names")
			payload, err := converter.GetDefaultDataConverter().ToPayload(values)
			require.NoError(t, err)
			require.LessOrEqual(t, len(payload.GetData()), 2048, "Temporal would refuse %s", key.GetName())
			require.True(t, len(payload.GetData()) > 1800 || len(values) == workflows.MaxAttributeValues, "as many as may be")
		}
	})
}

func TestEngine_NoLinkToWhatTemporalHasForgotten(t *testing.T) {
	t.Parallel()
	e, _, _ := setup(func(o *engine.Options) {
		o.UIURL, o.Namespace, o.Retention = "http://ui.example/", "default", time.Hour
	})
	recent, old := time.Now().Add(-time.Minute), time.Now().Add(-2*time.Hour)
	const want = "http://ui.example/namespaces/default/workflows/deliver%2Fevt_1"
	require.Equal(t, want, e.WorkflowURL("deliver/evt_1", nil))
	require.Equal(t, want, e.WorkflowURL("deliver/evt_1", &recent))
	require.Empty(t, e.WorkflowURL("deliver/evt_1", &old))
	require.Empty(t, e.WorkflowURL("", nil))
}
