package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// run is one scenario's run.
type run struct {
	o        Options
	name     string
	scenario *scenario
	target   *target
	db       *pgx.Conn // nil = do not query it

	ledger   *ledger
	sink     *sink
	progress *progress
	tenants  []string
	main     *stream // the measured stream
	slow     *stream // the backlog beside it; nil except in noisy
	stored   *stream // the events stored beforehand; nil if there are none
}

// run sets up, loads, measures, counts and cleans up.
func (r *run) run(ctx context.Context) (_ *Result, err error) {
	r.ledger = newLedger()
	if r.sink, err = listen(ctx, r.o.Receiver); err != nil {
		return nil, err
	}
	defer r.sink.close()
	r.progress = startProgress(r.o.Progress, r.name)
	defer r.progress.stop()
	r.plan()
	r.sink.serve(r.ledger)
	defer func() { err = errors.Join(err, r.clear(ctx)) }()
	if err := r.setUp(ctx); err != nil {
		return nil, err
	}
	if r.stored != nil {
		if err := r.store(ctx); err != nil {
			return nil, err
		}
	}
	r.progress.follow(r.main)
	return r.measure(ctx)
}

// plan names everything, and adds the hooks to the receiver.
func (r *run) plan() {
	id := strings.ToLower(rand.Text()[:8])
	for i := range r.o.Tenants {
		r.tenants = append(r.tenants, fmt.Sprintf("bench-%s-%d", id, i+1))
	}
	share := 0.0
	if r.scenario.fails {
		share = r.o.FailShare
	}
	r.main = r.stream("bench."+id+".main", r.scenario.fanout, r.scenario.batch, 0, share)
	if r.scenario.limited {
		for i, h := range r.main.hooks {
			if i%r.scenario.fanout == 0 {
				h.rateLimit, h.seen.timed = limitRate, true
			} else {
				h.maxInFlight, h.delay = limitInFlight, limitAnswer
			}
		}
	}
	if r.scenario.beside {
		r.slow = r.stream("bench."+id+".slow", 1, min(slowBatch, r.o.Backlog), r.o.Slow, 0)
	}
	if r.o.Stored > 0 {
		r.stored = r.stream("bench."+id+".stored", 1, batchSize, 0, 0)
	}
}

func (r *run) stream(eventType string, fanout, batch int, delay time.Duration, share float64) *stream {
	return r.streamIn(r.tenants, eventType, fanout, batch, delay, share)
}

func (r *run) streamIn(tenants []string, eventType string, fanout, batch int, delay time.Duration, share float64) *stream {
	s := &stream{eventType: eventType, fanout: fanout, batch: batch}
	for range fanout {
		s.places = append(s.places, newPlace())
	}
	for _, tenant := range tenants {
		s.requests = append(s.requests, publish(r.target.base, r.target.key, tenant, eventType, batch, r.o.Payload, r.o.labels()))
		for _, p := range s.places {
			h := r.ledger.addHook(tenant, p, delay, share)
			h.channels = r.o.labels().channels
			s.hooks = append(s.hooks, h)
		}
	}
	return s
}

// counted returns the streams whose deliveries are counted.
func (r *run) counted() []*stream {
	if r.slow == nil {
		return []*stream{r.main}
	}
	return []*stream{r.main, r.slow}
}

func (r *run) streams() []*stream {
	if r.stored == nil {
		return r.counted()
	}
	return append(r.counted(), r.stored)
}

// idleType returns the event type of the idle webhooks. No event of it is published.
func (r *run) idleType() string { return strings.TrimSuffix(r.main.eventType, "main") + "idle" }

// setUpAtOnce is how many calls set up at once.
const setUpAtOnce = 8

func (r *run) setUp(ctx context.Context) error {
	r.progress.phase("setting up")
	types := []string{r.idleType()}
	for _, s := range r.streams() {
		types = append(types, s.eventType)
	}
	for _, name := range types {
		if err := r.target.putEventType(ctx, name); err != nil {
			return err
		}
	}
	for _, tenant := range r.tenants {
		if err := r.target.putTenant(ctx, tenant); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(setUpAtOnce)
	for _, s := range r.streams() {
		for _, h := range s.hooks {
			g.Go(func() (err error) {
				h.id, err = r.target.createWebhook(ctx, h.tenant, r.sink.url(h.index), s.eventType, h.limits)
				return err
			})
		}
	}
	for _, tenant := range r.tenants {
		for range r.o.Idle {
			g.Go(func() error {
				_, err := r.target.createWebhook(ctx, tenant, r.sink.url(0), r.idleType(), limits{})
				return err
			})
		}
	}
	return g.Wait()
}

// store publishes the events that exist before the measurement. Their webhooks are paused, so that nothing changes.
func (r *run) store(ctx context.Context) error {
	r.progress.phase("storing events")
	for _, h := range r.stored.hooks {
		if err := r.target.pause(ctx, h); err != nil {
			return err
		}
	}
	want := int64(r.o.Stored * r.o.Tenants)
	if err := r.closedLoop(ctx, r.stored, batchCallers, maxDuration, want); err != nil {
		return err
	}
	if stored := r.stored.accepted.Load(); stored < want {
		return fmt.Errorf("%d of %d events were stored: the rest was refused", stored, want)
	}
	return nil
}

// clear deletes the things that setUp made, unless they are kept, even after ctx has ended.
func (r *run) clear(ctx context.Context) error {
	if r.o.Keep {
		return nil
	}
	r.progress.phase("clearing away")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*manageTimeout)
	defer cancel()
	var problems []error
	note := func(err error) {
		if err != nil && !errors.Is(err, errNotFound) {
			problems = append(problems, fmt.Errorf("clear away: %w", err))
		}
	}
	for _, tenant := range r.tenants {
		note(r.target.deleteTenant(ctx, tenant))
	}
	for _, s := range r.streams() {
		note(r.target.deleteEventType(ctx, s.eventType))
	}
	note(r.target.deleteEventType(ctx, r.idleType()))
	return errors.Join(problems...)
}

// readings are the counters that are read before and after the load.
type readings struct {
	db       dbStats
	counters *counters
}

func (r *run) read(ctx context.Context) (now readings, err error) {
	if r.db != nil {
		if now.db, err = readDBStats(ctx, r.db); err != nil {
			return now, err
		}
	}
	now.counters, err = scrape(ctx, r.o.MetricsURLs)
	return now, err
}

// settleFor is how long PostgreSQL's backends may delay their statistics (PGSTAT_MIN_INTERVAL is a second), and how
// long the engine's work after a delivery may take.
const settleFor = 1200 * time.Millisecond

// settle waits before counters are read, if there are any that lag.
func (r *run) settle(ctx context.Context) error {
	if (r.db != nil || len(r.o.Processes) > 0) && !sleep(ctx, settleFor) {
		return ctx.Err()
	}
	return nil
}

// measure is the run between setting up and clearing away.
func (r *run) measure(ctx context.Context) (*Result, error) {
	if r.o.WarmUp > 0 {
		r.progress.phase("warming up")
		if err := r.scenario.load(ctx, r, r.o.WarmUp); err != nil {
			return nil, err
		}
		switch drained, err := r.drain(ctx); {
		case err != nil:
			return nil, err
		case !drained:
			return nil, errors.New("what warmed it up was not delivered in time")
		}
	}
	beside := &backlog{r, r.slow}
	if r.slow != nil {
		if err := beside.fill(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	before, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	watch, err := startWatch(procDir, r.o.Processes)
	if err != nil {
		return nil, err
	}
	s := r.main
	s.calls = nil
	for _, h := range s.hooks {
		h.seen.reset()
	}
	from, accepted, refused, unknown, arrived := int(r.ledger.next.Load()), s.accepted.Load(), s.refused.Load(), s.unknown.Load(), received(s.hooks)

	r.progress.phase("measuring")
	var fewest int64
	stop := func() (int64, error) { return 0, nil }
	if r.slow != nil {
		stop = beside.keep(ctx)
	}
	began := time.Now()
	err = r.scenario.load(ctx, r, r.o.Duration)
	loaded := time.Now()
	fewest, stopErr := stop()
	if err := errors.Join(err, stopErr); err != nil {
		_, _ = watch.stop()
		return nil, err
	}
	r.progress.phase("delivering the rest")
	drained, err := r.drain(ctx)
	ended := time.Now()
	result := &Result{Scenario: r.name, Load: r.scenario.about(r.o) + r.o.beside(), Seconds: ended.Sub(began).Seconds(), Drained: drained, Waiting: fewest,
		Accepted: s.accepted.Load() - accepted, Refused: s.refused.Load() - refused, Unknown: s.unknown.Load() - unknown,
		Deliveries: received(s.hooks) - arrived}
	settleErr := r.settle(ctx)
	usage, watchErr := watch.stop()
	if err := errors.Join(err, settleErr, watchErr); err != nil {
		return nil, err
	}
	result.AcceptedPerSecond = float64(result.Accepted) / loaded.Sub(began).Seconds()
	result.DeliveriesPerSecond = float64(result.Deliveries) / result.Seconds
	after, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	r.figure(result, usage, before, after)
	var latencies []uint32
	to := min(int(r.ledger.next.Load()), maxEvents)
	for _, p := range s.places {
		latencies = append(latencies, r.ledger.latencies(p, from, to)...)
	}
	result.EndToEnd, result.Call = percentiles(latencies), percentiles(s.calls)
	if r.scenario.limited {
		result.Limits = s.limits()
	}
	if result.List, err = r.list(ctx); err != nil {
		return nil, err
	}
	result.Count, err = r.count(ctx)
	return result, err
}

// figure fills in the usage.
func (r *run) figure(result *Result, usage *Usage, before, after readings) {
	deliveries := result.Deliveries
	if r.scenario.crowded {
		deliveries = 0
	}
	result.Usage = usage
	if usage != nil && deliveries > 0 {
		usage.CPUPerThousand = 1000 * usage.CPUSeconds / float64(deliveries)
	}
	if r.db != nil {
		result.Database = after.db.since(before.db, deliveries)
	}
	if len(r.o.MetricsURLs) > 0 {
		result.Workflows = after.counters.since(before.counters, result.Accepted)
	}
}

// How often the run checks whether everything has arrived: often while that is expected soon, and seldom enough to cost
// nothing when it takes long.
const (
	askFirst = 2 * time.Millisecond
	askLast  = 200 * time.Millisecond
)

// drain waits until everything accepted of the main stream has arrived and is recorded; false if patience ended first.
func (r *run) drain(ctx context.Context) (bool, error) {
	s := r.main
	ctx, cancel := context.WithTimeoutCause(ctx, r.o.Patience, errPatience)
	defer cancel()
	err := until(ctx, func() (bool, error) { return received(s.hooks) >= s.accepted.Load()*int64(s.fanout), nil })
	if err == nil {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(setUpAtOnce)
		for _, h := range s.hooks {
			g.Go(func() error {
				return until(ctx, func() (bool, error) {
					pending, err := r.target.pending(ctx, h)
					return !pending, err
				})
			})
		}
		err = g.Wait()
	}
	if errors.Is(context.Cause(ctx), errPatience) {
		return false, nil
	}
	return err == nil, err
}

// errPatience ends a wait that has reached its limit.
var errPatience = errors.New("patience ended")

// until asks repeatedly, at growing intervals, until the answer is yes or ctx ends.
func until(ctx context.Context, ask func() (bool, error)) error {
	for wait := askFirst; ; wait = min(wait+wait/4+1, askLast) {
		yes, err := ask()
		if yes || err != nil {
			return err
		}
		if !sleep(ctx, wait) {
			return ctx.Err()
		}
	}
}

// count compares the accepted deliveries, including those of the warm-up, with the states at Posthorn and with the
// receiver's view. It first pauses deliveries that are still on their way, because it counts state after state, and a
// delivery must not change between two. A pause does not hold back POSTs that are already on their way, so it counts
// again as long as something is missing.
func (r *run) count(ctx context.Context) (c Count, err error) {
	r.progress.phase("counting")
	for _, s := range r.counted() {
		for _, h := range s.hooks {
			pending, err := r.target.pending(ctx, h)
			if err == nil && pending {
				err = r.target.pause(ctx, h)
			}
			if err != nil {
				return Count{}, err
			}
		}
	}
	patient, cancel := context.WithTimeout(ctx, r.o.Patience)
	defer cancel()
	err = until(patient, func() (bool, error) {
		c, err = r.countOnce(ctx)
		return c.Complete, err
	})
	if patient.Err() != nil {
		err = ctx.Err()
	}
	return c, err
}

func (r *run) countOnce(ctx context.Context) (Count, error) {
	c := Count{Strange: r.sink.strange.Load()}
	var doubtful int64
	for _, s := range r.counted() {
		c.Events += s.accepted.Load()
		c.Expected += s.accepted.Load() * int64(s.fanout)
		doubtful += (s.refused.Load() + s.unknown.Load()) * int64(s.fanout)
		for _, h := range s.hooks {
			for status, n := range map[string]*int64{"delivered": &c.Delivered, "pending": &c.Pending, "held": &c.Held, "failed": &c.Failed, "canceled": &c.Canceled} {
				found, err := r.target.count(ctx, h, status)
				if err != nil {
					return c, err
				}
				*n += found
			}
			c.Received += h.received.Load()
			c.Duplicates += h.duplicates.Load()
			c.Refusals += h.refusals.Load()
		}
	}
	c.judge(doubtful)
	return c, nil
}
