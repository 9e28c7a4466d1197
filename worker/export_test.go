package worker

import (
	"context"
	"time"
)

// CountedFor makes the last count one that took so long.
func (r *Reconciler) CountedFor(took time.Duration) { r.rest(r.Store.Now().Add(-took)) }

// WatchClock gives the clock by which the reconciler knows how long it has watched the other processes.
func (r *Reconciler) WatchClock(now func() time.Time) { r.watch.now = now }

// Once lets one loop look once.
func (r *Reconciler) Once(ctx context.Context, look func(context.Context) (bool, error)) error {
	_, err := r.once(ctx, loop{name: "test", look: look})
	return err
}
