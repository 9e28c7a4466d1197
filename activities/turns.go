package activities

import (
	"context"
	"sync"
)

// turns lets this process do a thing once at a time. Temporal may ask for an activity again while it still runs: on a
// starved machine a workflow task or a heartbeat times out, and its worker is there all the same. What is POSTed and not
// recorded yet is pending to whoever reads it, and would be POSTed twice. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // closed when the turn ends
}

// take waits until nobody has a turn at any of the names, and takes it at all of them. end must be called if err is nil.
func (t *turns) take(ctx context.Context, names ...string) (end func(), err error) {
	ended := make(chan struct{})
	for {
		other := t.tryTake(names, ended)
		if other == nil {
			return func() { t.end(names, ended) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryTake takes a turn, or gives the end of one that is in the way.
func (t *turns) tryTake(names []string, ended chan struct{}) (other <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		if other, ok := t.taken[name]; ok {
			return other
		}
	}
	if t.taken == nil {
		t.taken = map[string]chan struct{}{}
	}
	for _, name := range names {
		t.taken[name] = ended
	}
	return nil
}

func (t *turns) end(names []string, ended chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		delete(t.taken, name)
	}
	close(ended)
}
