package activities

import (
	"context"
	"math/rand/v2"
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

// The turns of those who find no place.
const (
	// asksPerPlace is how many are asked back for each place that is expected to become free: some come to a worker
	// that has none, and a place that nobody takes is lost.
	asksPerPlace = 2
	// turnMost is the longest wait, or nearly: what was expected of a receiver may be wrong by then. Each who asks in vain
	// costs an activity, so that thousands cannot ask every minute.
	turnMost = 10 * time.Minute
	// tookAtFirst is taken for the time of a POST as long as none has ended here.
	tookAtFirst = time.Second
)

// LeaseStore is what Limits needs of models.Store.
type LeaseStore interface {
	ReservePace(ctx context.Context, webhookID string, perSecond float64, n int) (time.Time, error)
	TakePace(ctx context.Context, webhookID string, perSecond float64) (time.Time, error)
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
	holds map[string]*hold // by webhook; they stay, for what they know of the webhook
}

// hold is this process's places at a webhook.
type hold struct {
	mu            sync.Mutex
	limit         int // of places for all workers
	granted, used int
	asked         time.Time // when places were asked for last
	renewed       time.Time
	renewing      bool          // there is a timer that will
	took          time.Duration // of a POST, lately
	next          time.Time     // the turn of the next who finds no place
}

// NewLimits makes the Limits of one process.
func NewLimits(store LeaseStore, now func() time.Time) *Limits {
	return &Limits{store: store, holder: uuid.NewString(), now: now, holds: map[string]*hold{}}
}

// Reserve gives the times at which the webhook's next n deliveries may be sent.
func (l *Limits) Reserve(ctx context.Context, webhookID string, perSecond float64, n int) ([]time.Time, error) {
	first, err := l.store.ReservePace(ctx, webhookID, perSecond, n)
	times := make([]time.Time, n)
	for i := range times {
		times[i] = first.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
	}
	return times, err
}

// Space waits where a POST to the webhook would come too fast after those of all workers before it: what was late, for a
// machine was busy, would come together with what is due. It waits for a moment at most: where the times are further
// apart than that, those that are late are few.
func (l *Limits) Space(ctx context.Context, webhookID string, perSecond float64) error {
	at, err := l.store.TakePace(ctx, webhookID, perSecond)
	if err != nil {
		return err
	}
	return sleep(ctx, min(at.Sub(l.now()), aheadMost))
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
		return nil, h.turn(now), nil
	}
	h.used++
	l.renewLater(webhookID, h)
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.used--
		h.took += (l.now().Sub(now) - h.took) / 4
	}), 0, nil
}

func (l *Limits) hold(webhookID string) *hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.holds[webhookID]
	if h == nil {
		h = &hold{took: tookAtFirst}
		l.holds[webhookID] = h
	}
	return h
}

// ask leases one place more than are used, and some ahead, so that not every POST asks. The lock is held meanwhile:
// it is one short statement, and those who wait for it want its answer.
func (l *Limits) ask(ctx context.Context, webhookID string, h *hold) error {
	now := l.now() // the lease begins after this
	granted, err := l.store.Lease(ctx, webhookID, l.holder, min(h.limit, 2*h.used+1), h.limit, leaseFor)
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
		_ = l.ask(ctx, webhookID, h) // again at the next time; who enters meanwhile is told of a database that is away
		l.renewLater(webhookID, h)
	})
}

// turn gives those who find no place the times at which places are expected to be free, one after the other.
func (h *hold) turn(now time.Time) time.Duration {
	at := now.Add(askEvery)
	if h.next.After(at) {
		at = h.next
	}
	if wait := at.Sub(now); wait > turnMost {
		return turnMost/2 + rand.N(turnMost) //nolint:gosec // Nobody guesses it.
	}
	h.next = at.Add(h.took / time.Duration(asksPerPlace*h.limit))
	return at.Sub(now)
}
