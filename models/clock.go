package models

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"
)

// clock is the time of everything that is stored. On PostgreSQL it is the database's, so that processes whose machines
// disagree about the time agree about leases, rates and when a delivery is due.
type clock struct {
	process func() time.Time
	ahead   atomic.Int64 // of the process, nanoseconds that the database is
	stop    context.CancelFunc
	stopped sync.WaitGroup
}

// now returns the time in UTC, to the precision of the process's clock.
func (c *clock) now() time.Time { return c.process().Add(time.Duration(c.ahead.Load())).UTC() }

const (
	// clockEvery is the time between two measurements.
	clockEvery = 10 * time.Second
	// clockTries is how often one measurement asks; the answer that came fastest is the most exact.
	clockTries = 3
	// clockFor bounds one measurement: without an answer the process goes on with the offset that it has.
	clockFor = 5 * time.Second
)

// follow measures the offset, and again every clockEvery until close is called. If ids is set, ids are made by this clock.
func (c *clock) follow(ctx context.Context, pool *sql.DB, ids bool) error {
	measure := func(ctx context.Context) error {
		err := c.measure(ctx, pool)
		if err == nil && ids {
			idsAhead.Store(c.ahead.Load() / int64(time.Millisecond))
		}
		return err
	}
	if err := measure(ctx); err != nil {
		return err
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.stopped.Go(func() {
		ticker := time.NewTicker(clockEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = measure(background) // what fails is a database that is away: everybody else says so
			case <-background.Done():
				return
			}
		}
	})
	return nil
}

// measure asks the database what time it is. The answer was given half a round trip ago; an offset within that error of
// the one in use changes nothing.
func (c *clock) measure(ctx context.Context, pool *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, clockFor)
	defer cancel()
	var offset, best time.Duration
	for try := range clockTries {
		var there time.Time
		asked := time.Now()
		here := c.process()
		if err := pool.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
			return err
		}
		if took := time.Since(asked); try == 0 || took < best {
			offset, best = there.Sub(here.Add(took/2)), took
		}
	}
	if moved := offset - time.Duration(c.ahead.Load()); moved.Abs() > best/2+time.Millisecond {
		c.ahead.Store(int64(offset))
	}
	return nil
}

// follows reports whether the clock is the database's.
func (c *clock) follows() bool { return c.stop != nil }

func (c *clock) close() {
	if c.stop != nil {
		c.stop()
		c.stopped.Wait()
	}
}
