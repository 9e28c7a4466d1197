package worker

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/models"
)

// Engine is what the reconciler needs of internal/engine.
type Engine interface {
	Alive(ctx context.Context, dispatchID string) (bool, error)
	Ready(ctx context.Context) error
	Launch(dispatches ...models.Dispatch)
	Judge(webhookID string)
	Recover(recoveryID string)
}

// Reconciler finds what is owed and not being driven, and sets it off again: deliveries whose dispatch never
// started, or whose workflow was terminated or lost; webhooks whose health workflow missed something; recoveries
// that stopped. It runs in every worker, without a leader: rows another one holds are skipped.
type Reconciler struct {
	Store     *models.Store
	Engine    Engine
	Threshold int64
	Metrics   *metrics.Metrics
	Log       *slog.Logger
	// Every is the time between two looks, default 10 s; Overdue how long a delivery must have been due before its
	// dispatch is doubted, default 1 minute.
	Every, Overdue time.Duration

	// When the steps that read whole tables come up again.
	measureNext, sweepNext time.Time
}

// The bounds of one look.
const (
	checkedAtOnce      = 500  // workflows asked after
	redispatchedAtOnce = 2560 // deliveries
	sweptAtOnce        = 1000 // rows of each kind
	judgedAtOnce       = 100  // webhooks
	idempotencyLife    = 24 * time.Hour
	sweepAfter         = time.Hour
	lookEvery          = 10 * time.Second
	sweepEvery         = 5 * time.Minute // it reads all dispatches there are
	measureRest        = 50              // times as long as measuring took, there is none: a backlog of millions is counted for long
)

// Run looks until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	if r.Every == 0 {
		r.Every = lookEvery
	}
	if r.Overdue == 0 {
		r.Overdue = time.Minute
	}
	ticker := time.NewTicker(r.Every)
	defer ticker.Stop()
	for {
		if err := r.Look(ctx); err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "reconciling goes on at the next look", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Look reconciles once.
func (r *Reconciler) Look(ctx context.Context) error {
	if _, err := r.Store.FollowGrowth(ctx); err != nil {
		return err
	}
	if err := r.measure(ctx); err != nil {
		return err
	}
	// While Temporal is away nothing can be said of any workflow, nor started.
	if err := r.Engine.Ready(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.deliveries, r.webhooks, r.recoveries, r.sweep} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// deliveries dispatches again what is overdue and not being driven, until there is no more of it.
func (r *Reconciler) deliveries(ctx context.Context) error {
	before := r.Store.Now().Add(-r.Overdue)
	for {
		doubtful, err := r.Store.OverdueDispatches(ctx, before, checkedAtOnce)
		if err != nil {
			return err
		}
		dead, alive, err := r.check(ctx, doubtful)
		if err != nil {
			return err
		}
		if err := r.Store.DispatchChecked(ctx, alive); err != nil {
			return err
		}
		fresh, err := r.Store.Redispatch(ctx, dead, before, redispatchedAtOnce)
		if err != nil {
			return err
		}
		for _, d := range fresh {
			r.Metrics.Catches.Add(float64(len(d.Deliveries)))
			r.Log.WarnContext(ctx, "dispatched again", "dispatch", d.ID, "deliveries", len(d.Deliveries))
		}
		r.Engine.Launch(fresh...)
		if len(fresh) == 0 && len(doubtful) < checkedAtOnce {
			return nil
		}
	}
}

// check asks Temporal which of the dispatches are being driven.
func (r *Reconciler) check(ctx context.Context, ids []string) (dead, alive []string, err error) {
	running := make([]bool, len(ids))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, id := range ids {
		g.Go(func() (err error) {
			running[i], err = r.Engine.Alive(ctx, id)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for i, id := range ids {
		if running[i] {
			alive = append(alive, id)
		} else {
			dead = append(dead, id)
		}
	}
	return dead, alive, nil
}

func (r *Reconciler) webhooks(ctx context.Context) error {
	ids, err := r.Store.NeedHealthCheck(ctx, r.Threshold, judgedAtOnce)
	for _, id := range ids {
		r.Engine.Judge(id)
	}
	return err
}

func (r *Reconciler) recoveries(ctx context.Context) error {
	ids, err := r.Store.RunningRecoveries(ctx, judgedAtOnce)
	for _, id := range ids {
		r.Engine.Recover(id)
	}
	return err
}

func (r *Reconciler) sweep(ctx context.Context) error {
	now := r.Store.Now()
	for {
		n, err := r.Store.ForgetKeys(ctx, now.Add(-idempotencyLife), sweptAtOnce)
		if err != nil {
			return err
		}
		if n < sweptAtOnce {
			break
		}
	}
	if now.Before(r.sweepNext) {
		return nil
	}
	r.sweepNext = now.Add(sweepEvery)
	before := now.Add(-sweepAfter)
	if _, err := r.Store.ForgetLeases(ctx, before, sweptAtOnce); err != nil {
		return err
	}
	_, err := r.Store.SweepDispatches(ctx, before, sweptAtOnce)
	return err
}

// rest puts off the next count by how long the last has taken.
func (r *Reconciler) rest(begun time.Time) {
	ended := r.Store.Now()
	r.measureNext = ended
	if rest := measureRest * ended.Sub(begun); rest > lookEvery {
		r.measureNext = ended.Add(rest)
	}
}

// measuredBacklogs is how many webhooks are named in the metrics.
const measuredBacklogs = 20

func (r *Reconciler) measure(ctx context.Context) error {
	oldest, err := r.Store.OldestDue(ctx)
	if err != nil {
		return err
	}
	begun := r.Store.Now()
	age := 0.0
	if oldest != nil {
		age = begun.Sub(*oldest).Seconds()
	}
	r.Metrics.OldestDue.Set(age)
	if begun.Before(r.measureNext) {
		return nil
	}
	b, top, err := r.Store.Backlog(ctx, measuredBacklogs)
	if err != nil {
		return err
	}
	r.rest(begun)
	r.Metrics.Pending.Set(float64(b.Pending))
	r.Metrics.Held.Set(float64(b.Held))
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
