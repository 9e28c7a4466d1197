package activities

import (
	"context"
	"net/url"
	"time"

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// attempt POSTs and records. The outcome has something left if another attempt follows.
func (a *Deliveries) attempt(ctx context.Context, r *hooks.Receiver, j job) (workflows.Outcome, sender.Result, error) {
	d := j.work.Delivery
	if rate := r.Webhook.RateLimit; rate > 0 {
		if err := a.Limits.Space(ctx, d.WebhookID, rate); err != nil {
			return workflows.Outcome{}, sender.Result{}, err
		}
	}
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
	recorded, err := a.Recorder.Record(ctx, record, j.of)
	if err != nil {
		return workflows.Outcome{}, result, err
	}
	fault.Point("after-record")
	a.note(ctx, r, record, recorded, result)
	if recorded.Applied && record.Status != models.Pending {
		a.Metrics.Deliveries.WithLabelValues(string(record.Status)).Inc()
	}
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
func (a *Deliveries) note(ctx context.Context, r *hooks.Receiver, record *models.Record, recorded models.Recorded, result sender.Result) {
	outcome := "received"
	switch result.Outcome {
	case sender.Failed:
		outcome = "failed"
	case sender.Gone:
		outcome = "gone"
	case sender.Local:
		outcome = "local"
	case sender.Received:
	}
	a.Metrics.Attempts.WithLabelValues(outcome).Inc()
	if record.Received() {
		return
	}
	a.Failed(r.Webhook.ID, recorded.Before, recorded.Failed)
	a.Log.InfoContext(ctx, "reception failed", "tenant", r.Webhook.Tenant, "webhook", r.Webhook.ID, "delivery", record.Attempt.DeliveryID,
		"attempt", record.Attempt.Number, "status_code", result.StatusCode, "error", result.Error)
}

// leftover is what the workflow must know to go on with a delivery.
func (a *Deliveries) leftover(r *hooks.Receiver, d *models.Delivery, last string) *workflows.Leftover {
	l := &workflows.Leftover{Tenant: d.Tenant, Delivery: d.ID, Webhook: d.WebhookID, Generation: d.Generation,
		Number: d.Attempts + 1, Remaining: r.Policy.Max + 1 - d.Failures, Timeout: r.Timeout, Host: host(r.Webhook), Last: last,
		Places: r.Webhook.MaxInFlight > 0}
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
