package bench

import (
	"slices"
	"sync"
	"sync/atomic"
)

// limits are the limits of a webhook; 0 = none.
type limits struct {
	rateLimit   float64 // deliveries per second
	maxInFlight int
	// retry is its retry schedule; nil = retries that come soon, empty = the installation's default.
	retry map[string]any
	// channels limit the webhook to their events; none = all events.
	channels []string
}

// retryNever is the schedule of a webhook that gets one attempt of each delivery.
var retryNever = map[string]any{"max": 0}

// sightings record at the receiver how well a webhook's limits are kept.
type sightings struct {
	timed    bool // arrivals are noted
	mu       sync.Mutex
	arrivals []uint32 // stamps
	inFlight atomic.Int64
	most     atomic.Int64 // in flight at once
}

// reset forgets everything except the number in flight.
func (s *sightings) reset() {
	s.mu.Lock()
	s.arrivals = nil
	s.mu.Unlock()
	s.most.Store(s.inFlight.Load())
}

func (s *sightings) arrive(stamp uint32) {
	if s.timed {
		s.mu.Lock()
		s.arrivals = append(s.arrivals, stamp)
		s.mu.Unlock()
	}
	for now := s.inFlight.Add(1); ; {
		most := s.most.Load()
		if now <= most || s.most.CompareAndSwap(most, now) {
			return
		}
	}
}

func (s *sightings) leave() { s.inFlight.Add(-1) }

// count returns how many arrived later than after.
func (s *sightings) count(after uint32) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stamp := range s.arrivals {
		if stamp > after {
			n++
		}
	}
	return n
}

// nth returns when the nth arrived, counted from 1; false if fewer have.
func (s *sightings) nth(n int) (stamp uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.arrivals) < n {
		return 0, false
	}
	return slices.Sorted(slices.Values(s.arrivals))[n-1], true
}

// rate returns how many arrived per second, from the first to the last, and the most in any one second.
func (s *sightings) rate() (rate float64, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slices.Sort(s.arrivals)
	from := 0
	for i, stamp := range s.arrivals {
		for stamp-s.arrivals[from] >= 1e6 {
			from++
		}
		most = max(most, i-from+1)
	}
	if n := len(s.arrivals); n > 1 && s.arrivals[n-1] > s.arrivals[0] {
		rate = float64(n-1) / (float64(s.arrivals[n-1]-s.arrivals[0]) / 1e6)
	}
	return rate, most
}

// Limits says how all workers together kept the webhooks' own limits.
type Limits struct {
	RateLimit float64 `json:"rate_limit"` // deliveries per second
	// Rate is the received rate, from the first to the last; MostInASecond is the most in any one second.
	Rate          float64 `json:"rate"`
	MostInASecond int     `json:"most_in_a_second"`
	MaxInFlight   int     `json:"max_in_flight"`
	InFlight      int     `json:"in_flight"` // at once, as received
}

// limits returns the worst of the stream's webhooks.
func (s *stream) limits() *Limits {
	l := &Limits{}
	for _, h := range s.hooks {
		if h.rateLimit > 0 {
			rate, most := h.seen.rate()
			l.RateLimit, l.Rate, l.MostInASecond = h.rateLimit, max(l.Rate, rate), max(l.MostInASecond, most)
		}
		if h.maxInFlight > 0 {
			l.MaxInFlight, l.InFlight = h.maxInFlight, max(l.InFlight, int(h.seen.most.Load()))
		}
	}
	return l
}
