package worker

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/workflows"
)

// ensureRetention makes the schedule that runs the retention every hour, one at a time; one that exists is left as
// it is, for it may have been paused by hand.
func ensureRetention(ctx context.Context, c client.Client, prefix string) error {
	id := workflows.RetainSchedule(prefix)
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:      id,
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		Action: &client.ScheduleWorkflowAction{ID: id, Workflow: workflows.RetainType,
			TaskQueue: workflows.NewQueues(prefix).Main()},
	})
	if errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return nil
	}
	return err
}
