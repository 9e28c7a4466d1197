package engine_test

import (
	"context"
	"errors"
	"fmt"
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

// fail has n events attempted whose only receiver is dead.
func fail(t *testing.T, e *engine.Engine, n int) {
	t.Helper()
	for i := range n {
		w := work(1)
		w[0].Delivery.ID, w[0].Delivery.WebhookID = fmt.Sprintf("dlv_%d", i), "wh_1"
		process, ok := e.ReserveDirect(t.Context(), w)
		require.True(t, ok)
		w[0].Delivery.Process = process
		e.StartDirect(fmt.Sprintf("evt_%d", i), w)
	}
}

// When a busy receiver fails, the events that it leaves over share workflows, as they do while they wait.
func TestLeftover_AboveAnEverydayRateLeftoversShareWorkflows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup(func(o *engine.Options) {
			o.First, o.Posting = &dead{final: 10}, func() (int64, bool) { return posting, true }
		})
		fail(t, e, 4+600)
		synctest.Wait()
		require.Equal(t, 4+2, c.starts(), "those of an everyday rate have their own, and two are full")
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, 4+3, c.starts())
		waiting, sizes, failed := 0, 0, 0
		for i := range c.inputs {
			in, ok := c.inputs[i].(workflows.DeliverInput)
			require.True(t, ok)
			require.LessOrEqual(t, in.Size, 256)
			require.Len(t, o.left[in.DispatchID], len(in.Carried.Waiting))
			waiting, sizes, failed = waiting+len(in.Carried.Waiting), sizes+in.Size, failed+in.Carried.Result.Failed
			for _, l := range in.Carried.Waiting {
				require.True(t, l.Wait > time.Minute-time.Second && l.Wait <= time.Minute, "it is due when it was, in %s", l.Wait)
			}
		}
		require.Equal(t, 604, sizes)
		require.Equal(t, 594, waiting)
		require.Equal(t, 10, failed)
		require.NotEmpty(t, o.ended)
		e.Close()
	})
}

// What is received of an event that shares the workflow of its leftovers is not in it.
func TestLeftover_AWorkflowOfSeveralEventsHasOnlyWhatIsLeftOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 1, Waiting: left("dlv_1")}}
		e, c, _ := direct(a)
		for i := range 4 + 3 {
			require.True(t, attempt(t, e, fmt.Sprintf("evt_%d", i), 2))
		}
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, 5, c.starts())
		for i, input := range c.inputs {
			in, ok := input.(workflows.DeliverInput)
			require.True(t, ok)
			if i < 4 {
				require.Equal(t, 2, in.Size)
				require.Equal(t, 1, in.Carried.Result.Delivered)
			} else {
				require.Equal(t, 3, in.Size)
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
		e, c, o := setup(func(o *engine.Options) {
			o.First, o.Posting = &dead{}, func() (int64, bool) { return posting, true }
		})
		fail(t, e, 4+10)
		require.True(t, e.FinishDirect(t.Context()))
		e.Close()
		require.Equal(t, 4+1, c.starts())
		require.Len(t, o.left, 5)
	})
}
