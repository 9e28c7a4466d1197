package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/workflows"
)

// Deliveries makes attempts: it exposes a delivery.Courier to Temporal.
type Deliveries struct {
	Courier *delivery.Courier
	// Processes knows which processes run. nil = the worker of an activity without heartbeats is presumed dead.
	Processes Processes
}

// The types of the errors with which activities ask Temporal for another call.
const (
	ReceptionFailed = "ReceptionFailed" // for the next attempt
	NoPlace         = "NoPlace"         // for this one, which was postponed
)

// FirstAttempts makes the first POST of every delivery of a dispatch. Deliveries whose webhook has reached its cap are
// left over.
func (a *Deliveries) FirstAttempts(ctx context.Context, in workflows.FirstAttemptsInput) (workflows.Round, error) {
	first := delivery.FirstInput{DispatchID: in.DispatchID, Tenant: in.Tenant, Size: in.Size}
	if by := in.By; by != nil {
		var err error
		if first.Elsewhere, err = a.busy(ctx, sign{by.Process, by.At}); err != nil {
			return workflows.Round{}, err
		}
	}
	batch, err := a.Courier.First(ctx, first)
	if errors.Is(err, delivery.ErrElsewhere) {
		return workflows.Round{}, again(err.Error(), NoPlace, elsewhereAgain)
	}
	round := roundOf(&batch)
	round.Together = len(round.Waiting)+len(round.OverCap) > 0
	round.Continues = round.Together
	return round, err
}

// Direct is FirstAttempts for deliveries that no workflow drives, and that need none if all are received. It is not an
// activity.
func (a *Deliveries) Direct(ctx context.Context, dispatchID string, work []handoff.Work, show handoff.Show) (workflows.Round, error) {
	batch, err := a.Courier.Direct(ctx, dispatchID, work, show)
	return roundOf(&batch), err
}

// Ahead is FirstAttempts for deliveries that this process has just accepted, before their workflow starts. It is not
// an activity.
func (a *Deliveries) Ahead(ctx context.Context, dispatchID string, work []handoff.Work) (workflows.Round, error) {
	batch, err := a.Courier.Ahead(ctx, dispatchID, work)
	return roundOf(&batch), err
}

// AttemptMany makes one POST each of several deliveries to one webhook. The fair lane bounds these activities by its
// slots: a slow receiver may occupy many of them, but the next free one goes to another webhook first. A batch that
// was postponed as a whole comes back as a Temporal retry, so that the history does not grow.
func (a *Deliveries) AttemptMany(ctx context.Context, in workflows.AttemptManyInput) (workflows.Round, error) {
	if err := a.elsewhere(ctx); err != nil {
		return workflows.Round{}, err
	}
	defer a.beat(ctx)()
	known := make([]delivery.Leftover, len(in.Deliveries))
	for i := range in.Deliveries {
		known[i] = fromWire(&in.Deliveries[i])
	}
	posting, end := uncanceled(ctx)
	defer end()
	batch, err := a.Courier.Many(posting, delivery.ManyInput{DispatchID: in.DispatchID, Deliveries: known, Stop: ctx.Done()})
	switch {
	case err != nil:
		return workflows.Round{}, later(ctx, err)
	case batch.Again > 0:
		return workflows.Round{}, again(batch.Reason, NoPlace, batch.Again)
	}
	return roundOf(&batch), nil
}

// Attempt makes one POST of one delivery. If a failed reception is to be retried, it returns an error that tells
// Temporal when, so that the Web UI shows attempt n of m, the last failure and the next time.
func (a *Deliveries) Attempt(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
	if err := a.elsewhere(ctx); err != nil {
		return workflows.Outcome{}, err
	}
	defer a.beat(ctx)()
	known := fromWire(&in.Delivery)
	attempt := int(activity.GetInfo(ctx).Attempt)
	endless := known.Kind == delivery.ForSlot
	if attempt > 1 && known.Kind == delivery.AtRate {
		known.Kind, known.Due = delivery.BackOff, time.Time{} // a retry has its own time
	}
	posting, end := uncanceled(ctx)
	defer end()
	outcome, err := a.Courier.Retry(posting, delivery.RetryInput{DispatchID: in.DispatchID, Delivery: known})
	switch {
	case err != nil:
		return workflows.Outcome{}, err // a failure of Posthorn's own; the policy's interval does not grow with the receiver's attempts
	case outcome.Left == nil:
		return outcomeOf(&outcome), nil
	case outcome.Attempted && outcome.Left.Wait > 0 && (endless || attempt < in.Delivery.Remaining):
		return workflows.Outcome{}, again(outcome.Left.Last, ReceptionFailed, outcome.Left.Wait)
	case !outcome.Attempted && endless && outcome.Left.Kind == delivery.ForSlot:
		return workflows.Outcome{}, again(outcome.Reason, NoPlace, outcome.Left.Wait)
	}
	// It waits for something else than before, or not for as long as Temporal would let it, or a crash has used up one
	// of Temporal's attempts. The workflow continues with what remains.
	return outcomeOf(&outcome), nil
}

// again asks Temporal to call an activity again after a while.
func again(message, kind string, after time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(message, kind, temporal.ApplicationErrorOptions{
		NextRetryDelay: max(after, time.Millisecond), // 0 would mean the policy's own interval
		Category:       temporal.ApplicationErrorCategoryBenign})
}

// The waits before a batch is called again that failed because of Posthorn itself, for instance because the database
// is away: the first and the longest.
const (
	laterFirst = time.Second
	laterMost  = time.Minute
)

// later asks for another call of a batch. The more calls there have been, the longer the wait: the failure may last,
// and a batch fails for no other reason.
func later(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	wait := min(laterMost, laterFirst<<min(activity.GetInfo(ctx).Attempt-1, 10))
	return temporal.NewApplicationErrorWithOptions(err.Error(), "", temporal.ApplicationErrorOptions{Cause: err, NextRetryDelay: wait})
}

// LookUp returns the state of a delivery whose activity ended without a result, and what is left of it.
func (a *Deliveries) LookUp(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
	outcome, err := a.Courier.LookUp(ctx, delivery.RetryInput{DispatchID: in.DispatchID, Delivery: fromWire(&in.Delivery)})
	if err != nil {
		return workflows.Outcome{}, err
	}
	return outcomeOf(&outcome), nil
}

// Finish removes the outbox entry of a dispatch that is done.
func (a *Deliveries) Finish(ctx context.Context, dispatchID string) error {
	return a.Courier.Store.FinishDispatch(ctx, dispatchID)
}

// uncanceled returns ctx without Temporal's cancellation of the activity: a POST in flight ends by itself and is
// recorded, whatever happens to its workflow. The context ends with the activity's time, and with the worker's.
func uncanceled(ctx context.Context) (_ context.Context, end context.CancelFunc) {
	stopping := activity.GetWorkerStopChannel(ctx)
	free, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() {
		select {
		case <-stopping:
			cancel(context.Cause(ctx))
		default:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				cancel(context.Cause(ctx))
			}
		}
	})
	return free, func() {
		unhook()
		cancel(nil)
	}
}
