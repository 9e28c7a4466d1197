package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/workflows"
)

// attemptShared has the first attempts of an event of a crowd made before the workflow that it shares, if they can be.
func attemptShared(t *testing.T, e *engine.Engine, id string, n int) bool {
	t.Helper()
	return attemptWork(t, e.ReserveAheadShared, e.StartAheadShared, id, work(n))
}

func TestAheadShared_OneWorkflowShowsWhatWasReceivedOfSeveralEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{takes: 10 * time.Millisecond, round: workflows.Round{Delivered: 2}}
		e, c, o := direct(a)
		for i := range 10 {
			require.True(t, attemptShared(t, e, fmt.Sprintf("evt_%d", i), 2))
		}
		time.Sleep(200 * time.Millisecond)
		require.Zero(t, c.starts(), "it waits for others")
		time.Sleep(100 * time.Millisecond)
		require.Equal(t, 1, c.starts())
		in := c.input(t)
		require.Equal(t, 20, in.Size)
		require.Equal(t, &workflows.Carried{Result: workflows.DeliverResult{Delivered: 20}}, in.Carried)
		require.Equal(t, "20 × order.created of acme to several webhooks", in.About.What)
		require.Len(t, a.named, 20)
		require.Len(t, slices.Compact(a.named), 1)
		require.Equal(t, "test/deliver/"+a.named[0], c.started[0].ID)
		require.Empty(t, o.left)
		require.Empty(t, o.written(), "nothing waits for it, so the outbox has no entry")

		require.True(t, attemptShared(t, e, "evt_11", 2))
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, 2, c.starts())
		require.NotEqual(t, a.named[0], a.named[20])
		e.Close()
	})
}

func TestAheadShared_AFullWorkflowStartsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 100}}
		e, c, _ := direct(a)
		for i := range 6 {
			require.True(t, attemptShared(t, e, fmt.Sprintf("evt_%d", i), 100))
		}
		synctest.Wait()
		require.Equal(t, 2, c.starts())
		require.Equal(t, 256, c.input(t).Size)
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, 3, c.starts())
		e.Close()
	})
}

// What is not received shares another workflow, with a promise in the outbox.
func TestAheadShared_WhatIsNotReceivedSharesAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 1, Waiting: left("dlv_1")}}
		e, c, o := direct(a)
		for i := range 3 {
			require.True(t, attemptShared(t, e, fmt.Sprintf("evt_%d", i), 2))
		}
		synctest.Wait()
		require.Zero(t, c.starts())
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, 2, c.starts())
		for _, in := range c.allInputs(t) {
			require.Equal(t, 3, in.Size)
			if in.DispatchID == a.named[0] {
				require.Equal(t, 3, in.Carried.Result.Delivered)
				require.Empty(t, in.Carried.Waiting)
			} else {
				require.Zero(t, in.Carried.Result.Delivered)
				require.Len(t, in.Carried.Waiting, 3)
				require.Equal(t, map[string][]string{in.DispatchID: {"dlv_1", "dlv_1", "dlv_1"}}, o.left)
			}
		}
		e.Close()
	})
}

// A workflow of what a single event has left over has the event's name, which its failed attempts were recorded with.
func TestAheadShared_WhatASingleEventLeavesOverHasItsName(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := workflows.Ended{Status: workflows.Failed, Delivery: "dlv_0"}
		e, c, o := direct(&attempts{round: workflows.Round{Failed: 1, NotDelivered: []workflows.Ended{failed}}})
		require.True(t, attemptShared(t, e, "evt_1", 1))
		time.Sleep(300 * time.Millisecond)
		require.Equal(t, 1, c.starts())
		require.Equal(t, "test/deliver/evt_1", c.started[0].ID)
		require.Empty(t, o.ended, "it is named so already")
		e.Close()
	})
}

// A workflow that shows deliveries starts when all of them are recorded, and shows no others.
func TestAheadShared_OnlyWhatIsRecordedIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &attempts{records: time.Second, round: workflows.Round{Delivered: 1}}
		e, c, _ := direct(slow)
		require.True(t, attemptShared(t, e, "evt_1", 1))
		time.Sleep(900 * time.Millisecond)
		require.Zero(t, c.starts())
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, 1, c.starts())
		e.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		e, c, o := direct(&attempts{round: workflows.Round{Delivered: 1}, err: errors.New("the database is away")})
		require.True(t, attemptShared(t, e, "evt_1", 1))
		time.Sleep(time.Second)
		require.Equal(t, 1, c.starts(), "the event's own")
		require.Equal(t, "test/deliver/evt_1", c.started[0].ID)
		require.Equal(t, map[string][]string{"evt_1": {"dlv_0"}}, o.left)
		e.Close()
	})
}

// If Temporal is away, or slower than the crowd, its deliveries wait for a workflow as before.
func TestAheadShared_ACrowdDoesNotRunAwayFromTemporal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 256}}
		e, c, o := direct(a)
		c.takes = 11 * time.Second
		for i := range 8 {
			require.True(t, attemptShared(t, e, fmt.Sprintf("evt_%d", i), 256))
			synctest.Wait()
		}
		require.False(t, attemptShared(t, e, "evt_9", 1))
		for _, id := range a.named {
			o.remove(id) // they have none
		}
		time.Sleep(23 * time.Second)
		require.Equal(t, 8, c.starts(), "nothing else shows those that were queued for long")
		require.True(t, attemptShared(t, e, "evt_9", 1))
		c.fail(context.DeadlineExceeded)
		time.Sleep(12 * time.Second)
		require.False(t, attemptShared(t, e, "evt_11", 1), "it does not answer")
		e.Close()
	})
}

// What was received is shown although Temporal was away for longer than a dispatch may be queued: nothing else would.
func TestAheadShared_AnOutageOfTemporalDelaysWhatIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := direct(&attempts{round: workflows.Round{Delivered: 1}})
		require.True(t, attemptShared(t, e, "evt_1", 1))
		c.fail(context.DeadlineExceeded)
		time.Sleep(20 * time.Second)
		require.Zero(t, c.starts())
		c.fail(nil)
		time.Sleep(3 * time.Second)
		require.Equal(t, 1, c.starts())
		e.Close()
	})
}

// A process that stops starts what it was collecting.
func TestAheadShared_AProcessThatStopsShowsWhatWasReceived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := direct(&attempts{round: workflows.Round{Delivered: 1}})
		require.True(t, attemptShared(t, e, "evt_1", 1))
		require.True(t, e.FinishDirect(t.Context()))
		e.Close()
		require.Equal(t, 1, c.starts())
		time.Sleep(time.Second)
		require.Equal(t, 1, c.starts())
	})
}
