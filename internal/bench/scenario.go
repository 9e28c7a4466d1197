package bench

import (
	"context"
	"fmt"
	"time"
)

// scenario is one way of loading Posthorn.
type scenario struct {
	order int
	about func(o Options) string
	// fanout is how many webhooks of a tenant want each event.
	fanout int
	// batch is how many events one call publishes.
	batch int
	fails bool // the receiver fails a share
	// prepare, if set, comes after the warm-up and before what is measured.
	prepare func(ctx context.Context, r *run) error
	load    func(ctx context.Context, r *run, d time.Duration) error
	// crowded means that the measured deliveries share Posthorn with others, so that figures per delivery mean nothing.
	crowded bool
}

const (
	wide         = 10   // webhooks in fanout
	batchSize    = 1000 // events, the most a call takes
	batchCallers = 4
	slowBacklog  = 3000 // deliveries that wait in noisy
	slowAnswer   = time.Second
	quietRate    = 5 // events per second beside them
)

var scenarios = map[string]*scenario{
	"latency": {order: 1, fanout: 1, batch: 1, load: steady,
		about: func(o Options) string { return fmt.Sprintf("%g events/s for %s", o.Rate, o.Duration) }},
	"saturate": {order: 2, fanout: 1, batch: 1, load: flood, about: aboutFlood("")},
	"fanout":   {order: 3, fanout: wide, batch: 1, load: flood, about: aboutFlood(fmt.Sprintf(", each event to %d webhooks", wide))},
	"noisy": {order: 4, fanout: 1, batch: 1, crowded: true, prepare: fillSlow,
		load: func(ctx context.Context, r *run, d time.Duration) error { return r.atRate(ctx, r.main, quietRate, d) },
		about: func(o Options) string {
			return fmt.Sprintf("%d events/s for %s, while %d deliveries wait on another webhook that takes %s", quietRate, o.Duration, slowBacklog, slowAnswer)
		}},
	"batch": {order: 5, fanout: 1, batch: batchSize,
		load: func(ctx context.Context, r *run, d time.Duration) error {
			return r.closedLoop(ctx, r.main, batchCallers, d, maxEvents)
		},
		about: func(o Options) string {
			return fmt.Sprintf("%d callers with batches of %d, closed loop for %s", batchCallers, batchSize, o.Duration)
		}},
	"failing": {order: 6, fanout: 1, batch: 1, fails: true, load: flood,
		about: func(o Options) string {
			return aboutFlood(fmt.Sprintf(", %g %% of the first attempts answered 500", 100*o.FailShare))(o)
		}},
}

func steady(ctx context.Context, r *run, d time.Duration) error {
	return r.atRate(ctx, r.main, r.o.Rate, d)
}

func flood(ctx context.Context, r *run, d time.Duration) error {
	return r.closedLoop(ctx, r.main, r.o.Callers, d, maxEvents)
}

func aboutFlood(more string) func(Options) string {
	return func(o Options) string {
		if o.Tenants > 1 {
			more = fmt.Sprintf(", %d tenants%s", o.Tenants, more)
		}
		return fmt.Sprintf("%d callers, closed loop for %s%s", o.Callers, o.Duration, more)
	}
}

// fillSlow publishes what then waits for the slow receiver.
func fillSlow(ctx context.Context, r *run) error {
	r.progress.phase("filling the slow webhook's queue")
	return r.closedLoop(ctx, r.slow, r.o.Callers, r.o.Patience, slowBacklog)
}
