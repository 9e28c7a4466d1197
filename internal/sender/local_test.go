package sender

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

const (
	v4 = "93.184.215.14"
	v6 = "2606:4700:4700::1111"
)

func dialError(address string, errno error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 443},
		Err: os.NewSyscallError("connect", errno)}
}

func TestLocalFailure_WhoseFailureItIs(t *testing.T) {
	t.Parallel()
	all := func(netip.AddrPort) bool { return true }
	none := func(netip.AddrPort) bool { return false }
	onlyIPv4 := func(ap netip.AddrPort) bool { return ap.Addr().Is4() }
	const receivers Reason = ""
	tests := []struct {
		name   string
		err    error
		routed func(netip.AddrPort) bool
		want   Reason
	}{
		{"descriptors of the process", &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, all, ReasonFileDescriptors},
		{"descriptors of the machine", dialError(v4, syscall.ENFILE), all, ReasonFileDescriptors},
		{"too many links, which is no descriptor", dialError(v4, syscall.EMLINK), all, receivers},
		{"buffers", dialError(v4, syscall.ENOBUFS), all, ReasonMemory},
		{"memory", dialError(v4, syscall.ENOMEM), all, ReasonMemory},
		{"buffers while writing", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.ENOBUFS)}, all, ReasonMemory},
		{"ports", dialError(v4, syscall.EADDRNOTAVAIL), all, ReasonPorts},
		{"ports, as EAGAIN", dialError(v4, syscall.EAGAIN), all, ReasonPorts},
		{"EAGAIN while reading", &net.OpError{Op: "read", Err: syscall.EAGAIN}, all, receivers},
		{"port of this side in use", dialError(v4, syscall.EADDRINUSE), all, receivers},
		{"ports of IPv6", dialError(v6, syscall.EADDRNOTAVAIL), all, ReasonPorts},
		{"no IPv6 address here", dialError(v6, syscall.EADDRNOTAVAIL), onlyIPv4, receivers},
		{"interface down", dialError(v4, syscall.ENETDOWN), all, ReasonNetwork},
		{"interface down under a connection", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ENETDOWN)}, all, ReasonNetwork},
		{"no route", dialError(v4, syscall.ENETUNREACH), none, ReasonNetwork},
		{"no route, as EHOSTUNREACH", dialError(v4, syscall.EHOSTUNREACH), none, ReasonNetwork},
		{"no route to IPv6 either", dialError(v6, syscall.ENETUNREACH), none, ReasonNetwork},
		{"no IPv6 here", dialError(v6, syscall.ENETUNREACH), onlyIPv4, receivers},
		{"no IPv4 here", dialError(v4, syscall.ENETUNREACH), func(ap netip.AddrPort) bool { return ap.Addr().Is6() }, ReasonNetwork},
		{"a router has no route", dialError(v4, syscall.ENETUNREACH), all, receivers},
		{"a router does not find the host", dialError(v4, syscall.EHOSTUNREACH), all, receivers},
		{"host down", dialError(v4, syscall.EHOSTDOWN), all, receivers},
		{"refused", dialError(v4, syscall.ECONNREFUSED), none, receivers},
		{"reset", &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, none, receivers},
		{"broken pipe", &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}, none, receivers},
		{"aborted", dialError(v4, syscall.ECONNABORTED), none, receivers},
		{"timeout", dialError(v4, syscall.ETIMEDOUT), none, receivers},
		{"timeout of the dialer", dialError(v4, context.DeadlineExceeded), none, receivers},
		{"closed", io.EOF, none, receivers},
		{"refused by the guard", &net.OpError{Op: "dial", Err: &DestinationError{Reason: "private"}}, none, receivers},
		{"certificate", x509.UnknownAuthorityError{}, none, receivers},
		{"no certificate authorities here", x509.SystemRootsError{Err: syscall.EMFILE}, all, ReasonCertificates},
		{"descriptors for a look-up", &net.DNSError{Err: "dial udp 10.0.0.2:53: socket: too many open files", IsTemporary: true}, all, ReasonFileDescriptors},
		{"memory for a look-up", &net.DNSError{Err: "dial udp 10.0.0.2:53: socket: cannot allocate memory"}, all, ReasonMemory},
		{"a name that ends alike", &net.DNSError{Err: "no such host", Name: "too many open files", IsNotFound: true}, all, receivers},
		{"no such host", &net.DNSError{Err: "no such host", IsNotFound: true}, none, receivers},
		{"unknown", errors.New("EMFILE"), none, receivers},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, localReason(tt.err, tt.routed))
			require.Equal(t, tt.want, localReason(fmt.Errorf("wrapped: %w", tt.err), tt.routed))
		})
	}
}

func TestLocalFailure_PostChargesItsOwnFailuresToNobody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		err     error
		outcome Outcome
		reason  Reason
		text    string
	}{
		{"ours", dialError(v4, syscall.EMFILE), Local, ReasonFileDescriptors, localText},
		{"the receiver's", dialError(v4, syscall.ECONNREFUSED), Failed, "", "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := newTestClient(t, Config{AllowHTTP: true})
			client.plain.kept.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, tt.err }
			result := client.Post(t.Context(), Request{URL: "http://receiver.test/", Timeout: long})
			require.Equal(t, tt.outcome, result.Outcome)
			require.Equal(t, tt.reason, result.Reason)
			require.Equal(t, tt.text, result.Error)
			require.Zero(t, result.StatusCode)
			require.False(t, result.Aborted)
		})
	}
}

// A receiver with several addresses is not charged if this machine lacked a resource to try one of them.
func TestLocalFailure_DialPrefersItsOwnFailure(t *testing.T) {
	t.Parallel()
	refused, shortage := dialError("192.0.2.1", syscall.ECONNREFUSED), dialError("192.0.2.2", syscall.EMFILE)
	say := func(err error) func(context.Context) (net.Conn, error) {
		return func(context.Context) (net.Conn, error) { return nil, err }
	}
	for name, addrs := range map[string][2]string{"one family": {"192.0.2.1", "192.0.2.2"}, "two families": {"192.0.2.1", "2001:db8::1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first, second := netip.MustParseAddr(addrs[0]), netip.MustParseAddr(addrs[1])
			for _, order := range [][2]error{{refused, shortage}, {shortage, refused}} {
				cache := newNameCache(newNames(map[string]string{"host.test": addrs[0] + " " + addrs[1]}), nil)
				fake := network{netip.AddrPortFrom(first, 443).String(): say(order[0]), netip.AddrPortFrom(second, 443).String(): say(order[1])}
				_, err := (&dialer{names: cache, connect: fake.connect}).dial(t.Context(), "tcp", "host.test:443")
				require.Equal(t, shortage, err)
			}
		})
	}
}

func TestLocalFailure_HasRoute(t *testing.T) {
	t.Parallel()
	require.True(t, hasRoute(netip.MustParseAddrPort("127.0.0.1:9")))
}

// lookups is a resolver that fails in its own way for each name.
type lookups struct {
	byName map[string]func(ctx context.Context) error
	asked  atomic.Int64 // for canaryName
}

func (l *lookups) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if host == canaryName {
		l.asked.Add(1)
	}
	return nil, l.byName[host](ctx)
}

func silent(ctx context.Context) error {
	<-ctx.Done()
	return &net.DNSError{Err: "i/o timeout", IsTimeout: true}
}

func dns(e net.DNSError) func(context.Context) error {
	return func(context.Context) error { return &e }
}

var (
	notFound    = dns(net.DNSError{Err: "no such host", IsNotFound: true})
	servfail    = dns(net.DNSError{Err: "server misbehaving", IsTemporary: true})
	dnsRefused  = dns(net.DNSError{Err: "read udp 127.0.0.1:4711->127.0.0.1:53: read: connection refused"})
	dnsNoRoute  = dns(net.DNSError{Err: "dial udp 10.0.0.2:53: connect: network is unreachable"})
	dnsTryAgain = dns(net.DNSError{Err: "Temporary failure in name resolution", IsTemporary: true}) // from cgo
)

func TestLocalFailure_AResolverThatIsDown(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		host, canary func(context.Context) error
		timeout      time.Duration
		want         Reason
		text         string
	}{
		{"refused", dnsRefused, dnsRefused, long, ReasonResolver, localText},
		{"without a route", dnsNoRoute, dnsNoRoute, long, ReasonResolver, localText},
		{"refused by the last server, another is up", dnsRefused, notFound, long, "", "the host name cannot be resolved"},
		{"silent", silent, silent, 15 * time.Second, ReasonResolver, localText},
		{"silent, in a short exchange", silent, silent, time.Second, ReasonResolver, localText},
		{"silent for this name only", silent, notFound, 15 * time.Second, "", "timeout while resolving the host name"},
		{"silent for this name only, in a short exchange", silent, notFound, time.Second, "", "timeout after 1s"},
		{"silent for this name, fails for all", silent, servfail, 15 * time.Second, "", "timeout while resolving the host name"},
		{"try again", dnsTryAgain, dnsTryAgain, long, ReasonResolver, localText},
		{"try again for this name only", dnsTryAgain, notFound, long, "", "the host name cannot be resolved"},
		{"SERVFAIL is an answer", servfail, silent, long, "", "the host name cannot be resolved"},
		{"no such host is an answer", notFound, silent, long, "", "no such host: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := New(Config{Resolver: &lookups{byName: map[string]func(context.Context) error{"host.test": tt.host, canaryName: tt.canary}}})
				result := client.Post(t.Context(), Request{URL: "https://host.test/", Timeout: tt.timeout})
				require.Equal(t, tt.want, result.Reason)
				require.Equal(t, tt.text, result.Error)
				require.Equal(t, tt.want != "", result.Outcome == Local)
				require.LessOrEqual(t, result.Duration, tt.timeout+canaryPatience)
				synctest.Wait()
				time.Sleep(connectTimeout) // for look-ups that still run, before the bubble ends
			})
		})
	}
}

// However many look-ups fail, the resolver is checked once for all of them, and again when that result is old.
func TestLocalFailure_TheCanaryIsAskedOnceForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answer := dnsRefused
		resolver := &lookups{byName: map[string]func(context.Context) error{"host.test": dnsRefused,
			canaryName: func(ctx context.Context) error { time.Sleep(time.Second); return answer(ctx) }}}
		client := New(Config{Resolver: resolver})
		posts := func(want Outcome) {
			t.Helper()
			for range 100 {
				go func() {
					if got := client.Post(t.Context(), Request{URL: "https://host.test/"}); got.Outcome != want {
						t.Errorf("%+v", got)
					}
				}()
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		posts(Local)
		require.EqualValues(t, 1, resolver.asked.Load())
		time.Sleep(canaryDownFor - time.Nanosecond)
		answer = notFound
		posts(Local)
		require.EqualValues(t, 1, resolver.asked.Load(), "down is believed for a while")
		posts(Failed)
		require.EqualValues(t, 2, resolver.asked.Load())
		time.Sleep(canaryUpFor)
		posts(Failed)
		require.EqualValues(t, 3, resolver.asked.Load(), "up is not believed for long")
	})
}

// net.Resolver's errors for real name servers are those that unansweredLookup expects.
func TestLocalFailure_RealNameServers(t *testing.T) {
	t.Parallel()
	through := func(server string) Config {
		return Config{Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "udp", server)
		}}}
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		result := newTestClient(t, through(conn.LocalAddr().String())).Post(t.Context(), Request{URL: "https://host.test/", Timeout: long})
		require.Equal(t, Local, result.Outcome, result.Error)
		require.Equal(t, ReasonResolver, result.Reason)
	})
	for name, code := range map[string]dnsmessage.RCode{"SERVFAIL": dnsmessage.RCodeServerFailure, "REFUSED": dnsmessage.RCodeRefused, "NXDOMAIN": dnsmessage.RCodeNameError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := newTestClient(t, through(nameServer(t, code))).Post(t.Context(), Request{URL: "https://host.test/", Timeout: long})
			require.Equal(t, Failed, result.Outcome, result.Error)
			require.Empty(t, result.Reason)
		})
	}
}

// nameServer answers everything with code.
func nameServer(t *testing.T, code dnsmessage.RCode) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil {
				continue
			}
			m.Response, m.RCode, m.Additionals = true, code, nil
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

func TestLocalFailure_Host(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://Receiver.Example:8443/path?token=x": "receiver.example:8443",
		"https://receiver.example.":                  "receiver.example",
		"http://[2001:DB8::1]:80/":                   "[2001:db8::1]:80",
		"http://127.0.0.1/":                          "127.0.0.1",
		"nonsense":                                   "",
		"https://%zz/":                               "",
	} {
		require.Equal(t, want, Host(url), url)
	}
}

func TestLocalFailure_IdleConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	client := newTestClient(t, Config{MaxIdleConns: 7})
	for _, transport := range []*http.Transport{client.secure.kept, client.secure.single, client.plain.kept, client.plain.single} {
		require.Equal(t, 7, transport.MaxIdleConns)
		require.Equal(t, 7, transport.MaxIdleConnsPerHost)
	}
}
