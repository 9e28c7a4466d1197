package callers

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// LocalHosts returns what accepts the names by which a server on one's own machine is called: loopback names and
// addresses, the hosts of the given URLs, and what the server listens on, which is every address if it listens on all
// interfaces. A page of another site whose name has been made to resolve to this machine (DNS rebinding) has that site's
// name in Host.
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
		if name == "" || name == "localhost" || strings.HasSuffix(name, ".localhost") || own[name] { // no browser sends none
			return true
		}
		addr, err := netip.ParseAddr(name)
		return err == nil && (anyAddress || addr.Unmap().IsLoopback())
	}
}

// hostName takes the port, brackets and a final dot off a host, and gives it in lower case.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
