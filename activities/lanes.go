package activities

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// DefaultInFlight is how many first attempts this process makes at one webhook at once.
const DefaultInFlight = 16

// laneWait is how long a first attempt waits for room at its webhook before it is left to the fair lane: a fast
// receiver makes room in time, a slow one does not, and then it is behind itself that its deliveries wait.
const laneWait = 250 * time.Millisecond

// Lanes bounds the first attempts in flight to each webhook, in this process.
type Lanes struct {
	mu   sync.Mutex
	open map[string]*lane
}

type lane struct {
	room  *semaphore.Weighted
	users int // in it, or waiting
}

// NewLanes makes Lanes.
func NewLanes() *Lanes { return &Lanes{open: map[string]*lane{}} }

// Enter takes a place at the webhook, waiting a moment for one. leave must be called if ok; a second call does nothing.
func (l *Lanes) Enter(ctx context.Context, webhookID string) (leave func(), ok bool) {
	l.mu.Lock()
	at := l.open[webhookID]
	if at == nil {
		at = &lane{room: semaphore.NewWeighted(DefaultInFlight)}
		l.open[webhookID] = at
	}
	at.users++
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, laneWait)
	defer cancel()
	if at.room.Acquire(ctx, 1) != nil {
		l.left(webhookID, at)
		return nil, false
	}
	return sync.OnceFunc(func() {
		at.room.Release(1)
		l.left(webhookID, at)
	}), true
}

// left forgets a webhook nobody is sending to.
func (l *Lanes) left(webhookID string, at *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.users--; at.users == 0 && l.open[webhookID] == at {
		delete(l.open, webhookID)
	}
}
