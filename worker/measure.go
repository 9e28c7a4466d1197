package worker

import (
	"context"
	"time"
)

// rest postpones the next count in proportion to how long the last one took.
func (r *Reconciler) rest(begun time.Time) {
	ended := r.Store.Now()
	r.measureNext = ended
	if rest := measureRest * ended.Sub(begun); rest > lookEvery {
		r.measureNext = ended.Add(rest)
	}
}

// measuredBacklogs is the number of webhooks that the metrics name.
const measuredBacklogs = 20

// measure sets the gauges. It measures the age of overdue deliveries in every round, and counts when a count is due.
func (r *Reconciler) measure(ctx context.Context) (bool, error) {
	oldest, err := r.Store.OldestDue(ctx)
	if err != nil {
		return false, err
	}
	begun := r.Store.Now()
	age := 0.0
	if oldest != nil {
		age = begun.Sub(*oldest).Seconds()
	}
	r.Metrics.OldestDue.Set(age)
	if begun.Before(r.measureNext) {
		return true, nil
	}
	if err := r.count(ctx); err != nil {
		return false, err
	}
	r.rest(begun)
	return true, nil
}

func (r *Reconciler) count(ctx context.Context) error {
	b, top, err := r.Store.Backlog(ctx, measuredBacklogs)
	if err != nil {
		return err
	}
	r.Metrics.Pending.Set(float64(b.Pending))
	r.Metrics.Held.Set(float64(b.Held))
	r.Metrics.Batches.Set(float64(b.Batches))
	age := 0.0
	if b.OldestBatch != nil {
		age = r.Store.Now().Sub(*b.OldestBatch).Seconds()
	}
	r.Metrics.OldestBatch.Set(age)
	webhooks, err := r.Store.WebhookCounts(ctx)
	if err != nil {
		return err
	}
	r.Metrics.Webhooks.Reset()
	for status, n := range webhooks {
		r.Metrics.Webhooks.WithLabelValues(string(status)).Set(float64(n))
	}
	r.Metrics.Backlog.Reset()
	for _, w := range top {
		r.Metrics.Backlog.WithLabelValues(w.WebhookID).Set(float64(w.Pending))
	}
	return nil
}
