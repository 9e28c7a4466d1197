package sender

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The timeouts of exchanges that reach them: hung when no status comes, and slow when one comes first.
const (
	hung = 100 * time.Millisecond
	slow = 400 * time.Millisecond
)

// liar is a receiver that misbehaves, and the true record of it.
type liar struct {
	name    string
	serve   func(c *lie) // after the request has been read; the connection is closed when it returns
	timeout time.Duration
	status  int
	error   string // of the result; may be cut at the end
	body    string // the stored part of the body begins so
	cut     bool   // BodyTruncated
	tries   int    // 0 = one
	after   time.Duration
	early   bool // serve does not wait for the request
	request int  // bytes of the request's body; default a few
}

// lie is one connection of a liar.
type lie struct {
	net.Conn
	*bufio.Reader
	tcp   *net.TCPConn
	wrote *atomic.Int64
	over  chan struct{} // closed when the exchange has ended
}

func (c *lie) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func (c *lie) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.wrote.Add(int64(n))
	return n, err
}

func (c *lie) say(text string) { _, _ = io.WriteString(c, text) }

// wait returns when the client has closed the connection.
func (c *lie) wait() { _, _ = io.Copy(io.Discard, c.Reader) }

// flood writes text until the client closes the connection.
func (c *lie) flood(text string) {
	chunk := []byte(strings.Repeat(text, max(1, 4096/len(text))))
	for {
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}

// drip writes text slowly, until the client closes the connection.
func (c *lie) drip(text string) {
	tick := time.NewTicker(hung / 20)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(c, text); err != nil {
			return
		}
		<-tick.C
	}
}

// says sends text and ends, as most liars do.
func says(text string) func(*lie) { return func(c *lie) { c.say(text) } }

// holds sends text and keeps the connection open.
func holds(text string) func(*lie) {
	return func(c *lie) {
		c.say(text)
		c.wait()
	}
}

func floods(head, text string) func(*lie) {
	return func(c *lie) {
		c.say(head)
		c.flood(text)
	}
}

func drips(head, text string) func(*lie) {
	return func(c *lie) {
		c.say(head)
		c.drip(text)
	}
}

// most is how much a liar may make this process read, into its memory or from the network.
const most = 40 << 20

// Every exchange with a liar ends in time, in bounded memory, without a goroutine left behind and with a true record.
func TestLyingReceivers_EndInTimeAndInBoundedMemory(t *testing.T) { //nolint:tparallel // memory and goroutines are counted
	var all []liar
	groups := map[string][]liar{"HTTP 1": http1Liars, "HTTP 2": http2Liars(), "TLS": tlsLiars(t)}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		all = append(all, groups[name]...)
	}
	require.Greater(t, len(all), 100)
	before := runtime.NumGoroutine()
	for _, protocol := range slices.Sorted(maps.Keys(groups)) {
		for _, l := range groups[protocol] {
			t.Run(protocol+"/"+l.name, func(t *testing.T) { l.meet(t, protocol) })
		}
	}
	if !assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, long, 10*time.Millisecond) { // Eventually has one
		stacks := make([]byte, 1<<20)
		t.Fatalf("goroutines are left behind: %s", stacks[:runtime.Stack(stacks, true)])
	}
}

// meet makes one exchange with the liar.
func (l *liar) meet(t *testing.T, protocol string) {
	var wrote atomic.Int64
	over := make(chan struct{})
	url := rawReceiver(t, func(_ int, conn *net.TCPConn) {
		c := &lie{Conn: conn, Reader: bufio.NewReader(conn), tcp: conn, wrote: &wrote, over: over}
		if protocol != "HTTP 1" {
			l.serve(c)
			return
		}
		if !l.early {
			r, err := http.ReadRequest(c.Reader)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
		}
		l.serve(c)
	})
	t.Cleanup(func() { close(over) }) // runs before rawReceiver's, which waits for the connections
	cfg := Config{RootCAs: liarRoots.pool, Resolver: newNames(map[string]string{"liar.test": "127.0.0.1", "other.test": "127.0.0.1"})}
	if protocol != "HTTP 1" {
		url = "https://liar.test" + url[strings.LastIndexByte(url, ':'):]
	}
	client := newTestClient(t, cfg)
	client.secure.kept.IdleConnTimeout, client.plain.kept.IdleConnTimeout = hung, hung
	timeout := l.timeout
	if timeout == 0 {
		timeout = long
	}
	body := []byte(`{"n":1}` + strings.Repeat(" ", l.request))
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	began := memory.TotalAlloc

	result := client.Post(t.Context(), Request{URL: url + "/hook?token=secret", Body: body, Timeout: timeout, Header: http.Header{"X-Key": {"secret"}}})

	runtime.ReadMemStats(&memory)
	require.Less(t, memory.TotalAlloc-began, uint64(most), "memory")
	require.Less(t, wrote.Load(), int64(most), "bytes taken from the receiver")
	require.Less(t, result.Duration, timeout+long/2)
	require.Equal(t, l.status, result.StatusCode, "%s", result.Error)
	if l.error == closedText && result.Error == resetText { // which of the two comes is a race if the receiver has not read everything
		result.Error = closedText
	}
	require.Equal(t, l.error, result.Error)
	require.Equal(t, outcomeOfRecord(l.status), result.Outcome)
	require.Equal(t, l.after, result.RetryAfter)
	require.Equal(t, l.cut, result.BodyTruncated)
	require.True(t, strings.HasPrefix(string(result.Body), l.body), "%q", result.Body)
	require.LessOrEqual(t, len(result.Body), DefaultResponseLimit)
	require.Len(t, result.Tries, l.tries)
	require.NotContains(t, fmt.Sprint(result.Error, result.Tries), "secret")
	kept := 0
	for name, values := range result.Header {
		for _, value := range values {
			require.True(t, utf8.ValidString(name+value))
			kept += len(name) + len(value)
		}
	}
	require.LessOrEqual(t, kept, maxResponseHeaderBytes)
}

func outcomeOfRecord(status int) Outcome {
	if status == 0 {
		return Failed
	}
	return outcomeOf(status)
}

// secured speaks TLS with the liar's certificate, HTTP/2 if protos has it.
func secured(c *lie, protos ...string) (*tls.Conn, error) {
	conn := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{liarRoots.good}, NextProtos: protos})
	return conn, conn.Handshake()
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
