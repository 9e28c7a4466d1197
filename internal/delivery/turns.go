package delivery

import (
	"math/rand/v2"
	"time"
)

const (
	// turnMost caps the wait for a free slot. Longer predictions are unreliable; shorter ones would let thousands of
	// waiters ask every minute.
	turnMost = 10 * time.Minute
	// tookAtFirst is the assumed duration of a POST as long as none has ended here.
	tookAtFirst = time.Second
)

// turns assigns to those who find no slot the times at which slots are expected to be free, one after the other.
type turns struct {
	took time.Duration // how long a slot was used recently
	next time.Time     // the next turn to assign
}

func newTurns() turns { return turns{took: tookAtFirst} }

// measure notes how long a slot was used.
func (t *turns) measure(took time.Duration) { t.took += (took - t.took) / 4 }

// give returns how long to wait, at least least. The next turn is a step later.
func (t *turns) give(now time.Time, least, step time.Duration) time.Duration {
	at := now.Add(least)
	if t.next.After(at) {
		at = t.next
	}
	if wait := at.Sub(now); wait > turnMost {
		return turnMost/2 + rand.N(turnMost) //nolint:gosec // Nobody guesses it.
	}
	t.next = at.Add(step)
	return at.Sub(now)
}
