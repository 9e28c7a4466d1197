package sender

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// network is a fake of everything below the dialer: the result at each address.
type network map[string]func(ctx context.Context) (net.Conn, error)

func (n network) connect(ctx context.Context, _, address string) (net.Conn, error) {
	return n[address](ctx)
}

func answers(context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	_ = there.Close()
	return here, nil
}

func hangs(ctx context.Context) (net.Conn, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func fails(text string) func(context.Context) (net.Conn, error) {
	return func(context.Context) (net.Conn, error) { return nil, errors.New(text) }
}

func TestDialer_Dial(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		addrs   string
		network network
		err     string
	}{
		{"only address", "192.0.2.1", network{"192.0.2.1:443": answers}, ""},
		{"second address of a family", "192.0.2.1 192.0.2.2", network{"192.0.2.1:443": fails("one"), "192.0.2.2:443": answers}, ""},
		{"second family after the first hangs", "2001:db8::1 192.0.2.1", network{"[2001:db8::1]:443": hangs, "192.0.2.1:443": answers}, ""},
		{"second family after the first fails", "2001:db8::1 192.0.2.1", network{"[2001:db8::1]:443": fails("one"), "192.0.2.1:443": answers}, ""},
		{"first family though the second fails", "192.0.2.1 2001:db8::1", network{"192.0.2.1:443": answers, "[2001:db8::1]:443": fails("two")}, ""},
		{"both fail", "192.0.2.1 2001:db8::1", network{"192.0.2.1:443": fails("one"), "[2001:db8::1]:443": fails("two")}, "one"},
		{"all of one family fail", "192.0.2.1 192.0.2.2", network{"192.0.2.1:443": fails("one"), "192.0.2.2:443": fails("two")}, "one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cache := newNameCache(newNames(map[string]string{"host.test": tt.addrs}), nil)
			d := &dialer{names: cache, connect: tt.network.connect}
			conn, err := d.dial(t.Context(), "tcp", "host.test:443")
			if tt.err != "" {
				require.EqualError(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		})
	}
}

func TestDialer_StopsWithItsContext(t *testing.T) {
	t.Parallel()
	cache := newNameCache(newNames(map[string]string{"host.test": "192.0.2.1 192.0.2.2"}), nil)
	d := &dialer{names: cache, connect: network{"192.0.2.1:443": hangs, "192.0.2.2:443": answers}.connect}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.dial(ctx, "tcp", "host.test:443")
	require.ErrorIs(t, err, context.Canceled)
}

func TestDialer_RefusesWhatItCannotParse(t *testing.T) {
	t.Parallel()
	d := newDialer(newNameCache(newNames(nil), nil), nil)
	for _, address := range []string{"host.test", "host.test:http", "host.test:65536"} {
		_, err := d.dial(t.Context(), "tcp", address)
		require.Error(t, err, address)
	}
}

func TestDialer_NameCache(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	resolver := newNames(map[string]string{"host.test": "192.0.2.1"})
	cache := newNameCache(resolver, clock)

	lookup := func() netip.Addr {
		addrs, err := cache.lookup(t.Context(), "host.test")
		require.NoError(t, err)
		require.Len(t, addrs, 1)
		return addrs[0]
	}
	first := lookup()
	resolver.set("host.test", "192.0.2.2")
	pass(nameTTL - 1)
	require.Equal(t, first, lookup(), "still fresh")
	require.Equal(t, 1, resolver.asked)
	pass(1)
	require.Equal(t, netip.MustParseAddr("192.0.2.2"), lookup(), "asked again")

	resolver.set("host.test", "192.0.2.3")
	cache.forget("host.test")
	require.Equal(t, netip.MustParseAddr("192.0.2.3"), lookup(), "forgotten")

	_, err := cache.lookup(t.Context(), "absent.test")
	require.Error(t, err)
	asked := resolver.asked
	_, err = cache.lookup(t.Context(), "absent.test")
	require.Error(t, err)
	require.Equal(t, asked+1, resolver.asked, "failures are not remembered")
}

func TestDialer_NameCacheIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	cache := newNameCache(newNames(nil), func() time.Time { return now })
	for i := range maxNames - 1 {
		cache.remember(strconv.Itoa(i), loopbackAddrs)
	}
	now = now.Add(nameTTL)
	cache.remember("fresh", loopbackAddrs)
	cache.remember("newer", loopbackAddrs)
	require.Len(t, cache.answers, 2, "the expired go first")
	for i := range maxNames {
		cache.remember(strconv.Itoa(i), loopbackAddrs)
	}
	require.LessOrEqual(t, len(cache.answers), maxNames)
}
