package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/workflows"
)

// next returns the state that a run passes to the next one.
func (s *story) next(t *testing.T) workflows.DeliverInput {
	t.Helper()
	require.True(t, s.IsWorkflowCompleted())
	var continued *workflow.ContinueAsNewError
	require.ErrorAs(t, s.GetWorkflowError(), &continued)
	require.Equal(t, workflows.DeliverType, continued.WorkflowType.Name)
	var in workflows.DeliverInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(continued.Input, &in))
	return in
}

// A dispatch with a long history continues as new, with its waiting deliveries and the results of the others (A22).
func TestCarryOver_ALongHistoryContinuesAsNew(t *testing.T) {
	t.Parallel()
	alone := leftover("whk_2", "dlv_alone", 10)
	alone.Wait = time.Hour
	busy := leftover("whk_3", "dlv_busy", 10)
	d := newDesk(t, workflows.Round{Delivered: 5, Failed: 1, Continues: true, Waiting: append(waiting("whk_1", 3), alone, busy)})
	d.does(workflows.Attempt, func(_ context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		require.Equal(t, "dlv_busy", in.Delivery.Delivery)
		d.SetContinueAsNewSuggested(true)
		return workflows.Outcome{Status: workflows.Delivered}, nil // it ends first
	})
	d.does(workflows.AttemptMany, func(context.Context, workflows.AttemptManyInput) (workflows.Round, error) {
		return workflows.Round{}, errors.New("none is due")
	})
	started := d.Now()
	d.ExecuteWorkflow(workflows.DeliverType, workflows.DeliverInput{DispatchID: "evt_1", Queue: lane, Tenant: tenant})
	in := d.next(t)
	require.Less(t, d.Now().Sub(started), time.Minute, "timers are not waited for")
	require.Empty(t, d.finished)
	require.Equal(t, tenant, in.Tenant)
	require.Equal(t, workflows.DeliverResult{Delivered: 6, Failed: 1, Unlisted: 1}, in.Carried.Result)
	require.Len(t, in.Carried.Waiting, 4)
	for _, l := range in.Carried.Waiting {
		want := waiting("whk_1", 3)[0].Wait
		if l.Delivery == "dlv_alone" {
			want = alone.Wait
		}
		require.InDelta(t, want-10*time.Second, l.Wait, float64(time.Second), "what it has waited counts")
	}

	again := newDesk(t, workflows.Round{})
	again.does(workflows.AttemptMany, func(_ context.Context, in workflows.AttemptManyInput) (workflows.Round, error) {
		return workflows.Round{Delivered: len(in.Deliveries)}, nil
	})
	again.does(workflows.Attempt, func(context.Context, workflows.AttemptInput) (workflows.Outcome, error) {
		return workflows.Outcome{Status: workflows.Failed}, nil
	})
	again.ExecuteWorkflow(workflows.DeliverType, in)
	require.NoError(t, again.GetWorkflowError())
	var result workflows.DeliverResult
	require.NoError(t, again.GetWorkflowResult(&result))
	require.Equal(t, "9 delivered, 2 failed.", result.Summary, "of both runs")
	require.Equal(t, "dlv_alone", result.NotDelivered[0].Delivery)
	require.Equal(t, 1, result.Unlisted, "the first run's, which is listed nowhere")
	require.Equal(t, []string{"evt_1"}, again.finished)
}

func TestCarryOver_ADispatchFromBeforeDoesNotContinue(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{Waiting: waiting("whk_1", 3)})
	d.SetContinueAsNewSuggested(true)
	d.does(workflows.AttemptMany, func(_ context.Context, in workflows.AttemptManyInput) (workflows.Round, error) {
		return workflows.Round{Delivered: len(in.Deliveries)}, nil
	})
	require.Equal(t, workflows.DeliverResult{Delivered: 3}, d.deliver(t, "evt_1"))
}

// Retries that wait in Temporal are stopped, and the results of their deliveries are looked up.
func TestCarryOver_WhatTemporalIsToRetryIsCarriedOver(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{Continues: true, Waiting: []workflows.Leftover{leftover("whk_1", "dlv_1", 10)}})
	d.does(workflows.Attempt, func(context.Context, workflows.AttemptInput) (workflows.Outcome, error) {
		d.SetContinueAsNewSuggested(true)
		return workflows.Outcome{}, errors.New("again in a while")
	})
	d.does(workflows.LookUp, func(_ context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		in.Delivery.Wait, in.Delivery.Remaining = time.Minute, 9
		return workflows.Outcome{Left: &in.Delivery}, nil
	})
	d.ExecuteWorkflow(workflows.DeliverType, workflows.DeliverInput{DispatchID: "evt_1", Queue: lane})
	in := d.next(t)
	require.Len(t, in.Carried.Waiting, 1)
	require.Equal(t, time.Minute, in.Carried.Waiting[0].Wait)
	require.Equal(t, 9, in.Carried.Waiting[0].Remaining)
}

func TestCarryOver_ACanceledWorkflowIsNotCarriedOver(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{Continues: true, Waiting: []workflows.Leftover{leftover("whk_1", "dlv_1", 10)}})
	d.RegisterDelayedCallback(d.CancelWorkflow, 5*time.Second)
	d.ExecuteWorkflow(workflows.DeliverType, workflows.DeliverInput{DispatchID: "evt_1", Queue: lane})
	require.ErrorContains(t, d.GetWorkflowError(), "canceled")
	require.Empty(t, d.finished)
}

// A dispatch whose first attempts were made before its workflow makes none, and continues with the left-over
// deliveries.
func TestCarryOver_ADispatchGoesOnWithWhatItsFirstAttemptsLeft(t *testing.T) {
	t.Parallel()
	retried, over := leftover("whk_1", "dlv_retried", 10), leftover("whk_2", "dlv_over", 10)
	retried.Number, retried.Last, retried.Wait = 2, "503 Service Unavailable", time.Minute
	over.Wait = 0
	d := newDesk(t, workflows.Round{Failed: 99})
	var attempted []string
	d.does(workflows.Attempt, func(_ context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		attempted = append(attempted, in.Delivery.Delivery)
		return workflows.Outcome{Status: workflows.Delivered}, nil
	})
	in := workflows.Begun(workflows.DeliverInput{DispatchID: "evt_1", Queue: lane, Tenant: tenant},
		workflows.Round{Delivered: 2, Failed: 1, NotDelivered: []workflows.Ended{{Status: workflows.Failed, Delivery: "dlv_failed"}},
			Waiting: workflows.Leftovers{retried}, OverCap: workflows.Leftovers{over}}, 10*time.Second)
	started := d.Now()
	d.ExecuteWorkflow(workflows.DeliverType, in)
	require.NoError(t, d.GetWorkflowError())
	require.Equal(t, []string{"dlv_over", "dlv_retried"}, attempted)
	require.Equal(t, 50*time.Second, d.Now().Sub(started).Round(time.Second), "it had waited for ten seconds")
	var result workflows.DeliverResult
	require.NoError(t, d.GetWorkflowResult(&result))
	require.Equal(t, "4 delivered, 1 failed.", result.Summary)
	require.Equal(t, "dlv_failed", result.NotDelivered[0].Delivery)
	require.Equal(t, []string{"evt_1"}, d.finished)
}

// A dispatch without left-over deliveries only reports its result.
func TestCarryOver_ADispatchOfWhichNothingIsLeftSaysSo(t *testing.T) {
	t.Parallel()
	d := newDesk(t, workflows.Round{Failed: 99})
	d.ExecuteWorkflow(workflows.DeliverType, workflows.Begun(workflows.DeliverInput{DispatchID: "evt_1", Queue: lane, Tenant: tenant},
		workflows.Round{Failed: 1, NotDelivered: []workflows.Ended{{Status: workflows.Failed, Reason: "404 Not Found", Attempts: 1}}}, 0))
	require.NoError(t, d.GetWorkflowError())
	var result workflows.DeliverResult
	require.NoError(t, d.GetWorkflowResult(&result))
	require.Equal(t, "failed after 1 attempt: 404 Not Found.", result.Summary)
	require.Empty(t, d.finished, "there is no entry of the outbox")
}
