// Package worker registers the workflows and activities with Temporal, tunes how many run at once, and runs the
// reconcile loop, which finds accepted deliveries that nothing drives.
//
// It must not import api. Any number of workers may run; none is special.
package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdk "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/workflows"
)

// Activities is everything the workflows call.
type Activities struct {
	Deliveries   *activities.Deliveries
	Health       *activities.Health
	Housekeeping *activities.Housekeeping
}

// Worker polls Temporal's task queues of one installation.
type Worker struct {
	main, bulk, deliveries sdk.Worker
}

// How much runs at once in one process. A waiting POST costs a goroutine and little else, so there may be many; the
// memory of their payloads bounds them.
const (
	concurrentTasks      = 1000 // tasks of bulk workflows; one lasts as long as its dispatch's first attempts
	concurrentDispatches = 1000 // local activities, each with up to 256 POSTs
	concurrentDeliveries = 500  // activities of the fair lane
	concurrentOthers     = 20   // notifications, retention
	cachedWorkflows      = 10_000
)

// New returns a Worker. It does not poll before Start.
func New(c client.Client, q workflows.Queues, a Activities, d Deployment) (*Worker, error) {
	sdk.SetStickyWorkflowCacheSize(cachedWorkflows)
	slots, err := tuner(a.Deliveries.Courier.Crowded)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	w := &Worker{
		main: sdk.New(c, q.Main(), sdk.Options{
			MaxConcurrentLocalActivityExecutionSize: concurrentDispatches,
			MaxConcurrentActivityExecutionSize:      concurrentOthers,
			WorkerStopTimeout:                       stopTimeout,
			WorkflowPanicPolicy:                     panicPolicy,
			DeadlockDetectionTimeout:                deadlockAfter,
			Interceptors:                            interceptors,
			DeploymentOptions:                       d.options(),
		}),
		bulk: sdk.New(c, q.Bulk(), sdk.Options{
			Tuner:                    slots,
			LocalActivityWorkerOnly:  true,
			WorkerStopTimeout:        stopTimeout,
			WorkflowPanicPolicy:      panicPolicy,
			DeadlockDetectionTimeout: deadlockAfter,
			Interceptors:             interceptors,
			DeploymentOptions:        d.options(),
		}),
		deliveries: sdk.New(c, q.Deliveries(), sdk.Options{
			DisableWorkflowWorker:              true,
			MaxConcurrentActivityExecutionSize: concurrentDeliveries,
			MaxHeartbeatThrottleInterval:       heartbeatEvery,
			WorkerStopTimeout:                  stopTimeout,
			Interceptors:                       interceptors,
			DeploymentOptions:                  d.options(),
		}),
	}
	Register(w.main, a)
	Register(w.bulk, a)
	w.deliveries.RegisterActivityWithOptions(a.Deliveries.Attempt, activity.RegisterOptions{Name: workflows.Attempt})
	w.deliveries.RegisterActivityWithOptions(a.Deliveries.AttemptMany, activity.RegisterOptions{Name: workflows.AttemptMany})
	return w, nil
}

// interceptors handle panics of activities. Test builds add one that changes workflows.
var interceptors = []interceptor.WorkerInterceptor{&catching{}}

// panicPolicy ends a workflow that cannot go on, because its code panics or does not match its history. Otherwise it
// would stay open and count as driving its deliveries for ever; now the reconciler replaces it.
const panicPolicy = sdk.FailWorkflow

// deadlockAfter is how long a workflow task may compute before the SDK treats it as a panic. It is longer than the
// timeout of any workflow task, so that no workflow fails when a machine is starved for a second: its late answer is
// refused.
const deadlockAfter = 15 * time.Second

// heartbeatEvery is the shortest time between two heartbeats of an activity. The SDK's own, four fifths of the
// heartbeat timeout, leaves too little time on a starved machine or with a slow Temporal.
const heartbeatEvery = 2 * time.Second

// stopTimeout bounds how long the SDK waits for running tasks when it is stopped, for each kind of task separately. It
// only has to be longer than Stop's own time.
const stopTimeout = time.Minute

// Register registers the workflows, and the activities that run on the main queue.
func Register(r sdk.Registry, a Activities) {
	for name, story := range stories {
		r.RegisterWorkflowWithOptions(story.run, workflow.RegisterOptions{Name: name, VersioningBehavior: story.behavior})
	}
	for name, method := range map[string]any{
		workflows.FirstAttempts: a.Deliveries.FirstAttempts, workflows.LookUp: a.Deliveries.LookUp, workflows.Finish: a.Deliveries.Finish,
		workflows.Judge: a.Health.Judge, workflows.Notify: a.Health.Notify,
		workflows.ReleasePage: a.Housekeeping.ReleasePage, workflows.RemoveExpired: a.Housekeeping.RemoveExpired,
	} {
		r.RegisterActivityWithOptions(method, activity.RegisterOptions{Name: name})
	}
}

// Start begins to poll. It fails if Temporal cannot be reached or the namespace does not exist.
func (w *Worker) Start() error {
	if err := w.main.Start(); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	for i, next := range []sdk.Worker{w.bulk, w.deliveries} {
		if err := next.Start(); err != nil {
			for _, started := range []sdk.Worker{w.main, w.bulk}[:i+1] {
				started.Stop()
			}
			return fmt.Errorf("worker: %w", err)
		}
	}
	return nil
}

// Stop ends polling on all task queues at once, waits for running tasks, and reports whether they ended before ctx.
func (w *Worker) Stop(ctx context.Context) bool {
	var parts sync.WaitGroup
	for _, part := range []sdk.Worker{w.deliveries, w.bulk, w.main} {
		parts.Go(part.Stop)
	}
	ended := make(chan struct{})
	go func() {
		parts.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}
