package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"github.com/posthorn/posthorn/internal/panics"
)

const (
	// listedAtOnce is how many workflows one query to the visibility store covers.
	listedAtOnce = 100
	// describedAtOnce is how many workflows are described individually at once.
	describedAtOnce = 16
)

// Alive reports which dispatches have a workflow that is running or paused. An error means that Temporal gave no
// answer.
//
// The visibility store answers for many at once, but it lags. So workflows that it does not list are described
// individually.
func (e *Engine) Alive(ctx context.Context, dispatchIDs []string) (map[string]bool, error) {
	alive := make(map[string]bool, len(dispatchIDs))
	for len(dispatchIDs) > 0 {
		n := min(listedAtOnce, len(dispatchIDs))
		if err := e.ask(ctx, dispatchIDs[:n], alive); err != nil {
			return nil, err
		}
		dispatchIDs = dispatchIDs[n:]
	}
	return alive, nil
}

// ask records in alive which of a few dispatches are alive.
func (e *Engine) ask(ctx context.Context, ids []string, alive map[string]bool) error {
	if err := e.list(ctx, ids, alive); err != nil {
		if ctx.Err() != nil {
			return err
		}
		e.Log.WarnContext(ctx, "the visibility store does not answer; asking about each workflow", "error", err)
	}
	unlisted := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return alive[id] })
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(describedAtOnce)
	for _, id := range unlisted {
		g.Go(func() (err error) {
			defer panics.Into(&err, "the engine")
			running, err := e.running(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if running {
				alive[id] = true
			}
			return err
		})
	}
	return g.Wait()
}

// list asks the visibility store which of the workflows are running.
func (e *Engine) list(ctx context.Context, ids []string, alive map[string]bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(e.Queues.DeliverID(id)) + "'"
	}
	answer, err := e.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: int32(len(ids)), //nolint:gosec // at most listedAtOnce
		Query:    "ExecutionStatus = 'Running' AND WorkflowId IN (" + strings.Join(names, ", ") + ")",
	})
	e.heard(err)
	for _, execution := range answer.GetExecutions() {
		if id := e.Queues.DispatchID(execution.GetExecution().GetWorkflowId()); id != "" {
			alive[id] = true
		}
	}
	return err
}

// running reports whether a dispatch's workflow is running or paused.
func (e *Engine) running(ctx context.Context, dispatchID string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	d, err := e.Client.DescribeWorkflowExecution(ctx, e.Queues.DeliverID(dispatchID), "")
	e.heard(err)
	var missing *serviceerror.NotFound
	switch {
	case errors.As(err, &missing):
		return false, nil
	case err != nil:
		return false, err
	}
	status := d.GetWorkflowExecutionInfo().GetStatus()
	return status == enums.WORKFLOW_EXECUTION_STATUS_RUNNING || status == enums.WORKFLOW_EXECUTION_STATUS_PAUSED, nil
}
