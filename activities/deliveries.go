package activities

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/semaphore"

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// Deliveries makes attempts. All fields are required.
type Deliveries struct {
	Hooks    *hooks.Service
	Store    *models.Store
	Desk     *handoff.Desk
	Recorder *Recorder
	Lanes    *Lanes
	Limits   *Limits
	// Failed is told of webhooks whose failure count has risen.
	Failed  func(webhookID string)
	Metrics *metrics.Metrics
	Log     *slog.Logger
	Now     func() time.Time
}

// ReceptionFailed is the type of the error by which Attempt asks Temporal for the next attempt.
const ReceptionFailed = "ReceptionFailed"

// FirstAttempts makes the first POST of every delivery of a dispatch, all at once, and records each as it ends. Run
// again, it sends only what is still pending. Deliveries whose webhook has enough in flight are left over.
func (a *Deliveries) FirstAttempts(ctx context.Context, dispatchID string) (workflows.Round, error) {
	work := a.Desk.Take(dispatchID)
	defer a.Desk.Done(dispatchID)
	if work == nil {
		var err error
		if work, err = a.load(ctx, dispatchID); err != nil {
			return workflows.Round{}, err
		}
	}
	return a.round(ctx, dispatchID, work, true)
}

// beatEvery is how often AttemptMany says that it is alive. It is well under a POST's time, and the heartbeat
// timeout is above it.
const beatEvery = 5 * time.Second

// AttemptMany makes the first POSTs to one webhook that were over its cap. The fair lane bounds them by its slots: a
// slow receiver may have many of those, but the next that is free goes to another webhook first.
func (a *Deliveries) AttemptMany(ctx context.Context, in workflows.AttemptManyInput) (workflows.Round, error) {
	keys := make([]models.DeliveryKey, len(in.Deliveries))
	for i, l := range in.Deliveries {
		keys[i] = models.DeliveryKey{Tenant: l.Tenant, ID: l.Delivery}
	}
	work, err := a.read(ctx, in.DispatchID, keys)
	if err != nil {
		return workflows.Round{}, err
	}
	defer every(beatEvery, func() { activity.RecordHeartbeat(ctx) })()
	return a.round(ctx, in.DispatchID, work, false)
}

// manyAtOnce is how many POSTs one AttemptMany makes at once.
const manyAtOnce = 16

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
	return a.read(ctx, dispatchID, d.Deliveries)
}

// read gives what is pending of the deliveries and still this dispatch's, with their events.
func (a *Deliveries) read(ctx context.Context, dispatchID string, keys []models.DeliveryKey) ([]handoff.Work, error) {
	deliveries, err := a.Store.DeliveriesByID(ctx, keys)
	if err != nil {
		return nil, err
	}
	var work []handoff.Work
	var events []models.DeliveryKey
	for _, d := range deliveries {
		if d.Status == models.Pending && (d.DispatchID == dispatchID || d.DispatchID == "") {
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

// round attempts several deliveries at once and gathers what came of them. capped leaves over what is above a
// webhook's cap; otherwise manyAtOnce bounds the round.
func (a *Deliveries) round(ctx context.Context, dispatchID string, work []handoff.Work, capped bool) (workflows.Round, error) {
	var (
		mu      sync.Mutex
		round   workflows.Round
		failure error
		over    []models.Delivery
		late    []models.Postponed
		left    = len(work) // deliveries that may still be left over
		wg      sync.WaitGroup
		room    = semaphore.NewWeighted(manyAtOnce)
	)
	slots, err := a.reserve(ctx, work)
	if err != nil {
		return round, err
	}
	// lastOf tells the dispatch that this end finishes: the one after which nothing of it is left.
	lastOf := func(final bool) string {
		mu.Lock()
		defer mu.Unlock()
		if final {
			if left--; left == 0 && capped {
				return dispatchID
			}
		}
		return ""
	}
	for i, w := range work {
		if !capped && room.Acquire(ctx, 1) != nil {
			break
		}
		wg.Go(func() {
			if !capped {
				defer room.Release(1)
			}
			outcome, ok, err := a.inLane(ctx, job{dispatchID, w, lastOf, func() {}}, slots[i], capped)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failure = err
			case !ok:
				over = append(over, w.Delivery)
				round.OverCap = append(round.OverCap, *outcome.Left)
			case outcome.Left != nil:
				if outcome.Left.Denied > 0 || outcome.Left.Reserved {
					late = append(late, a.postponed(dispatchID, &w.Delivery, outcome.Left))
				}
				round.Waiting = append(round.Waiting, *outcome.Left)
			default:
				tally(&round, outcome.Status)
			}
		})
	}
	wg.Wait()
	if failure == nil {
		failure = ctx.Err()
	}
	if failure != nil {
		return workflows.Round{}, failure
	}
	slices.SortFunc(late, func(a, b models.Postponed) int { return strings.Compare(a.Delivery.ID, b.Delivery.ID) })
	if err := a.Store.Postpone(ctx, late); err != nil {
		return workflows.Round{}, err
	}
	// From now on the reconciler asks this dispatch's workflow whether it is alive, however long they wait.
	return round, a.Store.Claim(ctx, dispatchID, slices.DeleteFunc(over, func(d models.Delivery) bool { return d.DispatchID != "" }))
}

func tally(r *workflows.Round, status string) {
	switch status {
	case workflows.Delivered:
		r.Delivered++
	case workflows.Failed:
		r.Failed++
	default:
		r.Stopped++
	}
}

// job is one attempt to make.
type job struct {
	dispatchID string
	work       handoff.Work
	lastOf     func(final bool) string // the dispatch that this end finishes, "" = none
	posted     func()                  // called when the POST has ended, before it is recorded
}

// inLane attempts one delivery when its webhook has room for it. ok is false if it has none for now and the delivery
// is the fair lane's.
func (a *Deliveries) inLane(ctx context.Context, j job, slot time.Time, capped bool) (_ workflows.Outcome, ok bool, _ error) {
	d := &j.work.Delivery
	if !capped { // it may have waited long for its turn
		now, outcome, err := a.current(ctx, d.Tenant, d.ID, d.Generation)
		if err != nil || now == nil {
			return outcome, true, err
		}
		j.work = *now
	}
	r, outcome, err := a.receiver(ctx, d)
	if err != nil || r == nil {
		return outcome, true, err
	}
	if a.early(d) {
		return workflows.Outcome{Left: a.leftover(r, d, "")}, true, nil
	}
	leave, left, err := a.enter(ctx, r, d, slot, 0)
	if err != nil || left != nil {
		return workflows.Outcome{Left: left}, true, err
	}
	defer leave()
	if capped && r.Webhook.MaxInFlight == 0 {
		if leave, ok = a.Lanes.Enter(ctx, d.WebhookID); !ok {
			return workflows.Outcome{Left: a.leftover(r, d, "")}, false, ctx.Err()
		}
		defer leave()
	}
	j.posted = leave
	outcome, _, err = a.attempt(ctx, r, j)
	return outcome, true, err
}

// early tells whether a delivery is to wait longer: it has been attempted, recorded, and is asked for again after a
// crash. Clocks that differ a little are no reason to wait.
func (a *Deliveries) early(d *models.Delivery) bool {
	return d.NextAttemptAt != nil && d.NextAttemptAt.After(a.Now().Add(time.Second))
}

// Attempt makes one POST of one delivery. A failed reception that is to be tried again is returned as an error that
// tells Temporal when, so that the Web UI shows attempt n of m, the last failure and the next time.
func (a *Deliveries) Attempt(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
	l := in.Delivery
	w, outcome, err := a.current(ctx, l.Tenant, l.Delivery, l.Generation)
	if err != nil || w == nil {
		return outcome, err
	}
	r, outcome, err := a.receiver(ctx, &w.Delivery)
	if err != nil || r == nil {
		return outcome, err
	}
	if a.early(&w.Delivery) {
		return workflows.Outcome{Left: a.leftover(r, &w.Delivery, l.Last)}, nil
	}
	leave, left, err := a.enterAgain(ctx, r, in, &w.Delivery)
	if err != nil || left != nil {
		return workflows.Outcome{Left: left}, err
	}
	defer leave()
	outcome, result, err := a.attempt(ctx, r, job{in.DispatchID, *w, func(bool) string { return "" }, leave})
	if err != nil || outcome.Left == nil {
		return outcome, err
	}
	if int(activity.GetInfo(ctx).Attempt) >= l.Remaining {
		return outcome, nil // a crash has used up one of Temporal's attempts: the workflow goes on with what remains
	}
	return outcome, temporal.NewApplicationErrorWithOptions(result.Error, ReceptionFailed, temporal.ApplicationErrorOptions{
		NextRetryDelay: max(outcome.Left.Wait, time.Millisecond), // 0 would mean the policy's own interval
		Category:       temporal.ApplicationErrorCategoryBenign})
}

// current reads the delivery if it is still as it was known; otherwise it says how it has ended.
func (a *Deliveries) current(ctx context.Context, tenant, id string, generation int) (*handoff.Work, workflows.Outcome, error) {
	d, err := a.Store.Delivery(ctx, tenant, id)
	stopped := workflows.Outcome{Status: workflows.Stopped}
	switch {
	case errors.Is(err, models.ErrNotFound):
		return nil, stopped, nil
	case err != nil:
		return nil, stopped, err
	case d.Generation != generation:
		return nil, stopped, nil
	case d.Status == models.Delivered:
		return nil, workflows.Outcome{Status: workflows.Delivered}, nil
	case d.Status == models.Failed:
		return nil, workflows.Outcome{Status: workflows.Failed}, nil
	case d.Status != models.Pending:
		return nil, stopped, nil
	}
	e, err := a.Store.Event(ctx, d.Tenant, d.EventID)
	return &handoff.Work{Delivery: d, Event: &e}, workflows.Outcome{}, err
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
		return nil, stopped, a.Store.CancelDelivery(ctx, d, "webhook deleted")
	case err != nil:
		return nil, stopped, err
	case r.Webhook.Status != models.WebhookActive:
		return nil, stopped, a.hold(ctx, d)
	}
	return r, workflows.Outcome{}, nil
}

// hold puts a delivery aside whose webhook is not active. What is known of it here may be a second old: held by
// mistake, a delivery would stay so, for what releases the held may have run already.
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

// attempt POSTs and records. The outcome has something left if another attempt follows.
func (a *Deliveries) attempt(ctx context.Context, r *hooks.Receiver, j job) (workflows.Outcome, sender.Result, error) {
	d := j.work.Delivery
	fault.Point("before-post")
	attempt, result := a.Hooks.Post(ctx, r, j.work.Event)
	j.posted() // there is room for the next POST while this one is being recorded
	fault.Point("after-post")
	if result.Aborted {
		// The activity was stopped, not the receiver slow: the POST may or may not have arrived, and is made again.
		return workflows.Outcome{}, result, context.Cause(ctx)
	}
	a.Metrics.AttemptSeconds.Observe(result.Duration.Seconds())
	attempt.DeliveryID = d.ID
	record := &models.Record{Attempt: attempt, Generation: d.Generation, DispatchID: j.dispatchID, CountsInTotal: r.CountsInTotal}
	ended := result.StartedAt.Add(result.Duration)
	if result.Outcome == sender.Received {
		record.Status = models.Delivered
	} else if d.Failures++; r.Policy.Exhausted(d.Failures) {
		record.Status = models.Failed
	} else {
		record.Status = models.Pending
		record.NextAttemptAt = ended.Add(r.Policy.Delay(d.ID, d.Failures, result.RetryAfter)).UTC().Truncate(time.Millisecond)
	}
	recorded, err := a.Recorder.Record(ctx, record, j.lastOf(record.Status != models.Pending))
	if err != nil {
		return workflows.Outcome{}, result, err
	}
	fault.Point("after-record")
	a.note(ctx, r, record, result)
	if result.Outcome == sender.Gone {
		if err := a.Hooks.Gone(ctx, r.Webhook); err != nil {
			return workflows.Outcome{}, result, err
		}
		if record.Status == models.Pending { // it has been held, with all that was pending for the webhook
			return workflows.Outcome{Status: workflows.Stopped}, result, nil
		}
	}
	d.Attempts, d.NextAttemptAt = attemptsAfter(d, record), nil
	switch {
	case !recorded.Applied:
		return workflows.Outcome{Status: workflows.Stopped}, result, nil
	case record.Status == models.Pending:
		d.NextAttemptAt = &record.NextAttemptAt
		return workflows.Outcome{Left: a.leftover(r, &d, result.Error)}, result, nil
	default:
		return workflows.Outcome{Status: string(record.Status)}, result, nil
	}
}

func attemptsAfter(d models.Delivery, r *models.Record) int {
	return max(d.Attempts+1, r.Attempt.Number)
}

// note tells the metrics, the log and the webhook's health workflow of an attempt.
func (a *Deliveries) note(ctx context.Context, r *hooks.Receiver, record *models.Record, result sender.Result) {
	outcome := "received"
	switch result.Outcome {
	case sender.Failed:
		outcome = "failed"
	case sender.Gone:
		outcome = "gone"
	case sender.Received:
	}
	a.Metrics.Attempts.WithLabelValues(outcome).Inc()
	if record.Status != models.Pending {
		a.Metrics.Deliveries.WithLabelValues(string(record.Status)).Inc()
	}
	if record.Received() {
		return
	}
	a.Failed(r.Webhook.ID)
	a.Log.InfoContext(ctx, "reception failed", "tenant", r.Webhook.Tenant, "webhook", r.Webhook.ID, "delivery", record.Attempt.DeliveryID,
		"attempt", record.Attempt.Number, "status_code", result.StatusCode, "error", result.Error)
}

// leftover is what the workflow must know to go on with a delivery.
func (a *Deliveries) leftover(r *hooks.Receiver, d *models.Delivery, last string) *workflows.Leftover {
	l := &workflows.Leftover{Tenant: d.Tenant, Delivery: d.ID, Webhook: d.WebhookID, Generation: d.Generation,
		Number: d.Attempts + 1, Remaining: r.Policy.Max + 1 - d.Failures, Timeout: r.Timeout, Host: host(r.Webhook), Last: last}
	if d.NextAttemptAt != nil {
		l.Wait = max(0, d.NextAttemptAt.Sub(a.Now())).Round(time.Millisecond)
	}
	return l
}

// host is what may be told of a webhook's URL: path and query may be secrets.
func host(w *models.Webhook) string {
	u, err := url.Parse(w.URL)
	if err != nil {
		return ""
	}
	return u.Host
}
