package devserver_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// TestFairness_WorkflowTasksTakeTurns: one tenant's backlog of workflows does not delay another tenant's single one, because
// each was started with a fairness key.
func TestFairness_WorkflowTasksTakeTurns(t *testing.T) {
	t.Parallel()
	ctx, c := bare(t)
	const queue = "crowded"
	begin := func(tenant string, n int) {
		for i := range n {
			_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: fmt.Sprintf("%s/%d", tenant, i), TaskQueue: queue,
				Priority: temporal.Priority{FairnessKey: tenant}}, Greet, tenant, false)
			require.NoError(t, err)
		}
	}
	waiting := func(n int64) {
		require.EventuallyWithT(t, func(a *assertion) {
			d, err := c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{Namespace: "default",
				TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW, ReportStats: true})
			require.NoError(a, err)
			require.Equal(a, n, d.GetStats().GetApproximateBacklogCount())
		}, settle, 50*time.Millisecond)
	}
	begin("huge", 60)
	waiting(60)
	begin("small", 1)
	waiting(61)

	var order []string
	for range 5 {
		task, err := c.WorkflowService().PollWorkflowTaskQueue(ctx, &workflowservice.PollWorkflowTaskQueueRequest{Namespace: "default",
			TaskQueue: &taskqueuepb.TaskQueue{Name: queue}, Identity: "test"})
		require.NoError(t, err)
		tenant, _, _ := strings.Cut(task.GetWorkflowExecution().GetWorkflowId(), "/")
		order = append(order, tenant)
	}
	require.Contains(t, order, "small")
}
