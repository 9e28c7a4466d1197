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
	// canaryName never exists (RFC 6761, 6.4): any name server answers at once that it does not. The dot at its end keeps
	// search domains out.
	canaryName = "posthorn-canary.invalid."
	// canaryDownFor and canaryUpFor are how long a verdict is used again. That the resolver was up says little about a
	// look-up that fails later; that it was down costs nobody anything.
	canaryDownFor = 5 * time.Second
	canaryUpFor   = time.Second
	// canaryPatience is how long an exchange that has failed waits for the verdict, and holds its slot. The look-up itself
	// has as long as any other, so that a resolver whose first server is dead counts as up as soon as the second answers.
	canaryPatience = 2 * time.Second
)

// canary tells a resolver that is down from a name that nobody answers for, by looking up a name for which every
// resolver that is up has an answer.
type canary struct {
	resolver Resolver
	now      func() time.Time

	mu      sync.Mutex
	running chan struct{} // closed when the look-up under way has ended; nil if there is none
	up      bool
	expires time.Time
}

// resolverIsUp returns the verdict, which one look-up at a time makes for all callers. A resolver that has not answered
// in canaryPatience is down.
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

// unreachable are the errors by which a name server cannot be asked.
var unreachable = []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	syscall.ENETDOWN, syscall.EADDRNOTAVAIL, syscall.EPERM, syscall.EACCES}

// unansweredLookup reports whether err comes from a look-up to which no name server gave an answer. SERVFAIL is an answer,
// although net calls it temporary: it stands for a name whose own servers fail.
func unansweredLookup(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	if !ok || dns.IsNotFound || strings.HasSuffix(dns.Err, "server misbehaving") {
		return false
	}
	return dns.IsTimeout || dns.IsTemporary || slices.ContainsFunc(unreachable, func(e syscall.Errno) bool { return endsWith(dns, e) })
}
