package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// lookAgain is how old the view of a receiver may be right before a POST. A job that waited longer checks again, so
// that no POST starts later than 2 s after its webhook was paused, deactivated or deleted. The view itself is at most
// a second old.
const lookAgain = 200 * time.Millisecond

// slotWait and firstSlotWait are how long a retry and a first attempt wait for a POST slot. After that they come back
// later, and meanwhile occupy no worker.
const (
	slotWait      = 5 * time.Second
	firstSlotWait = time.Second
)

// admit prepares a job for its POST: its webhook is active, its time at the webhook's rate has come, it has a place in
// flight there and one of the process's POST slots, and its event has been read. If ok is false, e says what happens
// to the job. Waiting is not a failure.
func (c *Courier) admit(ctx context.Context, j *job) (e ended, ok bool, err error) {
	for _, step := range []func(context.Context, *job) (ended, bool, error){
		c.look, c.due, c.place, c.ease, c.postSlot, c.fetch, c.paceTenant, c.pace, c.lookOnceMore,
	} {
		if e, ok, err = step(ctx, j); err != nil || !ok {
			return e, false, err
		}
	}
	return ended{}, true, nil
}

// look reads the delivery's webhook.
func (c *Courier) look(ctx context.Context, j *job) (ended, bool, error) {
	j.lookedAt = c.Now()
	r, err := c.receiver(ctx, j.delivery.Tenant, j.delivery.WebhookID)
	switch {
	case errors.Is(err, errDeleted):
		return ended{aside: true, end: Canceled, reason: models.ReasonDeleted}, false, nil
	case errors.Is(err, service.ErrSealed):
		return c.unreadable(ctx, j, reasonUnreadable, err), false, nil
	case err != nil:
		return ended{}, false, err
	case r.Webhook.Status != models.WebhookActive:
		j.receiver = r
		return ended{aside: true, end: Held, reason: models.HeldReason(r.Webhook.Status)}, false, nil
	case !r.Webhook.Wants(j.delivery.EventType):
		j.receiver = r
		return ended{aside: true, end: Canceled, reason: models.ReasonUnwanted}, false, nil
	}
	j.receiver = r
	return ended{}, true, nil
}

// lookOnceMore is look for a job that has waited since.
func (c *Courier) lookOnceMore(ctx context.Context, j *job) (ended, bool, error) {
	if c.Now().Sub(j.lookedAt) <= lookAgain {
		return ended{}, true, nil
	}
	return c.look(ctx, j)
}

// due waits until a job's retry is due, if that is soon, and until its time at the webhook's rate, if that is within
// its moment.
func (c *Courier) due(ctx context.Context, j *job) (ended, bool, error) {
	if j.known.Kind != AtRate {
		if c.early(&j.delivery) {
			return ended{left: c.leftover(j.receiver, &j.delivery, j.known.Last)}, false, nil
		}
		if err := c.untilDue(ctx, &j.delivery); err != nil {
			return ended{}, false, err
		}
	}
	if j.receiver.Webhook.RateLimit == 0 || j.receiver.Webhook.MaxInFlight > 0 {
		return ended{}, true, nil
	}
	wait := j.slot.Sub(c.Now())
	if wait > j.moment {
		return c.atRate(j, wait), false, nil
	}
	return ended{}, true, pause.For(ctx, wait)
}

// atRate postpones a job to the time reserved at its webhook's rate.
func (c *Courier) atRate(j *job, wait time.Duration) ended {
	left := c.leftover(j.receiver, &j.delivery, j.known.Last)
	left.Kind, left.Due, left.Lapsed = AtRate, j.slot, j.known.Lapsed
	left.Wait = max(0, wait-ahead(j.receiver)).Round(time.Millisecond)
	return ended{left: left}
}

// place takes a place in flight at the webhook: one of those that all workers share, or one of this process's first
// attempts.
func (c *Courier) place(ctx context.Context, j *job) (ended, bool, error) {
	limit := j.receiver.Webhook.MaxInFlight
	switch {
	case limit > 0 && j.ticket != nil: // the webhook had no limit when the ticket was issued
		j.ticket.Drop()
		j.ticket = nil
		fallthrough
	case limit > 0 && len(j.held) == 0:
		leave, turn, err := c.Limits.Enter(ctx, j.delivery.WebhookID, limit)
		if err != nil {
			return ended{}, false, err
		}
		if leave == nil {
			return c.forSlot(j, turn, fmt.Sprintf("waits for one of %d places in flight", limit)), false, nil
		}
		j.held = append(j.held, leave)
	case j.ticket != nil:
		leave, ok := j.ticket.Enter(ctx)
		j.ticket = nil
		if !ok {
			return c.overCap(j), false, ctx.Err()
		}
		j.held = append(j.held, leave)
	}
	return ended{}, true, nil
}

// ease delays a job for a moment if its webhook only fails.
func (c *Courier) ease(ctx context.Context, j *job) (ended, bool, error) {
	return ended{}, true, c.failing.wait(ctx, j.delivery.WebhookID)
}

// forSlot gives a job its turn among those that wait for its webhook's limits.
func (c *Courier) forSlot(j *job, turn time.Duration, reason string) ended {
	e := c.putOff(j, turn, reason)
	e.left.Kind, e.noted = ForSlot, ""
	return e
}

func (c *Courier) overCap(j *job) ended {
	return ended{left: c.leftover(j.receiver, &j.delivery, ""), overCap: true}
}

// errNoSlot ends the wait for a POST slot.
var errNoSlot = errors.New("no POST slot")

// postSlot takes one of the process's POST slots.
func (c *Courier) postSlot(ctx context.Context, j *job) (ended, bool, error) {
	if c.Posts == nil {
		return ended{}, true, nil
	}
	if release, ok := c.Posts.TryAcquire(j.delivery.Tenant, j.receiver.Host); ok {
		j.held = append(j.held, release)
		return ended{}, true, nil
	}
	waiting, cancel := context.WithTimeoutCause(ctx, j.patience, errNoSlot)
	defer cancel()
	release, err := c.Posts.Acquire(waiting, j.delivery.Tenant, j.receiver.Host)
	switch {
	case err == nil:
		j.held = append(j.held, release)
		return ended{}, true, nil
	case ctx.Err() != nil:
		return ended{}, false, context.Cause(ctx)
	case !errors.Is(err, errNoSlot):
		return ended{}, false, err
	case j.first:
		return c.overCap(j), false, nil
	}
	c.Metrics.PutOff.WithLabelValues("no_slot").Inc()
	e := c.putOff(j, slotWait/2+rand.N(slotWait), "waits for a POST slot of this process") //nolint:gosec // not a secret
	e.noted, e.noSlot = "", true
	return e, false, nil
}

// fetch reads the event, unless it is already in memory.
func (c *Courier) fetch(ctx context.Context, j *job) (ended, bool, error) {
	if j.event == nil {
		e, err := j.events.take(eventKey(&j.delivery))
		if err != nil {
			return ended{}, false, err
		}
		if e == nil {
			return c.unreadable(ctx, j, reasonNoEvent, models.ErrNotFound), false, nil
		}
		j.event = e
	}
	if j.event.ErasedAt != nil {
		return ended{aside: true, end: Canceled, reason: models.ReasonErased}, false, nil
	}
	return ended{}, true, nil
}

// paceTenant keeps to the rate of all webhooks of the tenant together. A delivery whose time does not come within a moment takes
// its turn.
func (c *Courier) paceTenant(ctx context.Context, j *job) (ended, bool, error) {
	rate := j.receiver.TenantRate
	if rate == 0 {
		return ended{}, true, nil
	}
	turn, err := c.Limits.PaceTenant(ctx, j.delivery.Tenant, rate, aheadMost)
	if err != nil || turn == 0 {
		return ended{}, true, err
	}
	return c.forSlot(j, turn, fmt.Sprintf("waits for its time at the tenant's %g deliveries a second", rate)), false, nil
}

// pace waits for the webhook's rate right before the POST.
func (c *Courier) pace(ctx context.Context, j *job) (ended, bool, error) {
	w := j.receiver.Webhook
	switch {
	case w.RateLimit == 0:
		return ended{}, true, nil
	case w.MaxInFlight == 0:
		return ended{}, true, c.Limits.Space(ctx, w.ID, w.RateLimit)
	}
	turn, err := c.Limits.Pace(ctx, w.ID, w.RateLimit, aheadMost)
	if err != nil || turn == 0 {
		return ended{}, true, err
	}
	return c.forSlot(j, turn, fmt.Sprintf("waits for its time at %g deliveries a second", w.RateLimit)), false, nil
}

// reserve reserves a time at the webhook's rate for each job. A webhook's jobs are reserved together. A job that has a
// time keeps it, unless it has missed it. If the number in flight is limited too, the time is taken together with the
// place.
func (c *Courier) reserve(ctx context.Context, jobs []*job) error {
	paced := map[string][]*job{}
	rates := map[string]float64{}
	for _, j := range jobs {
		r, err := c.receiver(ctx, j.delivery.Tenant, j.delivery.WebhookID)
		// The job's attempt will meet the same error.
		if err != nil || r.Webhook.Status != models.WebhookActive || r.Webhook.RateLimit == 0 || r.Webhook.MaxInFlight > 0 {
			continue
		}
		if j.known.Kind == AtRate {
			if j.slot = j.known.Due; !c.lapses(&j.known) {
				continue
			}
		} else if c.early(&j.delivery) {
			continue
		}
		paced[j.delivery.WebhookID] = append(paced[j.delivery.WebhookID], j)
		rates[j.delivery.WebhookID] = r.Webhook.RateLimit
	}
	for webhookID, all := range paced {
		times, err := c.Limits.Reserve(ctx, webhookID, rates[webhookID], len(all))
		if err != nil {
			return err
		}
		for i, j := range all {
			j.slot = times[i]
		}
	}
	return nil
}

// PacedFor bounds how long deliveries with reserved times wait in one batch, and PacedMost is their largest number.
const (
	PacedFor  = time.Second
	PacedMost = 16
)

// aheadMost and aheadMany are how early, before its reserved time, a delivery is called, and how many of a webhook
// wait here then. Temporal's timers are late, by up to a second and many together. The rest of the wait is exact.
const (
	aheadMost = time.Second
	aheadMany = 25
)

func ahead(r *service.Receiver) time.Duration {
	return time.Duration(min(1, aheadMany/r.Webhook.RateLimit) * float64(aheadMost))
}

// lapsesAfter is by how much a delivery may miss its reserved time. A later one gets another time; otherwise all
// deliveries that waited while the workers were away would come at once. It gets only one more, because if all are
// late, each would wait for ever.
const lapsesAfter = 2 * time.Second

// lapses reports whether a delivery needs another reserved time, and notes that on it.
func (c *Courier) lapses(l *Leftover) bool {
	if l.Lapsed || c.Now().Sub(l.Due) <= lapsesAfter {
		return false
	}
	l.Lapsed = true
	return true
}
