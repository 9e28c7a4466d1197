package devserver_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/worker"
	"github.com/posthorn/posthorn/workflows"
)

// TestInstallation_ATaskQueueIsOneInstallations: a second database under one task queue is refused (A11).
func TestInstallation_ATaskQueueIsOneInstallations(t *testing.T) {
	t.Parallel()
	ctx, c := bare(t)
	claim := func(prefix, installation string) error { return worker.Claim(ctx, c, prefix, installation) }

	require.NoError(t, claim("posthorn", "ins_1"))
	require.NoError(t, claim("posthorn", "ins_1"), "another process of it")
	var taken *worker.TakenError
	require.ErrorAs(t, claim("posthorn", "ins_2"), &taken)
	require.Equal(t, "ins_1", taken.Owner)
	require.ErrorContains(t, taken, "POSTHORN_TASK_QUEUE")
	require.NoError(t, claim("other", "ins_2"), "with a task queue of its own")

	// A schedule of a build that wrote no mark is the first one's to claim it. Somebody has paused it, which stays so.
	schedule, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{ID: workflows.RetainSchedule("old"), Paused: true,
		Spec:   client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
		Action: &client.ScheduleWorkflowAction{ID: "old-retention", Workflow: workflows.RetainType, TaskQueue: "old"}})
	require.NoError(t, err)
	require.NoError(t, claim("old", "ins_3"))
	require.ErrorAs(t, claim("old", "ins_4"), &taken)
	found, err := schedule.Describe(ctx)
	require.NoError(t, err)
	require.True(t, found.Schedule.State.Paused)

	// Temporal has lost its data, or the operator has removed the mark: it is written again.
	require.NoError(t, c.ScheduleClient().GetHandle(ctx, workflows.RetainSchedule("posthorn")).Delete(ctx))
	require.Eventually(t, func() bool { return claim("posthorn", "ins_2") == nil }, settle, 50*time.Millisecond)
	require.ErrorAs(t, claim("posthorn", "ins_1"), &taken)
}

// TestInstallation_AWorkflowThatCannotGoOnFails: it ends instead of staying open, so that the reconciler replaces it (A10).
func TestInstallation_AWorkflowThatCannotGoOnFails(t *testing.T) {
	t.Parallel()
	ctx, c := bare(t)
	queues := workflows.NewQueues("broken")
	id := queues.DeliverID("evt_1")

	// A build with another story begins it: the history begins with a timer.
	other := sdk.New(c, queues.Main(), sdk.Options{})
	other.RegisterWorkflowWithOptions(func(ctx workflow.Context, _ workflows.DeliverInput) error { return workflow.Sleep(ctx, time.Hour) },
		workflow.RegisterOptions{Name: workflows.DeliverType})
	require.NoError(t, other.Start())
	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: queues.Main(), WorkflowTaskTimeout: time.Second},
		workflows.DeliverType, workflows.DeliverInput{DispatchID: "evt_1"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		d, err := c.DescribeWorkflowExecution(ctx, id, "")
		return err == nil && d.GetWorkflowExecutionInfo().GetHistoryLength() > 4
	}, settle, 20*time.Millisecond)
	other.Stop()

	w, err := worker.New(c, queues, worker.Activities{Deliveries: &activities.Deliveries{Courier: &delivery.Courier{}},
		Health: &activities.Health{}, Housekeeping: &activities.Housekeeping{}}, worker.Deployment{})
	require.NoError(t, err)
	require.NoError(t, w.Start())
	t.Cleanup(func() { w.Stop(context.Background()) })
	require.NoError(t, c.SignalWorkflow(ctx, id, "", "wake", nil))
	require.Eventually(t, func() bool { return status(ctx, c, id) == enumspb.WORKFLOW_EXECUTION_STATUS_FAILED }, settle, 50*time.Millisecond)

	e := engine.New(engine.Options{Client: c, Queues: queues, Metrics: metrics.New(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
		Slots: 1, GroupMax: 1})
	t.Cleanup(e.Close)
	require.Eventually(t, func() bool { // the list of workflows follows up to a second later
		alive, err := e.Alive(ctx, []string{"evt_1"})
		return err == nil && !alive["evt_1"]
	}, settle, 50*time.Millisecond, "the reconciler replaces it")
}

func status(ctx context.Context, c client.Client, id string) enumspb.WorkflowExecutionStatus {
	d, err := c.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED
	}
	return d.GetWorkflowExecutionInfo().GetStatus()
}
