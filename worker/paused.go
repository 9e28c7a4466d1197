package worker

import (
	"context"

	"github.com/posthorn/posthorn/models"
)

// pausedCount counts deliveries that are overdue because they are paused in Temporal.
type pausedCount struct {
	*Reconciler
	known      bool            // Temporal has been asked
	dispatches map[string]bool // the paused ones
	n          int             // their overdue deliveries
}

// note counts the overdue deliveries of a page whose dispatch is paused. Temporal is queried once, and only if
// something is overdue.
func (c *pausedCount) note(ctx context.Context, page *models.Overdue) {
	if len(page.Deliveries) == 0 {
		return
	}
	if !c.known {
		c.known = true
		var err error
		if c.dispatches, err = c.Engine.PausedDispatches(ctx); err != nil {
			c.Log.DebugContext(ctx, "not known what is paused in Temporal", "error", err)
		}
	}
	for i := range page.Deliveries {
		if c.dispatches[page.Deliveries[i].DispatchID] {
			c.n++
		}
	}
}
