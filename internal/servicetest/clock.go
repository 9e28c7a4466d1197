package servicetest

import (
	"sync/atomic"
	"time"
)

// Clock runs with the real clock, so that times agree with those in ids, and a test can put it forward. It is safe for
// concurrent use.
type Clock struct{ ahead atomic.Int64 }

// Now returns the time.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance puts the clock forward.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }
