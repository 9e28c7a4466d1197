package service

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/slots"
)

// The bounds of what a process does at once for callers. Publishing has none here: the room for bodies bounds it.
const (
	// seatsPerCore is how many requests are processed at once, and leastSeats the minimum.
	seatsPerCore = 16
	leastSeats   = 32
	// expandPerCore is how many large JSON bodies are parsed at once: in memory they are forty times their size.
	expandPerCore = 2
	// expandFrom is the size from which a body is large, in bytes.
	expandFrom = 32 << 10
	// seatWait is how long a request waits for any of these.
	seatWait = 5 * time.Second
)

// Shares of tenants: what is reserved for those that hold nothing, and the most of one while others wait.
const (
	seatsKept      = 0.1
	fewKept        = 0.25 // for resources that are few
	seatsPerTenant = 0.5
)

// seats share what a process does at once fairly among tenants: the next one goes to the waiting tenant that holds the
// fewest.
type seats struct{ requests, reads, expand *slots.Slots }

func newSeats(readers int) seats {
	cores := runtime.GOMAXPROCS(0)
	return seats{
		requests: slots.New(slots.Options{Capacity: max(leastSeats, seatsPerCore*cores), Reserve: seatsKept, MaxPerTenant: seatsPerTenant}),
		reads:    slots.New(slots.Options{Capacity: readers, Reserve: fewKept, MaxPerTenant: seatsPerTenant}),
		expand:   slots.New(slots.Options{Capacity: max(4, expandPerCore*cores), Reserve: fewKept, MaxPerTenant: seatsPerTenant}),
	}
}

// seat is a request's place among those that are being processed.
type seat struct {
	tenant string
	leave  func()
}

type seatKey struct{}

// Enter waits until the tenant's request may be processed; tenant "" is the installation itself. leave must be called
// when it is answered. Unavailable if that takes too long.
func (s *Service) Enter(ctx context.Context, tenant string) (entered context.Context, leave func(), err error) {
	release, err := await(ctx, s.seats.requests, tenant)
	if err != nil {
		return ctx, nil, err
	}
	at := &seat{tenant: tenant, leave: sync.OnceFunc(release)}
	return context.WithValue(ctx, seatKey{}, at), at.leave, nil
}

// stand gives up the request's seat: from here on it mostly waits for others.
func stand(ctx context.Context) {
	if at, ok := ctx.Value(seatKey{}).(*seat); ok {
		at.leave()
	}
}

// seated returns the tenant of the request; "" if it has none.
func seated(ctx context.Context) string {
	if at, ok := ctx.Value(seatKey{}).(*seat); ok {
		return at.tenant
	}
	return ""
}

// Expand waits until a body of this size may be parsed into memory; done must be called when the result is no longer
// needed. A small body never waits. Unavailable if that takes too long.
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
