package activities

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// reserve gives each delivery the time its webhook's rate allows it, the zero time where there is no rate. A
// webhook's deliveries are reserved together. What has a time keeps it, unless it has missed it.
func (a *Deliveries) reserve(ctx context.Context, jobs []job) ([]time.Time, error) {
	slots := make([]time.Time, len(jobs))
	paced := map[string][]int{}
	rates := map[string]float64{}
	for i, j := range jobs {
		d := &j.work.Delivery
		r, err := a.Hooks.Receiver(ctx, d.Tenant, d.WebhookID)
		if err != nil || r.Webhook.RateLimit == 0 { // an error comes up again when it is attempted
			continue
		}
		if j.known.Reserved {
			if slots[i] = j.known.Due; !a.lapses(&jobs[i].known) {
				continue
			}
		} else if a.early(d) {
			continue
		}
		paced[d.WebhookID] = append(paced[d.WebhookID], i)
		rates[d.WebhookID] = r.Webhook.RateLimit
	}
	for webhookID, indexes := range paced {
		times, err := a.Limits.Reserve(ctx, webhookID, rates[webhookID], len(indexes))
		if err != nil {
			return nil, err
		}
		for k, i := range indexes {
			slots[i] = times[k]
		}
	}
	return slots, nil
}

// aheadMost and aheadMany are how long before its time a delivery that a rate has put off is called, and how many of a
// webhook's wait here then: Temporal's timers are late, by up to a second and many together. The last of the wait is
// kept exactly.
const (
	aheadMost = time.Second
	aheadMany = 25
)

func ahead(r *hooks.Receiver) time.Duration {
	return time.Duration(min(1, aheadMany/r.Webhook.RateLimit) * float64(aheadMost))
}

// enter waits, for a moment, until the webhook's own limits allow a POST: slot is the time its rate gives it.
// Otherwise left says for how long the delivery is put off; that is not a failed reception.
func (a *Deliveries) enter(ctx context.Context, r *hooks.Receiver, d *models.Delivery, slot time.Time, moment time.Duration) (leave func(), left *workflows.Leftover, err error) {
	wait := slot.Sub(a.Now())
	if wait > moment {
		left = a.leftover(r, d, "")
		left.Due, left.Reserved, left.Wait = slot, true, max(0, wait-ahead(r)).Round(time.Millisecond)
		left.Paced = r.Webhook.MaxInFlight == 0
		return nil, left, nil
	}
	if err := sleep(ctx, wait); err != nil {
		return nil, nil, err
	}
	if r.Webhook.MaxInFlight == 0 {
		return func() {}, nil, nil
	}
	leave, turn, err := a.Limits.Enter(ctx, d.WebhookID, r.Webhook.MaxInFlight)
	if err != nil || leave != nil {
		return leave, nil, err
	}
	left = a.leftover(r, d, "")
	left.Wait = turn.Round(time.Millisecond)
	left.Due = a.Now().Add(left.Wait)
	left.Reserved = !slot.IsZero() // its time at the rate has come; it is not to queue for it anew
	return nil, left, nil
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lapsesAfter is by how much a delivery may miss the time its rate gave it. What is later than that gets another, or
// all that waited while the workers were away would come at once. But only once: where everything is late, each would
// wait for ever.
const lapsesAfter = 2 * time.Second

// lapses tells whether a delivery needs another time at the rate than the one it was given, and notes that on it.
func (a *Deliveries) lapses(l *workflows.Leftover) bool {
	if l.Lapsed || a.Now().Sub(l.Due) <= lapsesAfter {
		return false
	}
	l.Lapsed = true
	return true
}

// enterAgain is enter for a delivery that waited in a workflow. What is put off is noted on the delivery at once.
// reserved tells whether what put it off has given it a time.
func (a *Deliveries) enterAgain(ctx context.Context, r *hooks.Receiver, in workflows.AttemptInput, d *models.Delivery, reserved bool) (leave func(), left *workflows.Leftover, err error) {
	l := in.Delivery
	var slot time.Time
	if r.Webhook.RateLimit > 0 {
		slot, l.Lapsed = l.Due, reserved && l.Lapsed
		if !reserved || a.lapses(&l) {
			slots, err := a.Limits.Reserve(ctx, d.WebhookID, r.Webhook.RateLimit, 1)
			if err != nil {
				return nil, nil, err
			}
			slot = slots[0]
		}
	}
	leave, left, err = a.enter(ctx, r, d, slot, aheadMost)
	if err != nil || left == nil {
		return leave, nil, err
	}
	left.Last, left.Lapsed = l.Last, l.Lapsed
	return nil, left, a.Store.Postpone(ctx, []models.Postponed{postponed(in.DispatchID, d, left)})
}

func postponed(dispatchID string, d *models.Delivery, left *workflows.Leftover) models.Postponed {
	return models.Postponed{Delivery: *d, DispatchID: dispatchID, At: left.Due.UTC().Truncate(time.Millisecond)}
}
