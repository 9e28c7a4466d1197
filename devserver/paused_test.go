package devserver_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/devserver"
	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/workflows"
)

// TestPaused_WhatSomebodyPausesIsSeenAndAlive: a workflow, and an activity of another, are paused as the Web UI does it (A10).
func TestPaused_WhatSomebodyPausesIsSeenAndAlive(t *testing.T) {
	t.Parallel()
	ctx := bounded(t)
	s, err := devserver.Start(ctx, devserver.Options{DynamicConfig: map[string]any{"frontend.WorkflowPauseEnabled": true}})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	c := connect(t, s.FrontendAddr())
	queues := workflows.NewQueues("paused")
	w := sdk.New(c, queues.Main(), sdk.Options{})
	w.RegisterWorkflowWithOptions(func(ctx workflow.Context, _ workflows.DeliverInput) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{ActivityID: "posts", TaskQueue: "nobody", ScheduleToCloseTimeout: time.Hour,
			Priority: temporal.Priority{FairnessKey: "wh_1"}})
		return workflow.ExecuteActivity(ctx, workflows.Attempt).Get(ctx, nil)
	}, workflow.RegisterOptions{Name: workflows.DeliverType})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	e := engine.New(engine.Options{Client: c, Queues: queues, Metrics: metrics.New(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
		Slots: 1, GroupMax: 1})
	t.Cleanup(e.Close)
	for _, id := range []string{"evt_1", "evt_2", "evt_3"} {
		_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: queues.DeliverID(id), TaskQueue: queues.Main()},
			workflows.DeliverType, workflows.DeliverInput{DispatchID: id})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			d, err := c.DescribeWorkflowExecution(ctx, queues.DeliverID(id), "")
			return err == nil && len(d.GetPendingActivities()) == 1
		}, settle, 20*time.Millisecond)
		require.False(t, e.Paused(ctx, id, "wh_1"))
	}
	_, err = c.WorkflowService().PauseWorkflowExecution(ctx, &workflowservice.PauseWorkflowExecutionRequest{Namespace: "default",
		WorkflowId: queues.DeliverID("evt_1"), Identity: "ops", Reason: "a look"})
	require.NoError(t, err)
	_, err = c.WorkflowService().PauseActivity(ctx, &workflowservice.PauseActivityRequest{Namespace: "default", Identity: "ops",
		Execution: &commonpb.WorkflowExecution{WorkflowId: queues.DeliverID("evt_2")}, Activity: &workflowservice.PauseActivityRequest_Id{Id: "posts"}})
	require.NoError(t, err)

	require.Eventually(t, func() bool { return e.Paused(ctx, "evt_1", "wh_1") && e.Paused(ctx, "evt_2", "wh_1") }, settle, 20*time.Millisecond)
	require.False(t, e.Paused(ctx, "evt_2", "wh_2"))
	require.False(t, e.Paused(ctx, "evt_3", "wh_1"))
	require.EventuallyWithT(t, func(a *assertion) {
		paused, err := e.PausedDispatches(ctx)
		require.NoError(a, err)
		require.Equal(a, map[string]bool{"evt_1": true, "evt_2": true}, paused)
	}, settle, 50*time.Millisecond)
	alive, err := e.Alive(ctx, []string{"evt_1", "evt_2", "evt_3"})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"evt_1": true, "evt_2": true, "evt_3": true}, alive, "none is overruled")
}
