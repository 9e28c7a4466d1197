package delivery

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
)

const (
	// stepBack is how long a dispatch keeps its place at the gate if most of it turns out not to be sent now. A
	// backlog of a thousand such dispatches is not urgent; ending their workflows as fast as possible would use all
	// CPU.
	stepBack = 150 * time.Millisecond
	// stepBackMany is the same for a batch of a webhook's retries, which holds one of batchesAtOnce places.
	stepBackMany = 400 * time.Millisecond
	// stepAside is how long a large dispatch keeps its place after its POSTs while another tenant has traffic.
	stepAside = 450 * time.Millisecond
	// largeFrom is the number of deliveries from which a dispatch is large.
	largeFrom = 32
	// gateFor is how long a dispatch that waits for slow receivers keeps its place.
	gateFor = 250 * time.Millisecond
)

// noteTraffic remembers that a tenant has first attempts.
func (c *Courier) noteTraffic(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lately.Note(tenant, c.Now())
}

// Others reports whether another tenant has had first attempts a moment ago.
func (c *Courier) Others(tenant string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lately.Other(tenant, c.Now())
}

// gate lets a dispatch be read from the database and sent: a few at once, shared fairly among tenants. pass returns
// the place when the POSTs have been made, or after a moment if receivers are slow. jobs is the number of deliveries
// read, and sent the number of them that are sent now.
func (c *Courier) gate(ctx context.Context, in FirstInput) (pass func(b *batch, jobs, sent int) error, err error) {
	if c.Loads == nil {
		return func(*batch, int, int) error { return nil }, nil
	}
	if in.Size >= largeFrom {
		c.loading.Add(1)
		defer c.loading.Add(-1)
	}
	release, err := c.Loads.Acquire(ctx, in.Tenant, "")
	if err != nil {
		return nil, err
	}
	return func(b *batch, jobs, sent int) error {
		defer release()
		switch {
		case 2*sent < jobs:
			return pause.For(ctx, stepBack)
		case jobs < largeFrom:
			return nil
		}
		if err := b.await(ctx, gateFor); err != nil || !c.Others(in.Tenant) {
			return err
		}
		return pause.For(ctx, stepAside)
	}, nil
}

// await waits until all POSTs of the batch have been made, but at most for most.
func (b *batch) await(ctx context.Context, most time.Duration) error {
	ended := make(chan struct{})
	go func() {
		b.wg.Wait()
		close(ended)
	}()
	return pause.Until(ctx, ended, most)
}
