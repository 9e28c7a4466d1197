package engine

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/models"
)

const (
	// outageFrom is how long Temporal must have answered no call for an outage. After a shorter time, deliveries that
	// were given up are found when they are overdue: letting go of everything that waits here would cost more.
	outageFrom = 3 * time.Second
	// probeEvery is the time between two checks whether Temporal is back.
	probeEvery = time.Second
	// laterBy is after how long a dispatch that was given up is tried again, and laterMost how many wait for that.
	// Beyond that number, and after an outage, others take them over. Those whose first attempts have begun are not
	// counted: others cannot start them all. Start slots bound those of single events, and unshownMost those of
	// a crowd.
	laterBy   = 500 * time.Millisecond
	laterMost = 64
)

// gave notes that something was not started, and starts checking whether Temporal is back: perhaps no other start here
// would find out. The lock must be held.
func (e *Engine) gave() {
	if e.gaveUp || e.LetGo == nil {
		return
	}
	e.gaveUp = true
	time.AfterFunc(probeEvery, e.probe)
}

// giveUp is gave without the lock.
func (e *Engine) giveUp() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gave()
}

// back notes an answer of Temporal. Deliveries given up in an outage are let go after its end, and so are those given
// up soon after it: by then calls that began in the outage have ended. The lock must be held.
func (e *Engine) back() {
	now := time.Now()
	if now.Sub(e.answered) > outageFrom {
		e.outage = now
	}
	e.answered = now
	if e.gaveUp && now.Sub(e.outage) < startTimeout {
		e.gaveUp = false
		e.LetGo()
	}
}

// probe checks whether Temporal is back, until it is.
func (e *Engine) probe() {
	ctx, cancel := context.WithTimeout(e.ctx, startTimeout)
	defer cancel()
	err := e.Ready(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case !e.gaveUp || e.closing.Load():
	case err != nil:
		time.AfterFunc(probeEvery, e.probe)
	default:
		e.down = time.Time{}
		e.back()
		e.gaveUp = false
	}
}

// startLater tries again to start a dispatch that was given up. Part of Temporal may be away for a moment, for
// instance when one of its shards cannot be read.
func (e *Engine) startLater(d *models.Dispatch, b *begun) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if b == nil && e.later == laterMost || e.closing.Load() {
		b.settle()
		return
	}
	if b == nil {
		e.later++
	}
	time.AfterFunc(laterBy, func() {
		again := false
		panics.Safely("the engine", func() { again = e.tryLater(d, b) })
		if b == nil {
			e.mu.Lock()
			e.later--
			e.mu.Unlock()
		}
		if again {
			e.startLater(d, b)
		} else {
			b.settle()
		}
	})
}

// tryLater tries to start a dispatch that was given up, and reports whether it still has to be started. If its
// workflow exists, it was given up too early.
func (e *Engine) tryLater(d *models.Dispatch, b *begun) (again bool) {
	if e.closing.Load() || !b.over() && (!e.owns(d.Process) || e.replaced(d)) {
		return false
	}
	e.mu.Lock()
	away := e.isAway()
	e.mu.Unlock()
	if away {
		return true
	}
	started, exists := e.try(d, nil, b)
	return !started && !exists
}
