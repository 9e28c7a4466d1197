package models

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"
)

// clock is the time of everything that is stored. On PostgreSQL it is the database's, so that processes whose clocks
// differ agree about leases, rates and due times. Between two measurements it uses the monotonic clock, so that
// changing a machine's clock does not affect it.
type clock struct {
	process  func() time.Time
	measured atomic.Pointer[measurement] // nil = it is the process's clock
	stop     context.CancelFunc
	stopped  sync.WaitGroup
}

// measurement is the database's time together with this process's monotonic reading at that moment.
type measurement struct{ there, here time.Time }

// now returns the time in UTC, to the precision of the process's clock.
func (c *clock) now() time.Time {
	if m := c.measured.Load(); m != nil {
		return m.there.Add(time.Since(m.here)).UTC()
	}
	return c.process().UTC()
}

const (
	// clockEvery is the time between two measurements.
	clockEvery = 10 * time.Second
	// clockTries is how often one measurement asks; the fastest answer is the most exact.
	clockTries = 3
	// clockFor bounds one measurement: without an answer the process keeps the previous one.
	clockFor = 5 * time.Second
)

// follow measures the time, and repeats it every clockEvery until close is called. If ids is set, ids are made with
// this clock.
func (c *clock) follow(ctx context.Context, pool *sql.DB, ids bool) error {
	if err := c.measure(ctx, pool); err != nil {
		return err
	}
	if ids {
		idsClock.Store(c)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	c.stopped.Go(func() {
		ticker := time.NewTicker(clockEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = c.measure(background, pool) // it fails if the database is away, which others report
			case <-background.Done():
				return
			}
		}
	})
	return nil
}

// measure asks the database for its time. The answer was given half a round trip ago; a difference within that error
// changes nothing.
func (c *clock) measure(ctx context.Context, pool *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, clockFor)
	defer cancel()
	var m measurement
	var best time.Duration
	for try := range clockTries {
		var there time.Time
		asked := time.Now()
		if err := pool.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
			return err
		}
		if took := time.Since(asked); try == 0 || took < best {
			m, best = measurement{there, asked.Add(took / 2)}, took
		}
	}
	if last := c.measured.Load(); last != nil {
		if moved := m.there.Sub(last.there) - m.here.Sub(last.here); moved.Abs() <= best/2+time.Millisecond {
			return nil
		}
	}
	c.measured.Store(&m)
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
