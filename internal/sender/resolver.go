package sender

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Resolver resolves a name to addresses. net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var _ Resolver = (*net.Resolver)(nil)

const (
	// nameTTL is how long an answer is reused. It saves lookups when many connections to one host are opened at once,
	// and is too short to hide a receiver that moves.
	nameTTL = 5 * time.Second
	// maxNames bounds the cache.
	maxNames = 4096
)

var loopbackAddrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

// nameCache remembers answers for a short while. The guard checks every address when it is dialled, cached or not, so
// the cache can send a POST to a stale address but never to a forbidden one. net.Resolver merges concurrent lookups of
// one name.
type nameCache struct {
	resolver Resolver
	now      func() time.Time

	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	addrs   []netip.Addr
	expires time.Time
}

func newNameCache(resolver Resolver, now func() time.Time) *nameCache {
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	if now == nil {
		now = time.Now
	}
	return &nameCache{resolver: resolver, now: now, answers: make(map[string]answer)}
}

// lookup returns the addresses of host, which may be an address itself. The result must not be modified. Names under
// "localhost" are loopback without a lookup (RFC 6761, 6.3).
func (c *nameCache) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return loopbackAddrs, nil
	}
	if addrs, ok := c.recall(host); ok {
		return addrs, nil
	}
	addrs, err := c.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err // failureText distinguishes DNS errors, and shows none of their text
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	unmapped := make([]netip.Addr, len(addrs))
	for i, addr := range addrs {
		unmapped[i] = addr.Unmap() // some resolvers answer IPv4 in IPv6 form
	}
	c.remember(host, unmapped)
	return unmapped, nil
}

func (c *nameCache) recall(host string) ([]netip.Addr, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.answers[host]
	if !ok || !c.now().Before(found.expires) {
		return nil, false
	}
	return found.addrs, true
}

func (c *nameCache) remember(host string, addrs []netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(c.answers) >= maxNames {
		for name, old := range c.answers {
			if !now.Before(old.expires) {
				delete(c.answers, name)
			}
		}
		if len(c.answers) >= maxNames { // all are fresh: start over instead of growing
			clear(c.answers)
		}
	}
	c.answers[host] = answer{addrs: addrs, expires: now.Add(nameTTL)}
}

// forget drops an answer whose addresses failed.
func (c *nameCache) forget(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.answers, host)
}
