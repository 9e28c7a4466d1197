package sender

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/posthorn/posthorn/internal/panics"
)

const (
	// fallbackDelay is how long the first address family is tried alone before the other one starts too (RFC 8305,
	// "Happy Eyeballs"; net.Dialer uses the same).
	fallbackDelay = 300 * time.Millisecond
	// minDialTime is the shortest time for an address when several share the remaining time.
	minDialTime = 2 * time.Second
)

// dialer connects to names as net.Dialer does, with addresses from the name cache.
type dialer struct {
	names         *nameCache
	fallbackDelay time.Duration
	connect       func(ctx context.Context, network, address string) (net.Conn, error)
}

// newDialer returns a dialer that calls control for every address when it is dialled.
func newDialer(names *nameCache, control func(network, address string, conn syscall.RawConn) error) *dialer {
	return &dialer{names: names, fallbackDelay: fallbackDelay, connect: (&net.Dialer{Control: control}).DialContext}
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("split %q: %w", address, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port of %q: %w", address, err)
	}
	phase := phaseOf(ctx)
	if phase.dials.Add(1) > maxDials {
		return nil, errTooManyDials
	}
	phase.resolving.Store(true)
	addrs, err := d.names.lookup(ctx, host)
	phase.resolving.Store(false)
	if err != nil {
		return nil, err
	}
	conn, err := d.race(ctx, network, withPort(addrs, uint16(port)))
	if err != nil {
		d.names.forget(host)
		return nil, err
	}
	return newCountedConn(conn), nil
}

func withPort(addrs []netip.Addr, port uint16) []netip.AddrPort {
	targets := make([]netip.AddrPort, len(addrs))
	for i, addr := range addrs {
		targets[i] = netip.AddrPortFrom(addr, port)
	}
	return targets
}

// race tries the family of the first address, and the other one after fallbackDelay, or at once if the first fails.
// The first connection wins. It fails with the first family's error, unless only the other's is Posthorn's own.
func (d *dialer) race(ctx context.Context, network string, targets []netip.AddrPort) (net.Conn, error) {
	first, second := splitFamilies(targets)
	if len(second) == 0 {
		return d.serial(ctx, network, first)
	}
	type outcome struct {
		conn  net.Conn
		err   error
		first bool
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome)
	over := make(chan struct{})
	defer close(over)
	start := func(targets []netip.AddrPort, isFirst bool) {
		var conn net.Conn
		err := error(&panics.Error{Where: "the dialer"})
		panics.Safely("the dialer", func() { conn, err = d.serial(ctx, network, targets) })
		select {
		case outcomes <- outcome{conn, err, isFirst}:
		case <-over:
			if conn != nil {
				_ = conn.Close() // too late: the other family won
			}
		}
	}
	go start(first, true)
	fallback := time.NewTimer(d.fallbackDelay)
	defer fallback.Stop()

	var firstErr, secondErr error
	running, secondStarted := 1, false
	for {
		select {
		case <-fallback.C:
		case got := <-outcomes:
			if got.err == nil {
				return got.conn, nil
			}
			running--
			if got.first {
				firstErr = got.err
			} else {
				secondErr = got.err
			}
		}
		if !secondStarted {
			secondStarted = true
			running++
			go start(second, false)
		}
		if running == 0 {
			return nil, worse(firstErr, secondErr)
		}
	}
}

// serial tries one address after another, each with its share of the remaining time, and fails with the first error,
// unless only a later one is Posthorn's own.
func (d *dialer) serial(ctx context.Context, network string, targets []netip.AddrPort) (net.Conn, error) {
	var firstErr error
	for i, target := range targets {
		conn, err := d.connectWithin(ctx, network, target, len(targets)-i)
		if err == nil {
			return conn, nil
		}
		firstErr = worse(firstErr, err)
		if ctx.Err() != nil {
			break
		}
	}
	if firstErr == nil {
		return nil, errors.New("no address to dial")
	}
	return nil, firstErr
}

// worse returns first, unless only next is Posthorn's own failure: without that, the address might have answered.
func worse(first, next error) error {
	if first == nil || next != nil && localReason(first, hasRoute) == "" && localReason(next, hasRoute) != "" {
		return next
	}
	return first
}

func (d *dialer) connectWithin(ctx context.Context, network string, target netip.AddrPort, sharers int) (net.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && sharers > 1 {
		share := max(time.Until(deadline)/time.Duration(sharers), minDialTime)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, share)
		defer cancel()
	}
	return d.connect(ctx, network, target.String())
}

// splitFamilies splits targets into those of the first one's family and the others, keeping their order.
func splitFamilies(targets []netip.AddrPort) (first, second []netip.AddrPort) {
	for _, target := range targets {
		if target.Addr().Is4() == targets[0].Addr().Is4() {
			first = append(first, target)
		} else {
			second = append(second, target)
		}
	}
	return first, second
}
