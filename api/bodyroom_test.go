package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
)

func TestBodyRoom_ABodyWithoutRoomIsAnsweredWith503(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnvWith(t, func(o *api.Options) { o.BodyRoom = 10 })
		for _, path := range []string{"/events", "/events/batch", "/webhooks"} {
			answer := e.call("POST /v1/tenants/acme"+path, `{"type":"order.created","data":{}}`).is(http.StatusServiceUnavailable)
			require.Equal(t, "1", answer.header.Get("Retry-After"))
			require.Contains(t, answer.body, "too many request bodies")
		}
	})
}

// stalled is a body whose sender has been too slow.
type stalled struct{ io.Reader }

func (s stalled) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

func TestBodyRoom_ABodyThatIsTooSlowIsAnsweredWith408(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, path := range []string{"/events", "/events/batch", "/events/match", "/webhooks"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/tenants/acme"+path, stalled{strings.NewReader(`{"type":"order.`)})
		r.Header.Set("Authorization", "Bearer "+e.key)
		answer := httptest.NewRecorder()
		e.handler.ServeHTTP(answer, r)
		require.Equal(t, http.StatusRequestTimeout, answer.Code, answer.Body)
		require.Equal(t, "application/problem+json", answer.Header().Get("Content-Type"))
		require.Contains(t, answer.Body.String(), "did not arrive in time")
	}
}

// connection is a recorder with the further methods of a connection.
type connection struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (c *connection) SetReadDeadline(at time.Time) error {
	c.deadlines = append(c.deadlines, at)
	return nil
}

// The connection itself enforces the pace of a body: the wait for its bytes ends, and the deadline ends with the body.
func TestBodyRoom_ThePaceOfABodyIsKeptOnItsConnection(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for path, body := range map[string]string{"/events": `{"type":"order.created","data":{}}`, "/webhooks": `{"url":"https://shop.example/"}`} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/tenants/acme"+path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+e.key)
		c := &connection{ResponseRecorder: httptest.NewRecorder()}
		e.handler.ServeHTTP(c, r)
		require.Less(t, c.Code, 300, c.Body)
		require.GreaterOrEqual(t, len(c.deadlines), 2)
		require.WithinRange(t, c.deadlines[0], time.Now(), time.Now().Add(5*time.Second))
		require.True(t, c.deadlines[1].IsZero())
	}
}
