package sender

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// discarded counts unrequested data.
var discarded atomic.Int64

// wire counts the connections and requests at a receiver.
type wire struct{ connections, posts atomic.Int32 }

// overTLS is a receiver that hands each connection to serve, and the URL that leads to it.
func (w *wire) overTLS(t *testing.T, serve func(*lie)) string {
	t.Helper()
	url := rawReceiver(t, func(_ int, conn *net.TCPConn) {
		w.connections.Add(1)
		serve(&lie{Conn: conn, Reader: bufio.NewReader(conn), tcp: conn, wrote: &discarded})
	})
	return "https://liar.test" + url[strings.LastIndexByte(url, ':'):]
}

func tlsClient(t *testing.T) *Client {
	t.Helper()
	return newTestClient(t, Config{RootCAs: liarRoots.pool, Resolver: newNames(map[string]string{"liar.test": "127.0.0.1"})})
}

// One attempt makes at most two tries on the wire, whatever the receiver says over HTTP/2.
func TestPostRetry_IsSentTwiceAtMost(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(c *h2lie){
		"GOAWAY":         func(c *h2lie) { _ = c.WriteGoAway(0, http2.ErrCodeNo, nil); _ = c.Close() },
		"GOAWAY, open":   func(c *h2lie) { _ = c.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"REFUSED_STREAM": func(c *h2lie) { _ = c.WriteRSTStream(c.stream, http2.ErrCodeRefusedStream) },
		"both": func(c *h2lie) {
			_ = c.WriteRSTStream(c.stream, http2.ErrCodeRefusedStream)
			_ = c.WriteGoAway(0, http2.ErrCodeNo, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var w wire
			url := w.overTLS(t, overHTTP2(func(c *h2lie) { w.posts.Add(1); refuse(c) }))
			client := tlsClient(t)
			for n := range int32(3) {
				result := client.Post(t.Context(), Request{URL: url, Body: []byte("{}"), Timeout: long})
				require.Equal(t, Failed, result.Outcome)
				require.LessOrEqual(t, w.posts.Load(), 2*(n+1)) // a try may find that its connection has ended
				require.Greater(t, w.posts.Load(), n)
				require.LessOrEqual(t, w.connections.Load(), 2*(n+1))
				require.Len(t, result.Tries, 2)
				require.Equal(t, result.StartedAt, result.Tries[0].StartedAt)
				require.Equal(t, result.Error, result.Tries[1].Error)
				require.Contains(t, []string{goAwayText, refusedText}, result.Tries[0].Error)
			}
		})
	}
}

// A receiver that never lets a request begin gets no more connections for one attempt than a few, and no request.
func TestPostRetry_BoundsItsConnections(t *testing.T) {
	t.Parallel()
	var w wire
	url := w.overTLS(t, func(l *lie) {
		conn, err := secured(l, "h2")
		if err != nil {
			return
		}
		framer := http2.NewFramer(conn, nil)
		_ = framer.WriteSettings()
		_ = framer.WriteGoAway(0, http2.ErrCodeNo, nil)
	})
	result := tlsClient(t).Post(t.Context(), Request{URL: url, Body: []byte("{}"), Timeout: long})
	require.Equal(t, Failed, result.Outcome)
	require.NotEmpty(t, result.Error)
	require.LessOrEqual(t, w.connections.Load(), int32(maxDials))
	require.LessOrEqual(t, len(result.Tries), 2)
}

// A new connection that is closed without an answer is a failure, because the receiver may have processed the request.
func TestPostRetry_IsSentOnceOnANewConnection(t *testing.T) {
	t.Parallel()
	var posts atomic.Int32
	url := rawReceiver(t, func(_ int, conn *net.TCPConn) {
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			posts.Add(1)
		}
	})
	result := newTestClient(t, Config{}).Post(t.Context(), Request{URL: url, Body: []byte("{}"), Timeout: long})
	require.Equal(t, closedText, result.Error)
	require.EqualValues(t, 1, posts.Load())
	require.Nil(t, result.Tries)
}

// After an idle connection that was closed, no other idle one is tried: a receiver that was restarted has closed them all.
func TestPostRetry_IsSentAgainOnANewConnection(t *testing.T) {
	t.Parallel()
	const idle = 5
	var opened sync.WaitGroup
	opened.Add(idle)
	var posts atomic.Int32
	url := rawReceiver(t, func(number int, conn *net.TCPConn) {
		reader := bufio.NewReader(conn)
		for served := 0; ; served++ {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			posts.Add(1)
			if number <= idle && served == 1 {
				return
			}
			if number <= idle {
				opened.Done()
				opened.Wait()
			}
			_, _ = io.WriteString(conn, ok+"Content-Length: 0\r\n\r\n")
		}
	})
	client := newTestClient(t, Config{})
	post := func() Result {
		return client.Post(t.Context(), Request{URL: url, Body: []byte("{}"), Timeout: long})
	}
	var all sync.WaitGroup
	for range idle {
		all.Go(func() { post() })
	}
	all.Wait()
	result := post()
	require.Equal(t, Received, result.Outcome, result.Error)
	require.Len(t, result.Tries, 2)
	require.EqualValues(t, idle+2, posts.Load())
}

// An unrequested second answer on a kept connection is not taken as the answer to the next request.
func TestPostRetry_TakesNoAnswerThatItDidNotAskFor(t *testing.T) {
	t.Parallel()
	url := rawReceiver(t, func(_ int, conn *net.TCPConn) {
		reader := bufio.NewReader(conn)
		for {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(r.Body)
			_, _ = fmt.Fprintf(conn, ok+"Content-Length: %d\r\n\r\n%s"+ok+"Content-Length: 7\r\n\r\nunasked", len(body), body)
		}
	})
	client := newTestClient(t, Config{})
	var all sync.WaitGroup
	var wrong atomic.Int32
	for worker := range 16 {
		all.Go(func() {
			for i := range 50 {
				body := strconv.Itoa(worker*1000 + i)
				result := client.Post(t.Context(), Request{URL: url, Body: []byte(body), Timeout: long})
				if result.Outcome == Received && string(result.Body) != body {
					wrong.Add(1)
				}
			}
		})
	}
	all.Wait()
	require.Zero(t, wrong.Load())
}

// For any bytes as an answer, the record is valid.
func FuzzAnswer(f *testing.F) {
	for _, l := range http1Liars {
		var said bytes.Buffer
		if l.timeout == 0 && !l.cut && !strings.HasPrefix(l.error, hugeText) && l.error != resetText {
			here, there := net.Pipe()
			go func() {
				l.serve(&lie{Conn: there, Reader: bufio.NewReader(there), wrote: &discarded})
				_ = there.Close()
			}()
			_ = here.SetReadDeadline(time.Now().Add(hung))
			_, _ = io.Copy(&said, io.LimitReader(here, 4096))
			_ = here.Close()
			f.Add(said.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		client := New(Config{AllowHTTP: true})
		defer client.Close()
		client.plain.kept.DialContext = func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				defer func() { _ = there.Close() }()
				if r, err := http.ReadRequest(bufio.NewReader(there)); err == nil {
					_, _ = io.Copy(io.Discard, r.Body)
					_, _ = there.Write(answer)
				}
			}()
			return here, nil
		}
		result := client.Post(t.Context(), Request{URL: "http://receiver.test/", Body: []byte("{}"), Timeout: long})
		require.True(t, result.StatusCode == 0 || result.StatusCode >= 100 && result.StatusCode <= 999, result.StatusCode)
		require.Equal(t, result.Outcome == Received, result.Error == "")
		require.Equal(t, result.Outcome == Received, result.StatusCode/100 == 2)
		require.NotEqual(t, Local, result.Outcome)
		require.LessOrEqual(t, len(result.Body), DefaultResponseLimit)
		require.LessOrEqual(t, result.RetryAfter, maxRetryAfter)
		require.True(t, utf8.ValidString(result.Error))
		for name, values := range result.Header {
			require.True(t, utf8.ValidString(name+strings.Join(values, "")))
			require.NotContains(t, name+strings.Join(values, ""), "\x00")
		}
	})
}
