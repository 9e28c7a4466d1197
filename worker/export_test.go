package worker

import "time"

// CountedFor makes the last count one that took so long.
func (r *Reconciler) CountedFor(took time.Duration) { r.rest(r.Store.Now().Add(-took)) }
