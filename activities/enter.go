package activities

import (
	"context"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// The waits of a delivery that finds no place in flight at a webhook with a limit of its own: they grow, for each
// costs the engine a timer and an activity.
const (
	deniedFirst  = time.Second
	deniedFactor = 1.5
	deniedMost   = time.Minute
)

// reserve gives each delivery the time its webhook's rate allows it, the zero time where there is no rate, or where its
// time has come already. A webhook's deliveries are reserved together.
func (a *Deliveries) reserve(ctx context.Context, jobs []job) ([]time.Time, error) {
	slots := make([]time.Time, len(jobs))
	paced := map[string][]int{}
	rates := map[string]float64{}
	for i, j := range jobs {
		d := &j.work.Delivery
		r, err := a.Hooks.Receiver(ctx, d.Tenant, d.WebhookID)
		if err != nil || r.Webhook.RateLimit == 0 || j.known.Reserved || a.early(d) { // an error comes up again when it is attempted
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

// enter waits, for a moment, until the webhook's own limits allow a POST: slot is the time its rate gives it.
// Otherwise left says for how long the delivery is put off; that is not a failed reception. known is what was put off
// already.
func (a *Deliveries) enter(ctx context.Context, r *hooks.Receiver, d *models.Delivery, slot time.Time, known workflows.Leftover) (leave func(), left *workflows.Leftover, err error) {
	wait := slot.Sub(a.Now())
	if wait > laneWait {
		left = a.leftover(r, d, known.Last)
		left.Wait, left.Reserved = wait.Round(time.Millisecond), true
		return nil, left, nil
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	if r.Webhook.MaxInFlight == 0 {
		return func() {}, nil, nil
	}
	leave, ok, err := a.Limits.Enter(ctx, d.WebhookID, r.Webhook.MaxInFlight)
	if err != nil || ok {
		return leave, nil, err
	}
	left = a.leftover(r, d, known.Last)
	left.Wait, left.Denied = deniedWait(d.ID, known.Denied), known.Denied+1
	left.Reserved = known.Reserved || !slot.IsZero() // its turn at the rate has come; it is not to queue for it anew
	return nil, left, nil
}

// deniedWait grows with the times a delivery was denied, and differs from one delivery to the next.
func deniedWait(deliveryID string, denied int) time.Duration {
	wait := float64(deniedFirst)
	for range min(denied, 20) {
		wait *= deniedFactor
	}
	spread := float64(deliveryID[len(deliveryID)-1]%16) / 16
	return time.Duration(min(wait, float64(deniedMost)) * (1 + spread)).Round(time.Millisecond)
}

// enterAgain is enter for a delivery that waited in a workflow. What is put off is noted on the delivery at once.
func (a *Deliveries) enterAgain(ctx context.Context, r *hooks.Receiver, in workflows.AttemptInput, d *models.Delivery) (leave func(), left *workflows.Leftover, err error) {
	var slot time.Time
	known := in.Delivery
	known.Reserved = known.Reserved && activity.GetInfo(ctx).Attempt == 1 // a retry has a time of its own
	if r.Webhook.RateLimit > 0 && !known.Reserved {
		slots, err := a.Limits.Reserve(ctx, d.WebhookID, r.Webhook.RateLimit, 1)
		if err != nil {
			return nil, nil, err
		}
		slot = slots[0]
	}
	leave, left, err = a.enter(ctx, r, d, slot, known)
	if err != nil || left == nil {
		return leave, nil, err
	}
	return nil, left, a.Store.Postpone(ctx, []models.Postponed{a.postponed(in.DispatchID, d, left)})
}

func (a *Deliveries) postponed(dispatchID string, d *models.Delivery, left *workflows.Leftover) models.Postponed {
	return models.Postponed{Delivery: *d, DispatchID: dispatchID, At: a.Now().Add(left.Wait).UTC().Truncate(time.Millisecond)}
}
