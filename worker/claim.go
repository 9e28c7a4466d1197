package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/workflows"
)

// installationMemo is the memo field of the retention schedule's workflows that says which installation owns the task
// queue.
const installationMemo = "PosthornInstallation"

// TakenError says that a task queue belongs to another database's installation.
type TakenError struct {
	Prefix, Owner, Own string // the prefix of the task queues, the id of the installation that owns it, and our own
}

// Error says what to do about it.
func (e *TakenError) Error() string {
	return fmt.Sprintf("the task queue %q belongs to another installation (%s; this database is %s): give this one its own POSTHORN_TASK_QUEUE. "+
		"If this database replaces the other one for good, delete the schedule %q in Temporal first", e.Prefix, e.Owner, e.Own, workflows.RetainSchedule(e.Prefix))
}

// Claim creates the schedule that runs the retention every hour, one run at a time, and marks with it that the task
// queues belong to this installation. An existing schedule is left as it is, because it may have been paused by hand.
// A TakenError means that it belongs to another installation.
func Claim(ctx context.Context, c client.Client, prefix, installation string) error {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	id := workflows.RetainSchedule(prefix)
	_, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID:      id,
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
		Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		Action: &client.ScheduleWorkflowAction{ID: id, Workflow: workflows.RetainType, TaskQueue: workflows.NewQueues(prefix).Main(),
			Memo: map[string]any{installationMemo: installation}},
	})
	if err == nil || !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return err
	}
	schedule := c.ScheduleClient().GetHandle(ctx, id)
	owner, err := ownerOf(ctx, schedule)
	if err != nil {
		return err
	}
	if owner == "" { // a build without marks made it
		if err := mark(ctx, schedule, installation); err != nil {
			return err
		}
		if owner, err = ownerOf(ctx, schedule); err != nil { // if two processes marked it, one won
			return err
		}
	}
	if owner != installation {
		return &TakenError{Prefix: prefix, Owner: owner, Own: installation}
	}
	return nil
}

// claimTimeout bounds one try.
const claimTimeout = 10 * time.Second

// ownerOf reads the owner of a retention schedule; "" if it has no mark.
func ownerOf(ctx context.Context, schedule client.ScheduleHandle) (string, error) {
	found, err := schedule.Describe(ctx)
	if err != nil {
		return "", err
	}
	return markOf(&found.Schedule)
}

func markOf(schedule *client.Schedule) (owner string, err error) {
	action, ok := schedule.Action.(*client.ScheduleWorkflowAction)
	if !ok {
		return "", nil
	}
	payload, ok := action.Memo[installationMemo].(*commonpb.Payload)
	if !ok {
		return "", nil
	}
	err = converter.GetDefaultDataConverter().FromPayload(payload, &owner)
	return owner, err
}

// mark writes the installation's id onto a schedule that has none.
func mark(ctx context.Context, schedule client.ScheduleHandle, installation string) error {
	return schedule.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		now := in.Description.Schedule
		owner, err := markOf(&now)
		if err != nil {
			return nil, err
		}
		action, ok := now.Action.(*client.ScheduleWorkflowAction)
		if owner != "" || !ok {
			return nil, temporal.ErrSkipScheduleUpdate
		}
		if action.Memo == nil {
			action.Memo = map[string]any{}
		}
		action.Memo[installationMemo] = installation
		return &client.ScheduleUpdate{Schedule: &now}, nil
	}})
}
