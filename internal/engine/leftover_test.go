package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/workflows"
)

// dead are first attempts of which none is received. final of them fail for good.
type dead struct {
	attempts

	final int

	mu sync.Mutex
	n  int
}

func (a *dead) Direct(_ context.Context, _ string, work []handoff.Work, _ handoff.Show) (r workflows.Round, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range work {
		if a.n++; a.n <= a.final {
			r.Failed++
			r.NotDelivered = append(r.NotDelivered, workflows.Ended{Status: workflows.Failed, Delivery: w.Delivery.ID})
			continue
		}
		r.Waiting = append(r.Waiting, left(w.Delivery.ID)...)
	}
	return r, a.err
}

// fail has n events of a tenant attempted whose only receiver is dead.
func fail(t *testing.T, e *engine.Engine, tenant string, n int) {
	t.Helper()
	for i := range n {
		w := of(tenant, 1)
		w[0].Delivery.ID, w[0].Delivery.WebhookID = fmt.Sprintf("dlv_%d", i), "wh_1"
		require.True(t, attemptWork(t, e.ReserveDirect, e.StartDirect, fmt.Sprintf("evt_%d", i), w))
	}
}

// ofLeftovers counts the workflows of single events, and those that several share.
func (c *temporal) ofLeftovers() (own, shared int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.started {
		if strings.Contains(o.ID, "/dsp_") {
			shared++
		} else {
			own++
		}
	}
	return own, shared
}

// Above an everyday rate of events, those that a failing receiver leaves over share workflows.
func TestLeftover_AboveAnEverydayRateLeftoversShareWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := direct(&dead{final: 100})
		fail(t, e, "acme", 600)
		synctest.Wait()
		own, shared := c.ofLeftovers()
		require.Positive(t, own, "an everyday rate")
		require.Less(t, own, 20)
		require.Equal(t, 2, shared, "they are full")
		time.Sleep(300 * time.Millisecond)
		_, shared = c.ofLeftovers()
		require.Equal(t, 3, shared)
		waiting, sizes, failed := 0, 0, 0
		for _, in := range c.allInputs(t) {
			require.LessOrEqual(t, in.Size, 256)
			require.Len(t, o.left[in.DispatchID], len(in.Carried.Waiting))
			waiting, sizes, failed = waiting+len(in.Carried.Waiting), sizes+in.Size, failed+in.Carried.Result.Failed
			for _, l := range in.Carried.Waiting {
				require.True(t, l.Wait > time.Minute-time.Second && l.Wait <= time.Minute, "it is due when it was, in %s", l.Wait)
			}
		}
		require.Equal(t, 600, sizes)
		require.Equal(t, 500, waiting)
		require.Equal(t, 100, failed)
		require.True(t, len(o.ended) > 80 && len(o.ended) <= 100, "those without a workflow of their own get the name of the shared one")
		e.Close()
	})
}

// What is received of an event that shares the workflow of its leftovers is not in it.
func TestLeftover_AWorkflowOfSeveralEventsHasOnlyWhatIsLeftOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 1, Waiting: left("dlv_1")}}
		e, c, _ := direct(a)
		for i := range 40 {
			require.True(t, attempt(t, e, fmt.Sprintf("evt_%d", i), 2))
		}
		time.Sleep(300 * time.Millisecond)
		own, shared := c.ofLeftovers()
		require.Equal(t, 1, shared)
		for _, in := range c.allInputs(t) {
			if strings.HasPrefix(in.DispatchID, "evt_") {
				require.Equal(t, 2, in.Size)
				require.Equal(t, 1, in.Carried.Result.Delivered)
			} else {
				require.Equal(t, 40-own, in.Size)
				require.Zero(t, in.Carried.Result.Delivered)
			}
		}
		e.Close()
	})
}

// Attempts that could not be made are left to a workflow of their own, which makes them.
func TestLeftover_WhatWasNotAttemptedHasItsOwnWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := direct(&attempts{err: errors.New("the database is away")})
		for i := range 20 {
			require.True(t, attempt(t, e, fmt.Sprintf("evt_%d", i), 1))
		}
		synctest.Wait()
		require.Equal(t, 20, c.starts())
		require.Nil(t, c.input(t).Carried)
		e.Close()
	})
}

// A process that stops starts the workflows of what it was collecting.
func TestLeftover_AProcessThatStopsStartsThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := direct(&dead{})
		fail(t, e, "acme", 40)
		require.True(t, e.FinishDirect(t.Context()))
		synctest.Wait()
		own, shared := c.ofLeftovers()
		require.Equal(t, 1, shared, "the drain waits for it")
		require.Len(t, o.left, own+1)
		fail(t, e, "acme", 10)
		synctest.Wait()
		e.Close()
		_, shared = c.ofLeftovers()
		require.Equal(t, 2, shared)
	})
}

// A tenant whose rows are locked, or that leaves over much, delays no other tenant's leftovers.
func TestLeftover_TenantsDoNotShareWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := direct(&dead{})
		fail(t, e, "acme", 100)
		fail(t, e, "globex", 100)
		time.Sleep(300 * time.Millisecond)
		_, shared := c.ofLeftovers()
		require.Equal(t, 2, shared)
		for _, in := range c.allInputs(t) {
			require.NotEmpty(t, in.Tenant)
		}
		e.Close()
	})
}

// A result lists a bounded number of ended deliveries. Where some are not listed, the event has its own workflow, whose
// name they have.
func TestLeftover_WhatIsNotListedKeepsItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := direct(&attempts{round: workflows.Round{Failed: 50, NotDelivered: make([]workflows.Ended, 40)}})
		for i := range 20 {
			require.True(t, attempt(t, e, fmt.Sprintf("evt_%d", i), 50))
		}
		require.True(t, e.FinishDirect(t.Context()))
		synctest.Wait()
		own, shared := c.ofLeftovers()
		require.Equal(t, 20, own)
		require.Zero(t, shared)
		require.Empty(t, o.ended)
		e.Close()
	})
}
