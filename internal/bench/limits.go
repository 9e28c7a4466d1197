package bench

import "sync/atomic"

// limits are what a webhook is registered with; 0 = none.
type limits struct {
	rateLimit   float64 // deliveries per second
	maxInFlight int
}

// sightings are what the receiver sees of how a webhook's limits are kept.
type sightings struct {
	arrived     atomic.Int64
	first, last atomic.Uint32 // stamps
	inFlight    atomic.Int64
	most        atomic.Int64 // in flight at once
}

// reset forgets all but what is in flight.
func (s *sightings) reset() {
	s.arrived.Store(0)
	s.first.Store(never)
	s.most.Store(s.inFlight.Load())
}

func (s *sightings) arrive(stamp uint32) {
	s.arrived.Add(1)
	s.first.CompareAndSwap(never, stamp)
	s.last.Store(stamp)
	for now := s.inFlight.Add(1); ; {
		most := s.most.Load()
		if now <= most || s.most.CompareAndSwap(most, now) {
			return
		}
	}
}

func (s *sightings) leave() { s.inFlight.Add(-1) }

// rate is how many arrived in a second, from the first to the last.
func (s *sightings) rate() float64 {
	n, first, last := s.arrived.Load(), s.first.Load(), s.last.Load()
	if n < 2 || last <= first {
		return 0
	}
	return float64(n-1) / (float64(last-first) / 1e6)
}

// Limits is how webhooks' own limits were kept, by all workers together.
type Limits struct {
	RateLimit   float64 `json:"rate_limit"` // deliveries per second
	Rate        float64 `json:"rate"`       // as received
	MaxInFlight int     `json:"max_in_flight"`
	InFlight    int     `json:"in_flight"` // at once, as received
}

// limits gives the worst of the stream's webhooks.
func (s *stream) limits() *Limits {
	l := &Limits{}
	for _, h := range s.hooks {
		if h.rateLimit > 0 {
			l.RateLimit, l.Rate = h.rateLimit, max(l.Rate, h.seen.rate())
		}
		if h.maxInFlight > 0 {
			l.MaxInFlight, l.InFlight = h.maxInFlight, max(l.InFlight, int(h.seen.most.Load()))
		}
	}
	return l
}
