package worker

import (
	"context"
	"time"
)

// CountedFor sets how long the last count took.
func (r *Reconciler) CountedFor(took time.Duration) { r.rest(r.Store.Now().Add(-took)) }

// WatchClock sets the clock that measures how long the reconciler has watched the other processes, of which a test may
// silence the only one there is.
func (r *Reconciler) WatchClock(now func() time.Time) {
	r.watch.now, r.watch.reports = now, func() bool { return true }
}

// Reports sets whether this process's own reports are in time.
func (r *Reconciler) Reports(reports bool) { r.watch.reports = func() bool { return reports } }

// Due asks once what is due, and reports whether it has woken the takeover.
func (r *Reconciler) Due(ctx context.Context) (woken bool, err error) {
	r.unclaimed = make(chan struct{}, 1)
	_, err = r.due(ctx)
	return len(r.unclaimed) == 1, err
}

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

// LoopNames returns the loops' names, which are values of a metric's label.
func (r *Reconciler) LoopNames() (names []string) {
	for _, l := range r.loops() {
		names = append(names, l.name)
	}
	return names
}
