package jsonschema

import (
	"errors"
	"time"
)

// Steps of a budget: a fixed number for each request, and more for each checked byte. A step takes 20 to 100 ns.
const (
	baseSteps    = 1_000_000
	stepsPerByte = 32
)

// The reasons for a check without a verdict.
var (
	ErrCostly   = errors.New("the schema needs more steps to check this than its size allows")
	ErrEndless  = errors.New("the schema refers to itself without end here, or this is nested too deeply for it")
	ErrDeadline = errors.New("the deadline of the check has passed")
)

// Budget bounds the cost of one request: each value that is checked for it takes its steps from the same budget.
type Budget struct {
	steps int
	until time.Time
	now   func() time.Time
}

// NewBudget returns the budget of a request that checks this many bytes, and must end by the deadline on the clock
// now.
func NewBudget(bytes int, deadline time.Time, now func() time.Time) *Budget {
	return &Budget{steps: baseSteps + bytes*stepsPerByte, until: deadline, now: now}
}

// lookEvery is the number of steps between two checks of the deadline and the caller.
const lookEvery = 4096

// spend takes steps from the budget. It reports whether the evaluation may continue.
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
