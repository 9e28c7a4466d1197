package worker

import (
	"context"
	"errors"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

const (
	// dueEvery is the time between two looks at what waits in the database.
	dueEvery = 500 * time.Millisecond
	// untilDue is what a loop returns that has nothing to do. It rests until it is woken, or for this long.
	untilDue = 10 * time.Second
)

// due asks the database in one statement what waits for a worker, and wakes the loops that do it. The others rest. If
// there is no answer, because a table is locked or the database is away, each looks by itself.
func (r *Reconciler) due(ctx context.Context) (found bool, err error) {
	due, err := r.Store.Due(ctx)
	answered := err == nil
	if !answered {
		due = models.Due{Silent: true, Gone: true, Jobs: true, Batches: true}
	}
	found, declared := r.processes(ctx, due.Silent, answered)
	if found || due.Gone {
		wake(r.unclaimed)
	}
	if due.Jobs {
		wake(r.Jobs)
	}
	if due.Batches {
		wake(r.Batches)
	}
	return found, errors.Join(err, declared)
}

// wake wakes a loop. One that is busy looks again afterwards, once for any number of calls.
func wake(loop chan<- struct{}) {
	select {
	case loop <- struct{}{}:
	default:
	}
}

// rest waits before the next round of a loop.
func rest(ctx context.Context, wait time.Duration, due <-chan struct{}) {
	if wait != untilDue {
		due = nil
	}
	_ = pause.Until(ctx, due, wait)
}
