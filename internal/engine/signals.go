package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// When a webhook's health workflow is woken. A signal costs Temporal five transactions and a judgement, far more than a
// POST costs, so failures that change nothing send none.
const (
	// signalEvery is how often this process signals that a webhook fails, while no mark is crossed.
	signalEvery = time.Minute
	// judgeAfter is how long after the signal at the threshold this process judges the webhook itself, and how long after
	// a judgement that failed it tries again. It must be deactivated within two seconds, also when Temporal is slow.
	judgeAfter = 500 * time.Millisecond
	judgeTries = 4
	// signalsAtOnce and judgesAtOnce bound what a mass failure takes of Temporal and of the database.
	signalsAtOnce = 4
	judgesAtOnce  = 2
	// maxSignals bounds the webhooks that are remembered, and those that wait to be signalled.
	maxSignals = 10_000
)

// signals decides which failures a health workflow is woken for.
type signals struct {
	wake  crew[wake]
	judge crew[judgement]

	mu      sync.Mutex
	queued  map[wake]bool // not begun yet
	failing recently      // webhooks signalled because they fail
	crossed recently      // marks
}

// wake is one signal to send. Those that are urgent do not wait behind those that are not.
type wake struct {
	webhookID string
	urgent    bool
}

type judgement struct {
	webhookID string
	try       int
}

func newSignals(e *Engine) *signals {
	s := &signals{queued: map[wake]bool{}, failing: recently{window: signalEvery, most: maxSignals}, crossed: recently{window: judgeAfter, most: maxSignals}}
	s.wake = crew[wake]{do: e.wake, most: signalsAtOnce, room: 2 * maxSignals, jobs: &e.jobs}
	s.judge = crew[judgement]{do: e.judge, most: judgesAtOnce, room: maxSignals, jobs: &e.jobs}
	return s
}

// signal queues a signal, unless the same one waits already.
func (s *signals) signal(w wake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queued[w] {
		return
	}
	key := "failing"
	if w.urgent {
		key = "urgent"
	}
	if s.wake.add(key, w) { // otherwise the reconciler does
		s.queued[w] = true
	}
}

// Judge wakes the webhook's health workflow at once.
func (e *Engine) Judge(webhookID string) {
	e.signals.signal(wake{webhookID, true})
}

// Failed notes that failed receptions moved a webhook's count: before is what it was before the group that was recorded,
// after what it is now, 0 if they were not counted. All records of one group say the same. The health workflow is woken
// when the count crosses a warning mark or the threshold, and otherwise at the first failure and at most once a minute.
func (e *Engine) Failed(webhookID string, before, after int64) {
	if after == 0 {
		return
	}
	mark := e.markCrossed(before, after)
	now := time.Now()
	s := e.signals
	s.mu.Lock()
	failing := s.failing.first(webhookID, now)
	crossed := mark > 0 && s.crossed.first(fmt.Sprintf("%s/%d/%d", webhookID, before, after), now)
	s.mu.Unlock()
	if crossed || failing {
		s.signal(wake{webhookID, crossed})
	}
	if crossed && mark == e.Threshold {
		e.judgeLater(judgement{webhookID: webhookID})
	}
}

// markCrossed returns the highest count with a meaning that was reached: a warning mark's, or the threshold. 0 = none.
func (e *Engine) markCrossed(before, after int64) (crossed int64) {
	reached := func(mark int64) {
		if before < mark && mark <= after {
			crossed = max(crossed, mark)
		}
	}
	for _, percent := range models.WarningMarks {
		reached(models.MarkAt(e.Threshold, percent))
	}
	reached(e.Threshold)
	return crossed
}

// judgeLater judges a webhook that has reached the threshold after a while, in this process.
func (e *Engine) judgeLater(j judgement) {
	if e.Options.Judge == nil {
		return
	}
	time.AfterFunc(judgeAfter, func() {
		e.mu.Lock() // Close has not begun to wait
		defer e.mu.Unlock()
		if !e.closing.Load() {
			e.signals.judge.add(j.webhookID, j)
		}
	})
}

// judge does what is due to a webhook, which is nothing if its health workflow has been here before.
func (e *Engine) judge(j judgement) {
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	err := e.Options.Judge(ctx, j.webhookID)
	if err == nil || e.ctx.Err() != nil {
		return
	}
	e.Log.Warn("webhook at its threshold not judged", "webhook", j.webhookID, "try", j.try+1, "error", err)
	if j.try++; j.try < judgeTries { // otherwise the reconciler finds it
		e.judgeLater(j)
	}
}

// wake sends a signal. It is best effort: the reconciler wakes whatever should have been and was not.
func (e *Engine) wake(w wake) {
	e.signals.mu.Lock()
	delete(e.signals.queued, w)
	e.signals.mu.Unlock()
	if e.away() {
		return
	}
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	id := e.Queues.WatchID(w.webhookID)
	in := e.watchInput(ctx, w.webhookID)
	_, err := e.Client.SignalWithStartWorkflow(ctx, id, workflows.JudgeSignal, nil, client.StartWorkflowOptions{
		ID: id, TaskQueue: e.Queues.Main(), WorkflowTaskTimeout: taskTimeout, Priority: temporal.Priority{FairnessKey: fairHealth},
		StaticSummary:         healthOf(in),
		TypedSearchAttributes: temporal.NewSearchAttributes(workflows.WebhookAttribute.ValueSet([]string{w.webhookID})),
	}, workflows.WatchType, in)
	if e.heard(err); err != nil {
		e.Log.Warn("health workflow not woken", "webhook", w.webhookID, "error", err)
	}
}
