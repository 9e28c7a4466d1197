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

// These decide when a webhook's health workflow is woken. A signal costs Temporal five transactions and a judgement,
// far more than a POST costs, so failures that change nothing send none.
const (
	// signalEvery is how often this process signals that a webhook fails while no mark is crossed.
	signalEvery = time.Minute
	// judgeAfter is how long after the signal at the threshold this process judges the webhook itself. It is also the
	// wait before a failed judgement is repeated. The webhook must be deactivated within two seconds, even if Temporal
	// is slow.
	judgeAfter = 500 * time.Millisecond
	judgeTries = 4
	// signalsAtOnce and judgesAtOnce bound the load of a mass failure on Temporal and on the database.
	signalsAtOnce = 4
	judgesAtOnce  = 2
	// maxSignals bounds the webhooks that are remembered, and the queued signals.
	maxSignals = 10_000
)

// signals decides for which failures a health workflow is woken.
type signals struct {
	wake  crew[wake]
	judge crew[judgement]

	mu      sync.Mutex
	queued  map[wake]bool // queued signals
	failing recently      // webhooks signalled because they fail
	crossed recently      // marks that were crossed
}

// wake is one signal to send. Urgent ones do not wait behind the others.
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

// signal queues a signal, unless the same one is already queued.
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

// WakeHealth wakes the webhook's health workflow at once.
func (e *Engine) WakeHealth(webhookID string) {
	e.signals.signal(wake{webhookID, true})
}

// Failed notes that failed receptions changed a webhook's count. before is the count before the recorded group, and
// after the count after it, 0 if they were not counted. All records of one group have the same values. The health
// workflow is woken when the count crosses a warning mark or the threshold; otherwise at the first failure and at most
// once a minute.
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

// markCrossed returns the highest mark that was crossed: a warning mark or the threshold. 0 = none.
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

// judgeLater judges a webhook that has reached the threshold a little later, in this process.
func (e *Engine) judgeLater(j judgement) {
	if e.Judge == nil {
		return
	}
	time.AfterFunc(judgeAfter, func() {
		e.mu.Lock() // Close does not wait yet
		defer e.mu.Unlock()
		if !e.closing.Load() {
			e.signals.judge.add(j.webhookID, j)
		}
	})
}

// judge does what is due for a webhook. That is nothing if its health workflow was faster.
func (e *Engine) judge(j judgement) {
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	err := e.Judge(ctx, j.webhookID)
	if err == nil || e.ctx.Err() != nil {
		return
	}
	e.Log.Warn("webhook at its threshold not judged", "webhook", j.webhookID, "try", j.try+1, "error", err)
	if j.try++; j.try < judgeTries { // otherwise the reconciler finds it
		e.judgeLater(j)
	}
}

// wake sends a signal. It is best effort: the reconciler wakes health workflows that missed one.
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
