package bench

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBenchCaller_ReadsAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 100<<10)
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		want   answer
	}{
		{"with a length", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id":"evt_1"}`)
		}, answer{status: 202}},
		{"empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, answer{status: 204}},
		{"in chunks, longer than any buffer", func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = io.WriteString(w, long)
				_ = http.NewResponseController(w).Flush()
			}
		}, answer{status: 200}},
		{"come back later", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, answer{status: 503, retryAfter: 3 * time.Second}},
		{"and goodbye", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusInternalServerError)
		}, answer{status: 500}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var bodies []int
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				bodies = append(bodies, len(body))
				tt.answer(w, r)
			}))
			defer server.Close()
			base, err := url.Parse(server.URL)
			require.NoError(t, err)
			c := newCaller(base.Host)
			defer c.close()
			r := publish(base, "key", "acme", "t", 1, 100, labels{})
			for range 3 { // over one connection, or a new one where it was closed
				got, err := c.call(t.Context(), r)
				require.NoError(t, err)
				require.Equal(t, tt.want, got)
			}
			require.Len(t, bodies, 3)
			require.Equal(t, bodies[0], bodies[2])
		})
	}
}

func TestBenchCaller_DoesNotKnowWhatAnEndMeans(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no answer": "", "no HTTP": "hello there, stranger\r\n", "no status": "HTTP/1.1 abc\r\n\r\n", "half a header": "HTTP/1.1 202 Accepted\r\nContent-",
		"no header": "HTTP/1.1 202 Accepted\r\nnonsense\r\n\r\n", "half a body": "HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nhalf",
		"a bad length": "HTTP/1.1 202 Accepted\r\nContent-Length: -1\r\n\r\n", "a bad chunk": "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer listener.Close()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 4096))
					_, _ = io.WriteString(conn, text)
					_ = conn.Close()
				}
			}()
			c := newCaller(listener.Addr().String())
			_, err = c.call(t.Context(), publish(&url.URL{Host: "x"}, "key", "acme", "t", 1, 0, labels{}))
			require.Error(t, err)
			require.Nil(t, c.conn, "the next call connects again")
		})
	}
}
