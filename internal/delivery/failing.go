package delivery

import (
	"context"
	"sync"

	"golang.org/x/time/rate"

	"github.com/posthorn/posthorn/internal/pause"
)

const (
	// failingFrom is how many POSTs to a webhook must fail in a row, in this process, before it counts as failing.
	failingFrom = 20
	// failingPace is how many POSTs a second a failing webhook gets from this process. A dead receiver that answers at
	// once would otherwise use all CPU for its backlog. One that times out never reaches this pace.
	failingPace = 500
	// failingMost bounds the webhooks remembered.
	failingMost = 10_000
)

// failing slows down the POSTs to webhooks that only fail. The first success lifts that. The zero value is ready.
type failing struct {
	mu      sync.Mutex
	streaks map[string]*streak
}

// streak counts a webhook's failures since its last success.
type streak struct {
	n    int
	pace *rate.Limiter // nil until it counts as failing
}

// note takes in the result of a POST.
func (f *failing) note(webhookID string, received bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.streaks[webhookID]
	switch {
	case received:
		delete(f.streaks, webhookID)
		return
	case at == nil:
		if f.streaks == nil {
			f.streaks = map[string]*streak{}
		}
		for id := range f.streaks { // removing any of them makes room
			if len(f.streaks) < failingMost {
				break
			}
			delete(f.streaks, id)
		}
		at = &streak{}
		f.streaks[webhookID] = at
	}
	if at.n++; at.n == failingFrom {
		at.pace = rate.NewLimiter(failingPace, failingPace/20)
	}
}

// lately reports whether the last POST to a webhook failed.
func (f *failing) lately(webhookID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streaks[webhookID] != nil
}

// is reports whether a webhook counts as failing.
func (f *failing) is(webhookID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.streaks[webhookID]
	return at != nil && at.pace != nil
}

// wait returns when a POST to the webhook may follow the previous ones.
func (f *failing) wait(ctx context.Context, webhookID string) error {
	f.mu.Lock()
	at := f.streaks[webhookID]
	var pace *rate.Limiter
	if at != nil {
		pace = at.pace
	}
	f.mu.Unlock()
	if pace == nil {
		return nil
	}
	return pause.For(ctx, pace.Reserve().Delay())
}
