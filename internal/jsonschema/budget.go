package jsonschema

import (
	"errors"
	"time"
)

// Steps of a budget: what a request may cost whatever it holds, and for each byte that is checked. A step takes 20 to
// 100 ns.
const (
	baseSteps    = 1_000_000
	stepsPerByte = 32
)

// The ends of a check without a verdict.
var (
	ErrCostly   = errors.New("the schema needs more steps to check this than its size allows")
	ErrEndless  = errors.New("the schema refers to itself without end here, or this is nested too deeply for it")
	ErrDeadline = errors.New("the deadline of the check has passed")
)

// Budget bounds what one request may cost: each value that is checked for it takes its steps out of the same budget.
type Budget struct {
	steps int
	until time.Time
	now   func() time.Time
}

// NewBudget returns the budget of a request that checks this many bytes, and must be done by the deadline on the clock
// of now.
func NewBudget(bytes int, deadline time.Time, now func() time.Time) *Budget {
	return &Budget{steps: baseSteps + bytes*stepsPerByte, until: deadline, now: now}
}

// lookEvery is the number of steps between two looks at the deadline and at the caller.
const lookEvery = 4096

// spend takes steps out of the budget. It reports whether the evaluation may go on.
func (e *evaluation) spend(steps int) bool {
	if e.stopped != nil {
		return false
	}
	e.budget.steps -= steps
	e.sinceLook += steps
	if e.budget.steps < 0 {
		e.stopped = ErrCostly
		return false
	}
	if e.sinceLook < lookEvery {
		return true
	}
	return e.look()
}

// look ends the evaluation if nobody waits for its result any more.
func (e *evaluation) look() bool {
	e.sinceLook = 0
	if err := e.ctx.Err(); err != nil {
		e.stopped = err
	} else if e.budget.now != nil && e.budget.now().After(e.budget.until) {
		e.stopped = ErrDeadline
	}
	return e.stopped == nil
}
