package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/models"
)

// The times of leases. The places of a gone process are freed explicitly; leaseFor is for when that does not happen.
const (
	leaseFor   = 15 * time.Second
	renewEvery = 5 * time.Second
	askEvery   = 100 * time.Millisecond // for places that other processes had a moment ago
)

// asksPerPlace is how many deliveries come back for each slot that is expected to become free. Some come to a worker
// that has none, and a slot that nobody takes is lost.
const asksPerPlace = 2

// LeaseStore is the part of models.Store that Limits needs.
type LeaseStore interface {
	ReservePace(ctx context.Context, webhookID string, perSecond float64, n int) (time.Time, error)
	TakePace(ctx context.Context, webhookID string, perSecond float64) (time.Time, error)
	TryPace(ctx context.Context, webhookID string, perSecond float64, within time.Duration) (at time.Time, taken bool, err error)
	TryTenantPace(ctx context.Context, tenant string, perSecond float64, within time.Duration) (at time.Time, taken bool, err error)
	Lease(ctx context.Context, webhookID, holder string, want, limit int, ttl time.Duration) (int, error)
}

var _ LeaseStore = (*models.Store)(nil)

// Limits enforces webhooks' own limits, a rate and a number in flight, together with all other workers. For the rate,
// times are reserved in the database; for the number, places are leased there. Webhooks without limits cost nothing.
type Limits struct {
	store  LeaseStore
	holder func() string
	now    func() time.Time

	mu     sync.Mutex
	places map[string]*places // by webhook, and by tenantPlaces and tenant; they stay, because they hold what is known about the webhook
}

// places is this process's places at a webhook.
type places struct {
	mu            sync.Mutex
	limit         int // the number of places for all workers
	granted, used int
	asked         time.Time // when places were last asked for
	renewed       time.Time
	renewing      bool // a timer will renew the lease
	turns         turns
}

// NewLimits returns the Limits of a process. holder is the name under which its leases are held: if others have
// declared the process gone and freed its places, it continues under another name.
func NewLimits(holder func() string, store LeaseStore, now func() time.Time) *Limits {
	return &Limits{store: store, holder: holder, now: now, places: map[string]*places{}}
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

// Space enforces the rate right before a POST. Times are reserved ahead, so a late delivery could otherwise go out
// together with one that is on time. It waits for a moment at most: if the times are further apart, few are late.
func (l *Limits) Space(ctx context.Context, webhookID string, perSecond float64) error {
	at, err := l.store.TakePace(ctx, webhookID, perSecond)
	if err != nil {
		return err
	}
	return pause.For(ctx, min(at.Sub(l.now()), aheadMost))
}

// Pace is Space for a webhook that also limits the number in flight. It takes the next time at the rate only if that
// comes within a moment, and waits for it. Otherwise turn is how long to wait before asking again. So a delivery that
// waits for the rate holds no place in flight, and is in one queue only.
func (l *Limits) Pace(ctx context.Context, webhookID string, perSecond float64, moment time.Duration) (turn time.Duration, err error) {
	at, taken, err := l.store.TryPace(ctx, webhookID, perSecond, moment)
	return l.paced(ctx, webhookID, perSecond, at, taken, err)
}

// PaceTenant is Pace for the rate of all webhooks of a tenant together.
func (l *Limits) PaceTenant(ctx context.Context, tenant string, perSecond float64, moment time.Duration) (turn time.Duration, err error) {
	at, taken, err := l.store.TryTenantPace(ctx, tenant, perSecond, moment)
	return l.paced(ctx, tenantPlaces+tenant, perSecond, at, taken, err)
}

// tenantPlaces is the prefix of tenants among the names of places.
const tenantPlaces = "tenant/"

// paced waits for a time that was taken, or returns how long to wait before asking again.
func (l *Limits) paced(ctx context.Context, name string, perSecond float64, at time.Time, taken bool, err error) (turn time.Duration, _ error) {
	if err != nil {
		return 0, err
	}
	now := l.now()
	if taken {
		return 0, pause.For(ctx, at.Sub(now))
	}
	p := l.placesAt(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turns.give(now, at.Sub(now), time.Duration(float64(time.Second)/(asksPerPlace*perSecond))), nil
}

// Enter takes a place at a webhook that has limit places for all workers; leave returns it. If there is none for now,
// leave is nil, and turn is how long to wait before asking again: those who wait take turns.
func (l *Limits) Enter(ctx context.Context, webhookID string, limit int) (leave func(), turn time.Duration, err error) {
	p := l.placesAt(webhookID)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.limit = limit
	now := l.now()
	if now.Sub(p.renewed) >= leaseFor || (p.used >= p.granted && now.Sub(p.asked) > askEvery) {
		if err := l.ask(ctx, webhookID, p); err != nil {
			return nil, 0, err
		}
	}
	if p.used >= min(p.granted, limit) {
		return nil, p.turns.give(now, askEvery, p.turns.took/time.Duration(asksPerPlace*limit)), nil
	}
	p.used++
	l.renewLater(webhookID, p)
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.used--
		p.turns.measure(l.now().Sub(now))
	}), 0, nil
}

func (l *Limits) placesAt(webhookID string) *places {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.places[webhookID]
	if p == nil {
		p = &places{turns: newTurns()}
		l.places[webhookID] = p
	}
	return p
}

// ask leases one place more than are used, and some ahead, so that not every POST has to ask. The lock is held during
// the call: it is one short statement, and those who wait for the lock need its answer.
func (l *Limits) ask(ctx context.Context, webhookID string, p *places) error {
	now := l.now() // the lease begins after this moment
	granted, err := l.store.Lease(ctx, webhookID, l.holder(), min(p.limit, 2*p.used+1), p.limit, leaseFor)
	if err != nil {
		return err
	}
	p.granted, p.asked, p.renewed = granted, now, now
	return nil
}

// renewLater renews the lease as long as a place is used, whether or not another POST enters: a POST may take longer
// than a lease. It also returns the unused places.
func (l *Limits) renewLater(webhookID string, p *places) {
	if p.renewing {
		return
	}
	p.renewing = true
	time.AfterFunc(renewEvery, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.renewing = false
		if p.used == 0 {
			return // it soon ends by itself
		}
		ctx, cancel := context.WithTimeout(context.Background(), renewEvery)
		defer cancel()
		_ = l.ask(ctx, webhookID, p) // it is tried again next time; callers that enter in the meantime get the error
		l.renewLater(webhookID, p)
	})
}
