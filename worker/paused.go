package worker

import (
	"context"

	"github.com/posthorn/posthorn/models"
)

// pausedCount counts what is overdue because somebody paused it in Temporal.
type pausedCount struct {
	known      bool            // Temporal has been asked
	dispatches map[string]bool // that are paused
	n          int             // their deliveries that are overdue
}

// notePaused counts the overdue deliveries of a page whose dispatch is paused. Temporal is asked once in a pass, and only if
// something is overdue.
func (p *pass) notePaused(ctx context.Context, page *models.Overdue) {
	if len(page.Deliveries) == 0 {
		return
	}
	if !p.paused.known {
		p.paused.known = true
		var err error
		if p.paused.dispatches, err = p.Engine.PausedDispatches(ctx); err != nil {
			p.Log.DebugContext(ctx, "not known what is paused in Temporal", "error", err)
		}
	}
	if len(p.paused.dispatches) == 0 {
		return
	}
	for i := range page.Deliveries {
		if p.paused.dispatches[page.Deliveries[i].DispatchID] {
			p.paused.n++
		}
	}
}
