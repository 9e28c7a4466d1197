package service

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/slots"
)

// The bounds of what a process does at once for callers. Publishing has none here: it is bounded by the room for bodies.
const (
	// seatsPerCore is how many requests are worked on at once, and leastSeats how many at least.
	seatsPerCore = 16
	leastSeats   = 32
	// expandPerCore is how many large JSON bodies are taken apart at once: in memory they are forty times their size.
	expandPerCore = 2
	// expandFrom is what makes a body large, in bytes.
	expandFrom = 32 << 10
	// seatWait is how long a request waits for any of these.
	seatWait = 5 * time.Second
)

// Shares of tenants: what is kept for those that hold nothing, and the most of one while others wait.
const (
	seatsKept      = 0.1
	fewKept        = 0.25 // of what there are few of
	seatsPerTenant = 0.5
)

// seats share what a process does at once fairly among tenants: the next goes to the waiting tenant that holds the fewest.
type seats struct{ requests, reads, expand *slots.Slots }

func newSeats(readers int) seats {
	cores := runtime.GOMAXPROCS(0)
	return seats{
		requests: slots.New(slots.Options{Capacity: max(leastSeats, seatsPerCore*cores), Reserve: seatsKept, MaxPerTenant: seatsPerTenant}),
		reads:    slots.New(slots.Options{Capacity: readers, Reserve: fewKept, MaxPerTenant: seatsPerTenant}),
		expand:   slots.New(slots.Options{Capacity: max(4, expandPerCore*cores), Reserve: fewKept, MaxPerTenant: seatsPerTenant}),
	}
}

// seat is a request's place among those that are worked on.
type seat struct {
	tenant string
	leave  func()
}

type seatKey struct{}

// Enter waits until the tenant's request may be worked on; tenant "" is the installation itself. leave must be called when
// it is answered. Unavailable if that takes too long.
func (s *Service) Enter(ctx context.Context, tenant string) (entered context.Context, leave func(), err error) {
	release, err := await(ctx, s.seats.requests, tenant)
	if err != nil {
		return ctx, nil, err
	}
	at := &seat{tenant: tenant, leave: sync.OnceFunc(release)}
	return context.WithValue(ctx, seatKey{}, at), at.leave, nil
}

// stand gives up the request's seat: from here on it waits for others more than it works.
func stand(ctx context.Context) {
	if at, ok := ctx.Value(seatKey{}).(*seat); ok {
		at.leave()
	}
}

// seated names the tenant whose request it is; "" if nobody's.
func seated(ctx context.Context) string {
	if at, ok := ctx.Value(seatKey{}).(*seat); ok {
		return at.tenant
	}
	return ""
}

// Expand waits until a body of so many bytes may be taken apart into memory; done must be called when what came of it is
// not needed any longer. A small one never waits. Unavailable if that takes too long.
func (s *Service) Expand(ctx context.Context, tenant string, bytes int) (done func(), err error) {
	if bytes < expandFrom {
		return func() {}, nil
	}
	return await(ctx, s.seats.expand, tenant)
}

func await(ctx context.Context, of *slots.Slots, tenant string) (release func(), err error) {
	if release, ok := of.TryAcquire(tenant, ""); ok {
		return release, nil
	}
	waiting, cancel := context.WithTimeout(ctx, seatWait)
	defer cancel()
	release, err = of.Acquire(waiting, tenant, "")
	if err != nil && ctx.Err() == nil {
		return nil, Refuse(Unavailable, "too many requests in flight; retry shortly")
	}
	return release, err
}
