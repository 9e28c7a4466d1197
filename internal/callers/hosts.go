package callers

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// LocalHosts returns a function that accepts the names of a server on this machine: loopback names and addresses, the
// hosts of the given URLs, and the listening address, which is every address if it listens on all interfaces. If
// another site's name is made to resolve to this machine (DNS rebinding), its pages still have that site's name in
// Host.
func LocalHosts(listen string, urls ...string) func(host string) bool {
	own := map[string]bool{}
	anyAddress := false
	add := func(host string) {
		name := hostName(host)
		addr, err := netip.ParseAddr(name)
		if name == "" || err == nil && addr.IsUnspecified() {
			anyAddress = true
		} else {
			own[name] = true
		}
	}
	add(listen)
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			add(u.Host)
		}
	}
	return func(host string) bool {
		name := hostName(host)
		if name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") || own[name] { // every browser sends a host
			return true
		}
		addr, err := netip.ParseAddr(name)
		return err == nil && (anyAddress || addr.Unmap().IsLoopback())
	}
}

// hostName removes the port, brackets and a final dot from a host, and returns it in lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
