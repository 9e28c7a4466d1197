package sender

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/posthorn/posthorn/internal/panics"
)

const (
	// canaryName never exists (RFC 6761, 6.4), and every name server says so at once. The final dot keeps search
	// domains out.
	canaryName = "posthorn-canary.invalid."
	// canaryDownFor and canaryUpFor are how long a verdict is reused. That the resolver was up says little about a
	// look-up that fails later; that it was down does no harm.
	canaryDownFor = 5 * time.Second
	canaryUpFor   = time.Second
	// canaryPatience is how long a failed exchange waits for the verdict, while it holds its slot. The look-up itself
	// has as long as any other, so that a resolver whose first server is dead counts as up as soon as the second one
	// answers.
	canaryPatience = 2 * time.Second
)

// canary distinguishes a resolver that is down from a name that nobody answers for. It looks up a name for which every
// working resolver has an answer.
type canary struct {
	resolver Resolver
	now      func() time.Time

	mu      sync.Mutex
	running chan struct{} // closed when the running look-up has ended; nil if there is none
	up      bool
	expires time.Time
}

// resolverIsUp returns the verdict. One look-up at a time makes it for all callers. A resolver that has not answered
// in canaryPatience counts as down.
func (c *canary) resolverIsUp() bool {
	c.mu.Lock()
	if c.now().Before(c.expires) {
		defer c.mu.Unlock()
		return c.up
	}
	if c.running == nil {
		c.running = make(chan struct{})
		go c.look(c.running)
	}
	running := c.running
	c.mu.Unlock()

	patience := time.NewTimer(canaryPatience)
	defer patience.Stop()
	select {
	case <-running:
	case <-patience.C:
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

func (c *canary) look(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	err := error(&panics.Error{Where: "the resolver"})
	panics.Safely("the resolver", func() { _, err = c.resolver.LookupNetIP(ctx, "ip", canaryName) })

	c.mu.Lock()
	defer c.mu.Unlock()
	c.up = ctx.Err() == nil && !unansweredLookup(err)
	c.expires = c.now().Add(canaryDownFor)
	if c.up {
		c.expires = c.now().Add(canaryUpFor)
	}
	c.running = nil
	close(done)
}

// unreachable are the errors of a name server that cannot be reached.
var unreachable = []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EPERM, syscall.EACCES}

// unansweredLookup reports whether err comes from a look-up that no name server answered. SERVFAIL is an answer,
// although net calls it temporary: it means that the name's own servers fail.
func unansweredLookup(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	if !ok || dns.IsNotFound || strings.HasSuffix(dns.Err, "server misbehaving") {
		return false
	}
	return dns.IsTimeout || dns.IsTemporary || slices.ContainsFunc(unreachable, func(e syscall.Errno) bool { return endsWith(dns, e) })
}
