// Package backoff is the retry schedule: when the next attempt of a delivery is due, after how many failed receptions.
// It is pure arithmetic and must not import any package of Posthorn.
package backoff

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"time"
)

// Policy is a retry schedule. After failure n (counted from 1) the wait is Initial × Backoff^(n-1), at most
// MaxInterval.
type Policy struct {
	Initial     time.Duration
	Backoff     float64
	MaxInterval time.Duration
	Max         int // retries after the first attempt; 0 = none
}

// Default is the schedule of a webhook without its own: 10 s doubling to 30 minutes, 10 retries. The number and the
// cap are those of Phrase (Memsource).
var Default = Policy{Initial: 10 * time.Second, Backoff: 2, MaxInterval: 30 * time.Minute, Max: 10}

// jitter is the largest share of a wait that is added to it or subtracted from it, so that deliveries that failed
// together do not come back together. At the cap it is only subtracted.
const jitter = 0.10

// Exhausted reports whether a delivery that has failed this many times has no retry left.
func (p Policy) Exhausted(failures int) bool { return failures > p.Max }

// Delay returns the wait after a delivery's failure n (from 1): within jitter of the schedule, and between 90 % and
// 100 % of MaxInterval once that is reached. A receiver's Retry-After (0 = none) makes a wait longer, not shorter. No
// wait exceeds MaxInterval. The jitter is a function of the delivery's id, so that the times promised in a timeline
// are the times kept. It is the same for all waits of a delivery, so that none is shorter than the one before, except
// with Retry-After.
func (p Policy) Delay(deliveryID string, failures int, retryAfter time.Duration) time.Duration {
	s := spread(deliveryID)
	wait := float64(p.Initial) * math.Pow(p.Backoff, float64(failures-1)) * (1 + jitter*s)
	wait = min(wait, float64(p.MaxInterval)*(1-jitter*(1-s)/2))
	wait = max(wait, float64(retryAfter))
	return time.Duration(min(wait, float64(p.MaxInterval))).Round(time.Millisecond)
}

// spread returns a number in [-1, 1) for a delivery.
func spread(deliveryID string) float64 {
	sum := sha256.Sum256([]byte(deliveryID)) // successive ids differ in few bits
	return float64(binary.BigEndian.Uint64(sum[:])>>11)/float64(1<<52) - 1
}

// Upcoming returns the times of all attempts that would follow if every one failed: next is when the next one is due,
// after this many failures.
func (p Policy) Upcoming(deliveryID string, failures int, next time.Time) []time.Time {
	var times []time.Time
	for ; !p.Exhausted(failures); failures++ {
		times = append(times, next)
		next = next.Add(p.Delay(deliveryID, failures+1, 0))
	}
	return times
}
