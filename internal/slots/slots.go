// Package slots shares a fixed number of slots fairly among tenants.
//
// It bounds what a process does at once for its tenants, such as the POSTs in flight, so that no tenant and no host
// can take all of it. It knows nothing about the use of a slot and must not import anything of this module.
package slots

import (
	"context"
	"sync"
)

// Options configures Slots. Shares are fractions of Capacity, from 0 to 1; they are rounded down to whole slots.
type Options struct {
	// Capacity is the number of slots, at least 1.
	Capacity int
	// Reserve is the share that only tenants without a slot may take. 0 means none.
	Reserve float64
	// MaxPerTenant is the most that a tenant may hold while other tenants wait, as a share, at least one slot. 0 means
	// no limit.
	MaxPerTenant float64
	// MaxPerHost is the most that one host may hold, over all tenants, as a share, at least one slot. 0 means no
	// limit.
	MaxPerHost float64
}

// Slots hands out slots. It is safe for concurrent use.
//
// A free slot goes to the waiting tenant that holds the fewest; of several, to the one that has waited longest. Within
// a tenant the order is first come, first served, except that a host at its limit does not delay the other hosts.
//
// Memory grows only with the slots in use and the waiting callers. An operation costs O(log n) for n waiting callers.
type Slots struct {
	capacity, reserve, perTenant, perHost int

	mu             sync.Mutex
	used           int
	waiting        int
	waitingTenants int
	arrivals       uint64 // numbers the waiters in order of arrival
	tenants        map[string]*tenant
	hosts          map[string]*host

	// ready holds the tenants with open lanes. Lanes of tight hosts move from their tenant's open lanes to the host's
	// parked ones, so that the search for the next waiter never visits lanes that cannot get a slot.
	ready heap[*tenant]
	tight []*host
}

// New returns Slots, all free.
func New(o Options) *Slots {
	capacity := max(1, o.Capacity)
	return &Slots{
		capacity:  capacity,
		reserve:   int(o.Reserve * float64(capacity)),
		perTenant: limit(o.MaxPerTenant, capacity),
		perHost:   limit(o.MaxPerHost, capacity),
		tenants:   make(map[string]*tenant),
		hosts:     make(map[string]*host),
	}
}

func limit(share float64, capacity int) int {
	if share <= 0 {
		return capacity
	}
	return max(1, int(share*float64(capacity)))
}

// Acquire waits for a slot until ctx ends; the error is then ctx's cause. An empty host has no limit of its own.
// release returns the slot; calling it again does nothing.
func (s *Slots) Acquire(ctx context.Context, tenant, host string) (release func(), err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	t, h, w := s.enter(tenant, host)
	if w != nil {
		select {
		case <-w.granted:
		case <-ctx.Done():
			s.leave(w)
			return nil, context.Cause(ctx)
		}
	}
	return s.release(t, h), nil
}

// TryAcquire takes a slot if one is free for the tenant and the host, and nobody waits.
func (s *Slots) TryAcquire(tenant, host string) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, h, ok := s.tryEnter(tenant, host)
	if !ok {
		s.forget(t, h)
		return nil, false
	}
	return s.release(t, h), true
}

// Usage has the number of slots, of those in use, and of waiting callers.
type Usage struct{ Capacity, Used, Waiting int }

// Usage returns the current numbers.
func (s *Slots) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Usage{Capacity: s.capacity, Used: s.used, Waiting: s.waiting}
}

// enter takes a slot at once, with w nil, or joins the queue.
func (s *Slots) enter(tenantName, hostName string) (t *tenant, h *host, w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, h, ok := s.tryEnter(tenantName, hostName)
	if ok {
		return t, h, nil
	}
	w = s.enqueue(t, h)
	s.pump()
	if w.done {
		return t, h, nil
	}
	return t, h, w
}

func (s *Slots) tryEnter(tenantName, hostName string) (t *tenant, h *host, ok bool) {
	t, h = s.tenant(tenantName), s.host(hostName)
	if s.waiting > 0 || !s.mayTake(t) || s.full(h) {
		return t, h, false
	}
	s.take(t, h)
	return t, h, true
}

// leave removes a waiter whose context ended from the queue, or returns the slot that it got at the same moment.
func (s *Slots) leave(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, h := w.lane.tenant, w.lane.host
	if w.done {
		s.put(t, h)
	} else {
		s.dequeue(w)
		s.refresh(t)
		s.forget(t, h)
	}
	s.pump() // one tenant less waits, so another may now exceed its share
}

func (s *Slots) release(t *tenant, h *host) func() {
	released := false
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if released {
			return
		}
		released = true
		s.put(t, h)
		s.pump()
	}
}

// mayTake reports whether the limits, other than the host's, leave a slot for t.
func (s *Slots) mayTake(t *tenant) bool {
	if s.used >= s.capacity || t.held > 0 && s.used >= s.capacity-s.reserve {
		return false
	}
	others := s.waitingTenants
	if len(t.lanes) > 0 {
		others--
	}
	return t.held < s.perTenant || others == 0
}

func (s *Slots) full(h *host) bool { return h != nil && h.used >= s.perHost }

// take and put count a slot. The caller must refresh the tenant's place if it waits.
func (s *Slots) take(t *tenant, h *host) {
	s.used++
	t.held++
	if h == nil {
		return
	}
	if h.used++; h.used >= s.perHost && !h.tight {
		h.tight = true
		s.tight = append(s.tight, h)
	}
}

func (s *Slots) put(t *tenant, h *host) {
	s.used--
	t.held--
	s.refresh(t)
	if h != nil {
		if h.used--; h.tight && h.used <= s.perHost/2 {
			s.loosen(h)
		}
	}
	s.forget(t, h)
}

// pump grants slots until none is free or no waiter may have one.
//
// The next waiter's tenant holds the fewest slots of all that could have one, and the limits only tighten with the
// number held: if this tenant may not take a slot, no other may.
func (s *Slots) pump() {
	for s.waiting > 0 && s.used < s.capacity {
		next := s.next()
		if next == nil || !s.mayTake(next.tenant) {
			return
		}
		w := next.first
		s.dequeue(w)
		s.take(next.tenant, next.host)
		s.refresh(next.tenant)
		w.done = true
		close(w.granted)
	}
}
