package engine_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// attempts makes first attempts without a workflow. Each takes a while and returns a round.
type attempts struct {
	takes   time.Duration
	records time.Duration // the time to record a received delivery that is shown
	round   workflows.Round
	err     error
	never   bool // none can be made at once

	mu    sync.Mutex
	made  []string
	named []string // the dispatches with which received deliveries were recorded
}

func (a *attempts) AtOnce(context.Context, []handoff.Work) bool { return !a.never }

func (a *attempts) Direct(ctx context.Context, dispatchID string, work []handoff.Work, show handoff.Show) (workflows.Round, error) {
	a.mu.Lock()
	a.made = append(a.made, dispatchID)
	a.mu.Unlock()
	select {
	case <-time.After(a.takes):
	case <-ctx.Done():
		return workflows.Round{}, ctx.Err()
	}
	for i := range min(len(work), a.round.Delivered) {
		a.record(&work[i].Delivery, show)
	}
	return a.round, a.err
}

// record records a received delivery.
func (a *attempts) record(d *models.Delivery, show handoff.Show) {
	if show == nil {
		return
	}
	id, recorded := show(d)
	a.mu.Lock()
	a.named = append(a.named, id)
	a.mu.Unlock()
	time.Sleep(a.records)
	recorded(a.err == nil)
}

func (a *attempts) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.made)
}

const posting = 7

// direct makes an engine whose process makes first attempts without workflows.
func direct(a engine.First, change ...func(*engine.Options)) (*engine.Engine, *temporal, *outbox) {
	return setup(append([]func(*engine.Options){func(o *engine.Options) {
		o.First = a
		o.Posting = func() (int64, bool) { return posting, true }
	}}, change...)...)
}

// attempt has first attempts made without a workflow, if they can be.
func attempt(t *testing.T, e *engine.Engine, id string, n int) bool {
	t.Helper()
	return attemptWork(t, e.ReserveDirect, e.StartDirect, id, work(n))
}

// attemptWork is attempt for deliveries, with a way to reserve room and its way to start.
func attemptWork(t *testing.T, reserve func(context.Context, []handoff.Work) (int64, bool), start func(string, []handoff.Work), id string, all []handoff.Work) bool {
	t.Helper()
	process, ok := reserve(t.Context(), all)
	if !ok {
		return false
	}
	require.EqualValues(t, posting, process)
	for i := range all {
		all[i].Delivery.Process = process
	}
	start(id, all)
	return true
}

// of returns deliveries of a tenant.
func of(tenant string, n int) []handoff.Work {
	all := work(n)
	for i := range all {
		all[i].Delivery.Tenant = tenant
	}
	return all
}

func left(deliveries ...string) (all workflows.Leftovers) {
	for _, id := range deliveries {
		all = append(all, workflows.Leftover{Tenant: "acme", Delivery: id, Webhook: "wh_1", Number: 2, Remaining: 9, Wait: time.Minute})
	}
	return all
}

func TestDirectAttempt_WhatIsReceivedAtOnceGetsNoWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 2}}
		e, c, o := direct(a)
		for range 10 {
			require.True(t, attempt(t, e, "evt_1", 2))
		}
		synctest.Wait()
		require.Equal(t, 10, a.count())
		require.Zero(t, c.starts())
		require.Empty(t, o.left)
		e.Close()
	})
}

func TestDirectAttempt_WhatIsNotReceivedGetsTheWorkflow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		round   workflows.Round
		err     error
		left    []string // in the outbox
		carried *workflows.Carried
	}{
		"one of two is to be retried": {workflows.Round{Delivered: 1, Waiting: left("dlv_1")}, nil, []string{"dlv_1"},
			&workflows.Carried{Result: workflows.DeliverResult{Delivered: 1}, Waiting: left("dlv_1")}},
		"one found no room": {workflows.Round{Delivered: 1, OverCap: left("dlv_0")}, nil, []string{"dlv_0"},
			&workflows.Carried{Result: workflows.DeliverResult{Delivered: 1}, Waiting: left("dlv_0")}},
		"one has failed for good": {workflows.Round{Delivered: 1, Failed: 1}, nil, nil,
			&workflows.Carried{Result: workflows.DeliverResult{Delivered: 1, Failed: 1, Unlisted: 1}}},
		"it is not known what came of them": {workflows.Round{}, errors.New("the database is away"), []string{"dlv_0", "dlv_1"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e, temporal, o := direct(&attempts{round: c.round, err: c.err})
				require.True(t, attempt(t, e, "evt_1", 2))
				synctest.Wait()
				require.Equal(t, 1, temporal.starts())
				require.Equal(t, "test/deliver/evt_1", temporal.started[0].ID)
				in, ok := temporal.inputs[0].(workflows.DeliverInput)
				require.True(t, ok)
				require.Equal(t, 2, in.Size)
				require.Equal(t, c.carried, in.Carried)
				require.Equal(t, "2 × order.created of acme to several webhooks", in.About.What)
				require.Equal(t, c.left, o.left["evt_1"])
				e.Close()
			})
		})
	}
}

// A delivery that finds no room, or would have to wait, gets a workflow.
func TestDirectAttempt_FirstAttemptsWithoutAWorkflowAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{takes: 10 * time.Second, round: workflows.Round{Delivered: 256}}
		e, c, _ := direct(a)
		for i := range 16 {
			tenant := []string{"acme", "globex"}[i%2]
			require.True(t, attemptWork(t, e.ReserveDirect, e.StartDirect, "evt", of(tenant, 256)))
		}
		require.False(t, attempt(t, e, "evt", 1))
		time.Sleep(11 * time.Second)
		require.True(t, attempt(t, e, "evt", 256))
		synctest.Wait()
		require.Equal(t, 17, a.count())
		require.Zero(t, c.starts())
		e.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{takes: time.Second, round: workflows.Round{Delivered: 1}}
		e, _, _ := direct(a)
		big := work(1)
		big[0].Event.Data = make([]byte, 40<<20)
		_, ok := e.ReserveDirect(t.Context(), big)
		require.True(t, ok)
		_, ok = e.ReserveDirect(t.Context(), big)
		require.False(t, ok, "there is no memory for it")
		e.ReleaseDirect(big)
		_, ok = e.ReserveDirect(t.Context(), big)
		require.True(t, ok)
		e.ReleaseDirect(big)

		a.never = true
		require.False(t, attempt(t, e, "evt", 1), "it would have to wait")
		a.never = false
		e.Close()
		require.False(t, attempt(t, e, "evt", 1), "the process ends")
	})
	for name, change := range map[string]func(*engine.Options){
		"every event gets a workflow": func(o *engine.Options) { o.First = nil },
		"it may be taken for gone":    func(o *engine.Options) { o.Posting = func() (int64, bool) { return posting, false } },
	} {
		synctest.Test(t, func(t *testing.T) {
			e, _, _ := direct(&attempts{}, change)
			require.False(t, attempt(t, e, "evt", 1), name)
			e.Close()
		})
	}
}

// One tenant's attempts do not take all the room.
func TestDirectAttempt_ATenantHasAPartOfTheRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := direct(&attempts{takes: time.Second, round: workflows.Round{Delivered: 256}})
		for range 12 {
			require.True(t, attempt(t, e, "evt", 256))
		}
		require.False(t, attempt(t, e, "evt", 1))
		other := of("globex", 1)
		_, ok := e.ReserveDirect(t.Context(), other)
		require.True(t, ok)
		e.ReleaseDirect(other)
		e.Close()
	})
}

// A process that was suspended between the commit and the first attempt sends nothing: others have taken it over.
func TestDirectAttempt_WhatOthersHaveTakenOverIsNotAttempted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{}
		e, c, _ := direct(a, func(o *engine.Options) { o.Owns = func(process int64) bool { return process != posting } })
		require.True(t, attempt(t, e, "evt_1", 1))
		synctest.Wait()
		require.Zero(t, a.count())
		require.Zero(t, c.starts())
		e.Close()
	})
}

// While Temporal is away, first attempts are still made. Left-over deliveries stay in the outbox.
func TestDirectAttempt_FirstAttemptsDoNotNeedTemporal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Waiting: left("dlv_0")}}
		e, c, o := direct(a)
		c.fail(context.DeadlineExceeded)
		require.True(t, attempt(t, e, "evt_1", 1))
		synctest.Wait()
		require.True(t, attempt(t, e, "evt_2", 1))
		synctest.Wait()
		require.Equal(t, 2, a.count())
		require.Zero(t, c.starts())
		require.Equal(t, map[string][]string{"evt_1": {"dlv_0"}, "evt_2": {"dlv_0"}}, o.left)
		e.Close()
	})
}

// A database that is away for a moment delays the workflow, and no more.
func TestDirectAttempt_WhatIsLeftOverWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := direct(&attempts{round: workflows.Round{Waiting: left("dlv_0")}})
		o.fail(errors.New("the database is away"))
		require.True(t, attempt(t, e, "evt_1", 1))
		time.Sleep(10 * time.Second)
		require.Zero(t, c.starts())
		o.fail(nil)
		time.Sleep(3 * time.Second)
		require.Equal(t, 1, c.starts())
		in, ok := c.inputs[0].(workflows.DeliverInput)
		require.True(t, ok)
		wait := in.Carried.Waiting[0].Wait
		require.True(t, wait >= 47*time.Second && wait <= 50*time.Second, "the retry is not later for that, it waits for %s of a minute", wait)

		o.fail(errors.New("for longer"))
		require.True(t, attempt(t, e, "evt_2", 1))
		time.Sleep(2 * time.Minute)
		require.True(t, e.FinishDirect(t.Context()), "the reconciler finds it")
		require.Equal(t, 1, c.starts())
		e.Close()
	})
}

// A process that stops waits for its POSTs, and starts the workflows of left-over deliveries. POSTs that do not end in
// time are cut off, and left to others.
func TestDirectAttempt_FirstAttemptsEndBeforeTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := direct(&attempts{takes: 10 * time.Second, round: workflows.Round{Waiting: left("dlv_0")}})
		require.True(t, e.FinishDirect(t.Context()), "there are none")
		require.True(t, attempt(t, e, "evt_1", 1))
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.False(t, e.FinishDirect(soon))
		require.True(t, e.FinishDirect(t.Context()))
		e.Close()
		require.Equal(t, 1, c.starts())
	})
	synctest.Test(t, func(t *testing.T) {
		e, c, o := direct(&attempts{takes: time.Hour})
		require.True(t, attempt(t, e, "evt_1", 1))
		e.Close()
		require.Zero(t, c.starts())
		require.Empty(t, o.left)
	})
}

var _ engine.First = (*attempts)(nil)

func (o *outbox) HandOver(_ context.Context, id string, left, ended []models.Delivery) (models.Dispatch, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return models.Dispatch{}, o.err
	}
	if o.left == nil {
		o.left = map[string][]string{}
	}
	for i := range left {
		o.left[id] = append(o.left[id], left[i].ID)
	}
	for i := range ended {
		o.ended = append(o.ended, ended[i].ID)
	}
	return models.Dispatch{ID: id, Process: 1}, nil
}
