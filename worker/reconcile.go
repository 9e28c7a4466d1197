package worker

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/models"
)

// Engine is what the reconciler needs of internal/engine.
type Engine interface {
	// Alive reports which dispatches have a workflow that is running or paused.
	Alive(ctx context.Context, dispatchIDs []string) (map[string]bool, error)
	// PausedDispatches lists dispatches that somebody has paused in Temporal: their workflow, or an activity of it.
	PausedDispatches(ctx context.Context) (map[string]bool, error)
	Ready(ctx context.Context) error
	// LaunchWait starts dispatches and returns how many were started, when each was or has been given up.
	LaunchWait(ctx context.Context, dispatches ...models.Dispatch) (started int)
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
	// Others reports whether a tenant other than this one has had first attempts here a moment ago; nil = none ever has.
	Others func(tenant string) bool

	// When the steps that read whole tables come up again.
	measureNext, sweepNext time.Time
	// The id after which the next look of each kind begins.
	healthAt, recoveryAt string
	watch                watch         // of the other processes
	declared             chan struct{} // a process has been declared gone
}

// The bounds of one look.
const (
	judgedAtOnce    = 100  // webhooks woken
	recoveredAtOnce = 100  // recoveries started
	sweptAtOnce     = 1000 // keys and leases
	entriesAtOnce   = 100  // entries of the outbox, of up to models.MaxDispatch deliveries
	idempotencyLife = 24 * time.Hour
	sweepAfter      = time.Hour
	lookEvery       = 10 * time.Second
	sweepEvery      = 5 * time.Minute // it reads all dispatches there are
	statsEvery      = 5 * time.Second // statistics are merged within 10 s
)

// For how many times as long as a loop took it rests, if that is longer than the time between two looks.
const (
	loopRest    = 19 // 5 % of the time
	measureRest = 50 // 2 %: a backlog of millions is counted for long
)

// loop is one of the things that the reconciler looks after. Each has a goroutine of its own, so that none waits for
// another that is slow or fails.
type loop struct {
	name string
	// look looks once. found reports that there was something to do: there may be more.
	look func(context.Context) (found bool, err error)
	// temporal is set if it can do nothing while Temporal is away.
	temporal bool
	// every is the time between two looks; 0 = the reconciler's.
	every time.Duration
	// wake lets the next look begin at once; nil = nothing does.
	wake <-chan struct{}
}

func (r *Reconciler) loops() []loop {
	return []loop{
		{name: "statistics", look: r.follow},
		{name: "backlog", look: r.measure},
		{name: "sweep", look: r.sweep},
		{name: "deliveries", look: r.deliveries, temporal: true},
		{name: "webhooks", look: r.webhooks, temporal: true},
		{name: "recoveries", look: r.recoveries, temporal: true},
		{name: "stats", look: r.stats, every: statsEvery},
		{name: "processes", look: r.processes, every: watchEvery},
		{name: "takeover", look: r.gone, every: watchEvery, wake: r.declared},
	}
}

// Run looks until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	if r.Every == 0 {
		r.Every = lookEvery
	}
	if r.Overdue == 0 {
		r.Overdue = time.Minute
	}
	r.declared = make(chan struct{}, 1)
	var running sync.WaitGroup
	for _, l := range r.loops() {
		running.Go(func() { r.run(ctx, l) })
	}
	running.Wait()
}

// run looks again and again. A look that found nothing and took long is followed by a rest in proportion.
func (r *Reconciler) run(ctx context.Context, l loop) {
	for ctx.Err() == nil {
		begun := time.Now()
		found, err := r.once(ctx, l)
		if err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "reconciling goes on at the next look", "loop", l.name, "error", err)
		}
		wait := cmp.Or(l.every, r.Every)
		if !found {
			wait = max(wait, loopRest*time.Since(begun))
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-time.After(wait):
		}
	}
}

// once looks once, if it can. While Temporal is away nothing can be said of any workflow, nor started.
func (r *Reconciler) once(ctx context.Context, l loop) (found bool, err error) {
	if l.temporal {
		if err := r.Engine.Ready(ctx); err != nil {
			return true, err // whatever that took, it says nothing of the loop
		}
	}
	defer panics.Into(&err, "the reconciler's loop "+l.name)
	begun := time.Now()
	defer func() { r.Metrics.LoopSeconds.WithLabelValues(l.name).Observe(time.Since(begun).Seconds()) }()
	return l.look(ctx)
}

// Look does everything once.
func (r *Reconciler) Look(ctx context.Context) error {
	var all error
	for _, l := range r.loops() {
		_, err := r.once(ctx, l)
		all = errors.Join(all, err)
	}
	return all
}

func (r *Reconciler) follow(ctx context.Context) (bool, error) {
	_, err := r.Store.FollowGrowth(ctx)
	return false, err
}

// stats merges what has been counted. It never rests for longer: counting goes on.
func (r *Reconciler) stats(ctx context.Context) (bool, error) {
	for after := (models.DeliveryKey{}); ; {
		_, next, err := r.Store.MergeStats(ctx, after)
		switch {
		case models.IsLocked(err): // other workers are at it
			return true, nil
		case err != nil, next == (models.DeliveryKey{}):
			return true, err
		}
		after = next
	}
}

// webhooks wakes health workflows that have missed something, from where the last look ended.
func (r *Reconciler) webhooks(ctx context.Context) (bool, error) {
	for woken := 0; woken < judgedAtOnce; {
		ids, next, err := r.Store.NeedHealthCheck(ctx, r.Threshold, r.healthAt, judgedAtOnce-woken)
		if err != nil {
			return false, err
		}
		for _, id := range ids {
			r.Engine.Judge(id)
		}
		woken += len(ids)
		if r.healthAt = next; next == "" {
			break
		}
	}
	return false, nil
}

// recoveries starts recoveries that stand still, from where the last look ended.
func (r *Reconciler) recoveries(ctx context.Context) (bool, error) {
	ids, next, err := r.Store.RunningRecoveries(ctx, r.recoveryAt, recoveredAtOnce)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		r.Engine.Recover(id)
	}
	r.recoveryAt = next
	return false, nil
}

func (r *Reconciler) sweep(ctx context.Context) (bool, error) {
	now := r.Store.Now()
	for {
		n, err := r.Store.ForgetKeys(ctx, now.Add(-idempotencyLife), sweptAtOnce)
		if err != nil {
			return false, err
		}
		if n < sweptAtOnce {
			break
		}
	}
	if err := r.Store.ForgetGone(ctx, r.Overdue+goneFor); err != nil {
		return false, err
	}
	if now.Before(r.sweepNext) {
		return true, nil
	}
	r.sweepNext = now.Add(sweepEvery)
	before := now.Add(-sweepAfter)
	if _, err := r.Store.ForgetLeases(ctx, before, sweptAtOnce); err != nil {
		return false, err
	}
	for after := ""; ; {
		_, next, err := r.Store.SweepDispatches(ctx, after, before, entriesAtOnce)
		if err != nil || next == "" {
			return false, err
		}
		after = next
	}
}
