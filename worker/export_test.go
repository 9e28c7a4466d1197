package worker

import "time"

// CountedFor makes the last count one that took so long.
func (r *Reconciler) CountedFor(took time.Duration) { r.rest(r.Store.Now().Add(-took)) }

// WatchClock gives the clock by which the reconciler knows how long it has watched the other processes.
func (r *Reconciler) WatchClock(now func() time.Time) { r.watch.now = now }
