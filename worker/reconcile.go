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
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

// Engine is the part of internal/engine that the reconciler needs.
type Engine interface {
	// Alive reports which dispatches have a workflow that is running or paused.
	Alive(ctx context.Context, dispatchIDs []string) (map[string]bool, error)
	// PausedDispatches lists dispatches that are paused in Temporal: their workflow, or an activity of it.
	PausedDispatches(ctx context.Context) (map[string]bool, error)
	Ready(ctx context.Context) error
	// LaunchWait starts dispatches. When each was started or given up, it returns how many were started.
	LaunchWait(ctx context.Context, dispatches ...models.Dispatch) (started int)
	WakeHealth(webhookID string)
	StartRecovery(recoveryID string)
}

// Reconciler finds what nothing drives, and restarts it: deliveries whose dispatch never started, or whose workflow
// was terminated or lost; webhooks whose health workflow missed something; recoveries that stopped. It runs in every
// worker, without a leader: it skips rows that another one has locked.
type Reconciler struct {
	Store     *models.Store
	Engine    Engine
	Threshold int64
	Metrics   *metrics.Metrics
	Log       *slog.Logger
	// Every is the time between two rounds, default 10 s. Overdue is how long a delivery must have been due before its
	// dispatch is checked, default 1 minute.
	Every, Overdue time.Duration
	// Jobs gets a signal while a job waits in the database. Batches gets one while a batch waits. Nobody is told through a nil one.
	Jobs, Batches chan<- struct{}
	// Others reports whether another tenant has had first attempts here a moment ago; nil = none ever has.
	Others func(tenant string) bool

	// The times of the next steps that read whole tables.
	measureNext, sweepNext time.Time
	followed               time.Time // when the growth of the tables was last followed
	// The id after which the next round of each kind starts.
	healthAt, recoveryAt string
	watch                watch         // the state of watching the other processes
	unclaimed            chan struct{} // signalled while work of gone processes waits
}

// The bounds of one round.
const (
	judgedAtOnce    = 100  // webhooks woken
	recoveredAtOnce = 100  // recoveries started
	sweptAtOnce     = 1000 // keys and leases
	entriesAtOnce   = 100  // entries of the outbox, of up to models.MaxDispatch deliveries
	idempotencyLife = 24 * time.Hour
	sweepAfter      = time.Hour
	lookEvery       = 10 * time.Second
	sweepEvery      = 5 * time.Minute // it reads all dispatches
	followEvery     = time.Second     // while events come
	statsEvery      = 5 * time.Second // statistics are merged within 10 s
)

// A loop that took long rests for this many times as long, if that is longer than the time between two rounds.
const (
	loopRest    = 19 // 5 % of the time
	measureRest = 50 // 2 %: counting a backlog of millions takes long
)

// loop is one of the reconciler's tasks. Each has its own goroutine, so that none waits for another that is slow or
// fails.
type loop struct {
	name string
	// look does one round. found reports that there was something to do: there may be more.
	look func(context.Context) (found bool, err error)
	// temporal says that the loop can do nothing while Temporal is away.
	temporal bool
	// every is the time between two rounds; 0 = the reconciler's. For a loop that is woken, it is the rest after a round that
	// found something.
	every time.Duration
	// small says that a round that finds nothing reads next to nothing. If it took long, the database was slow or its
	// connection was dead: that says nothing of the loop.
	small bool
	// wake starts the next round when there is something to do; nil = nothing does.
	wake <-chan struct{}
}

func (r *Reconciler) loops() []loop {
	return []loop{
		{name: "statistics", look: r.follow, every: followEvery},
		{name: "backlog", look: r.measure},
		{name: "sweep", look: r.sweep},
		{name: "deliveries", look: r.deliveries, temporal: true},
		{name: "webhooks", look: r.webhooks, temporal: true},
		{name: "recoveries", look: r.recoveries, temporal: true},
		{name: "erasures", look: r.erase},
		{name: "stats", look: r.stats, every: statsEvery},
		{name: "due", look: r.due, every: dueEvery, small: true},
		{name: "takeover", look: r.gone, every: dueEvery, wake: r.unclaimed},
	}
}

// Run runs the loops until ctx ends.
func (r *Reconciler) Run(ctx context.Context) {
	if r.Every == 0 {
		r.Every = lookEvery
	}
	if r.Overdue == 0 {
		r.Overdue = time.Minute
	}
	r.unclaimed = make(chan struct{}, 1)
	var running sync.WaitGroup
	for _, l := range r.loops() {
		running.Go(func() { r.run(ctx, l) })
	}
	running.Wait()
}

// run repeats the rounds, with a rest after each.
func (r *Reconciler) run(ctx context.Context, l loop) {
	for ctx.Err() == nil {
		begun := time.Now()
		found, err := r.once(ctx, l)
		if err != nil && ctx.Err() == nil {
			r.Log.WarnContext(ctx, "reconciling goes on at the next look", "loop", l.name, "error", err)
		}
		woken := l.wake
		if err != nil {
			woken = nil // it rests first
		}
		_ = pause.Until(ctx, woken, r.restOf(l, time.Since(begun), found, err))
	}
}

// restOf returns how long a loop rests after a round that took so long. A round that found nothing is followed by a rest in
// proportion, but only until a delivery would be overdue; a loop that is woken waits for that. A round that failed does not
// show how much there is to read.
func (r *Reconciler) restOf(l loop, took time.Duration, found bool, err error) time.Duration {
	rest := cmp.Or(l.every, r.Every)
	switch {
	case err != nil:
		return max(rest, min(took, r.Every))
	case !found && l.wake != nil:
		return r.Every
	case found, l.small:
		return rest
	}
	return max(rest, min(loopRest*took, r.Overdue))
}

// once does one round, if it can. While Temporal is away, workflows can be neither checked nor started.
func (r *Reconciler) once(ctx context.Context, l loop) (found bool, err error) {
	if l.temporal {
		if err := r.Engine.Ready(ctx); err != nil {
			return true, err // its time says nothing about the loop
		}
	}
	defer panics.Into(&err, "the reconciler's loop "+l.name)
	begun := time.Now()
	defer func() { r.Metrics.LoopSeconds.WithLabelValues(l.name).Observe(time.Since(begun).Seconds()) }()
	return l.look(ctx)
}

// Reconcile does one round of everything.
func (r *Reconciler) Reconcile(ctx context.Context) error {
	var all error
	for _, l := range r.loops() {
		_, err := r.once(ctx, l)
		all = errors.Join(all, err)
	}
	return all
}

// follow lets PostgreSQL know how large its tables have become: soon while events come, because plans for a young table get
// slower with each row.
func (r *Reconciler) follow(ctx context.Context) (bool, error) {
	now := time.Now()
	if now.Sub(r.followed) < r.Every && r.Store.Now().Sub(r.Store.LastTraffic()) > r.Every {
		return false, nil
	}
	r.followed = now
	_, err := r.Store.FollowGrowth(ctx)
	return false, err
}

// erase erases the data that was to be kept until now.
func (r *Reconciler) erase(ctx context.Context) (found bool, err error) {
	for more := true; more; {
		var n int
		if n, more, err = r.Store.EraseDue(ctx); err != nil {
			return found, err
		}
		found = found || n > 0
	}
	return found, nil
}

// stats merges the counts. It never rests for longer, because counting goes on.
func (r *Reconciler) stats(ctx context.Context) (bool, error) {
	for after := (models.DeliveryKey{}); ; {
		_, next, err := r.Store.MergeStats(ctx, after)
		switch {
		case models.IsLocked(err): // other workers are merging
			return true, nil
		case err != nil, next == (models.DeliveryKey{}):
			return true, err
		}
		after = next
	}
}

// webhooks wakes health workflows that have missed something, starting where the last round ended.
func (r *Reconciler) webhooks(ctx context.Context) (bool, error) {
	for woken := 0; woken < judgedAtOnce; {
		ids, next, err := r.Store.NeedHealthCheck(ctx, r.Threshold, r.healthAt, judgedAtOnce-woken)
		if err != nil {
			return false, err
		}
		for _, id := range ids {
			r.Engine.WakeHealth(id)
		}
		woken += len(ids)
		if r.healthAt = next; next == "" {
			break
		}
	}
	return false, nil
}

// recoveries starts recoveries that have stopped, starting where the last round ended.
func (r *Reconciler) recoveries(ctx context.Context) (bool, error) {
	ids, next, err := r.Store.RunningRecoveries(ctx, r.recoveryAt, recoveredAtOnce)
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		r.Engine.StartRecovery(id)
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
