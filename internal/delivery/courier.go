package delivery

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/lately"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/pause"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Slots bounds what a process does at once, shared fairly among tenants and hosts.
type Slots interface {
	// TryAcquire takes a slot if one is free and nobody waits for one.
	TryAcquire(tenant, host string) (release func(), ok bool)
	// Acquire waits for a slot until ctx ends; the error is then ctx's cause.
	Acquire(ctx context.Context, tenant, host string) (release func(), err error)
}

// Store is the part of models.Store that a Courier needs.
type Store interface {
	Dispatch(ctx context.Context, id string) (models.Dispatch, error)
	Delivery(ctx context.Context, tenant, id string) (models.Delivery, error)
	DeliveriesByID(ctx context.Context, keys []models.DeliveryKey) ([]models.Delivery, error)
	EventsByID(ctx context.Context, keys []models.DeliveryKey) (map[models.DeliveryKey]*models.Event, error)
	SetAside(ctx context.Context, deliveries []models.Delivery) (left []models.DeliveryKey, err error)
	Postpone(ctx context.Context, deliveries []models.Postponed) error
	FinishDispatch(ctx context.Context, id string) error
}

var _ Store = (*models.Store)(nil)

// Courier makes attempts of deliveries. Fields are required unless they say otherwise.
type Courier struct {
	Service  *service.Service
	Store    Store
	Desk     *handoff.Desk
	Recorder *Recorder
	Cap      *Cap
	Limits   *Limits
	Loads    Slots   // for dispatches that are being read from the database; nil = unbounded
	Posts    Slots   // for POSTs in flight; nil = unbounded
	Breaker  Breaker // nil = every failure is the receiver's
	// Failed is called when a failure has been counted. before and after are the webhook's count before and after the
	// transaction that counted it.
	Failed func(webhookID string, before, after int64)
	// Slowest is the longest timeout of a webhook whose first attempts Direct and Ahead make. The reconciler must not find a
	// delivery overdue during its POST. 0 = any.
	Slowest time.Duration
	// Owns reports whether deliveries accepted under a process id still belong to this process; nil = always.
	Owns    func(process int64) bool
	Metrics *metrics.Metrics
	Log     *slog.Logger
	Now     func() time.Time

	loading atomic.Int64 // large dispatches that wait at the gate
	mu      sync.Mutex
	lately  lately.Tenants // tenants with recent first attempts

	once    once
	results results
	crowd   crowd
	deleted deleted
	trouble trouble
	failing failing
}

// crowdedAbove is how many large dispatches may wait at the gate before no more should be taken.
const crowdedAbove = 8

// Crowded reports whether enough large dispatches wait to be read from the database.
func (c *Courier) Crowded() bool { return c.loading.Load() > crowdedAbove }

// FirstInput names a dispatch whose first attempts are due.
type FirstInput struct {
	DispatchID string
	Tenant     string // its deliveries' tenant; "" = several, or unknown
	Size       int    // the number of its deliveries; 0 = unknown
	// Elsewhere: another process may be making them. Then First makes none that has not been made, and returns an error
	// if there is one.
	Elsewhere bool
}

// ErrElsewhere means that another process may be making first attempts. They are to be asked for again in a while.
var ErrElsewhere = errors.New("another process is making the first attempts")

// First makes the first POST of every delivery of a dispatch, all at once, and records each as it ends. If it runs
// again, it sends only what is still pending. Deliveries whose webhook has reached its cap are left over.
func (c *Courier) First(ctx context.Context, in FirstInput) (Batch, error) {
	unlock, err := c.once.lock(ctx, in.DispatchID)
	if err != nil {
		return Batch{}, err
	}
	defer unlock()
	if b, ok := c.results.take(in.DispatchID); ok {
		return *b, nil
	}
	jobs := c.onDesk(in.DispatchID)
	defer c.Desk.Done(in.DispatchID)
	pass := func(*batch, int, int) error { return nil }
	c.noteTraffic(in.Tenant)
	var ends []Ended
	if jobs == nil {
		if pass, err = c.gate(ctx, in); err != nil {
			return Batch{}, err
		}
		if jobs, ends, err = c.load(ctx, in); err != nil {
			return Batch{}, errors.Join(err, pass(nil, 0, 0))
		}
	}
	if in.Elsewhere && slices.ContainsFunc(jobs, func(j *job) bool { return j.delivery.Attempts == 0 && !c.early(&j.delivery) }) {
		return Batch{}, errors.Join(ErrElsewhere, pass(nil, 0, 0))
	}
	b := &batch{Courier: c, dispatchID: in.DispatchID, of: NewRemainder(in.DispatchID, len(jobs))}
	for _, e := range ends {
		b.sum.end(e)
	}
	chosen, err := b.choose(ctx, jobs)
	if err != nil {
		return Batch{}, errors.Join(err, pass(nil, 0, 0))
	}
	b.sendAll(ctx, chosen)
	if err := pass(b, len(jobs), len(chosen)); err != nil {
		return Batch{}, err
	}
	return b.close(ctx)
}

// sendAll starts sending all of the jobs.
func (b *batch) sendAll(ctx context.Context, jobs []*job) {
	b.readLater(ctx, jobs, readMost)
	for _, j := range jobs {
		j.of = b.of
		b.run(func() { b.add(j)(b.deliver(ctx, j)) })
	}
}

// ManyInput names deliveries of one webhook, of which one attempt each is made.
type ManyInput struct {
	DispatchID string
	Deliveries []Leftover
	// Stop, when closed, prevents further attempts: unattempted deliveries are left over. nil = never.
	Stop <-chan struct{}
}

// Many makes one POST each of several deliveries to one webhook: first ones over its cap, or retries due together. If
// it runs again, it sends only what is still pending and due.
func (c *Courier) Many(ctx context.Context, in ManyInput) (Batch, error) {
	if len(in.Deliveries) == 0 {
		return Batch{}, nil
	}
	large := len(in.Deliveries) >= largeFrom
	leave, wait := c.crowd.enter(in.Deliveries[0].Webhook, large && c.Others(in.Deliveries[0].Tenant), c.Now)
	if leave == nil {
		return Batch{Again: wait, Reason: "waits for other batches to the same webhook"}, nil
	}
	defer leave()
	names := make([]string, len(in.Deliveries))
	for i := range in.Deliveries {
		names[i] = in.Deliveries[i].key()
	}
	unlock, err := c.once.lock(ctx, names...)
	if err != nil {
		return Batch{}, err
	}
	defer unlock()
	b := &batch{Courier: c, dispatchID: in.DispatchID}
	jobs, err := b.readMany(ctx, in)
	if err != nil {
		return Batch{}, err
	}
	if err := c.reserve(ctx, jobs); err != nil {
		return Batch{}, err
	}
	c.readLater(ctx, jobs, manyAtOnce)
	b.attemptAll(ctx, jobs, in.Stop)
	sum, err := b.close(ctx)
	switch {
	case err != nil:
		return sum, err
	case 2*sum.Stopped() > len(in.Deliveries): // the webhook's next batch would find the same
		return sum, pause.For(ctx, stepBackMany)
	case large && c.Others(in.Deliveries[0].Tenant):
		return sum, pause.For(ctx, stepAside)
	}
	return sum, nil
}

// RetryInput names one delivery to attempt once.
type RetryInput struct {
	DispatchID string
	Delivery   Leftover
}

// Retry makes one POST of one delivery.
func (c *Courier) Retry(ctx context.Context, in RetryInput) (Outcome, error) {
	l := in.Delivery
	unlock, err := c.once.lock(ctx, l.key())
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	d, end, err := c.current(ctx, l.Tenant, l.Delivery, l.Generation)
	if err != nil || d == nil {
		return endedBefore(&l, end), err
	}
	j := &job{dispatchID: in.DispatchID, delivery: *d, readAt: c.Now(), known: l, moment: aheadMost, patience: slotWait}
	jobs := []*job{j}
	if err := c.reserve(ctx, jobs); err != nil {
		return Outcome{}, err
	}
	c.readLater(ctx, jobs, 1)
	e, err := c.deliver(ctx, j)
	b := &batch{Courier: c, dispatchID: in.DispatchID}
	b.add(j)(e, err)
	sum, err := b.close(ctx)
	switch {
	case err != nil:
		return Outcome{}, err
	case len(sum.Waiting) == 0:
		return sum.outcome(), nil
	}
	o := Outcome{Left: &sum.Waiting[0], Attempted: e.attempted, Reason: e.reason}
	if !o.Attempted && !o.Left.Due.IsZero() && o.Left.Kind == BackOff {
		o.Left.Kind = ForSlot // a delivery that is postponed alone asks as often as it must
	}
	return o, nil
}

// LookUp returns the state of a delivery whose attempt ended without a result, and what is left of it.
func (c *Courier) LookUp(ctx context.Context, in RetryInput) (Outcome, error) {
	l := in.Delivery
	d, end, err := c.current(ctx, l.Tenant, l.Delivery, l.Generation)
	if err != nil || d == nil {
		return endedBefore(&l, end), err
	}
	r, err := c.receiver(ctx, d.Tenant, d.WebhookID)
	if err != nil && !errors.Is(err, errDeleted) && !errors.Is(err, service.ErrSealed) { // the next attempt meets those again
		return Outcome{}, err
	}
	return Outcome{Left: c.leftover(r, d, l.Last)}, nil
}

// endedBefore returns the outcome of a delivery that had already ended.
func endedBefore(l *Leftover, e ended) Outcome {
	if e.end == "" || e.end == Delivered {
		return Outcome{End: e.end}
	}
	row := asEnded(nil, &models.Delivery{Tenant: l.Tenant, ID: l.Delivery, Attempts: l.Number - 1}, l, e.end, e.reason)
	return Outcome{End: e.end, Ended: &row}
}
