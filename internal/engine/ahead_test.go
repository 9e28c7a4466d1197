package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// accepted is when events are accepted.
var accepted = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// reserveAhead prepares the first attempts of an event's two deliveries, if they can be made before its workflow starts.
func reserveAhead(t *testing.T, e *engine.Engine, id string) (start func(), ok bool) {
	t.Helper()
	all := work(2)
	if !e.Reserve(t.Context(), "acme", false) {
		return nil, false
	}
	process, ok := e.ReserveAhead(t.Context(), all)
	if !ok {
		e.Release("acme")
		return nil, false
	}
	require.EqualValues(t, posting, process)
	d := &models.Dispatch{ID: id, Process: process, CreatedAt: accepted}
	for i := range all {
		d.Deliveries = append(d.Deliveries, all[i].Delivery.Key())
	}
	return func() { e.StartAhead("acme", d, all) }, true
}

// attemptAhead has them made.
func attemptAhead(t *testing.T, e *engine.Engine, id string) bool {
	t.Helper()
	start, ok := reserveAhead(t, e, id)
	if ok {
		start()
	}
	return ok
}

// input returns what the last workflow started with.
func (c *temporal) input(t *testing.T) workflows.DeliverInput {
	t.Helper()
	all := c.allInputs(t)
	return all[len(all)-1]
}

// allInputs returns what the workflows started with.
func (c *temporal) allInputs(t *testing.T) []workflows.DeliverInput {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]workflows.DeliverInput, len(c.inputs))
	for i := range c.inputs {
		in, ok := c.inputs[i].(workflows.DeliverInput)
		require.True(t, ok)
		all[i] = in
	}
	return all
}

func TestAhead_TheWorkflowBeginsWithWhatCameOfTheFirstAttempts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		round   workflows.Round
		within  time.Duration
		carried *workflows.Carried
	}{
		"both were received": {workflows.Round{Delivered: 2}, 250 * time.Millisecond,
			&workflows.Carried{Result: workflows.DeliverResult{Delivered: 2}}},
		"one is to be retried": {workflows.Round{Delivered: 1, Waiting: left("dlv_1")}, 10 * time.Millisecond,
			&workflows.Carried{Result: workflows.DeliverResult{Delivered: 1}, Waiting: left("dlv_1")}},
		"one found no room": {workflows.Round{Delivered: 1, OverCap: left("dlv_1")}, 10 * time.Millisecond,
			&workflows.Carried{Result: workflows.DeliverResult{Delivered: 1}, Waiting: left("dlv_1")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := &attempts{takes: 10 * time.Millisecond, round: c.round}
				e, temporal, o := direct(a)
				require.True(t, attemptAhead(t, e, "evt_1"))
				synctest.Wait()
				require.Equal(t, 1, a.count(), "nothing comes before them")
				time.Sleep(c.within)
				synctest.Wait()
				require.Equal(t, 1, temporal.starts())
				require.Equal(t, "test/deliver/evt_1", temporal.started[0].ID)
				require.Equal(t, c.carried, temporal.input(t).Carried)
				require.Nil(t, temporal.input(t).By)
				require.Empty(t, o.left, "the event's dispatch was written when it was accepted")
				e.Close()
			})
		})
	}
}

// Starts that nothing waits for are cheaper together.
func TestAhead_WorkflowsWithNothingLeftToDoStartTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 2}}
		e, c, _ := direct(a, func(o *engine.Options) { o.Slots = 16 })
		for range 8 {
			require.True(t, attemptAhead(t, e, "evt"))
			time.Sleep(30 * time.Millisecond)
		}
		require.Equal(t, 8, a.count())
		require.Zero(t, c.starts())
		time.Sleep(11 * time.Millisecond) // a quarter of a second since the engine began
		require.Equal(t, 8, c.starts())
		e.Close()
	})
}

func TestAhead_ASlowReceiversWorkflowStartsMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{takes: 5 * time.Second, round: workflows.Round{Delivered: 2}}
		e, c, _ := direct(a, func(o *engine.Options) { o.Slots = 1 })
		require.True(t, attemptAhead(t, e, "evt_1"))
		time.Sleep(101 * time.Millisecond)
		require.Equal(t, 1, c.starts())
		require.Nil(t, c.input(t).Carried)
		require.Equal(t, &workflows.Maker{Process: posting, At: accepted}, c.input(t).By)
		require.False(t, e.Reserve(t.Context(), "acme", false))
		time.Sleep(150 * time.Millisecond)
		require.True(t, e.Reserve(t.Context(), "acme", false), "the slow receiver holds no slot any more")
		e.Release("acme")
		require.True(t, e.FinishDirect(t.Context()), "they end before the process does")
		e.Close()
		require.Equal(t, 1, c.starts(), "it is started once")
	})
}

func TestAhead_AttemptsThatFailAreMadeByTheWorkflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := direct(&attempts{err: errors.New("the database is away")})
		require.True(t, attemptAhead(t, e, "evt_1"))
		synctest.Wait()
		require.Equal(t, 1, c.starts())
		require.Nil(t, c.input(t).Carried)
		require.Nil(t, c.input(t).By)
		e.Close()
	})
}

// While Temporal is away, events wait in the outbox: a process that dies would lose the workflows of received ones.
func TestAhead_NothingIsAttemptedWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 2}}
		e, c, o := direct(a)
		c.fail(context.DeadlineExceeded)
		require.True(t, attemptAhead(t, e, "evt_1"))
		o.remove("evt_1") // the record has
		time.Sleep(300 * time.Millisecond)
		require.False(t, attemptAhead(t, e, "evt_2"))
		require.Equal(t, 1, a.count())
		require.Zero(t, c.starts())
		time.Sleep(10 * time.Second)
		c.fail(nil)
		time.Sleep(3 * time.Second)
		require.Equal(t, 1, c.starts(), "what was received has its workflow too")
		require.Equal(t, 2, c.input(t).Carried.Result.Delivered)
		require.True(t, attemptAhead(t, e, "evt_2"))
		e.Close()
	})
}

// If another installation's workflow has the id, the deliveries get another. Those that are being POSTed do not, as
// they would be sent twice.
func TestAhead_AnIdThatIsTakenIsReplacedAfterTheAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{takes: 5 * time.Second, round: workflows.Round{Waiting: left("dlv_0", "dlv_1")}}
		e, c, o := direct(a)
		c.taken = map[string]bool{"test/deliver/evt_1": true}
		require.True(t, attemptAhead(t, e, "evt_1"))
		time.Sleep(4 * time.Second)
		require.Empty(t, o.replaced())
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"evt_1"}, o.replaced())
		require.Equal(t, 1, c.starts())
		e.Close()
	})
}

func TestAhead_WhatOthersHaveTakenOverIsNotAttempted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{}
		e, c, _ := direct(a, func(o *engine.Options) { o.Owns = func(process int64) bool { return process != posting } })
		require.True(t, attemptAhead(t, e, "evt_1"))
		time.Sleep(time.Minute)
		require.Zero(t, a.count())
		require.Zero(t, c.starts())
		e.Close()
	})
}

// Only this process knows what was received, so it starts all of those workflows.
func TestAhead_AnOutageOfTemporalDelaysTheWorkflowsOfWhatWasReceived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := direct(&attempts{round: workflows.Round{Delivered: 2}}, func(o *engine.Options) { o.Slots, o.Cores = 100, 4 })
		var starts []func()
		for i := range 70 {
			id := fmt.Sprint("evt_", i)
			start, ok := reserveAhead(t, e, id)
			require.True(t, ok)
			o.remove(id)
			starts = append(starts, start)
		}
		c.fail(context.DeadlineExceeded)
		for _, start := range starts {
			start()
		}
		time.Sleep(time.Minute)
		require.Zero(t, c.starts())
		c.fail(nil)
		time.Sleep(3 * time.Second)
		require.Equal(t, 70, c.starts())
		e.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		e, c, o := direct(&attempts{takes: 5 * time.Second, round: workflows.Round{Delivered: 2}})
		c.fail(context.DeadlineExceeded)
		require.True(t, attemptAhead(t, e, "evt_1")) // by a slow receiver
		time.Sleep(10 * time.Second)
		o.remove("evt_1")
		c.fail(nil)
		time.Sleep(3 * time.Second)
		require.Equal(t, 1, c.starts())
		require.Equal(t, 2, c.input(t).Carried.Result.Delivered)
		e.Close()
	})
}

// Between two probes of a Temporal that is away, its circuit is not open.
func TestAhead_NothingIsAttemptedUntilTemporalHasAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &attempts{round: workflows.Round{Delivered: 2}}
		e, c, _ := direct(a, func(o *engine.Options) { o.LetGo = nil })
		c.fail(context.DeadlineExceeded)
		require.True(t, attemptAhead(t, e, "evt_1"))
		for range 100 {
			time.Sleep(77 * time.Millisecond)
			if c.failed() > 0 {
				require.False(t, attemptAhead(t, e, "evt_2"))
			}
		}
		require.Equal(t, 1, a.count())
		e.Close()
	})
}

// A process that ends cuts off what does not end in time, and leaves it to others.
func TestAhead_AttemptsThatAreCutOffAreLeftToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := direct(&attempts{takes: time.Hour})
		require.True(t, attemptAhead(t, e, "evt_1"))
		late, ok := reserveAhead(t, e, "evt_2")
		require.True(t, ok)
		ended := make(chan struct{})
		go func() {
			e.Close()
			close(ended)
		}()
		time.Sleep(engine.CloseFor - 50*time.Millisecond)
		late()
		<-ended
		require.Equal(t, 1, c.starts())
		require.NotNil(t, c.input(t).By, "the slow receiver's workflow had started")
	})
}

// Ahead implements engine.First.
func (a *attempts) Ahead(ctx context.Context, dispatchID string, work []handoff.Work) (workflows.Round, error) {
	return a.Direct(ctx, dispatchID, work, nil)
}
