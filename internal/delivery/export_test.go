package delivery

import (
	"context"
	"log/slog"
	"time"
)

// The bounds that tests measure against.
const (
	CapWait     = capWait
	ManyAtOnce  = manyAtOnce
	Patience    = patience
	RecordEvery = recordEvery
	TryFor      = tryFor
	LookAgain   = lookAgain
	AtOnce      = batchesAtOnce
)

// ErrNoSlot is errNoSlot.
var ErrNoSlot = errNoSlot

// Open counts the webhooks that somebody sends to, or waits for.
func (c *Cap) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Users counts who is at a webhook, or waits for it.
func (c *Cap) Users(webhookID string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.open[webhookID]; at != nil {
		return at.users
	}
	return 0
}

// Lock is once.lock.
func (c *Courier) Lock(ctx context.Context, names ...string) (unlock func(), err error) {
	return c.once.lock(ctx, names...)
}

// NewRecorderOfTwoLanes makes a Recorder whose second transaction begins for any record that waits.
func NewRecorderOfTwoLanes(attempts Attempts, log *slog.Logger) *Recorder {
	return newRecorder(attempts, log, 1)
}

// NewPatientCap makes a Cap where first attempts wait so long for room.
func NewPatientCap(wait time.Duration) *Cap { return newCap(wait) }

// Remembered counts the results of first attempts that are remembered.
func (c *Courier) Remembered() int {
	c.results.mu.Lock()
	defer c.results.mu.Unlock()
	return len(c.results.of)
}
