package engine

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/models"
)

const (
	// outageFrom is how long Temporal must have answered no call for an outage. Deliveries given up in a shorter time are
	// found when they are overdue: to let go of everything that waits here would cost more.
	outageFrom = 3 * time.Second
	// probeEvery is the time between two questions whether Temporal is back.
	probeEvery = time.Second
	// laterBy is when a dispatch that was given up is tried again, and laterMost how many wait for that. Beyond them, and
	// after an outage, others take it over.
	laterBy   = 2 * time.Second
	laterMost = 64
)

// gave notes that something was not started, and has Temporal asked whether it is back: perhaps nothing else will be
// started here that would find out. The lock is held.
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

// back notes an answer of Temporal. Deliveries given up in an outage are let go of after its end, and so are those given up
// soon after it: calls that began in the outage have ended by then. The lock is held.
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

// probe asks whether Temporal is back, until it is.
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

// startLater tries again to start a dispatch that was given up: part of Temporal may be away for a moment, as when one of
// its shards cannot be read.
func (e *Engine) startLater(d *models.Dispatch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.later == laterMost || e.closing.Load() {
		return
	}
	e.later++
	time.AfterFunc(laterBy, func() {
		again := false
		panics.Safely("the engine", func() { again = e.tryLater(d) })
		e.mu.Lock()
		e.later--
		e.mu.Unlock()
		if again {
			e.startLater(d)
		}
	})
}

// tryLater tries to start a dispatch that was given up, and reports whether it is still to be started. A workflow that
// exists is the one that was given up too early.
func (e *Engine) tryLater(d *models.Dispatch) (again bool) {
	if e.closing.Load() || !e.owns(d.Process) || e.replaced(d) {
		return false
	}
	e.mu.Lock()
	away := e.isAway()
	e.mu.Unlock()
	if away {
		return true
	}
	started, exists := e.try(d, nil, nil)
	return !started && !exists
}
