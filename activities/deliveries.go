package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// Deliveries makes attempts. All exported fields are required.
type Deliveries struct {
	Hooks    *hooks.Service
	Store    *models.Store
	Desk     *handoff.Desk
	Recorder *Recorder
	Lanes    *Lanes
	Limits   *Limits
	// Failed is told what a failed reception's group moved its webhook's failure count from and to; 0 = not counted.
	Failed  func(webhookID string, before, after int64)
	Metrics *metrics.Metrics
	Log     *slog.Logger
	Now     func() time.Time

	turns turns
}

// The types of the errors by which Attempt asks Temporal to call it again.
const (
	ReceptionFailed = "ReceptionFailed" // for the next attempt
	NoPlace         = "NoPlace"         // for this one: its webhook has as much in flight as it may
)

// FirstAttempts makes the first POST of every delivery of a dispatch, all at once, and records each as it ends. Run
// again, it sends only what is still pending. Deliveries whose webhook has enough in flight are left over.
func (a *Deliveries) FirstAttempts(ctx context.Context, dispatchID string) (workflows.Round, error) {
	end, err := a.turns.take(ctx, dispatchID)
	if err != nil {
		return workflows.Round{}, err
	}
	defer end()
	work := a.Desk.Take(dispatchID)
	defer a.Desk.Done(dispatchID)
	if work == nil {
		if work, err = a.load(ctx, dispatchID); err != nil {
			return workflows.Round{}, err
		}
	}
	jobs := make([]job, len(work))
	for i, w := range work {
		jobs[i] = job{dispatchID: dispatchID, work: w}
	}
	round, err := a.round(ctx, dispatchID, jobs, true)
	round.Together = len(round.Waiting)+len(round.OverCap) > 0
	return round, err
}

// beatEvery is how often an activity that makes POSTs says that it is alive, well within the heartbeat timeout. One
// that ends sooner never does.
const beatEvery = 5 * time.Second

// beat says that the activity is alive until stop is called.
func beat(ctx context.Context) (stop func()) {
	return every(beatEvery, func() { activity.RecordHeartbeat(ctx) })
}

// AttemptMany makes one POST each of several deliveries to one webhook: first ones that were over its cap, or retries
// that are due together. The fair lane bounds them by its slots: a slow receiver may have many of those, but the next
// that is free goes to another webhook first. Run again, it sends only what is still pending and due.
func (a *Deliveries) AttemptMany(ctx context.Context, in workflows.AttemptManyInput) (workflows.Round, error) {
	defer beat(ctx)()
	keys := make([]models.DeliveryKey, len(in.Deliveries))
	names := make([]string, len(in.Deliveries))
	known := make(map[models.DeliveryKey]workflows.Leftover, len(in.Deliveries))
	for i, l := range in.Deliveries {
		keys[i] = models.DeliveryKey{Tenant: l.Tenant, ID: l.Delivery}
		names[i] = turnAt(l)
		known[keys[i]] = l
	}
	end, err := a.turns.take(ctx, names...)
	if err != nil {
		return workflows.Round{}, err
	}
	defer end()
	readAt := a.Now()
	before := workflows.Round{Stopped: len(keys)} // what has ended already: all that is not found
	work, err := a.read(ctx, keys, func(d *models.Delivery) bool {
		before.Stopped--
		status := ended(d, known[d.Key()].Generation)
		if status != "" {
			tally(&before, status)
		}
		return status == ""
	})
	if err != nil {
		return workflows.Round{}, err
	}
	jobs := make([]job, len(work))
	for i, w := range work {
		jobs[i] = job{dispatchID: in.DispatchID, work: w, readAt: readAt, known: known[w.Delivery.Key()]}
	}
	round, err := a.round(ctx, in.DispatchID, jobs, false)
	if err != nil {
		return workflows.Round{}, err
	}
	round.Delivered += before.Delivered
	round.Failed += before.Failed
	round.Stopped += before.Stopped
	return round, nil
}

// manyAtOnce is how many POSTs one AttemptMany makes at once.
const manyAtOnce = workflows.PacedMost

// turnAt names the turn of who makes a delivery's next attempt.
func turnAt(l workflows.Leftover) string { return l.Tenant + "/" + l.Delivery }

// every calls do again and again until stop is called, which waits for the last call to end.
func every(interval time.Duration, do func()) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				do()
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// load reads a dispatch's work from the outbox. None is left if the entry is gone.
func (a *Deliveries) load(ctx context.Context, dispatchID string) ([]handoff.Work, error) {
	d, err := a.Store.Dispatch(ctx, dispatchID)
	if errors.Is(err, models.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return a.read(ctx, d.Deliveries, func(d *models.Delivery) bool { return d.LeftOf(dispatchID) })
}

// read gives those of the deliveries that are to be attempted, with their events.
func (a *Deliveries) read(ctx context.Context, keys []models.DeliveryKey, due func(*models.Delivery) bool) ([]handoff.Work, error) {
	deliveries, err := a.Store.DeliveriesByID(ctx, keys)
	if err != nil {
		return nil, err
	}
	var work []handoff.Work
	var events []models.DeliveryKey
	for _, d := range deliveries {
		if due(&d) {
			work = append(work, handoff.Work{Delivery: d})
			events = append(events, models.DeliveryKey{Tenant: d.Tenant, ID: d.EventID})
		}
	}
	byID, err := a.Store.EventsByID(ctx, events)
	if err != nil {
		return nil, err
	}
	for i := range work {
		d := &work[i].Delivery
		if work[i].Event = byID[models.DeliveryKey{Tenant: d.Tenant, ID: d.EventID}]; work[i].Event == nil {
			return nil, errors.New("the event of delivery " + d.ID + " is missing")
		}
	}
	return work, nil
}

// Attempt makes one POST of one delivery. A failed reception that is to be tried again is returned as an error that
// tells Temporal when, so that the Web UI shows attempt n of m, the last failure and the next time.
func (a *Deliveries) Attempt(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
	defer beat(ctx)()
	l := in.Delivery
	end, err := a.turns.take(ctx, turnAt(l))
	if err != nil {
		return workflows.Outcome{}, err
	}
	defer end()
	w, outcome, err := a.current(ctx, l.Tenant, l.Delivery, l.Generation)
	if err != nil || w == nil {
		return outcome, err
	}
	r, outcome, err := a.receiver(ctx, &w.Delivery)
	if err != nil || r == nil {
		return outcome, err
	}
	reserved := l.Reserved && activity.GetInfo(ctx).Attempt == 1 // a retry has a time of its own
	if !reserved && a.early(&w.Delivery) {
		return workflows.Outcome{Left: a.leftover(r, &w.Delivery, l.Last)}, nil
	}
	leave, left, err := a.enterAgain(ctx, r, in, &w.Delivery, reserved)
	switch {
	case err != nil:
		return workflows.Outcome{}, err
	case left != nil && l.Places && !left.Reserved: // where a rate has given it a time, the workflow keeps that in mind
		return workflows.Outcome{}, again(fmt.Sprintf("waits for one of %d places in flight", r.Webhook.MaxInFlight), NoPlace, left.Wait)
	case left != nil:
		return workflows.Outcome{Left: left}, nil
	}
	defer leave()
	outcome, result, err := a.attempt(ctx, r, job{dispatchID: in.DispatchID, work: *w, posted: leave})
	if err != nil || outcome.Left == nil {
		return outcome, err
	}
	if !l.Places && int(activity.GetInfo(ctx).Attempt) >= l.Remaining {
		return outcome, nil // a crash has used up one of Temporal's attempts: the workflow goes on with what remains
	}
	return outcome, again(result.Error, ReceptionFailed, outcome.Left.Wait)
}

// again asks Temporal to call an activity again after a while.
func again(message, kind string, after time.Duration) error {
	return temporal.NewApplicationErrorWithOptions(message, kind, temporal.ApplicationErrorOptions{
		NextRetryDelay: max(after, time.Millisecond), // 0 would mean the policy's own interval
		Category:       temporal.ApplicationErrorCategoryBenign})
}

// current reads the delivery if it is still as it was known; otherwise it says how it has ended.
func (a *Deliveries) current(ctx context.Context, tenant, id string, generation int) (*handoff.Work, workflows.Outcome, error) {
	d, err := a.Store.Delivery(ctx, tenant, id)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return nil, workflows.Outcome{Status: workflows.Stopped}, nil
	case err != nil:
		return nil, workflows.Outcome{}, err
	}
	if status := ended(&d, generation); status != "" {
		return nil, workflows.Outcome{Status: status}, nil
	}
	e, err := a.Store.Event(ctx, d.Tenant, d.EventID)
	return &handoff.Work{Delivery: d, Event: &e}, workflows.Outcome{}, err
}

// ended says how a delivery has ended that is not as it was known; "" if it has not.
func ended(d *models.Delivery, generation int) string {
	switch {
	case d.Generation != generation:
		return workflows.Stopped
	case d.Status == models.Pending:
		return ""
	case d.Status == models.Delivered:
		return workflows.Delivered
	case d.Status == models.Failed:
		return workflows.Failed
	default:
		return workflows.Stopped
	}
}

// LookUp says what has become of a delivery whose activity ended without saying so, and what is left of it.
func (a *Deliveries) LookUp(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
	l := in.Delivery
	w, outcome, err := a.current(ctx, l.Tenant, l.Delivery, l.Generation)
	if err != nil || w == nil {
		return outcome, err
	}
	r, outcome, err := a.receiver(ctx, &w.Delivery)
	if err != nil || r == nil {
		return outcome, err
	}
	return workflows.Outcome{Left: a.leftover(r, &w.Delivery, l.Last)}, nil
}

// Finish removes the outbox entry of a dispatch that nothing is left of.
func (a *Deliveries) Finish(ctx context.Context, dispatchID string) error {
	return a.Store.FinishDispatch(ctx, dispatchID)
}

// receiver finds the delivery's webhook. If it is not to be sent to the delivery is held or canceled, and nil is
// returned with the outcome.
func (a *Deliveries) receiver(ctx context.Context, d *models.Delivery) (*hooks.Receiver, workflows.Outcome, error) {
	stopped := workflows.Outcome{Status: workflows.Stopped}
	r, err := a.Hooks.Receiver(ctx, d.Tenant, d.WebhookID)
	var refused *hooks.Error
	switch {
	case errors.As(err, &refused) && refused.Code == hooks.NotFound:
		return nil, stopped, a.hold(ctx, d)
	case err != nil:
		return nil, stopped, err
	case r.Webhook.Status != models.WebhookActive:
		return nil, stopped, a.hold(ctx, d)
	}
	return r, workflows.Outcome{}, nil
}

// hold puts a delivery aside whose webhook is not active, or cancels it if that has been deleted. What is known of it
// here may be a second old: held by mistake, a delivery would stay so, for what releases the held may have run already;
// canceled by mistake it would be lost.
func (a *Deliveries) hold(ctx context.Context, d *models.Delivery) error {
	switch w, err := a.Store.Webhook(ctx, d.Tenant, d.WebhookID); {
	case errors.Is(err, models.ErrNotFound):
		return a.Store.CancelDelivery(ctx, d, "webhook deleted")
	case err != nil:
		return err
	case w.Status == models.WebhookActive:
		return temporal.NewApplicationErrorWithOptions("the webhook has just been made active", "WebhookChanging",
			temporal.ApplicationErrorOptions{NextRetryDelay: time.Second})
	default:
		return a.Store.HoldDelivery(ctx, d, w.Status)
	}
}
