package worker

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
)

const (
	// dueEvery is the time between two looks at what waits in the database.
	dueEvery = 500 * time.Millisecond
	// untilDue is how long a loop rests that has nothing to do, unless it is woken before.
	untilDue = 10 * time.Second
)

// due asks the database in one statement what waits for a worker, and wakes the loops that do it. A loop that has
// nothing to do makes no statement of its own.
func (r *Reconciler) due(ctx context.Context) (found bool, err error) {
	due, err := r.Store.Due(ctx)
	if err == nil {
		found, err = r.processes(ctx, due.Silent)
	}
	if err != nil {
		r.watch.last = time.Time{}
	}
	if found || due.Gone {
		wake(r.unclaimed)
	}
	if due.Jobs {
		wake(r.Jobs)
	}
	if due.Batches {
		wake(r.Batches)
	}
	return found, err
}

// wake wakes a loop. One that is busy looks again afterwards, once for any number of calls.
func wake(loop chan<- struct{}) {
	select {
	case loop <- struct{}{}:
	default:
	}
}

// rest waits before the next round of a loop. One that has nothing to do is woken when something is due.
func rest(ctx context.Context, wait time.Duration, due <-chan struct{}) {
	if wait != untilDue {
		_ = pause.For(ctx, wait)
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-due:
	case <-timer.C:
	case <-ctx.Done():
	}
}
