package delivery

import (
	"time"

	"github.com/posthorn/posthorn/internal/backoff"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
)

// Decision is the consequence of an attempt for its delivery.
type Decision struct {
	Status   models.DeliveryStatus // Delivered, Failed or Pending
	Next     time.Time             // the time of the next attempt; zero unless Pending
	Failures int                   // failed receptions, including this one
}

// Decide returns what an attempt means for its delivery. If it was received, the delivery is delivered. If it was not
// and its retries are used up, the delivery has failed. Otherwise it is pending until the next step of its schedule.
// An uncounted failure uses up no retry, and the next attempt follows after the first step. A 410 is a failure like
// others here: Courier.record deactivates the webhook for it, which holds the delivery.
func Decide(d *models.Delivery, p backoff.Policy, r *sender.Result, uncounted bool) Decision {
	if r.Outcome == sender.Received {
		return Decision{Status: models.Delivered, Failures: d.Failures}
	}
	failures, step := d.Failures+1, d.Failures+1
	if uncounted {
		failures, step = d.Failures, 1
	} else if p.Exhausted(failures) {
		return Decision{Status: models.Failed, Failures: failures}
	}
	next := r.StartedAt.Add(r.Duration).Add(p.Delay(d.ID, step, r.RetryAfter)).UTC().Truncate(time.Millisecond)
	return Decision{Status: models.Pending, Next: next, Failures: failures}
}
