package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// openSink returns a sink with the hooks, and a function that posts a body to one of them with Go's own client.
func openSink(t *testing.T, hooks ...*hook) (*sink, func(index int, body string) int) {
	t.Helper()
	s, err := listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	l := newLedger()
	for _, h := range hooks {
		h.first = newPlace()
		l.hooks = append(l.hooks, h)
	}
	s.serve(l)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		s.close()
	})
	return s, func(index int, body string) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url(index), strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Webhook-Id", "evt_1")
		response, err := client.Do(request)
		require.NoError(t, err)
		rest, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
}

func event(seq int) string {
	return fmt.Sprintf(`{"type":"t","timestamp":"2026-01-02T03:04:05.678Z","data":{"seq":"%08d","note":"x"}}`, seq)
}

func TestSink_RecordsWhatArrives(t *testing.T) {
	t.Parallel()
	a, b := &hook{}, &hook{}
	s, post := openSink(t, a, b)
	require.Equal(t, 204, post(0, event(7)))
	require.Equal(t, 204, post(0, event(8)))
	require.Equal(t, 204, post(1, event(7)))
	require.EqualValues(t, 2, a.received.Load())
	require.EqualValues(t, 1, b.received.Load())
	require.EqualValues(t, 3, received([]*hook{a, b}))
	require.GreaterOrEqual(t, a.first[8].Load(), a.first[7].Load())
	require.EqualValues(t, never, a.first[9].Load())

	require.Equal(t, 204, post(0, event(7)))
	require.EqualValues(t, 2, a.received.Load())
	require.EqualValues(t, 1, a.duplicates.Load())
	require.Zero(t, s.strange.Load())
}

func TestSink_TakesLongBodies(t *testing.T) {
	t.Parallel()
	h := &hook{}
	_, post := openSink(t, h)
	long := data(200<<10, 1)
	require.Equal(t, 204, post(0, `{"type":"t","data":`+long+`}`))
	require.Equal(t, 204, post(0, event(1)), "read to its end")
	require.EqualValues(t, 2, h.received.Load())
}

func TestSink_FailsAShareOnce(t *testing.T) {
	t.Parallel()
	h := &hook{share: 0.25}
	_, post := openSink(t, h)
	const n = 400
	for seq := range n {
		if post(0, event(seq)) == 500 {
			require.Equal(t, 204, post(0, event(seq)), "the next attempt is received")
		}
	}
	require.EqualValues(t, n, h.received.Load())
	require.InDelta(t, n/4, h.refusals.Load(), n/40)
	require.Zero(t, h.duplicates.Load(), "an attempt that was refused was no reception")
}

func TestSink_AnswersSlowlyWhereAsked(t *testing.T) {
	t.Parallel()
	h := &hook{delay: 30 * time.Millisecond}
	_, post := openSink(t, h)
	began := time.Now()
	require.Equal(t, 204, post(0, event(1)))
	require.GreaterOrEqual(t, time.Since(began), h.delay)
}

func TestSink_KnowsStrangers(t *testing.T) {
	t.Parallel()
	h := &hook{}
	s, post := openSink(t, h)
	for i, body := range []string{"", "{}", `{"seq":"1"}`, `{"seq":"abcdefgh"}`, event(maxEvents)} {
		require.Equal(t, 404, post(0, body), body)
		require.EqualValues(t, i+1, s.strange.Load())
	}
	require.Equal(t, 404, post(1, event(1)), "no such hook")
	response, err := http.Post(s.url(0), "application/json", bytes.NewBufferString(event(1))) //nolint:bodyclose // empty
	require.NoError(t, err)
	require.Equal(t, 404, response.StatusCode, "no webhook-id")
	require.Zero(t, h.received.Load())
}

func TestSink_ListenKeepsToTheLoopbackInterface(t *testing.T) {
	t.Parallel()
	_, err := listen(t.Context(), "0.0.0.0:0")
	require.ErrorContains(t, err, "not a loopback address")
}

// BenchmarkExchange measures the cost of one POST for load generator and receiver together. They take it from the
// machine that they share with the measured processes.
func BenchmarkExchange(b *testing.B) {
	s, err := listen(b.Context(), "127.0.0.1:0")
	require.NoError(b, err)
	defer s.close()
	l := newLedger()
	l.addHook("acme", newPlace(), 0, 0)
	s.serve(l)
	c := newCaller(s.listener.Addr().String())
	defer c.close()
	body := event(1) + strings.Repeat(" ", 1000)
	head := fmt.Sprintf("POST %s0 HTTP/1.1\r\nHost: x\r\nWebhook-Id: evt_1\r\nContent-Length: %d\r\n\r\n", hookPath, len(body))
	r := &request{bytes: []byte(head + body), slots: []int{len(head) + strings.Index(body, seqMark) + len(seqMark)}}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.number(i % maxEvents)
		if a, err := c.call(b.Context(), r); err != nil || a.status != 204 {
			b.Fatal(a, err)
		}
	}
}
