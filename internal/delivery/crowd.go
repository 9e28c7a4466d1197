package delivery

import (
	"math/rand/v2"
	"sync"
	"time"
)

// batchesAtOnce is how many batches of one webhook this process runs at once: 256 POSTs in flight.
const batchesAtOnce = 16

// batchesBeside is the same while another tenant has traffic, if the webhook is so fast that its batches would take
// all CPU. fastBatch is how long such batches take.
const (
	batchesBeside = 2
	fastBatch     = 4 * time.Second
)

// crowdLeast and crowdLongest are the shortest and the longest wait of a batch that finds no room. A receiver that
// hung may answer again at any time: its batches must not sleep for as long as it hung.
const (
	crowdLeast   = time.Second
	crowdLongest = 15 * time.Second
	// besideLongest is the longest wait at a fast webhook while another tenant has traffic. Such a webhook does not
	// hang, and a batch that asks in vain costs as much as one that runs.
	besideLongest = 2 * time.Minute
)

// crowd bounds the batches of each webhook in this process. A batch that finds no room comes back later; the more of
// them wait, the longer. The zero value is ready.
type crowd struct {
	mu   sync.Mutex
	open map[string]*crowded
}

type crowded struct {
	n     int // batches at work
	turns turns
}

// enter takes room for a batch. others says whether another tenant has traffic. If there is no room, leave is nil, and
// wait is how long to wait before asking again.
func (c *crowd) enter(webhookID string, others bool, now func() time.Time) (leave func(), wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.open[webhookID]
	if at == nil {
		if c.open == nil {
			c.open = map[string]*crowded{}
		}
		at = &crowded{turns: newTurns()}
		c.open[webhookID] = at
	}
	began := now()
	most, longest := batchesAtOnce, crowdLongest
	if others && at.turns.took < fastBatch {
		most, longest = batchesBeside, besideLongest
	}
	if at.n >= most {
		wait = at.turns.give(began, crowdLeast, at.turns.took/time.Duration(asksPerPlace*most))
		wait = min(wait, longest)
		return nil, wait + rand.N(wait/4) //nolint:gosec // not a secret
	}
	at.n++
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		ended := now()
		at.turns.measure(ended.Sub(began))
		if at.n--; at.n == 0 && at.turns.next.Before(ended) { // no batch will come back
			delete(c.open, webhookID)
		}
	}), 0
}
