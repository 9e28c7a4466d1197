package activities

import "context"

// Every is every, for tests.
var Every = every

// BeatEvery and Patience are the bounds that tests measure against.
const (
	BeatEvery  = beatEvery
	LaneWait   = laneWait
	ManyAtOnce = manyAtOnce
	Patience   = patience
	TryFor     = tryFor
)

// Open counts the webhooks that somebody is sending to, or waiting for.
func (l *Lanes) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Users counts who is at a webhook, or waits for it.
func (l *Lanes) Users(webhookID string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.open[webhookID]; at != nil {
		return at.users
	}
	return 0
}

// TakeTurn is turns.take.
func (a *Deliveries) TakeTurn(ctx context.Context, names ...string) (end func(), err error) {
	return a.turns.take(ctx, names...)
}
