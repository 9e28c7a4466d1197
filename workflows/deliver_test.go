package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/workflows"
)

func leftover(webhook, delivery string, remaining int) workflows.Leftover {
	return workflows.Leftover{Tenant: tenant, Delivery: delivery, Webhook: webhook, Host: webhook + ".example", Number: 2,
		Remaining: remaining, Wait: 10 * time.Second, Timeout: 15 * time.Second, Last: "500"}
}

// desk is a story whose activities answer what the test sets.
type desk struct {
	*story
	mu       sync.Mutex
	finished []string
}

func newDesk(t *testing.T, round workflows.Round) *desk {
	t.Helper()
	round.Together = true
	return oldDesk(t, round)
}

// oldDesk answers as an old worker, which does not know shared retries.
func oldDesk(t *testing.T, round workflows.Round) *desk {
	t.Helper()
	d := &desk{story: newStory(t)}
	d.does(workflows.FirstAttempts, func(context.Context, workflows.FirstAttemptsInput) (workflows.Round, error) { return round, nil })
	d.does(workflows.Finish, func(_ context.Context, id string) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.finished = append(d.finished, id)
		return nil
	})
	return d
}

func TestDeliver_TheHappyPathIsOneLocalActivity(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{Delivered: 3})
	require.Equal(t, workflows.DeliverResult{Delivered: 3}, d.deliver(t, "evt_1"))
	require.Equal(t, []string{workflows.Delivered}, d.statuses)
	require.Empty(t, d.finished, "the last record has closed the outbox entry")
}

func TestDeliver_StatusIsTheWorst(t *testing.T) {
	t.Parallel()
	for want, round := range map[string]workflows.Round{
		workflows.Failed:    {Delivered: 1, Failed: 1, Stopped: 1},
		workflows.Stopped:   {Stopped: 2},
		workflows.Delivered: {Delivered: 1, Stopped: 1},
	} {
		d := newDesk(t, round)
		require.Equal(t, workflows.DeliverResult{Delivered: round.Delivered, Failed: round.Failed, Stopped: round.Stopped}, d.deliver(t, "evt_1"))
		require.Equal(t, []string{want}, d.statuses)
	}
}

func TestDeliver_FirstAttemptsAreNeverGivenUp(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	calls := 0
	s.does(workflows.FirstAttempts, func(context.Context, workflows.FirstAttemptsInput) (workflows.Round, error) {
		if calls++; calls < 9 {
			return workflows.Round{}, errors.New("the database is away")
		}
		return workflows.Round{Delivered: 1}, nil
	})
	started := s.Now()
	require.Equal(t, workflows.DeliverResult{Delivered: 1}, s.deliver(t, "evt_1"))
	require.Equal(t, 9, calls)
	// 1 + 2 + 4 + 8 + 16 + 32 + 60 + 60 seconds
	require.InDelta(t, 183*time.Second, s.Now().Sub(started), float64(5*time.Second))
}

func TestDeliver_ARetryIsAnActivityOfTheFairLane(t *testing.T) {
	t.Parallel()
	left := leftover("whk_1", "dlv_1", 10)
	d := newDesk(t, workflows.Round{Delivered: 9, Waiting: []workflows.Leftover{left}})
	var info activity.Info
	var got workflows.AttemptInput
	d.does(workflows.Attempt, func(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		info, got = activity.GetInfo(ctx), in
		return workflows.Outcome{Status: workflows.Delivered}, nil
	})
	started := d.Now()
	require.Equal(t, workflows.DeliverResult{Delivered: 10}, d.deliver(t, "evt_1"))
	require.InDelta(t, left.Wait, d.Now().Sub(started), float64(lateness))
	require.Equal(t, workflows.AttemptInput{DispatchID: "evt_1", Delivery: left}, got)
	require.Equal(t, lane, info.TaskQueue)
	require.Equal(t, []string{"whk_1"}, d.keys())
	require.Equal(t, 90*time.Second, info.StartToCloseTimeout, "the longest timeout, and time to record")
	require.Equal(t, 6*time.Second, info.HeartbeatTimeout, "a worker that died is missed")
	require.Equal(t, int32(10), d.options[0].RetryPolicy.MaximumAttempts)
	require.Equal(t, time.Second, d.options[0].RetryPolicy.InitialInterval, "the next worker has it soon after a crash,")
	require.InDelta(t, 1, d.options[0].RetryPolicy.BackoffCoefficient, 0, "however many attempts there were")
	require.Equal(t, []string{workflows.StatusRetrying, workflows.Delivered}, d.statuses)
	require.Equal(t, []string{"evt_1"}, d.finished)
}

// A delivery that waits for a place in flight asks repeatedly. That is no attempt, and the history does not show it.
func TestDeliver_WhatWaitsForAPlaceAsksAsOftenAsItMust(t *testing.T) {
	t.Parallel()
	left := leftover("whk_1", "dlv_1", 2)
	left.Kind = workflows.ForSlot
	d := newDesk(t, workflows.Round{Waiting: []workflows.Leftover{left}})
	asked := 0
	d.does(workflows.Attempt, func(context.Context, workflows.AttemptInput) (workflows.Outcome, error) {
		if asked++; asked < 10 { // as often as the test environment makes of "without end"
			return workflows.Outcome{}, temporal.NewApplicationErrorWithOptions("no place", activities.NoPlace,
				temporal.ApplicationErrorOptions{NextRetryDelay: 10 * time.Second})
		}
		return workflows.Outcome{Status: workflows.Delivered}, nil
	})
	require.Equal(t, workflows.DeliverResult{Delivered: 1}, d.deliver(t, "evt_1"))
	require.Equal(t, 10, asked)
	require.Len(t, d.options, 1, "all as one activity")
	require.Zero(t, d.options[0].RetryPolicy.MaximumAttempts)
	require.Equal(t, time.Minute, d.options[0].RetryPolicy.MaximumInterval, "however often it has asked")
}

func TestDeliver_WhatIsLeftAfterACrashIsScheduledAgainWithWhatRemains(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{Waiting: []workflows.Leftover{leftover("whk_1", "dlv_1", 3)}})
	calls, asked := 0, 0
	d.does(workflows.Attempt, func(_ context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		switch calls++; calls {
		case 5:
			return workflows.Outcome{Status: workflows.Delivered}, nil
		case 4: // the receptions went on, and Temporal's attempts ended
			in.Delivery.Remaining = 1
			return workflows.Outcome{Left: &in.Delivery}, nil
		default:
			return workflows.Outcome{}, errors.New("the worker is gone")
		}
	})
	d.does(workflows.LookUp, func(_ context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		asked++
		in.Delivery.Remaining = 2 // one reception was recorded before the crash
		return workflows.Outcome{Left: &in.Delivery}, nil
	})
	require.Equal(t, workflows.DeliverResult{Delivered: 1}, d.deliver(t, "evt_1"))
	var limits []int32
	for _, o := range d.options {
		limits = append(limits, o.RetryPolicy.MaximumAttempts)
	}
	require.Equal(t, []int32{3, 2, 1}, limits)
	require.Equal(t, 1, asked)
}

func TestDeliver_LookedUpEnds(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]workflows.DeliverResult{
		workflows.Delivered: {Delivered: 1}, workflows.Failed: {Failed: 1}, workflows.Stopped: {Stopped: 1},
	} {
		d := newDesk(t, workflows.Round{Waiting: []workflows.Leftover{leftover("whk_1", "dlv_1", 1)}})
		d.does(workflows.Attempt, func(context.Context, workflows.AttemptInput) (workflows.Outcome, error) {
			return workflows.Outcome{}, errors.New("the worker is gone")
		})
		d.does(workflows.LookUp, func(context.Context, workflows.AttemptInput) (workflows.Outcome, error) {
			return workflows.Outcome{Status: status}, nil
		})
		require.Equal(t, want, d.deliver(t, "evt_1"))
	}
}

func TestDeliver_OverTheCapGoesToTheFairLaneByWebhook(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{Delivered: 1, OverCap: []workflows.Leftover{
		leftover("whk_1", "dlv_1", 11), leftover("whk_2", "dlv_2", 11), leftover("whk_1", "dlv_3", 11), leftover("whk_1", "dlv_4", 11)}})
	var mu sync.Mutex
	many := map[string][]string{}
	timeouts := map[string]time.Duration{}
	d.does(workflows.AttemptMany, func(ctx context.Context, in workflows.AttemptManyInput) (workflows.Round, error) {
		mu.Lock()
		defer mu.Unlock()
		if info := activity.GetInfo(ctx); info.TaskQueue != lane || in.DispatchID != "evt_1" {
			t.Errorf("on queue %s, for dispatch %s", info.TaskQueue, in.DispatchID)
		}
		webhook := in.Deliveries[0].Webhook
		timeouts[webhook] = activity.GetInfo(ctx).StartToCloseTimeout
		for _, l := range in.Deliveries {
			many[l.Webhook] = append(many[l.Webhook], l.Delivery)
		}
		if webhook == "whk_2" {
			return workflows.Round{Failed: 1}, nil
		}
		return workflows.Round{Delivered: 1, Stopped: 1, Waiting: in.Deliveries[2:]}, nil
	})
	d.does(workflows.Attempt, func(_ context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		if in.Delivery.Delivery != "dlv_4" {
			t.Errorf("%s is attempted again", in.Delivery.Delivery)
		}
		return workflows.Outcome{Status: workflows.Delivered}, nil
	})
	require.Equal(t, workflows.DeliverResult{Delivered: 3, Failed: 1, Stopped: 1}, d.deliver(t, "evt_1"))
	require.Equal(t, map[string][]string{"whk_1": {"dlv_1", "dlv_3", "dlv_4"}, "whk_2": {"dlv_2"}}, many)
	require.Equal(t, map[string]time.Duration{"whk_1": 210 * time.Second, "whk_2": 90 * time.Second}, timeouts)
	require.Equal(t, []string{"whk_1", "whk_2", "whk_1"}, d.keys())
	require.Equal(t, workflows.StatusPending, d.statuses[0])
	require.Equal(t, workflows.Failed, d.statuses[len(d.statuses)-1])
	require.Equal(t, []string{"evt_1"}, d.finished)
}

func TestDeliver_OverTheCapIsNotGivenUp(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{OverCap: []workflows.Leftover{leftover("whk_1", "dlv_1", 11)}})
	calls := 0
	d.does(workflows.AttemptMany, func(context.Context, workflows.AttemptManyInput) (workflows.Round, error) {
		if calls++; calls < 25 { // the test environment ends an activity without a limit after ten attempts
			return workflows.Round{}, errors.New("the worker is gone")
		}
		return workflows.Round{Delivered: 1}, nil
	})
	require.Equal(t, workflows.DeliverResult{Delivered: 1}, d.deliver(t, "evt_1"))
	require.Equal(t, 25, calls)
}

func TestDeliver_ACanceledWorkflowLetsGo(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{Waiting: []workflows.Leftover{leftover("whk_1", "dlv_1", 3)},
		OverCap: []workflows.Leftover{leftover("whk_2", "dlv_2", 3)}})
	d.does(workflows.AttemptMany, func(context.Context, workflows.AttemptManyInput) (workflows.Round, error) {
		return workflows.Round{}, errors.New("not now")
	})
	d.RegisterDelayedCallback(d.CancelWorkflow, 5*time.Second)
	d.ExecuteWorkflow(workflows.DeliverType, workflows.DeliverInput{DispatchID: "evt_1", Queue: lane})
	require.True(t, d.IsWorkflowCompleted())
	var canceled *temporal.CanceledError
	require.ErrorAs(t, d.GetWorkflowError(), &canceled, "it is closed as canceled, and the reconciler takes over")
	require.Empty(t, d.finished, "the outbox entry stays")
}

func TestDeliver_ALargeDispatchIsFollowedAllAtOnce(t *testing.T) {
	t.Parallel()
	round := workflows.Round{}
	for i := range 256 {
		round.Waiting = append(round.Waiting, leftover(fmt.Sprintf("whk_%d", i), fmt.Sprintf("dlv_%d", i), 10))
	}
	d := newDesk(t, round)
	d.does(workflows.Attempt, func(context.Context, workflows.AttemptInput) (workflows.Outcome, error) {
		return workflows.Outcome{Status: workflows.Delivered}, nil
	})
	started := d.Now()
	require.Equal(t, workflows.DeliverResult{Delivered: 256}, d.deliver(t, "evt_1"))
	require.Less(t, d.Now().Sub(started), 30*time.Second)
	require.Equal(t, []string{workflows.StatusRetrying, workflows.Delivered}, d.statuses)
}
