package bench

import (
	"math"
	"sync/atomic"
	"time"
)

// ledger records when each event was sent, and when it arrived at each receiver. Sequence numbers identify the events,
// so that recording is a store into an array.
type ledger struct {
	began time.Time
	next  atomic.Int64 // sequence number
	sent  []atomic.Uint32
	hooks []*hook
}

// maxEvents is the largest number of events in one run. Eight digits and the arrays would allow more; this saves
// memory.
const maxEvents = 2_000_000

// The states of a place in the arrays. A larger value is a time in microseconds since the ledger began, which suffices
// for more than an hour.
const (
	never   = 0
	refused = 1 // hook.first only: refused on purpose, and expected again
	offset  = 2
)

func newLedger() *ledger { return &ledger{began: time.Now(), sent: make([]atomic.Uint32, maxEvents)} }

func (l *ledger) stamp(at time.Time) uint32 { return micros(at.Sub(l.began)) + offset }

// micros returns a duration in microseconds; none here is longer than an hour.
func micros(d time.Duration) uint32 {
	return uint32(min(d, time.Hour).Microseconds()) //nolint:gosec // An hour of them fits.
}

// take returns the first of n consecutive sequence numbers; false if there are no more.
func (l *ledger) take(n int) (first int, ok bool) {
	first = int(l.next.Add(int64(n))) - n
	return first, first+n <= maxEvents
}

// post notes that events are being sent.
func (l *ledger) post(first, n int, at time.Time) {
	stamp := l.stamp(at)
	for i := range n {
		l.sent[first+i].Store(stamp)
	}
}

// latencies returns the times from sending to the first reception, for the events [from, to) that have arrived.
func (l *ledger) latencies(received place, from, to int) []uint32 {
	return l.latenciesBefore(received, from, to, math.MaxUint32)
}

// latenciesBefore leaves out the events that were sent at or after a time.
func (l *ledger) latenciesBefore(received place, from, to int, before uint32) []uint32 {
	var all []uint32
	for seq := from; seq < to; seq++ {
		sent, first := l.sent[seq].Load(), received[seq].Load()
		if sent >= offset && sent < before && first >= sent {
			all = append(all, first-sent)
		}
	}
	return all
}

// hook is one webhook at the receiver.
type hook struct {
	index  int    // at the receiver
	id     string // Posthorn's
	tenant string
	delay  time.Duration // before every answer
	limits
	seen sightings
	// share is the part of the events whose first attempt is answered with 500.
	share float64
	// refuse returns the status that refuses a POST arriving at this time, 0 for none; nil = share decides.
	refuse func(stamp uint32) int

	// numbered says that many webhooks with one event share this receiver. Each has its number after the path, and its
	// reception is noted at that number instead of the event's.
	numbered bool

	first      place        // by sequence number: when it was received first
	received   atomic.Int64 // events, each once
	duplicates atomic.Int64 // repeated receptions
	refusals   atomic.Int64 // POSTs refused on purpose
}

// place has room for the receptions of every event at one of its webhooks. An event belongs to one tenant, so the
// webhooks of all tenants share a place.
type place []atomic.Uint32

func newPlace() place { return make(place, maxEvents) }

func (l *ledger) addHook(tenant string, first place, delay time.Duration, share float64) *hook {
	h := &hook{index: len(l.hooks), tenant: tenant, delay: delay, share: share, first: first}
	l.hooks = append(l.hooks, h)
	return h
}

// receive notes the arrival of an event and decides on the status to answer with.
func (h *hook) receive(seq int, stamp uint32) int {
	if h.refuse != nil {
		if status := h.refuse(stamp); status != 0 {
			h.refusals.Add(1)
			return status
		}
	}
	at := &h.first[seq]
	if h.share > 0 && unlucky(seq, h.share) && at.CompareAndSwap(never, refused) {
		h.refusals.Add(1)
		return 500
	}
	if at.CompareAndSwap(never, stamp) || at.CompareAndSwap(refused, stamp) {
		h.received.Add(1)
	} else {
		h.duplicates.Add(1)
	}
	return 204
}

// unlucky picks a share of all numbers, spread evenly and always the same.
func unlucky(seq int, share float64) bool {
	spread := uint32(seq) * 2654435769 //nolint:gosec // Less than maxEvents; the product wraps: Knuth's multiplicative hash.
	return float64(spread) < share*(1<<32)
}

// received returns how many events arrived at the hooks, each once for each hook.
func received(hooks []*hook) (n int64) {
	for _, h := range hooks {
		n += h.received.Load()
	}
	return n
}
