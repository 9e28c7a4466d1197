package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/posthorn/posthorn/models"
)

// The times of leases. The places of a process that is gone are given back for it; leaseFor is for when nobody does.
const (
	leaseFor   = 15 * time.Second
	renewEvery = 5 * time.Second
	askEvery   = 100 * time.Millisecond // for places that others had a moment ago
)

// asksPerPlace is how many are asked back for each slot that is expected to become free: some come to a worker that has
// none, and a slot that nobody takes is lost.
const asksPerPlace = 2

// LeaseStore is what Limits needs of models.Store.
type LeaseStore interface {
	ReservePace(ctx context.Context, webhookID string, perSecond float64, n int) (time.Time, error)
	TakePace(ctx context.Context, webhookID string, perSecond float64) (time.Time, error)
	TryPace(ctx context.Context, webhookID string, perSecond float64, within time.Duration) (at time.Time, taken bool, err error)
	Lease(ctx context.Context, webhookID, holder string, want, limit int, ttl time.Duration) (int, error)
}

var _ LeaseStore = (*models.Store)(nil)

// Limits keeps to what webhooks ask for, a rate and a number in flight, together with all other workers: the rate by
// times reserved in the database, the number by places leased there. Webhooks without limits cost nothing.
type Limits struct {
	store  LeaseStore
	holder func() string
	now    func() time.Time

	mu    sync.Mutex
	holds map[string]*hold // by webhook; they stay, for what they know of the webhook
}

// hold is this process's places at a webhook.
type hold struct {
	mu            sync.Mutex
	limit         int // of places for all workers
	granted, used int
	asked         time.Time // when places were asked for last
	renewed       time.Time
	renewing      bool // there is a timer that will
	turns         turns
}

// NewLimits makes the Limits of a process whose leases are held under a name. If others have declared the process gone
// and given its places back, it goes on under another name.
func NewLimits(holder func() string, store LeaseStore, now func() time.Time) *Limits {
	return &Limits{store: store, holder: holder, now: now, holds: map[string]*hold{}}
}

// Reserve returns the times at which the webhook's next n deliveries may be sent.
func (l *Limits) Reserve(ctx context.Context, webhookID string, perSecond float64, n int) ([]time.Time, error) {
	first, err := l.store.ReservePace(ctx, webhookID, perSecond, n)
	times := make([]time.Time, n)
	for i := range times {
		times[i] = first.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
	}
	return times, err
}

// Space enforces the rate right before a POST. Times are reserved ahead, so a late delivery could otherwise go out together
// with one that is on time. It waits for a moment at most: where the times are further apart, few are late.
func (l *Limits) Space(ctx context.Context, webhookID string, perSecond float64) error {
	at, err := l.store.TakePace(ctx, webhookID, perSecond)
	if err != nil {
		return err
	}
	return sleep(ctx, min(at.Sub(l.now()), aheadMost))
}

// Pace is Space for a webhook that bounds what is in flight, too: it takes the next time at the rate only if that comes
// within a moment, and waits for it. Otherwise turn says how long to wait before asking again. So what waits for the rate
// holds no place in flight, and queues in one place only.
func (l *Limits) Pace(ctx context.Context, webhookID string, perSecond float64, moment time.Duration) (turn time.Duration, err error) {
	at, taken, err := l.store.TryPace(ctx, webhookID, perSecond, moment)
	if err != nil {
		return 0, err
	}
	now := l.now()
	if taken {
		return 0, sleep(ctx, at.Sub(now))
	}
	h := l.hold(webhookID)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.turns.give(now, at.Sub(now), time.Duration(float64(time.Second)/(asksPerPlace*perSecond))), nil
}

// Enter takes a place at a webhook that has limit of them for all workers; leave gives it back. leave is nil if there
// is none for now, and turn how long to wait before asking again: those who wait take turns.
func (l *Limits) Enter(ctx context.Context, webhookID string, limit int) (leave func(), turn time.Duration, err error) {
	h := l.hold(webhookID)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limit = limit
	now := l.now()
	if now.Sub(h.renewed) >= leaseFor || (h.used >= h.granted && now.Sub(h.asked) > askEvery) {
		if err := l.ask(ctx, webhookID, h); err != nil {
			return nil, 0, err
		}
	}
	if h.used >= min(h.granted, limit) {
		return nil, h.turns.give(now, askEvery, h.turns.took/time.Duration(asksPerPlace*limit)), nil
	}
	h.used++
	l.renewLater(webhookID, h)
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.used--
		h.turns.measure(l.now().Sub(now))
	}), 0, nil
}

func (l *Limits) hold(webhookID string) *hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.holds[webhookID]
	if h == nil {
		h = &hold{turns: newTurns()}
		l.holds[webhookID] = h
	}
	return h
}

// ask leases one place more than are used, and some ahead, so that not every POST asks. The lock is held meanwhile:
// it is one short statement, and those who wait for it want its answer.
func (l *Limits) ask(ctx context.Context, webhookID string, h *hold) error {
	now := l.now() // the lease begins after this
	granted, err := l.store.Lease(ctx, webhookID, l.holder(), min(h.limit, 2*h.used+1), h.limit, leaseFor)
	if err != nil {
		return err
	}
	h.granted, h.asked, h.renewed = granted, now, now
	return nil
}

// renewLater keeps the lease as long as a place is used, whether or not anyone enters meanwhile: a POST may take
// longer than a lease. The places that are not used any more go back with it.
func (l *Limits) renewLater(webhookID string, h *hold) {
	if h.renewing {
		return
	}
	h.renewing = true
	time.AfterFunc(renewEvery, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.renewing = false
		if h.used == 0 {
			return // it ends soon by itself
		}
		ctx, cancel := context.WithTimeout(context.Background(), renewEvery)
		defer cancel()
		_ = l.ask(ctx, webhookID, h) // again at the next time; callers that enter meanwhile get the error
		l.renewLater(webhookID, h)
	})
}
