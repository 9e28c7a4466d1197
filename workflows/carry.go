package workflows

import (
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"
)

// leaveInTime ends what is being followed when Temporal finds the history long: timers at once, activities when what they
// do has ended. done must be called when nothing is followed any more.
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

// letGo ends the following of deliveries that have waited for a while: the next run goes on with them, and together with
// those that were to be attempted together. If the workflow is being canceled, the reconciler takes over.
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

// Begun gives a dispatch what came of its first attempts, which ended so long ago, before its workflow: it goes on with what
// they left over.
func Begun(in DeliverInput, r Round, ago time.Duration) DeliverInput {
	d := &dispatch{in: in}
	d.take(r)
	waiting := slices.Concat(r.Waiting, r.OverCap)
	for i := range waiting {
		waiting[i].Wait = max(0, waiting[i].Wait-ago).Round(time.Millisecond)
	}
	in.Carried = &Carried{Result: d.result, Waiting: waiting}
	return in
}

// continueAsNew ends this run. The next goes on with what has been carried over.
func (d *dispatch) continueAsNew(ctx workflow.Context) error {
	next := d.in
	next.Carried = &Carried{Result: d.result, Waiting: d.carried}
	return workflow.NewContinueAsNewError(ctx, DeliverType, next)
}
