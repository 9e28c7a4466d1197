package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// Deliver drives one dispatch until none of its deliveries is left: first attempts in one local activity, then the
// retries. Retries to the same webhook that fall due together share an activity. Each other one has its own activity,
// under a Temporal retry policy.
func Deliver(ctx workflow.Context, in DeliverInput) (DeliverResult, error) {
	d := &dispatch{in: in, shown: in.Shown}
	return d.run(ctx)
}

// dispatch is the state of one Deliver.
type dispatch struct {
	in     DeliverInput
	result DeliverResult
	open   []*Leftover // being retried, in the order in which they came up
	queued int         // first attempts that are queued in the fair lane
	// rowBytes is the size of the result's rows.
	rowBytes int
	shown    string // the status that the list shows
	// together says whether retries that fall due together are made together.
	grouped bool
	// continues says whether the workflow continues as new when its history has become long.
	continues bool

	root    workflow.Context   // ends when the workflow is canceled
	wg      workflow.WaitGroup // of the deliveries being driven
	leaving bool               // the workflow is about to continue as new
	carried []Leftover         // what the next run continues with
}

func (d *dispatch) run(ctx workflow.Context) (DeliverResult, error) {
	d.root = ctx
	round, err := d.begin(ctx)
	if err != nil {
		return d.result, err
	}
	d.take(round)
	if len(round.Waiting)+len(round.OverCap) > 0 {
		d.followAll(ctx, round)
		if len(d.carried) > 0 && ctx.Err() == nil {
			return d.result, d.continueAsNew(ctx)
		}
		if err := d.finish(ctx); err != nil {
			return d.result, d.canceledWith(ctx, err)
		}
	}
	d.show(ctx)
	d.result.Summary = d.sentence()
	return d.result, nil
}

// canceledWith adds the result to the error of a canceled workflow, so that the Web UI shows it.
func (d *dispatch) canceledWith(ctx workflow.Context, err error) error {
	if ctx.Err() == nil || !temporal.IsCanceledError(err) {
		return err
	}
	d.result.Summary = d.sentence()
	return temporal.NewCanceledError(d.result)
}

// begin makes the first attempts, or continues with what an earlier run left.
func (d *dispatch) begin(ctx workflow.Context) (Round, error) {
	if c := d.in.Carried; c != nil {
		d.result, d.grouped, d.continues = c.Result, true, true
		return Round{Waiting: c.Waiting}, nil
	}
	if d.queued = d.in.Size; d.queued > 0 {
		workflow.SetCurrentDetails(ctx, d.table())
	}
	round, err := d.firstAttempts(ctx)
	d.queued = 0
	d.grouped, d.continues = round.Together, round.Continues
	return round, err
}

// longestPost is the longest timeout that a webhook may have. Every activity gets this much, whatever its webhook's
// timeout was when it was scheduled: that may change while the activity waits, and heartbeats reveal dead workers.
const longestPost = time.Minute

// recordTimeout is an activity's time in addition to the POST: time to read, and to record through a short outage of
// the database.
const recordTimeout = 30 * time.Second

// silence is the heartbeat timeout. If an activity that makes POSTs has sent no heartbeat for this long, its worker is
// presumed dead, and another one takes over: within ten seconds of a kill, however slow the receiver may be.
const silence = 6 * time.Second

// afterCrash is how long after a missed heartbeat, or a failure of Posthorn's own, an activity that makes POSTs is
// called again. It does not grow with the attempts made: neither a killed worker nor a database that is away says
// anything about the receiver. An activity that fails in another way sets the time of its next call itself.
const afterCrash = time.Second

// unbounded switches off the deadline for all tries of a local activity together. Without it the SDK applies
// StartToClose to all of them, including the wait for a slot. A backlog, or a long outage of the database, would then
// fail the workflow.
const unbounded = 10 * 365 * 24 * time.Hour

// firstAttempts POSTs everything that is pending. Nothing bounds its retries: an accepted event is never given up
// because the database was away.
func (d *dispatch) firstAttempts(ctx workflow.Context) (Round, error) {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: unbounded,
		StartToCloseTimeout:    longestPost + recordTimeout,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
		Summary:                "first attempts",
	})
	var round Round
	err := workflow.ExecuteLocalActivity(ctx, FirstAttempts, FirstAttemptsInput{DispatchID: d.in.DispatchID, Tenant: d.in.Tenant, Size: d.in.Size, By: d.in.By}).Get(ctx, &round)
	return round, err
}

// take adds a round's ended deliveries to the result.
func (d *dispatch) take(r Round) {
	told := r.Held + r.Canceled + r.Superseded
	d.result.Delivered += r.Delivered
	d.result.Failed += r.Failed
	d.result.Held += r.Held
	d.result.Canceled += r.Canceled
	d.result.Superseded += r.Superseded
	d.result.Stopped += max(0, r.Stopped-told) // from a build that did not distinguish them
	for _, e := range r.NotDelivered {
		d.note(e)
	}
	d.result.Unlisted += max(0, r.Failed+told-len(r.NotDelivered))
}

// followAll drives all leftover deliveries at once. A dispatch has at most 256 deliveries, which bounds the
// outstanding timers and activities.
func (d *dispatch) followAll(ctx workflow.Context, round Round) {
	d.wg = workflow.NewWaitGroup(ctx)
	if d.continues {
		var stop workflow.CancelFunc
		ctx, stop = workflow.WithCancel(ctx)
		done := d.leaveInTime(ctx, stop)
		defer done()
	}
	d.followGroups(ctx, round.Waiting)
	d.queued = len(round.OverCap)
	for _, many := range byWebhook(round.OverCap) {
		d.start(ctx, func(ctx workflow.Context) {
			left := d.attemptMany(ctx, many, fmt.Sprintf("first attempts of %s to %s", counted(len(many), "delivery", "deliveries"), many[0].to()))
			d.queued -= len(many)
			d.followGroups(ctx, left)
		})
	}
	d.show(ctx)
	d.wg.Wait(d.root)
}

// start runs work concurrently with everything else.
func (d *dispatch) start(ctx workflow.Context, work func(workflow.Context)) {
	d.wg.Add(1)
	workflow.Go(ctx, func(ctx workflow.Context) {
		defer d.wg.Done()
		work(ctx)
		d.show(ctx)
	})
}

// followGroups drives leftover deliveries: those that fall due together as a group, and each other one by itself.
func (d *dispatch) followGroups(ctx workflow.Context, left []Leftover) {
	for _, group := range d.groups(left) {
		rows := d.list(group)
		d.start(ctx, func(ctx workflow.Context) {
			if len(rows) == 1 {
				d.follow(ctx, rows[0])
				return
			}
			left := d.retryMany(ctx, group, rows)
			d.unlist(rows)
			d.followGroups(ctx, left)
		})
	}
}

// groups returns the leftover deliveries in the groups that are retried together.
func (d *dispatch) groups(left []Leftover) [][]Leftover {
	if d.grouped {
		return retryGroups(left)
	}
	return alone(left)
}

// byWebhook groups the deliveries over the cap by webhook, in the order in which they came.
func byWebhook(over []Leftover) [][]Leftover {
	var groups [][]Leftover
	index := map[string]int{}
	for _, l := range over {
		i, ok := index[l.Webhook]
		if !ok {
			i = len(groups)
			index[l.Webhook] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], l)
	}
	return groups
}

// retryMany makes the next attempts of deliveries to one webhook when the last of them is due, so that none is early.
// Deliveries with times at the webhook's rate share a call at the first of these times, and each waits for its own. It
// returns the deliveries that need another retry. rows are their rows in the table.
func (d *dispatch) retryMany(ctx workflow.Context, many []Leftover, rows []*Leftover) []Leftover {
	summary := fmt.Sprintf("retry of %d deliveries to %s", len(many), many[0].to())
	wait := many[len(many)-1].Wait
	if many[0].Kind == AtRate {
		summary = fmt.Sprintf("%d deliveries to %s, at its rate", len(many), many[0].to())
		wait = many[0].Wait
	}
	began := workflow.Now(ctx)
	if err := workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: summary}).Get(ctx, nil); err != nil {
		d.letGo(workflow.Now(ctx).Sub(began), many...)
		return nil
	}
	d.call(ctx, rows...)
	return d.attemptMany(ctx, many, summary)
}

// call notes in the table that the deliveries' wait is over.
func (d *dispatch) call(ctx workflow.Context, rows ...*Leftover) {
	for _, l := range rows {
		l.called = true
	}
	workflow.SetCurrentDetails(ctx, d.table())
}

// attemptMany makes one attempt of each of several deliveries to one webhook, in the fair lane: there a slow receiver
// only delays itself. It returns the deliveries to retry.
func (d *dispatch) attemptMany(ctx workflow.Context, many []Leftover, summary string) []Leftover {
	first := many[0]
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           d.in.Queue,
		StartToCloseTimeout: time.Duration(len(many))*longestPost + recordTimeout,
		HeartbeatTimeout:    silence,
		WaitForCancellation: d.continues,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: afterCrash, BackoffCoefficient: 1, MaximumInterval: time.Minute},
		Priority:            temporal.Priority{FairnessKey: first.Webhook},
		Summary:             summary,
	})
	var round Round
	for {
		err := workflow.ExecuteActivity(ctx, AttemptMany, AttemptManyInput{DispatchID: d.in.DispatchID, Deliveries: many}).Get(ctx, &round)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			d.letGo(many[len(many)-1].Wait, many...) // they are due
			return nil
		}
	}
	d.take(round)
	return round.Waiting
}

// follow drives one delivery that was not received. It waits for its next interval, then leaves the retries to
// Temporal. An activity that ends without a recorded result (a crashed worker, a database that was away) has used up
// Temporal's attempts but not the delivery's, and is scheduled again with what remains.
func (d *dispatch) follow(ctx workflow.Context, l *Leftover) {
	defer d.unlist([]*Leftover{l})
	for {
		began := workflow.Now(ctx)
		timer := workflow.TimerOptions{Summary: fmt.Sprintf("wait for attempt %d: %s", l.Number, l.what())}
		if err := workflow.NewTimerWithOptions(ctx, l.Wait, timer).Get(ctx, nil); err != nil {
			d.letGo(workflow.Now(ctx).Sub(began), *l)
			return
		}
		d.call(ctx, l)
		outcome, err := d.attempt(ctx, l)
		if err != nil {
			outcome, err = d.lookUp(ctx, l)
		}
		switch {
		case err != nil: // it is being canceled
			d.abandon(*l)
			return
		case outcome.Left != nil:
			*l = *outcome.Left
			d.show(ctx)
		default:
			d.end(outcome, l)
			return
		}
	}
}

// attempt makes one delivery's attempts until it is received or has used up what remains. The activity computes the
// interval before each retry; the policy's own interval only applies after a crash.
func (d *dispatch) attempt(ctx workflow.Context, l *Leftover) (Outcome, error) {
	retries := &temporal.RetryPolicy{InitialInterval: afterCrash, BackoffCoefficient: 1, MaximumInterval: 30 * time.Minute,
		MaximumAttempts: int32(max(1, l.Remaining))} //nolint:gosec // at most the retries that a schedule may have, and one; Temporal reads 0 as without end
	if l.Kind == ForSlot { // it asks again as a retry, without end: the history does not grow with the queue
		retries.MaximumAttempts, retries.MaximumInterval = 0, time.Minute
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:           d.in.Queue,
		StartToCloseTimeout: longestPost + recordTimeout,
		HeartbeatTimeout:    silence,
		WaitForCancellation: d.continues,
		RetryPolicy:         retries,
		Priority:            temporal.Priority{FairnessKey: l.Webhook},
		Summary:             l.what() + ", " + l.Delivery,
	})
	var outcome Outcome
	err := workflow.ExecuteActivity(ctx, Attempt, AttemptInput{DispatchID: d.in.DispatchID, Delivery: *l}).Get(ctx, &outcome)
	return outcome, err
}

// lookUp asks the database how a delivery stands.
func (d *dispatch) lookUp(ctx workflow.Context, l *Leftover) (Outcome, error) {
	if d.leaving && d.root.Err() == nil { // the attempt has been stopped, but its result is still looked up
		ctx, _ = workflow.NewDisconnectedContext(ctx)
	}
	var outcome Outcome
	err := workflow.ExecuteLocalActivity(short(ctx), LookUp, AttemptInput{DispatchID: d.in.DispatchID, Delivery: *l}).Get(ctx, &outcome)
	return outcome, err
}

// finish closes the outbox entry. If nothing is left over, the record of the last first attempt has done it.
func (d *dispatch) finish(ctx workflow.Context) error {
	return workflow.ExecuteLocalActivity(short(ctx), Finish, d.in.DispatchID).Get(ctx, nil)
}

// short is for local activities that only query the database, which may be away for any time.
func short(ctx workflow.Context) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: unbounded,
		StartToCloseTimeout:    recordTimeout,
		RetryPolicy:            &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: time.Minute},
	})
}

// end adds the result of one delivery to the dispatch's.
func (d *dispatch) end(outcome Outcome, l *Leftover) {
	switch outcome.Status {
	case Delivered:
		d.result.Delivered++
		return
	case Failed:
		d.result.Failed++
	case Held:
		d.result.Held++
	case Canceled:
		d.result.Canceled++
	case Superseded:
		d.result.Superseded++
	default:
		d.result.Stopped++
	}
	if outcome.Ended != nil {
		d.note(*outcome.Ended)
		return
	}
	row := d.retrying(l)
	row.Status, row.Reason = outcome.Status, l.Last
	d.note(*row)
}

// abandon stops driving deliveries because the workflow was canceled: the reconciler dispatches them again.
func (d *dispatch) abandon(left ...Leftover) {
	d.result.Superseded += len(left)
	for i := range left {
		row := d.retrying(&left[i])
		row.Status, row.Reason = Superseded, "this workflow was canceled; Posthorn dispatches the delivery again"
		d.note(*row)
	}
}

// list adds deliveries to the table of those being retried, and returns their rows.
func (d *dispatch) list(group []Leftover) []*Leftover {
	rows := make([]*Leftover, len(group))
	for i := range group {
		rows[i] = &group[i]
	}
	d.open = append(d.open, rows...)
	return rows
}

// unlist removes rows from the table.
func (d *dispatch) unlist(rows []*Leftover) {
	d.open = slices.DeleteFunc(d.open, func(l *Leftover) bool { return slices.Contains(rows, l) })
}

// status returns the worst status among the dispatch's deliveries.
func (d *dispatch) status() string {
	switch {
	case len(d.open) > 0:
		return StatusRetrying
	case d.queued > 0:
		return StatusPending
	case d.result.Failed > 0:
		return Failed
	case d.result.Held > 0:
		return Held
	case d.result.Delivered > 0:
		return Delivered
	case d.result.Canceled > 0:
		return Canceled
	case d.result.Superseded > 0:
		return Superseded
	case d.result.Stopped > 0:
		return Stopped
	default:
		return Delivered
	}
}

// show updates the Web UI: the list by a search attribute, and the workflow's page by a table. Setting the attribute
// is an event of the history, so it is set only when it changes.
func (d *dispatch) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, d.table())
	status := d.status()
	if status == d.shown || d.leaving { // the next run shows it
		return
	}
	d.shown = status
	if err := workflow.UpsertTypedSearchAttributes(ctx, StatusAttribute.ValueSet(status)); err != nil {
		workflow.GetLogger(ctx).Warn("search attribute not set", "error", err)
	}
}
