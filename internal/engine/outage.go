package engine

import (
	"context"
	"time"
)

const (
	// outageFrom is how long Temporal must have answered no call for an outage. What is given up in a shorter time is found
	// when it is overdue: to let go of everything that waits here costs more.
	outageFrom = 3 * time.Second
	// probeEvery is the time between two questions whether Temporal is back.
	probeEvery = time.Second
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

// back notes an answer of Temporal. What was given up in an outage is let go of after its end, and so is what is given up
// soon after: calls that began in it end by then. The lock is held.
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
