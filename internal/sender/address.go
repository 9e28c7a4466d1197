package sender

import (
	"net/netip"

	"code.dny.dev/ssrf"
)

const documentation = "for documentation"

// specialRanges names address ranges that are not allowed as destinations, the most informative first. The decision
// does not depend on this list alone: package ssrf's lists cover the rest of the IANA special-purpose registries.
var specialRanges = []struct {
	prefix netip.Prefix
	is     string // completes "<address> is …"
}{
	// Metadata services give credentials to every caller. Azure's is at an otherwise public address.
	{netip.MustParsePrefix("169.254.169.254/32"), "a cloud metadata address"},
	{netip.MustParsePrefix("100.100.100.200/32"), "a cloud metadata address"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud metadata address"},
	{netip.MustParsePrefix("fd00:ec2::254/128"), "a cloud metadata address"},

	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},                // RFC 791
	{netip.MustParsePrefix("10.0.0.0/8"), "private"},                   // RFC 1918
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT"},      // RFC 6598
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},                 // RFC 1122
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local"},            // RFC 3927
	{netip.MustParsePrefix("172.16.0.0/12"), "private"},                // RFC 1918
	{netip.MustParsePrefix("192.168.0.0/16"), "private"},               // RFC 1918
	{netip.MustParsePrefix("192.0.2.0/24"), documentation},             // RFC 5737
	{netip.MustParsePrefix("198.51.100.0/24"), documentation},          // RFC 5737
	{netip.MustParsePrefix("203.0.113.0/24"), documentation},           // RFC 5737
	{netip.MustParsePrefix("198.18.0.0/15"), "for benchmarking"},       // RFC 2544
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},                // RFC 1112
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},                 // RFC 1112, and the broadcast address
	{netip.MustParsePrefix("::/128"), "unspecified"},                   // RFC 4291
	{netip.MustParsePrefix("::1/128"), "loopback"},                     // RFC 4291
	{netip.MustParsePrefix("::/96"), "an IPv4-compatible address"},     // RFC 4291, deprecated
	{netip.MustParsePrefix("64:ff9b::/96"), "a NAT64 address"},         // RFC 6052
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a local NAT64 address"}, // RFC 8215
	{netip.MustParsePrefix("2001::/32"), "a Teredo address"},           // RFC 4380
	{netip.MustParsePrefix("2002::/16"), "a 6to4 address"},             // RFC 3056
	{netip.MustParsePrefix("2001:db8::/32"), documentation},            // RFC 3849
	{netip.MustParsePrefix("3fff::/20"), documentation},                // RFC 9637
	{netip.MustParsePrefix("fc00::/7"), "private"},                     // RFC 4193
	{netip.MustParsePrefix("fe80::/10"), "link-local"},                 // RFC 4291
	{netip.MustParsePrefix("ff00::/8"), "multicast"},                   // RFC 4291
}

var registries = ssrf.New(ssrf.WithAnyPort(), ssrf.WithAnyNetwork())

// classify returns what addr is if it is not a public destination, and "" if it is one. The address must be
// normalised.
func classify(addr netip.Addr) string {
	for _, special := range specialRanges {
		if special.prefix.Contains(addr) {
			return special.is
		}
	}
	if registries.SafeAddr(addr) == nil {
		return ""
	}
	if addr.Is6() && !ssrf.IPv6GlobalUnicast.Contains(addr) {
		return "not global unicast"
	}
	return "reserved"
}

// normalise removes what hides an address from a prefix match: the IPv4-mapped form, which connects to the IPv4
// address, and the zone.
func normalise(addr netip.Addr) netip.Addr {
	return addr.Unmap().WithZone("")
}

// nat64Target returns the IPv4 address behind a NAT64 address of the well-known prefix (RFC 6052, 2.2).
func nat64Target(addr netip.Addr) (netip.Addr, bool) {
	if !ssrf.IPv6NAT64Prefix.Contains(addr) {
		return netip.Addr{}, false
	}
	bytes := addr.As16()
	return netip.AddrFrom4([4]byte(bytes[12:])), true
}
