package delivery

import (
	"context"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/models"
)

// AtOnce reports whether Direct or Ahead can make the first attempts of deliveries now, almost without waiting. Their
// webhooks must be active, have no limits of their own, answer in time, not have failed last, and have room, and so must
// this process.
func (c *Courier) AtOnce(ctx context.Context, work []handoff.Work) bool {
	if c.Breaker != nil && c.Breaker.Open() {
		return false
	}
	counts := make(map[string]int, len(work))
	for i := range work {
		counts[work[i].Delivery.WebhookID]++
	}
	for id, n := range counts {
		if !c.atOnce(ctx, work[0].Delivery.Tenant, id, n) {
			return false
		}
	}
	return true
}

// atOnce is AtOnce for n deliveries to one webhook.
func (c *Courier) atOnce(ctx context.Context, tenant, webhookID string, n int) bool {
	r, err := c.receiver(ctx, tenant, webhookID)
	if err != nil {
		return false
	}
	w := r.Webhook
	slow := c.Slowest > 0 && r.Timeout > c.Slowest
	if w.Status != models.WebhookActive || w.RateLimit > 0 || r.TenantRate > 0 || w.MaxInFlight > 0 || slow || c.failing.lately(webhookID) || !c.Cap.Room(webhookID, n) {
		return false
	}
	if c.Posts == nil {
		return true
	}
	release, ok := c.Posts.TryAcquire(tenant, r.Host)
	if ok {
		release()
	}
	return ok
}

// Direct makes the first POSTs of deliveries that this process has just accepted and that no dispatch drives, all at
// once, and records each as it ends. They belong to one tenant. A delivery that is not received gets the dispatch with
// this id, which the caller writes and starts. One that is received gets the dispatch that show returns, or none if
// show is nil.
func (c *Courier) Direct(ctx context.Context, dispatchID string, work []handoff.Work, show handoff.Show) (Batch, error) {
	if show == nil {
		show = func(*models.Delivery) (string, func(bool)) { return "", func(bool) {} }
	}
	return c.attemptNow(ctx, &batch{Courier: c, dispatchID: dispatchID}, work, show)
}

// Ahead is First for the deliveries of a dispatch that this process has just accepted, before its workflow starts. They
// belong to one tenant. If the workflow starts before they are made, and asks for them, First returns their result.
func (c *Courier) Ahead(ctx context.Context, dispatchID string, work []handoff.Work) (Batch, error) {
	return c.attemptNow(ctx, &batch{Courier: c, dispatchID: dispatchID, of: NewRemainder(dispatchID, len(work))}, work, nil)
}

// attemptNow makes the first POSTs of a tenant's deliveries that are in memory. show is nil if they have a dispatch.
func (c *Courier) attemptNow(ctx context.Context, b *batch, work []handoff.Work, show handoff.Show) (Batch, error) {
	unlock, err := c.once.lock(ctx, b.dispatchID)
	if err != nil {
		return Batch{}, err
	}
	defer unlock()
	c.noteTraffic(work[0].Delivery.Tenant)
	jobs := make([]*job, len(work))
	for i := range work {
		jobs[i] = &job{dispatchID: b.dispatchID, delivery: work[i].Delivery, event: work[i].Event, show: show}
	}
	chosen, err := b.choose(ctx, jobs)
	if err != nil {
		return Batch{}, err
	}
	b.sendAll(ctx, chosen)
	sum, err := b.close(ctx)
	if err == nil && show == nil {
		c.results.add(b.dispatchID, &sum)
	}
	return sum, err
}
