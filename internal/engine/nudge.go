package engine

import (
	"context"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/workflows"
)

// nudgeEvery is how often a webhook's health workflow is woken at most, by this process, while nothing special happens.
const nudgeEvery = time.Second

// nudge is when a webhook was woken last, and whether it will be again.
type nudge struct {
	last    time.Time
	planned bool
}

// Judge wakes the webhook's health workflow at once.
func (e *Engine) Judge(webhookID string) {
	e.mu.Lock()
	e.nudge(webhookID).last = time.Now()
	e.mu.Unlock()
	e.jobs.Go(func() { e.signal(webhookID) })
}

// Failed wakes the webhook's health workflow for failures that were counted: at most once a second, the last of
// them never left out.
func (e *Engine) Failed(webhookID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nudge(webhookID)
	if n.planned {
		return
	}
	n.planned = true
	wait := max(0, nudgeEvery-time.Since(n.last))
	time.AfterFunc(wait, func() {
		e.mu.Lock()
		n.planned, n.last = false, time.Now()
		e.mu.Unlock()
		e.signal(webhookID)
	})
}

// maxNudges bounds the webhooks remembered; those not woken lately are forgotten.
const maxNudges = 10_000

func (e *Engine) nudge(webhookID string) *nudge {
	n := e.nudges[webhookID]
	if n == nil {
		if len(e.nudges) >= maxNudges {
			for id, old := range e.nudges {
				if !old.planned && time.Since(old.last) > nudgeEvery {
					delete(e.nudges, id)
				}
			}
		}
		n = &nudge{}
		e.nudges[webhookID] = n
	}
	return n
}

// signal is best effort: the reconciler wakes whatever should have been and was not.
func (e *Engine) signal(webhookID string) {
	if e.away() {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	_, err := e.Client.SignalWithStartWorkflow(ctx, workflows.WatchID(webhookID), workflows.JudgeSignal, nil, client.StartWorkflowOptions{
		ID: workflows.WatchID(webhookID), TaskQueue: e.Queues.Main(),
		StaticSummary:         "health of " + webhookID,
		TypedSearchAttributes: temporal.NewSearchAttributes(workflows.WebhookAttribute.ValueSet([]string{webhookID})),
	}, workflows.WatchType, workflows.WatchInput{WebhookID: webhookID})
	if e.heard(err); err != nil {
		e.Log.Warn("health workflow not woken", "webhook", webhookID, "error", err)
	}
}
