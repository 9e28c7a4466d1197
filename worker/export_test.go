package worker

import (
	"context"
	"time"
)

// CountedFor sets how long the last count took.
func (r *Reconciler) CountedFor(took time.Duration) { r.rest(r.Store.Now().Add(-took)) }

// WatchClock sets the clock that measures how long the reconciler has watched the other processes.
func (r *Reconciler) WatchClock(now func() time.Time) { r.watch.now = now }

// Once lets one loop look once.
func (r *Reconciler) Once(ctx context.Context, look func(context.Context) (bool, error)) error {
	_, err := r.once(ctx, loop{name: "test", look: look})
	return err
}
