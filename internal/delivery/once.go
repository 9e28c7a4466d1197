package delivery

import (
	"context"
	"sync"
)

// once is a set of named locks: it lets this process do a named thing once at a time. Temporal may start an activity
// again while it still runs: on a starved machine a workflow task or a heartbeat times out although its worker is
// alive. A delivery that has been POSTed and not recorded yet is pending to every reader, and would be POSTed twice.
// The zero value is ready.
type once struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the name is released
}

// lock waits until no other caller holds any of the names, and takes all of them. unlock must be called if err is nil.
func (o *once) lock(ctx context.Context, names ...string) (unlock func(), err error) {
	ended := make(chan struct{})
	for {
		other := o.tryLock(names, ended)
		if other == nil {
			return func() { o.unlock(names, ended) }, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// tryLock takes the names, or returns the end of a holder that has one of them.
func (o *once) tryLock(names []string, ended chan struct{}) (other <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range names {
		if other, ok := o.held[name]; ok {
			return other
		}
	}
	if o.held == nil {
		o.held = map[string]chan struct{}{}
	}
	for _, name := range names {
		o.held[name] = ended
	}
	return nil
}

func (o *once) unlock(names []string, ended chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range names {
		delete(o.held, name)
	}
	close(ended)
}
