package devserver

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

// addresses are the addresses of the parts of one server.
type addresses struct {
	frontend, history, matching, worker netip.AddrPort
	ui                                  netip.AddrPort // invalid without UI
}

// AddressError is returned when the server cannot listen on an address. Option names the field of Options that holds
// the address, "" if none does.
type AddressError struct {
	Option string
	Err    error
}

// Error implements error.
func (e *AddressError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *AddressError) Unwrap() error { return e.Err }

// reserve finds an address for every part: the given ones for frontend and UI, and free ones for the others. It checks
// that none is taken. The server accepts no listeners and binds the ports itself. So reserve holds all ports at once,
// to make them different, and then releases them.
func reserve(ctx context.Context, o Options) (addresses, error) {
	var listen net.ListenConfig
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	var a addresses
	for _, part := range []struct {
		option, addr string
		into         *netip.AddrPort
	}{
		{"TemporalAddr", o.TemporalAddr, &a.frontend},
		{"", "127.0.0.1:0", &a.history},
		{"", "127.0.0.1:0", &a.matching},
		{"", "127.0.0.1:0", &a.worker},
		{"UIAddr", o.UIAddr, &a.ui},
	} {
		if part.addr == "" {
			continue
		}
		l, err := listen.Listen(ctx, "tcp", part.addr)
		if err != nil {
			return addresses{}, &AddressError{Option: part.option, Err: fmt.Errorf("address %s: %w", part.addr, err)}
		}
		held = append(held, l)
		bound := l.Addr().(*net.TCPAddr).AddrPort()
		*part.into = netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
		if _, port, _ := net.SplitHostPort(part.addr); port == "0" {
			if err := keepFree(ctx, l); err != nil {
				return addresses{}, fmt.Errorf("address %s: %w", part.addr, err)
			}
		}
	}
	return a, nil
}

// keepFree leaves a connection of l's port in TIME_WAIT. For the next minute the system does not assign that port to a
// process that asks for any free port, but binding it by number works. Without this, servers that tests start side by
// side sometimes take each other's ports.
func keepFree(ctx context.Context, l net.Listener) error {
	var dialer net.Dialer
	client, err := dialer.DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		return fmt.Errorf("keep port: %w", err)
	}
	defer func() { _ = client.Close() }()
	server, err := l.Accept()
	if err != nil {
		return fmt.Errorf("keep port: %w", err)
	}
	return server.Close() // the side that closes first is left with TIME_WAIT
}

// hosts returns the addresses of all services. With it the server needs no gossip between its parts. It starts faster
// and does not look for the peers of a killed run.
func (a addresses) hosts() map[primitives.ServiceName]static.Hosts {
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: static.SingleLocalHost(dialable(a.frontend)),
		primitives.HistoryService:  static.SingleLocalHost(a.history.String()),
		primitives.MatchingService: static.SingleLocalHost(a.matching.String()),
		primitives.WorkerService:   static.SingleLocalHost(a.worker.String()),
	}
}

// dialable returns the host:port at which this machine reaches a listener. A wildcard address cannot be dialled.
func dialable(a netip.AddrPort) string {
	host := a.Addr()
	if host.IsUnspecified() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(host, a.Port()).String()
}
