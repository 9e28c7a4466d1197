package delivery

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// DefaultInFlight is how many first attempts this process has in flight at one webhook.
const DefaultInFlight = 16

// capWait is how long a first attempt waits for room at its webhook before it goes to the fair lane. A fast receiver
// makes room in time. A slow one does not, and then its deliveries only delay each other.
const capWait = 250 * time.Millisecond

// Cap bounds the first attempts in flight to each webhook, in this process.
type Cap struct {
	wait time.Duration // the longest wait for room

	mu   sync.Mutex
	open map[string]*capped
}

// capped is a webhook with POSTs in flight.
type capped struct {
	room  *semaphore.Weighted
	users int           // in flight, or waiting
	took  time.Duration // a POST's recent duration; 0 = none has ended yet
}

// NewCap returns a Cap.
func NewCap() *Cap { return newCap(capWait) }

func newCap(wait time.Duration) *Cap { return &Cap{wait: wait, open: map[string]*capped{}} }

// Ticket allows one first attempt to wait for room at its webhook.
type Ticket struct {
	cap     *Cap
	webhook string
	at      *capped
}

// Ask returns tickets for as many of n first attempts as are likely to find room in time. The others need not even be
// read. Each ticket must be used (Enter) or dropped.
func (c *Cap) Ask(webhookID string, n int) []*Ticket {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.open[webhookID]
	if at == nil {
		at = &capped{room: semaphore.NewWeighted(DefaultInFlight)}
	}
	n = min(n, at.soon(n, c.wait))
	if n <= 0 {
		return nil
	}
	c.open[webhookID] = at
	at.users += n
	tickets := make([]*Ticket, n)
	for i := range tickets {
		tickets[i] = &Ticket{cap: c, webhook: webhookID, at: at}
	}
	return tickets
}

// unknownMost is how many may be in flight or waiting while no POST has ended yet. During a burst that says little
// about the receiver, and a delivery that finds no room costs an activity in the fair lane, which is more expensive
// than a wait.
const unknownMost = 8 * DefaultInFlight

// soon returns how many more will find room within wait, judging by the latest POSTs.
func (at *capped) soon(n int, wait time.Duration) int {
	switch {
	case at.took == 0 && at.users < DefaultInFlight:
		return n
	case at.took == 0:
		return unknownMost - at.users
	default:
		return DefaultInFlight + max(DefaultInFlight, int(DefaultInFlight*wait/at.took)) - at.users
	}
}

// fastPost is the duration of a POST up to which a wait for room counts as none.
const fastPost = 25 * time.Millisecond

// Room reports whether n more first attempts are likely to find room at once, or almost at once at a receiver that is
// not known to be slow.
func (c *Cap) Room(webhookID string, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.open[webhookID]
	switch {
	case at == nil:
		return n <= DefaultInFlight
	case at.took == 0: // as at the beginning of a burst
		return at.users+n <= unknownMost
	case at.took <= fastPost:
		return n <= at.soon(n, c.wait)
	default:
		return at.users+n <= DefaultInFlight
	}
}

// Enter takes a place at the webhook, and waits a moment for one. If ok, leave must be called; a second call does
// nothing.
func (t *Ticket) Enter(ctx context.Context) (leave func(), ok bool) {
	if !t.at.room.TryAcquire(1) {
		ctx, cancel := context.WithTimeout(ctx, t.cap.wait)
		defer cancel()
		if t.at.room.Acquire(ctx, 1) != nil {
			t.Drop()
			return nil, false
		}
	}
	entered := time.Now()
	return sync.OnceFunc(func() {
		t.at.room.Release(1)
		t.cap.left(t, time.Since(entered))
	}), true
}

// Drop returns an unused ticket.
func (t *Ticket) Drop() { t.cap.left(t, 0) }

// left frees a place, and forgets a webhook without POSTs.
func (c *Cap) left(t *Ticket, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if took > 0 && t.at.took == 0 {
		t.at.took = took
	} else if took > 0 {
		t.at.took += (took - t.at.took) / 4
	}
	if t.at.users--; t.at.users == 0 && c.open[t.webhook] == t.at {
		delete(c.open, t.webhook)
	}
}
