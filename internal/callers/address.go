package callers

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Address returns the IP address that a request comes from, without a port; "" if there is none. Behind trusted
// proxies it is the last address in X-Forwarded-For that is not a proxy's: the entries before it are only the caller's
// claim. All lines of the header count, because proxies may add their own.
func (g *Gate) Address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || len(g.Proxies) == 0 {
		return host
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !g.trusts(addr) {
		return host
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(hops) {
		hop, ok := parseHop(text)
		if !ok {
			break // the proxy after it is the last known one
		}
		if addr = hop; !g.trusts(addr) {
			break
		}
	}
	return addr.Unmap().WithZone("").String()
}

// Secure reports whether the caller came over https, by our own TLS or according to a trusted proxy.
func (g *Gate) Secure(r *http.Request) bool {
	if r.TLS != nil || len(g.Proxies) == 0 {
		return r.TLS != nil
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	addr, err := netip.ParseAddr(host)
	return err == nil && g.trusts(addr) && strings.EqualFold(strings.TrimSpace(r.Header.Get("X-Forwarded-Proto")), "https")
}

func (g *Gate) trusts(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	for _, network := range g.Proxies {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop reads an entry of X-Forwarded-For: an address, to which some proxies add the port.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return addr, true
	}
	pair, err := netip.ParseAddrPort(text)
	return pair.Addr(), err == nil
}
