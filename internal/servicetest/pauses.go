package servicetest

import (
	"context"
	"sync"
	"time"
)

// Pauses remembers how long callers would have waited.
type Pauses struct {
	mu  sync.Mutex
	all []time.Duration
}

func (p *Pauses) add(_ context.Context, wait time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, wait)
	return nil
}

// Take returns the waits since the last call, in their order.
func (p *Pauses) Take() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.all
	p.all = nil
	return all
}
