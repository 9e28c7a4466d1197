package service

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/posthorn/posthorn/internal/pause"
)

// How failed authentications are slowed down, for each address.
const (
	guessBurst   = 10              // failures without a wait
	guessRate    = 5               // failures a second after that
	guessWait    = 5 * time.Second // the longest wait
	guessWaiting = 1000            // waiting at once in this process; further ones are refused without checking the key
	guessAddrs   = 10_000          // remembered addresses
)

// guesses slows down callers that guess keys. Only a failed authentication waits: a key in force is never delayed
// because of its address, which others may share.
type guesses struct {
	addresses *lru.Cache[netip.Prefix, *rate.Limiter]
	wait      func(context.Context, time.Duration) error
	waiting   atomic.Int64
}

func newGuesses(wait func(context.Context, time.Duration) error) *guesses {
	if wait == nil {
		wait = pause.For
	}
	return &guesses{addresses: newLRU[netip.Prefix, *rate.Limiter](guessAddrs), wait: wait}
}

// failed waits as long as a failure from the context's address has to, and returns the refusal.
func (g *guesses) failed(ctx context.Context, now time.Time) error {
	refused := Refuse(Unauthorized, "a valid API key is required")
	limiter := limiterOf(g.addresses, source(ActorOf(ctx).Address), guessRate, guessBurst)
	turn := limiter.ReserveN(now, 1)
	wait := turn.DelayFrom(now)
	if wait <= 0 {
		return refused
	}
	if wait > guessWait {
		turn.CancelAt(now) // otherwise waits would grow for ever
		wait = guessWait
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > guessWaiting {
		return tooMany(wait, "too many calls with keys that are not valid")
	}
	_ = g.wait(ctx, wait)
	return refused
}

// source returns what counts as one address. For IPv6 it is the /64 network, in which a host can choose any address.
func source(address string) netip.Prefix {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{} // callers without an address count as one
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // fails only for too many bits
	return prefix
}

// limiterOf returns the cache's limiter for a key, or a new one.
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
