package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"
)

// leaveInTime stops the driving of deliveries when Temporal finds the history long: timers end at once, activities
// when their work has ended. done must be called when nothing is driven any more.
func (d *dispatch) leaveInTime(ctx workflow.Context, stop workflow.CancelFunc) (done func()) {
	over := false
	workflow.Go(ctx, func(ctx workflow.Context) {
		err := workflow.Await(ctx, func() bool { return over || workflow.GetInfo(ctx).GetContinueAsNewSuggested() })
		if err == nil && !over {
			d.leaving = true
			stop()
		}
	})
	return func() { over = true }
}

// letGo stops driving deliveries that have waited for a while. The next run continues with them, including those that
// were to be attempted together. If the workflow is being canceled, the reconciler takes over.
func (d *dispatch) letGo(waited time.Duration, left ...Leftover) {
	if !d.leaving || d.root.Err() != nil {
		d.abandon(left...)
		return
	}
	last := left[len(left)-1].Wait
	for _, l := range left {
		if l.Kind != AtRate {
			l.Wait = last
		}
		l.Wait = max(0, l.Wait-waited)
		d.carried = append(d.carried, l)
	}
}

// Left returns the deliveries that are left over, with their waits a while after the round ended.
func (r *Round) Left(ago time.Duration) Leftovers {
	left := slices.Concat(r.Waiting, r.OverCap)
	for i := range left {
		left[i].Wait = max(0, left[i].Wait-ago).Round(time.Millisecond)
	}
	return left
}

// Begun returns the input of a dispatch whose first attempts were made before its workflow started, and ended ago
// before now: it continues with what they left over.
func Begun(in DeliverInput, r Round, ago time.Duration) DeliverInput {
	d := &dispatch{in: in}
	d.take(r)
	waiting := r.Left(ago)
	in.Carried = &Carried{Result: d.result, Waiting: waiting}
	if len(waiting) == 0 {
		in.Shown = d.status()
	}
	return in
}

// continueAsNew ends this run. The next one continues with what has been carried over.
func (d *dispatch) continueAsNew(ctx workflow.Context) error {
	next := d.in
	next.Carried = &Carried{Result: d.result, Waiting: d.carried}
	return workflow.NewContinueAsNewError(ctx, DeliverType, next)
}
