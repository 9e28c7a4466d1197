package delivery

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// ended is how one job ended: finished, left over, over the cap, or set aside.
type ended struct {
	end       string
	left      *Leftover
	attempted bool   // left follows a failed reception
	posts     int    // POSTs made since the delivery was read
	reason    string // why it was postponed or ended
	noted     string // the same for the delivery's status_reason
	overCap   bool
	noSlot    bool // there was no POST slot
	aside     bool // its webhook does not seem to be active: the database decides
}

// deliver makes one attempt: admit, send, decide, record. An attempt that panics is postponed, and affects no other
// delivery.
func (c *Courier) deliver(ctx context.Context, j *job) (e ended, err error) {
	defer j.leave()
	defer func() {
		if v := recover(); v != nil {
			panics.Note(c.Log, "an attempt", v)
			e, err = c.unreadable(ctx, j, reasonPanicked, &panics.Error{Where: "an attempt"}), nil
		}
	}()
	if e, ok, err := c.admit(ctx, j); err != nil || !ok {
		return e, err
	}
	attempt, result := c.send(ctx, j)
	j.leave() // makes room for the next POST while this one is being recorded
	if result.Aborted {
		// The activity was stopped; that says nothing about the receiver. The POST may or may not have arrived, and is made
		// again.
		return ended{}, context.Cause(ctx)
	}
	if result.Outcome == sender.Local {
		return c.failedHere(ctx, j, &result), nil
	}
	c.trouble.over()
	c.failing.note(j.delivery.WebhookID, result.Outcome == sender.Received)
	uncounted := c.observe(j.receiver, &result)
	decision := Decide(&j.delivery, j.receiver.Policy, &result, uncounted)
	dispatchID := j.dispatchID
	if j.show != nil && result.Outcome == sender.Received {
		id, recorded := j.show(&j.delivery)
		dispatchID = id
		defer func() { recorded(err == nil && e.end == Delivered) }()
	}
	return c.record(ctx, j, &models.Record{Attempt: attempt, Generation: j.delivery.Generation, DispatchID: dispatchID, AcceptedAt: j.event.CreatedAt, EventType: j.event.Type,
		Status: decision.Status, NextAttemptAt: decision.Next, CountsInTotal: j.receiver.CountsInTotal,
		Epoch: j.receiver.Webhook.Health.Epoch, Uncounted: uncounted}, result, decision)
}

// send makes the POST.
func (c *Courier) send(ctx context.Context, j *job) (models.Attempt, sender.Result) {
	fault.Point("before-post")
	attempt, result := c.Service.Post(ctx, j.receiver, j.event)
	fault.Point("after-post")
	attempt.DeliveryID = j.delivery.ID
	return attempt, result
}

// observe reports a POST to the circuit breaker, and returns whether a failure is not to be counted.
func (c *Courier) observe(r *service.Receiver, result *sender.Result) (uncounted bool) {
	answered := result.StatusCode != 0
	if c.Breaker == nil {
		return false
	}
	c.Breaker.Observe(r.Host, r.Webhook.Tenant, answered)
	return !answered && c.Breaker.Open()
}

// record stores the attempt, and returns the delivery's state after it.
func (c *Courier) record(ctx context.Context, j *job, record *models.Record, result sender.Result, decision Decision) (ended, error) {
	c.Metrics.AttemptSeconds.Observe(result.Duration.Seconds())
	recorded, err := c.Recorder.Record(ctx, record, j.of)
	if err != nil {
		return ended{}, err
	}
	fault.Point("after-record")
	c.note(ctx, j.receiver, record, &recorded, result)
	if result.Outcome == sender.Gone {
		if err := c.Service.Gone(ctx, j.receiver.Webhook); err != nil {
			return ended{}, err
		}
		if record.Status == models.Pending { // it is held, with all pending deliveries of the webhook
			return ended{end: Held, reason: reasonGone, posts: 1}, nil
		}
	}
	switch {
	case !recorded.Applied:
		return c.changedMeanwhile(ctx, j)
	case record.Status == models.Pending:
		d := j.delivery
		d.Attempts, d.Failures, d.NextAttemptAt = max(d.Attempts+1, record.Attempt.Number), decision.Failures, &record.NextAttemptAt
		return ended{left: c.leftover(j.receiver, &d, result.Error), attempted: true}, nil
	default:
		return ended{end: string(record.Status), reason: result.Error, posts: 1}, nil
	}
}

// changedMeanwhile returns how a delivery ended that was changed from outside during its POST.
func (c *Courier) changedMeanwhile(ctx context.Context, j *job) (ended, error) {
	d, end, err := c.current(ctx, j.delivery.Tenant, j.delivery.ID, j.delivery.Generation)
	if err != nil {
		return ended{}, err
	}
	if d != nil || end.end == Delivered || end.end == Failed { // another attempt of the same dispatch has recorded it
		end = ended{end: Superseded, reason: reasonOther}
	}
	end.posts = 1
	return end, nil
}

// note reports an attempt to the metrics, the log and the webhook's health workflow.
func (c *Courier) note(ctx context.Context, r *service.Receiver, record *models.Record, recorded *models.Recorded, result sender.Result) {
	c.Metrics.Attempts.WithLabelValues(result.Outcome.String()).Inc()
	if recorded.Applied && record.Status != models.Pending {
		c.Metrics.Deliveries.WithLabelValues(string(record.Status)).Inc()
	}
	if record.Received() {
		return
	}
	if !record.Uncounted {
		c.Failed(r.Webhook.ID, recorded.Before, recorded.Failed)
	}
	c.Log.InfoContext(ctx, "reception failed", "tenant", r.Webhook.Tenant, "webhook", r.Webhook.ID, "delivery", record.Attempt.DeliveryID,
		"attempt", record.Attempt.Number, "status_code", result.StatusCode, "error", result.Error, "counted", !record.Uncounted)
}

// soon is the longest wait that happens here and not in Temporal, whose timers of less than a second end after about
// one (history.timerProcessorMaxTimeShift).
const soon = time.Second

// early reports whether a delivery has to wait longer than soon: it has been attempted and recorded, and is called
// again after a crash.
func (c *Courier) early(d *models.Delivery) bool {
	return d.NextAttemptAt != nil && d.NextAttemptAt.After(c.Now().Add(soon))
}

// untilDue waits until a retry that is not early is due. A first attempt is due at once: small differences between
// clocks are no reason to wait.
func (c *Courier) untilDue(ctx context.Context, d *models.Delivery) error {
	if d.Attempts == 0 || d.NextAttemptAt == nil {
		return nil
	}
	return pause.For(ctx, d.NextAttemptAt.Sub(c.Now()))
}
