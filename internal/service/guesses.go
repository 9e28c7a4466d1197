package service

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// How authentications that fail are slowed down, for each address.
const (
	guessBurst   = 10              // fail at once
	guessRate    = 5               // a second after that
	guessWait    = 5 * time.Second // the longest wait
	guessWaiting = 1000            // that wait at a time in this process; those beyond are refused, without a word on the key
	guessAddrs   = 10_000          // addresses that are remembered
)

// guesses slows down those who try keys. Only a failed authentication waits: a key in force is never held up for its
// address, which others may share.
type guesses struct {
	addresses *lru.Cache[netip.Prefix, *rate.Limiter]
	pause     func(context.Context, time.Duration)
	waiting   atomic.Int64
}

func newGuesses(pause func(context.Context, time.Duration)) *guesses {
	if pause == nil {
		pause = sleep
	}
	return &guesses{addresses: newLRU[netip.Prefix, *rate.Limiter](guessAddrs), pause: pause}
}

// failed waits for as long as a failure from the context's address has to, and returns how it is refused.
func (g *guesses) failed(ctx context.Context, now time.Time) error {
	refused := Refuse(Unauthorized, "a valid API key is required")
	limiter := limiterOf(g.addresses, source(ActorOf(ctx).Address), guessRate, guessBurst)
	turn := limiter.ReserveN(now, 1)
	wait := turn.DelayFrom(now)
	if wait <= 0 {
		return refused
	}
	if wait > guessWait {
		turn.CancelAt(now) // or waits would grow for ever
		wait = guessWait
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > guessWaiting {
		return tooMany(wait, "too many calls with keys that are not valid")
	}
	g.pause(ctx, wait)
	return refused
}

// source is what counts as one address: of IPv6 the network of 64 bits, in which a host can have any address it likes.
func source(address string) netip.Prefix {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{} // all that have none are one
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // fails for more bits than there are
	return prefix
}

// sleep waits for a time, or until ctx ends.
func sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// limiterOf gives the limiter that the cache has for a key; a new one if it has none.
func limiterOf[K comparable](cache *lru.Cache[K, *rate.Limiter], key K, perSecond float64, burst int) *rate.Limiter {
	if l, ok := cache.Get(key); ok {
		return l
	}
	l := rate.NewLimiter(rate.Limit(perSecond), burst)
	if other, ok, _ := cache.PeekOrAdd(key, l); ok {
		return other
	}
	return l
}

func newLRU[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return cache
}
