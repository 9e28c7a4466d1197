package delivery

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// DefaultInFlight is how many first attempts this process makes at one webhook at once.
const DefaultInFlight = 16

// capWait is how long a first attempt waits for room at its webhook before it is left to the fair lane: a fast receiver
// makes room in time; a slow one does not, and then its deliveries wait behind each other.
const capWait = 250 * time.Millisecond

// Cap bounds the first attempts in flight to each webhook, in this process.
type Cap struct {
	wait time.Duration // for room, at most

	mu   sync.Mutex
	open map[string]*capped
}

// capped is one webhook that somebody sends to.
type capped struct {
	room  *semaphore.Weighted
	users int           // in flight, or waiting
	took  time.Duration // of a POST, lately; 0 = none has ended yet
}

// NewCap makes a Cap.
func NewCap() *Cap { return newCap(capWait) }

func newCap(wait time.Duration) *Cap { return &Cap{wait: wait, open: map[string]*capped{}} }

// Ticket lets one first attempt wait for room at its webhook.
type Ticket struct {
	cap     *Cap
	webhook string
	at      *capped
}

// Ask gives tickets to as many of n first attempts as are likely to find room in time. The others need not even
// be read. Each ticket must be used (Enter) or dropped.
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

// unknownMost is how many may be there while no POST has ended yet: in a crowd that says little of the receiver, and what
// finds no room costs an activity in the fair lane, which is dearer than a wait.
const unknownMost = 8 * DefaultInFlight

// soon is how many more find room within wait, judged by the latest POSTs.
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

// fastPost is how long a POST to a receiver may take at which a wait for room is no wait.
const fastPost = 25 * time.Millisecond

// Room reports whether n more first attempts are likely to find room at once, or almost so at a receiver that is known to be
// fast.
func (c *Cap) Room(webhookID string, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.open[webhookID]
	switch {
	case at == nil:
		return n <= DefaultInFlight
	case at.took > 0 && at.took <= fastPost:
		return n <= at.soon(n, c.wait)
	default:
		return at.users+n <= DefaultInFlight
	}
}

// Enter takes a place at the webhook, and waits a moment for one. leave must be called if ok; a second call does nothing.
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

// Drop gives a ticket back that was not used.
func (t *Ticket) Drop() { t.cap.left(t, 0) }

// left forgets a webhook that nobody sends to.
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
