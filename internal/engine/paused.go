package engine

import (
	"context"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/posthorn/posthorn/workflows"
)

const (
	// pausedTimeout bounds the query whether one workflow is paused: somebody waits for the answer.
	pausedTimeout = 2 * time.Second
	// pausedMost is the most paused workflows that are listed.
	pausedMost = 1000
)

// Paused reports whether the dispatch's workflow is paused in Temporal, or an activity of it that delivers to the
// webhook. It is false if Temporal does not answer in time.
func (e *Engine) Paused(ctx context.Context, dispatchID, webhookID string) bool {
	e.mu.Lock()
	away := e.isAway()
	e.mu.Unlock()
	if away {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, pausedTimeout)
	defer cancel()
	// No answer in this short time, or a caller that goes away, does not mean that Temporal is away.
	d, err := e.Client.DescribeWorkflowExecution(ctx, e.Queues.DeliverID(dispatchID), "")
	if err != nil {
		return false
	}
	if d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_PAUSED {
		return true
	}
	for _, a := range d.GetPendingActivities() {
		// The fairness key of an activity that makes attempts is its webhook.
		if a.GetPaused() && a.GetPriority().GetFairnessKey() == webhookID {
			return true
		}
	}
	return false
}

// PausedDispatches lists the dispatches whose workflow, or an activity of it, is paused in Temporal: at most
// pausedMost. Temporal notes pauses on the workflow, so one query is enough. The visibility store lags a little.
func (e *Engine) PausedDispatches(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	answer, err := e.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: pausedMost,
		Query: "TemporalPauseInfo IS NOT NULL AND CloseTime IS NULL AND WorkflowType = '" + workflows.DeliverType +
			"' AND WorkflowId STARTS_WITH '" + e.Queues.DeliverID("") + "'",
	})
	if e.heard(err); err != nil {
		return nil, err
	}
	paused := make(map[string]bool, len(answer.GetExecutions()))
	for _, execution := range answer.GetExecutions() {
		if id := e.Queues.DispatchID(execution.GetExecution().GetWorkflowId()); id != "" {
			paused[id] = true
		}
	}
	return paused, nil
}
