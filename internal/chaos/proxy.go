//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// direction is one of the two ways of a connection.
type direction int

const (
	toServer direction = iota
	toClient
)

// conditions say how a link treats the data that is sent through it.
type conditions struct {
	// blocked: nothing passes. The data arrive when the block ends, as TCP sends lost data again.
	blocked bool
	// latency is added to all data, in each direction.
	latency time.Duration
	// rate is in bytes per second and direction; 0 = unlimited.
	rate int
}

// link is a TCP proxy: the network between two processes.
type link struct {
	from, to string
	target   string
	listener net.Listener
	pumping  sync.WaitGroup

	mu      sync.Mutex
	now     conditions
	changed chan struct{} // closed when now changes
	conns   map[*connection]struct{}
	closed  bool
}

// newLink opens a proxy on a free port of the loopback interface.
func newLink(ctx context.Context, from, to, target string) (*link, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link from %s to %s: %w", from, to, err)
	}
	l := &link{from: from, to: to, target: target, listener: listener, changed: make(chan struct{}), conns: map[*connection]struct{}{}}
	l.pumping.Go(l.accept)
	return l, nil
}

// addr returns the address to which the client connects.
func (l *link) addr() string { return l.listener.Addr().String() }

func (l *link) close() {
	_ = l.listener.Close()
	l.mu.Lock()
	l.closed = true
	for c := range l.conns {
		c.abort()
	}
	l.mu.Unlock()
	l.pumping.Wait()
}

// set changes the conditions of all connections, and of new ones.
func (l *link) set(to conditions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = to
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *link) state() (conditions, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now, l.changed
}

// freeze makes the existing connections half open: in one direction nothing arrives any more. New connections work.
func (l *link) freeze(d direction) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.frozen[d].Store(true)
	}
}

// thaw resets the half-open connections, as the other end does when it is reachable again and does not know them.
func (l *link) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		if c.frozen[toServer].Load() || c.frozen[toClient].Load() {
			c.abort()
		}
	}
}

func (l *link) accept() {
	for {
		client, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.pumping.Go(func() { l.serve(client.(*net.TCPConn)) })
	}
}

// dialTimeout bounds the connection to a server on this machine.
const dialTimeout = 5 * time.Second

func (l *link) serve(client *net.TCPConn) {
	server, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(context.Background(), "tcp", l.target)
	if err != nil {
		_ = client.SetLinger(0) // like a port on which nothing listens
		_ = client.Close()
		return
	}
	c := &connection{link: l, client: client, server: server.(*net.TCPConn), done: make(chan struct{})}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		c.abort()
		return
	}
	l.conns[c] = struct{}{}
	l.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { c.pump(toServer, c.client, c.server) })
	both.Go(func() { c.pump(toClient, c.server, c.client) })
	both.Wait()
	c.end(false)
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
}

// connection is one connection through a link.
type connection struct {
	link           *link
	client, server *net.TCPConn
	frozen         [2]atomic.Bool
	done           chan struct{}
	ending         sync.Once
}

// abort resets both ends.
func (c *connection) abort() { c.end(true) }

func (c *connection) end(reset bool) {
	c.ending.Do(func() {
		for _, conn := range []*net.TCPConn{c.client, c.server} {
			if reset {
				_ = conn.SetLinger(0)
			}
			_ = conn.Close()
		}
		close(c.done)
	})
}

const pumpBuffer = 32 << 10

// pump carries the data of one direction until it ends. It passes on the end too, after the data.
func (c *connection) pump(d direction, from, to *net.TCPConn) {
	buffer := make([]byte, pumpBuffer)
	for {
		n, err := from.Read(buffer)
		if !c.pass(d, n) {
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				c.abort()
				return
			}
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite()
			return
		}
		if err != nil {
			c.abort()
			return
		}
	}
}

// pass waits until n bytes may pass. false = the connection has ended.
func (c *connection) pass(d direction, n int) bool {
	for {
		now, changed := c.link.state()
		if !now.blocked && !c.frozen[d].Load() {
			return c.wait(now.delay(n))
		}
		select {
		case <-changed:
		case <-c.done:
			return false
		}
	}
}

func (c *connection) wait(d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.done:
		return false
	}
}

// delay returns how long n bytes take.
func (n conditions) delay(bytes int) time.Duration {
	d := n.latency
	if n.rate > 0 {
		d += time.Duration(bytes) * time.Second / time.Duration(n.rate)
	}
	return d
}
