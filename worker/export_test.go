package worker

import (
	"context"
	"time"
)

// CountedFor sets how long the last count took.
func (r *Reconciler) CountedFor(took time.Duration) { r.rest(r.Store.Now().Add(-took)) }

// WatchClock sets the clock that measures how long the reconciler has watched the other processes.
func (r *Reconciler) WatchClock(now func() time.Time) { r.watch.now = now }

// RestOf returns how long a running loop rests after a look.
func (r *Reconciler) RestOf(name string, took time.Duration, found bool, err error) time.Duration {
	r.unclaimed = make(chan struct{}, 1)
	for _, l := range r.loops() {
		if l.name == name {
			return r.restOf(l, took, found, err)
		}
	}
	panic("no loop " + name)
}

// Once lets one loop look once.
func (r *Reconciler) Once(ctx context.Context, look func(context.Context) (bool, error)) error {
	_, err := r.once(ctx, loop{name: "test", look: look})
	return err
}
