package sender

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// MaxURLLength is the longest accepted URL, in bytes.
const MaxURLLength = 2048

// registrationLookupTimeout bounds the name lookup of CheckURL, which must not make registration slow.
const registrationLookupTimeout = time.Second

// URLError says why a URL is not an acceptable destination. Reason may be shown in an API's answer and does not repeat
// the URL.
type URLError struct{ Reason string }

// Error returns "destination not allowed: " and the reason.
func (e *URLError) Error() string { return "destination not allowed: " + e.Reason }

const (
	reasonNotHTTPS   = "the URL must be https"
	reasonEither     = "the URL must be https or http"
	reasonLoopback   = "the URL must be https, or http to a loopback address"
	reasonNotPublic  = "the host does not resolve to a public address"
	reasonPlainHTTP  = "plain http is allowed to loopback addresses only"
	reasonNotAddress = "not an IP address and port"
)

// DestinationError says why an address must not be dialled.
type DestinationError struct {
	Addr   netip.Addr
	Reason string // completes "<address> is …"
}

// Error returns, for example, "destination not allowed: 10.0.0.1 is private".
func (e *DestinationError) Error() string {
	return fmt.Sprintf("destination not allowed: %s is %s", e.Addr, e.Reason)
}

// Guard holds the rules for destinations. It checks an address when it is dialled, so that no DNS answer can change
// between check and use. CheckURL applies the same rules early, for the user's benefit.
type Guard struct {
	allowHTTP     bool
	allowLoopback bool
	allowNetworks []netip.Prefix
	names         *nameCache
}

// NewGuard returns only the rules, for a process that registers destinations and sends nothing. It uses the Allow
// fields, Resolver and Now.
func NewGuard(cfg Config) *Guard {
	return &Guard{
		allowHTTP:     cfg.AllowHTTP,
		allowLoopback: cfg.AllowLoopbackHTTP,
		allowNetworks: slices.Clone(cfg.AllowNetworks),
		names:         newNameCache(cfg.Resolver, cfg.Now),
	}
}

// CheckAddr returns a *DestinationError unless ap is a public address, in an allowed network, or loopback if that is
// allowed.
//
// An allowed network that contains NAT64 addresses opens the translation, not the addresses behind it: the IPv4
// address inside must be acceptable too.
func (g *Guard) CheckAddr(ap netip.AddrPort) error {
	addr := normalise(ap.Addr())
	if !addr.IsValid() {
		return &DestinationError{Addr: ap.Addr(), Reason: reasonNotAddress}
	}
	for _, network := range g.allowNetworks {
		if !network.Contains(addr) {
			continue
		}
		if inner, ok := nat64Target(addr); ok {
			return g.CheckAddr(netip.AddrPortFrom(inner, ap.Port()))
		}
		return nil
	}
	if g.allowLoopback && addr.IsLoopback() {
		return nil
	}
	if is := classify(addr); is != "" {
		return &DestinationError{Addr: addr, Reason: is}
	}
	return nil
}

// CheckURL returns raw in its canonical form for storage. It returns a *URLError unless raw is acceptable as a
// destination: at most MaxURLLength bytes, https (or http if allowed), no credentials, no fragment, and a host that is
// not known to lead to a forbidden address.
//
// It may resolve the host, for at most a second. An https name that does not resolve is accepted, because it may
// resolve when it matters; a name that resolves to several addresses is accepted if one of them is acceptable.
func (g *Guard) CheckURL(ctx context.Context, raw string) (canonical string, err error) {
	u, canonical, err := g.target(raw)
	if err != nil {
		return "", err
	}
	if err := g.checkHost(ctx, u.Scheme, u.Hostname()); err != nil {
		return "", err
	}
	return canonical, nil
}

// Canonical is CheckURL without checking where the host leads.
func (g *Guard) Canonical(raw string) (string, error) {
	_, canonical, err := g.target(raw)
	return canonical, err
}

func (g *Guard) checkScheme(u *url.URL) error {
	switch {
	case u.Scheme == "https":
		return nil
	// With only allowLoopback, whether the address is loopback remains to be checked: controlPlain does this.
	case u.Scheme == "http" && (g.allowHTTP || g.allowLoopback):
		return nil
	default:
		return &URLError{Reason: g.scheme()}
	}
}

// checkLiteral is CheckAddr for an address in a URL.
func (g *Guard) checkLiteral(addr netip.Addr) error {
	if err := g.CheckAddr(netip.AddrPortFrom(addr, 0)); err != nil {
		return &URLError{Reason: strings.TrimPrefix(err.Error(), "destination not allowed: ")}
	}
	return nil
}

// scheme returns which schemes are allowed.
func (g *Guard) scheme() string {
	switch {
	case g.allowHTTP:
		return reasonEither
	case g.allowLoopback:
		return reasonLoopback
	default:
		return reasonNotHTTPS
	}
}

func (g *Guard) checkHost(ctx context.Context, scheme, host string) error {
	needLoopback := scheme == "http" && !g.allowHTTP
	if addr, err := netip.ParseAddr(host); err == nil {
		if needLoopback && !normalise(addr).IsLoopback() {
			return &URLError{Reason: g.scheme()}
		}
		return g.checkLiteral(addr)
	}
	ctx, cancel := context.WithTimeout(ctx, registrationLookupTimeout)
	defer cancel()
	addrs, err := g.names.lookup(ctx, host)
	if err != nil {
		if needLoopback { // it is not known to be loopback
			return &URLError{Reason: g.scheme()}
		}
		return nil
	}
	if needLoopback && !slices.ContainsFunc(addrs, netip.Addr.IsLoopback) {
		return &URLError{Reason: g.scheme()}
	}
	for _, addr := range addrs {
		if g.CheckAddr(netip.AddrPortFrom(addr, 0)) == nil {
			return nil
		}
	}
	return &URLError{Reason: reasonNotPublic}
}

// controlSecure and controlPlain are net.Dialer.Control functions: they see the address that is about to be dialled.
func (g *Guard) controlSecure(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return &DestinationError{Reason: reasonNotAddress}
	}
	return g.CheckAddr(ap)
}

func (g *Guard) controlPlain(network, address string, conn syscall.RawConn) error {
	if err := g.controlSecure(network, address, conn); err != nil {
		return err
	}
	if g.allowHTTP {
		return nil
	}
	if ap, err := netip.ParseAddrPort(address); err != nil || !g.allowLoopback || !normalise(ap.Addr()).IsLoopback() {
		return &URLError{Reason: reasonPlainHTTP}
	}
	return nil
}
