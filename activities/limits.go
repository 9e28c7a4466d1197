package activities

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/posthorn/posthorn/models"
)

// The times of leases. A process that was killed keeps its places from the others for leaseFor at most.
const (
	leaseFor   = 15 * time.Second
	renewEvery = 5 * time.Second
	askEvery   = 100 * time.Millisecond // for places that others had a moment ago
)

// LeaseStore is what Limits needs of models.Store.
type LeaseStore interface {
	ReservePace(ctx context.Context, webhookID string, rate float64, n int) (time.Time, error)
	Lease(ctx context.Context, webhookID, holder string, want, limit int, ttl time.Duration) (int, error)
}

var _ LeaseStore = (*models.Store)(nil)

// Limits keeps to what webhooks ask for, a rate and a number in flight, together with all other workers: the rate by
// times reserved in the database, the number by places leased there. Webhooks without limits cost nothing.
type Limits struct {
	store  LeaseStore
	holder string
	now    func() time.Time

	mu    sync.Mutex
	holds map[string]*hold
}

// hold is this process's places at a webhook.
type hold struct {
	granted, used int
	asked         time.Time // when places were asked for last
	renewed       time.Time
}

// NewLimits makes the Limits of one process.
func NewLimits(store LeaseStore, now func() time.Time) *Limits {
	return &Limits{store: store, holder: uuid.NewString(), now: now, holds: map[string]*hold{}}
}

// Reserve gives the times at which the webhook's next n deliveries may be sent.
func (l *Limits) Reserve(ctx context.Context, webhookID string, rate float64, n int) ([]time.Time, error) {
	first, err := l.store.ReservePace(ctx, webhookID, rate, n)
	times := make([]time.Time, n)
	for i := range times {
		times[i] = first.Add(time.Duration(float64(i) / rate * float64(time.Second)))
	}
	return times, err
}

// Enter takes a place at a webhook that has limit of them for all workers. ok is false if there is none for now;
// leave must be called if it is true.
func (l *Limits) Enter(ctx context.Context, webhookID string, limit int) (leave func(), ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.holds[webhookID]
	if h == nil {
		h = &hold{}
		l.holds[webhookID] = h
	}
	now := l.now()
	current := now.Sub(h.renewed) < leaseFor
	if !current || now.Sub(h.renewed) > renewEvery || (h.used >= h.granted && now.Sub(h.asked) > askEvery) {
		if err := l.ask(ctx, webhookID, h, limit); err != nil {
			return nil, false, err
		}
	}
	if h.used >= min(h.granted, limit) {
		return nil, false, nil
	}
	h.used++
	return sync.OnceFunc(func() { l.leave(webhookID, h) }), true, nil
}

// ask leases one place more than are used, and some ahead, so that not every POST asks. The lock is held meanwhile:
// it is one short statement, and those who wait for it want its answer.
func (l *Limits) ask(ctx context.Context, webhookID string, h *hold, limit int) error {
	granted, err := l.store.Lease(ctx, webhookID, l.holder, min(limit, 2*h.used+1), limit, leaseFor)
	if err != nil {
		return err
	}
	h.granted, h.asked, h.renewed = granted, l.now(), l.now()
	return nil
}

// leave gives a place back to this process; the database has it back when the lease is renewed with fewer, or ends.
func (l *Limits) leave(webhookID string, h *hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.used--
	if h.used == 0 && l.now().Sub(h.renewed) > leaseFor && l.holds[webhookID] == h {
		delete(l.holds, webhookID)
	}
}
