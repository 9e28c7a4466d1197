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
	// fanout is how many webhooks of a tenant get each event.
	fanout int
	// batch is how many events one call publishes.
	batch int
	fails bool // the receiver fails a share
	// beside means that a backlog for a slow receiver waits during the whole load.
	beside bool
	load   func(ctx context.Context, r *run, d time.Duration) error
	// limited means that the webhooks have their own limits.
	limited bool
	// crowded means that other deliveries share Posthorn with the measured ones, so that figures per delivery mean
	// nothing.
	crowded bool
}

const (
	wide         = 10   // webhooks in fanout
	batchSize    = 1000 // events, the most a call takes
	batchCallers = 4
	slowBatch    = 250 // events of the slow receiver's backlog: few calls, and dispatches that are nearly full
	quietRate    = 5   // events per second beside it

	// In limits one webhook has a rate. The other has a number in flight and an answer that takes a while.
	limitRate     = 50.0
	limitInFlight = 8
	limitAnswer   = 50 * time.Millisecond
)

var scenarios = map[string]*scenario{
	"latency": {order: 1, fanout: 1, batch: 1, load: steady,
		about: func(o Options) string { return fmt.Sprintf("%g events/s for %s", o.Rate, o.Duration) }},
	"saturate": {order: 2, fanout: 1, batch: 1, load: flood, about: aboutFlood("")},
	"fanout":   {order: 3, fanout: wide, batch: 1, load: flood, about: aboutFlood(fmt.Sprintf(", each event to %d webhooks", wide))},
	"noisy": {order: 4, fanout: 1, batch: 1, crowded: true, beside: true,
		load: func(ctx context.Context, r *run, d time.Duration) error { return r.atRate(ctx, r.main, quietRate, d) },
		about: func(o Options) string {
			return fmt.Sprintf("%d events/s for %s, while %d deliveries wait on another webhook that takes %s: each one that ends is replaced", quietRate, o.Duration, o.Backlog, o.Slow)
		}},
	"batch": {order: 5, fanout: 1, batch: batchSize,
		load: func(ctx context.Context, r *run, d time.Duration) error {
			return r.closedLoop(ctx, r.main, batchCallers, d, maxEvents)
		},
		about: func(o Options) string {
			return fmt.Sprintf("%d callers with batches of %d, closed loop for %s", batchCallers, batchSize, o.Duration)
		}},
	"overload": {order: 7, fanout: 1, batch: batchSize,
		load: flood,
		about: func(o Options) string {
			return fmt.Sprintf("%d callers with batches of %d, closed loop for %s: more than the server accepts", o.Callers, batchSize, o.Duration)
		}},
	"limits": {order: 8, fanout: 2, batch: 1, limited: true,
		load: func(ctx context.Context, r *run, d time.Duration) error {
			return r.closedLoop(ctx, r.main, r.o.Callers, r.o.Patience, max(2, int64(limitRate*d.Seconds())))
		},
		about: func(o Options) string {
			return fmt.Sprintf("%.0f events at once to a webhook with a rate_limit of %g/s and one with a max_in_flight of %d that takes %s",
				limitRate*o.Duration.Seconds(), limitRate, limitInFlight, limitAnswer)
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
		return fmt.Sprintf("%d callers, closed loop for %s%s", o.Callers, o.Duration, more)
	}
}

// beside describes the load in addition to the scenario's own.
func (o Options) beside() (text string) {
	if o.Tenants > 1 {
		text += fmt.Sprintf("; %d tenants", o.Tenants)
	}
	if o.Idle > 0 {
		text += fmt.Sprintf("; %d more webhooks in the tenant", o.Idle)
	}
	if o.Tags > 0 {
		text += fmt.Sprintf("; tags on each event: %d", o.Tags)
	}
	if o.Channels > 0 {
		text += fmt.Sprintf("; channels on each event and its webhooks: %d", o.Channels)
	}
	if o.Stored > 0 {
		text += fmt.Sprintf("; %d events already stored", o.Stored)
	}
	return text
}
