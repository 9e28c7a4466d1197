package sender

import (
	"net/netip"
	"testing"

	"code.dny.dev/ssrf"
	"github.com/stretchr/testify/require"
)

// Each forbidden range is tried at both ends, and its neighbours just outside where they are public.
func TestCheckAddr_EndsOfRangesAndTheirNeighbours(t *testing.T) {
	t.Parallel()
	const public = ""
	tests := []struct{ addr, is string }{
		{"1.1.1.1", public},
		{"8.8.8.8", public},
		{"2606:4700:4700::1111", public},

		{"0.0.0.0", "unspecified"}, {"0.255.255.255", "unspecified"}, {"1.0.0.0", public},
		{"9.255.255.255", public}, {"10.0.0.0", "private"}, {"10.255.255.255", "private"}, {"11.0.0.0", public},
		{"100.63.255.255", public}, {"100.64.0.0", "carrier-grade NAT"}, {"100.127.255.255", "carrier-grade NAT"}, {"100.128.0.0", public},
		{"126.255.255.255", public}, {"127.0.0.0", "loopback"}, {"127.0.0.1", "loopback"}, {"127.255.255.255", "loopback"}, {"128.0.0.0", public},
		{"169.253.255.255", public}, {"169.254.0.0", "link-local"}, {"169.254.255.255", "link-local"}, {"169.255.0.0", public},
		{"172.15.255.255", public}, {"172.16.0.0", "private"}, {"172.31.255.255", "private"}, {"172.32.0.0", public},
		{"191.255.255.255", public}, {"192.0.0.0", "reserved"}, {"192.0.0.192", "reserved"}, {"192.0.0.255", "reserved"}, {"192.0.1.0", public},
		{"192.0.1.255", public}, {"192.0.2.0", "for documentation"}, {"192.0.2.255", "for documentation"}, {"192.0.3.0", public},
		{"192.88.98.255", public}, {"192.88.99.0", "reserved"}, {"192.88.99.255", "reserved"}, {"192.88.100.0", public},
		{"192.167.255.255", public}, {"192.168.0.0", "private"}, {"192.168.255.255", "private"}, {"192.169.0.0", public},
		{"198.17.255.255", public}, {"198.18.0.0", "for benchmarking"}, {"198.19.255.255", "for benchmarking"}, {"198.20.0.0", public},
		{"198.51.99.255", public}, {"198.51.100.0", "for documentation"}, {"198.51.100.255", "for documentation"}, {"198.51.101.0", public},
		{"203.0.112.255", public}, {"203.0.113.0", "for documentation"}, {"203.0.113.255", "for documentation"}, {"203.0.114.0", public},
		{"223.255.255.255", public}, {"224.0.0.0", "multicast"}, {"239.255.255.255", "multicast"},
		{"240.0.0.0", "reserved"}, {"255.255.255.255", "reserved"},

		{"169.254.169.253", "link-local"}, {"169.254.169.254", "a cloud metadata address"}, {"169.254.169.255", "link-local"},
		{"168.63.129.15", public}, {"168.63.129.16", "a cloud metadata address"}, {"168.63.129.17", public},
		{"100.100.100.200", "a cloud metadata address"},
		{"fd00:ec2::254", "a cloud metadata address"},

		{"::", "unspecified"}, {"::1", "loopback"}, {"::2", "an IPv4-compatible address"}, {"::7f00:1", "an IPv4-compatible address"},
		{"::1:0:0", "not global unicast"},
		{"::ffff:127.0.0.1", "loopback"}, {"::ffff:10.1.2.3", "private"}, {"::ffff:169.254.169.254", "a cloud metadata address"}, {"::ffff:8.8.8.8", public},
		{"64:ff9b::7f00:1", "a NAT64 address"}, {"64:ff9b::808:808", "a NAT64 address"}, {"64:ff9b:1::1", "a local NAT64 address"},
		{"100::1", "not global unicast"},
		{"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "not global unicast"}, {"4000::", "not global unicast"},
		{"2001::1", "a Teredo address"}, {"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "a Teredo address"}, {"2001:1::1", "reserved"},
		{"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "reserved"}, {"2001:200::", public},
		{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", public}, {"2001:db8::", "for documentation"},
		{"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "for documentation"}, {"2001:db9::", public},
		{"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public}, {"2002:7f00:1::", "a 6to4 address"}, {"2002:808:808::", "a 6to4 address"}, {"2003::", public},
		{"2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", public}, {"2620:4f:8000::", "reserved"}, {"2620:4f:8001::", public},
		{"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", public}, {"3fff::", "for documentation"}, {"3fff:1000::", public},
		{"fc00::", "private"}, {"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "private"},
		{"fe00::", "not global unicast"}, {"fe80::1", "link-local"}, {"fe80::1%eth0", "link-local"}, {"febf::1", "link-local"}, {"fec0::1", "not global unicast"},
		{"ff02::1", "multicast"}, {"ff0e::1", "multicast"},
	}
	guard := NewGuard(Config{})
	for _, tt := range tests {
		t.Run(tt.addr, func(t *testing.T) {
			t.Parallel()
			err := guard.CheckAddr(netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 443))
			if tt.is == public {
				require.NoError(t, err)
				return
			}
			var denied *DestinationError
			require.ErrorAs(t, err, &denied)
			require.Equal(t, tt.is, denied.Reason)
		})
	}
}

// Nothing of the IANA special-purpose registries gets through, whether specialRanges names it or not.
func TestCheckAddr_CoversRegistries(t *testing.T) {
	t.Parallel()
	guard := NewGuard(Config{})
	for _, prefix := range append(append([]netip.Prefix{}, ssrf.IPv4DeniedPrefixes...), ssrf.IPv6DeniedPrefixes...) {
		for _, addr := range []netip.Addr{prefix.Addr(), lastOf(prefix)} {
			require.Error(t, guard.CheckAddr(netip.AddrPortFrom(addr, 443)), "%s of %s", addr, prefix)
		}
	}
}

func lastOf(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

func TestCheckAddr_Allowances(t *testing.T) {
	t.Parallel()
	networks := func(prefixes ...string) (cfg Config) {
		for _, prefix := range prefixes {
			cfg.AllowNetworks = append(cfg.AllowNetworks, netip.MustParsePrefix(prefix))
		}
		return cfg
	}
	dev := Config{AllowLoopbackHTTP: true}
	tests := []struct {
		name    string
		cfg     Config
		addr    string
		allowed bool
	}{
		{"inside an allowed network", networks("10.1.0.0/16"), "10.1.2.3", true},
		{"inside the second allowed network", networks("10.1.0.0/16", "fd00::/8"), "fd12::1", true},
		{"just outside an allowed network", networks("10.1.0.0/16"), "10.2.0.0", false},
		{"mapped form of an allowed address", networks("10.1.0.0/16"), "::ffff:10.1.2.3", true},
		{"with a zone", networks("fe80::/10"), "fe80::1%eth0", true},
		{"NAT64 allowed, public behind it", networks("64:ff9b::/96"), "64:ff9b::808:808", true},
		{"NAT64 allowed, loopback behind it", networks("64:ff9b::/96"), "64:ff9b::7f00:1", false},
		{"NAT64 and the network behind it allowed", networks("64:ff9b::/96", "10.0.0.0/8"), "64:ff9b::a00:1", true},
		{"loopback in development", dev, "127.0.0.1", true},
		{"IPv6 loopback in development", dev, "::1", true},
		{"mapped loopback in development", dev, "::ffff:127.0.0.1", true},
		{"private in development", dev, "192.168.1.1", false},
		{"metadata in development", dev, "169.254.169.254", false},
		{"plain http opens no address", Config{AllowHTTP: true}, "127.0.0.1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := NewGuard(tt.cfg).CheckAddr(netip.AddrPortFrom(netip.MustParseAddr(tt.addr), 443))
			require.Equal(t, tt.allowed, err == nil, "%v", err)
		})
	}
	require.Error(t, NewGuard(Config{}).CheckAddr(netip.AddrPort{}), "the zero address")
}
