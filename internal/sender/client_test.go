package sender

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// short is a timeout for exchanges that should reach it, long for those that should not.
const (
	short = 60 * time.Millisecond
	long  = 10 * time.Second
)

func newTestClient(t *testing.T, cfg Config) *Client {
	t.Helper()
	cfg.AllowLoopbackHTTP = true
	client := New(cfg)
	t.Cleanup(client.Close)
	return client
}

func receiver(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// rawReceiver hands each connection to serve, with its number counted from 1.
func rawReceiver(t *testing.T, serve func(number int, conn *net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var open sync.WaitGroup
	open.Go(func() {
		for number := 1; ; number++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(number, conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { _ = listener.Close(); open.Wait() })
	return "http://" + listener.Addr().String()
}

func TestPost_SendsTheRequestAsGiven(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks")
	})
	result := newTestClient(t, Config{UserAgent: "Posthorn/1"}).Post(t.Context(), Request{
		URL: url + "/hook?a=b", Body: []byte(`{"x":1}`), Timeout: long,
		Header: http.Header{"Content-Type": {"application/json"}, "Webhook-Id": {"msg_1"}, "Host": {"evil.example"}},
	})
	require.Equal(t, Received, result.Outcome)
	require.Equal(t, http.StatusAccepted, result.StatusCode)
	require.Empty(t, result.Error)
	require.Equal(t, "thanks", string(result.Body))
	require.False(t, result.BodyTruncated)
	require.Equal(t, "yes", result.Header.Get("X-Answer"))
	require.False(t, result.StartedAt.IsZero())
	require.Positive(t, result.Duration)

	require.Equal(t, http.MethodPost, got.Method)
	require.Equal(t, "/hook?a=b", got.RequestURI)
	require.JSONEq(t, `{"x":1}`, string(body))
	require.Equal(t, strings.TrimPrefix(url, "http://"), got.Host)
	require.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "Webhook-Id": {"msg_1"}, "User-Agent": {"Posthorn/1"}, "Content-Length": {"7"},
	}, got.Header, "and nothing else: no Accept-Encoding, no Idempotency-Key")
}

func TestPost_ClassifiesTheStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status  int
		outcome Outcome
		text    string
	}{
		{200, Received, ""},
		{201, Received, ""},
		{204, Received, ""},
		{299, Received, ""},
		{300, Failed, "300 Multiple Choices (redirects are not followed)"},
		{302, Failed, "302 Found (redirects are not followed)"},
		{304, Failed, "304 Not Modified (redirects are not followed)"},
		{308, Failed, "308 Permanent Redirect (redirects are not followed)"},
		{400, Failed, "400 Bad Request"},
		{410, Gone, "410 Gone"},
		{429, Failed, "429 Too Many Requests"},
		{500, Failed, "500 Internal Server Error"},
		{503, Failed, "503 Service Unavailable"},
		{599, Failed, "599"},
	}
	var followed atomic.Bool
	client := newTestClient(t, Config{})
	for _, tt := range tests {
		url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				followed.Store(true)
			}
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(tt.status)
		})
		result := client.Post(t.Context(), Request{URL: url, Timeout: long})
		require.Equal(t, tt.status, result.StatusCode)
		require.Equal(t, tt.outcome, result.Outcome, tt.status)
		require.Equal(t, tt.text, result.Error)
		if tt.status == 429 || tt.status == 503 {
			require.Equal(t, 7*time.Second, result.RetryAfter)
		} else {
			require.Zero(t, result.RetryAfter)
		}
	}
	require.False(t, followed.Load())
	require.Equal(t, []string{"failed", "received", "gone"}, []string{Failed.String(), Received.String(), Gone.String()})
}

func TestPost_ReadsRetryAfterDatesByItsClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	url := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "Sat, 21 Nov 2026 20:10:00 GMT")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	result := newTestClient(t, Config{Now: func() time.Time { return now }}).Post(t.Context(), Request{URL: url, Timeout: long})
	require.Equal(t, 10*time.Minute, result.RetryAfter)
	require.Equal(t, now, result.StartedAt)
}

func TestPost_TimesOutOnASilentReceiver(t *testing.T) {
	t.Parallel()
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: url, Timeout: short})
	require.Equal(t, Failed, result.Outcome)
	require.Equal(t, "timeout after 60ms", result.Error)
	require.Zero(t, result.StatusCode)
	require.False(t, result.Aborted)
	require.GreaterOrEqual(t, result.Duration, short)
}

func TestPost_UsesItsDefaultTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // no network: the clock jumps when all goroutines wait
		client := New(Config{AllowHTTP: true})
		client.plain.kept.DialContext = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, there) }()
			return here, nil
		}
		result := client.Post(t.Context(), Request{URL: "http://silent.test/"})
		require.Equal(t, "timeout after 15s", result.Error)
		require.Equal(t, DefaultTimeout, result.Duration)
	})
}

func TestPost_LimitsNameResolution(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := New(Config{Resolver: hangingResolver{}})
		result := client.Post(t.Context(), Request{URL: "https://slow.test/", Timeout: time.Second})
		require.Equal(t, "timeout after 1s", result.Error)
		require.Equal(t, time.Second, result.Duration)

		result = client.Post(t.Context(), Request{URL: "https://slow.test/"})
		require.Equal(t, "timeout while resolving the host name", result.Error)
		require.Equal(t, connectTimeout, result.Duration)
	})
}

// hangingResolver runs, but no server answers for the requested names.
type hangingResolver struct{}

func (hangingResolver) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	if host == canaryName {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	<-ctx.Done()
	return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
}

func TestPost_IsAbortedWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	result := newTestClient(t, Config{}).Post(ctx, Request{URL: url, Timeout: long})
	require.Equal(t, Local, result.Outcome)
	require.Equal(t, ReasonCanceled, result.Reason)
	require.True(t, result.Aborted)
	require.Equal(t, "canceled before the receiver answered", result.Error)
}

func TestPost_LetsTheStatusDecideOverADrippingBody(t *testing.T) {
	t.Parallel()
	url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		drip := time.NewTicker(short / 10)
		defer drip.Stop()
		for {
			_, _ = io.WriteString(w, ".")
			w.(http.Flusher).Flush()
			select {
			case <-drip.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: url, Timeout: short})
	require.Equal(t, Received, result.Outcome)
	require.Empty(t, result.Error)
	require.NotEmpty(t, result.Body)
	require.True(t, result.BodyTruncated)
	require.Less(t, result.Duration, long)
}

func TestPost_LetsTheStatusDecideOverABrokenBody(t *testing.T) {
	t.Parallel()
	url := rawReceiver(t, func(_ int, conn *net.TCPConn) {
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
	})
	result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: url, Timeout: long})
	require.Equal(t, Received, result.Outcome)
	require.Equal(t, "only this", string(result.Body))
	require.True(t, result.BodyTruncated)
}

func TestPost_KeepsALimitedBodyAndItsConnection(t *testing.T) {
	t.Parallel()
	const limit = DefaultResponseLimit
	tests := []struct {
		name      string
		size      int
		kept      int
		truncated bool
		reused    bool
	}{
		{"empty", 0, 0, false, true},
		{"to the limit", limit, limit, false, true},
		{"just over the limit", limit + 1, limit, true, true},
		{"a little more is drained", limit + drainLimit/2, limit, true, true},
		{"huge", 64 * drainLimit, limit, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			connections := map[string]bool{}
			url := receiver(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				connections[r.RemoteAddr] = true
				mu.Unlock()
				_, _ = w.Write(bytes.Repeat([]byte("x"), tt.size))
			})
			client := newTestClient(t, Config{})
			for range 2 {
				result := client.Post(t.Context(), Request{URL: url, Timeout: long})
				require.Equal(t, Received, result.Outcome)
				require.Len(t, result.Body, tt.kept)
				require.Equal(t, tt.truncated, result.BodyTruncated)
			}
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, tt.reused, len(connections) == 1)
		})
	}
}

// The receiver closes the connection in the moment the second POST arrives on it. The POST is made again, and both tries
// are reported.
func TestPost_ReplacesAConnectionThatTheReceiverClosed(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	var answered atomic.Int32
	url := rawReceiver(t, func(number int, conn *net.TCPConn) {
		connections.Store(int32(number))
		reader := bufio.NewReader(conn)
		for served := 0; ; served++ {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(r.Body)
			if number == 1 && served == 1 {
				return
			}
			answered.Add(1)
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		}
	})
	client := newTestClient(t, Config{})
	for i, body := range []string{"first", "second"} {
		result := client.Post(t.Context(), Request{URL: url, Body: []byte(body), Timeout: long})
		require.Equal(t, Received, result.Outcome, result.Error)
		require.Equal(t, body, string(result.Body))
		require.Len(t, result.Tries, 2*i)
		if i == 1 {
			require.Equal(t, result.StartedAt, result.Tries[0].StartedAt)
			require.False(t, result.Tries[1].StartedAt.Before(result.StartedAt))
			require.Equal(t, []string{"connection closed by the receiver without an answer", ""}, []string{result.Tries[0].Error, result.Tries[1].Error})
		}
	}
	require.EqualValues(t, 2, connections.Load())
	require.EqualValues(t, 2, answered.Load())
}

func TestPost_ReportsBrokenConnections(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		serve func(conn *net.TCPConn)
		text  string
	}{
		{"reset", func(conn *net.TCPConn) { _ = conn.SetLinger(0) }, "connection reset by the receiver"},
		{"closed", func(*net.TCPConn) {}, "connection closed by the receiver without an answer"},
		{"not HTTP", func(conn *net.TCPConn) { _, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.6\r\n\r\n") }, "the receiver did not answer in proper HTTP"},
		{"bad status line", func(conn *net.TCPConn) { _, _ = io.WriteString(conn, "HTTP/1.1 abc\r\n\r\n") }, "the receiver did not answer in proper HTTP"},
		{"endless headers", func(conn *net.TCPConn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
			line := "X-A: " + strings.Repeat("a", 1000) + "\r\n"
			for range 2 * maxResponseHeaderBytes / len(line) {
				if _, err := io.WriteString(conn, line); err != nil {
					return
				}
			}
		}, "response headers larger than 64 KiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			url := rawReceiver(t, func(_ int, conn *net.TCPConn) {
				r, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				tt.serve(conn)
			})
			result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: url, Body: []byte("{}"), Timeout: long})
			require.Equal(t, Failed, result.Outcome)
			require.Equal(t, tt.text, result.Error)
			require.Zero(t, result.StatusCode)
		})
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		url := "http://" + listener.Addr().String()
		require.NoError(t, listener.Close())
		result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: url, Timeout: long})
		require.Equal(t, "connection refused", result.Error)
	})
}

func TestPost_OverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it would report every handshake that should fail
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	port := server.Listener.Addr().(*net.TCPAddr).Port
	named := newNames(map[string]string{"wrong.test": "127.0.0.1", "example.com": "127.0.0.1"})

	t.Run("HTTP/2 with a trusted certificate", func(t *testing.T) {
		t.Parallel()
		client := newTestClient(t, Config{RootCAs: roots, Resolver: named})
		for range 2 {
			result := client.Post(t.Context(), Request{URL: fmt.Sprintf("https://example.com:%d/", port), Timeout: long})
			require.Equal(t, Received, result.Outcome, result.Error)
			require.Equal(t, "HTTP/2.0", string(result.Body))
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		t.Parallel()
		result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: server.URL, Timeout: long})
		require.Equal(t, Failed, result.Outcome)
		require.Equal(t, "TLS certificate is signed by an unknown authority", result.Error)
	})
	t.Run("wrong name", func(t *testing.T) {
		t.Parallel()
		client := newTestClient(t, Config{RootCAs: roots, Resolver: named})
		result := client.Post(t.Context(), Request{URL: fmt.Sprintf("https://wrong.test:%d/", port), Timeout: long})
		require.Equal(t, "TLS certificate is not valid for this host", result.Error)
	})
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		client := newTestClient(t, Config{RootCAs: roots})
		client.secure.kept.TLSClientConfig.Time = func() time.Time { return server.Certificate().NotAfter.Add(time.Hour) }
		result := client.Post(t.Context(), Request{URL: server.URL, Timeout: long})
		require.Equal(t, "TLS certificate has expired or is not yet valid", result.Error)
	})
	t.Run("protocol too old", func(t *testing.T) {
		t.Parallel()
		old := httptest.NewUnstartedServer(http.NotFoundHandler())
		old.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		old.Config.ErrorLog = server.Config.ErrorLog
		old.StartTLS()
		t.Cleanup(old.Close)
		result := newTestClient(t, Config{RootCAs: roots}).Post(t.Context(), Request{URL: old.URL, Timeout: long})
		require.Equal(t, "TLS handshake failed: protocol version not supported", result.Error)
	})
	t.Run("plain http behind https", func(t *testing.T) {
		t.Parallel()
		url := receiver(t, func(http.ResponseWriter, *http.Request) {})
		result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: "https" + strings.TrimPrefix(url, "http"), Timeout: long})
		require.Equal(t, "the receiver answered https with plain http", result.Error)
	})
	t.Run("no TLS at all", func(t *testing.T) {
		t.Parallel()
		url := rawReceiver(t, func(_ int, conn *net.TCPConn) {
			_, _ = io.WriteString(conn, "220 mail.example ESMTP ready\r\n")
			_, _ = io.Copy(io.Discard, conn)
		})
		result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: "https" + strings.TrimPrefix(url, "http"), Timeout: long})
		require.Equal(t, "the receiver does not speak TLS on this port", result.Error)
	})
}

func TestPost_ChecksTheDialledAddress(t *testing.T) {
	t.Parallel()
	documentation := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	resolver := newNames(map[string]string{
		"internal.test": "10.0.0.1", "loopback.test": "127.0.0.1", "metadata.test": "::ffff:169.254.169.254", "elsewhere.test": "203.0.113.1",
	})
	tests := []struct {
		name string
		cfg  Config
		url  string
		text string
	}{
		{"literal", Config{}, "https://10.0.0.1/", "destination not allowed: the host's address is private"},
		{"name", Config{}, "https://internal.test/", "destination not allowed: the host's address is private"},
		{"mapped", Config{}, "https://metadata.test/", "destination not allowed: the host's address is a cloud metadata address"},
		{"loopback", Config{}, "https://loopback.test/", "destination not allowed: the host's address is loopback"},
		{"localhost", Config{}, "https://localhost/", "destination not allowed: the host's address is loopback"},
		{"loopback, http allowed", Config{AllowHTTP: true}, "http://127.0.0.1/", "destination not allowed: the host's address is loopback"},
		{"http", Config{}, "http://loopback.test/", "destination not allowed: the URL must be https"},
		{"http, private, in development", Config{AllowLoopbackHTTP: true}, "http://internal.test/", "destination not allowed: the host's address is private"},
		{
			"http, allowed network, in development",
			Config{AllowLoopbackHTTP: true, AllowNetworks: documentation},
			"http://elsewhere.test/", "destination not allowed: plain http is allowed to loopback addresses only",
		},
		{"credentials", Config{}, "https://user:secret@example.com/", "destination not allowed: the URL must not contain credentials"},
		{"not a URL", Config{}, "https://exa mple.com/?token=secret", "destination not allowed: it is not a valid URL"},
		{"unresolvable", Config{}, "https://absent.test/?token=secret", "no such host: absent.test"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Resolver = resolver
			client := New(tt.cfg)
			t.Cleanup(client.Close)
			result := client.Post(t.Context(), Request{URL: tt.url, Timeout: long, Header: http.Header{"X-Secret": {"secret"}}})
			require.Equal(t, Failed, result.Outcome)
			require.Equal(t, tt.text, result.Error)
		})
	}
}

// A name that was public at registration and is private when dialled ("DNS rebinding") is caught.
func TestPost_IsNotFooledByRebinding(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	resolver := newNames(map[string]string{"rebind.test": "93.184.215.14"})
	client := New(Config{Resolver: resolver, Now: func() time.Time { return now }})
	t.Cleanup(client.Close)
	_, err := client.Guard().CheckURL(t.Context(), "https://rebind.test/")
	require.NoError(t, err)
	now = now.Add(nameTTL)
	resolver.set("rebind.test", "127.0.0.1")
	result := client.Post(t.Context(), Request{URL: "https://rebind.test/", Timeout: long})
	require.Equal(t, "destination not allowed: the host's address is loopback", result.Error)
}

func TestPost_RefusesBadHeaders(t *testing.T) {
	t.Parallel()
	var called atomic.Bool
	url := receiver(t, func(http.ResponseWriter, *http.Request) { called.Store(true) })
	result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: url, Header: http.Header{"X-A": {"secret\n"}}, Timeout: long})
	require.Equal(t, "invalid value of request header X-A", result.Error)
	require.False(t, called.Load())
}

func TestPost_ClientUsesNoProxy(t *testing.T) {
	t.Parallel()
	client := New(Config{})
	require.Nil(t, client.secure.kept.Proxy)
	require.Nil(t, client.plain.kept.Proxy)
}

func TestPost_FailureTextShowsNothingInternal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		text string
	}{
		{"unknown", errors.New("secret"), "the request failed"},
		{"unreachable", &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, "the receiver's network cannot be reached"},
		{"no network", &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}, "the receiver's network cannot be reached"},
		{"DNS server", &net.DNSError{Err: "server misbehaving", Server: "10.9.9.9:53", Name: "a.test"}, "the host name cannot be resolved"},
		{"connecting", &net.OpError{Op: "dial", Err: context.DeadlineExceeded}, "timeout while connecting"},
		{"local TLS", errors.New("tls: server selected unsupported protocol version 301"), "TLS handshake failed"},
		{"other certificate error", &tls.CertificateVerificationError{Err: errors.New("secret")}, "TLS certificate is not valid"},
		{"constraint", x509.CertificateInvalidError{Reason: x509.TooManyIntermediates}, "TLS certificate is not valid"},
		{"HTTP/2", errors.New("stream error: stream ID 1; PROTOCOL_ERROR"), "the receiver did not answer in proper HTTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.text, failureText(tt.err, nil, long))
		})
	}
}
