package devserver

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddresses_ReserveFindsAPortForEachPart(t *testing.T) {
	t.Parallel()

	let := 0
	for range 5 { // another process may take one of them in between
		a, err := reserve(t.Context(), Options{TemporalAddr: "127.0.0.1:0", UIAddr: "127.0.0.1:0"})
		require.NoError(t, err)
		seen := map[netip.AddrPort]bool{}
		free := true
		for _, addr := range []netip.AddrPort{a.frontend, a.history, a.matching, a.worker, a.ui} {
			require.NotZero(t, addr.Port())
			require.False(t, seen[addr], "%s given twice", addr)
			seen[addr] = true
			l, err := net.Listen("tcp", addr.String())
			if free = free && err == nil; err == nil {
				require.NoError(t, l.Close())
			}
		}
		if free {
			let++
		}
	}
	require.NotZero(t, let, "they are let go for the server to bind")

	a, err := reserve(t.Context(), Options{TemporalAddr: "localhost:0"})
	require.NoError(t, err)
	require.True(t, a.frontend.Addr().IsLoopback(), "a name is resolved")
	require.False(t, a.ui.IsValid(), "none was asked for")
}

func TestAddresses_Dialable(t *testing.T) {
	t.Parallel()

	for listener, want := range map[string]string{
		"127.0.0.1:7233": "127.0.0.1:7233",
		"192.0.2.7:7233": "192.0.2.7:7233",
		"[::1]:7233":     "[::1]:7233",
		"0.0.0.0:7233":   "127.0.0.1:7233",
		"[::]:7233":      "127.0.0.1:7233",
	} {
		require.Equal(t, want, dialable(netip.MustParseAddrPort(listener)))
	}
}
