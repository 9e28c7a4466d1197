package sender

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Try is one transmission of the request.
type Try struct {
	StartedAt time.Time
	// Error of the last try is that of its Result; of the one before, it says why no answer came.
	Error string
}

// maxDials is the most connections that one exchange opens. One is enough for a receiver that follows the protocol.
// Several are used up if many exchanges start at once with a host that limits the streams of a connection.
const maxDials = 8

var (
	errTooManyDials = errors.New("sender: too many connections for one exchange")
	errUnasked      = errors.New("sender: the answer came before the request")
	errFlood        = errors.New("sender: the receiver sends more than an answer takes")
)

// phase is how far an exchange has come. The dialer, which the transport runs in a separate goroutine, records it.
type phase struct {
	resolving atomic.Bool
	dials     atomic.Int32
}

type phaseKey struct{}

func withPhase(ctx context.Context, p *phase) context.Context {
	return context.WithValue(ctx, phaseKey{}, p)
}

// phaseOf returns the phase of an exchange. For a context without one it returns a new phase that nobody reads.
func phaseOf(ctx context.Context) *phase {
	if p, ok := ctx.Value(phaseKey{}).(*phase); ok {
		return p
	}
	return &phase{}
}

// try is one transmission of a request, with what is known about its connection.
type try struct {
	conn     net.Conn // nil if there was none
	reused   bool     // it has carried another request before
	answered atomic.Bool
	unasked  atomic.Bool
}

// roundTrip sends the request once. The transport itself never sends it again, because that needs a body that can be
// rewound. So the number of tries on the wire is known, and at most two.
func (t *try) roundTrip(ctx context.Context, transport *http.Transport, u *url.URL, header http.Header, body []byte) (*http.Response, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: t.gotConn, GotFirstResponseByte: t.gotFirstByte})
	req := (&http.Request{
		Method: http.MethodPost, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: http.NoBody, ContentLength: int64(len(body)),
	}).WithContext(ctx)
	if len(body) > 0 {
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	// The transport is used directly: an http.Client would add redirects, cookies and URL credentials, all unwanted.
	resp, err := transport.RoundTrip(req)
	if err != nil || !t.unasked.Load() || t.isHTTP2() {
		return resp, err
	}
	_ = resp.Body.Close()
	_ = t.counted().Close() // without TLS's close message, which could take seconds
	return nil, errUnasked
}

func (t *try) gotConn(info httptrace.GotConnInfo) {
	t.conn, t.reused = info.Conn, info.Reused
	if c := t.counted(); c != nil {
		c.expect()
	}
}

// gotFirstByte runs when the answer is read. If the first byte on a reused connection was there before this request,
// the answer belongs to another request, or to none.
func (t *try) gotFirstByte() {
	t.answered.Store(true)
	if c := t.counted(); c != nil && t.reused && !c.readSinceAsked() {
		t.unasked.Store(true)
	}
}

func (t *try) counted() *countedConn {
	conn := t.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	c, _ := conn.(*countedConn)
	return c
}

func (t *try) isHTTP2() bool {
	secure, ok := t.conn.(*tls.Conn)
	return ok && secure.ConnectionState().NegotiatedProtocol == "h2"
}

// refusals are net/http's texts about HTTP/2 requests that the receiver has not acted on, which are safe to repeat
// (RFC 9113, 8.7), and about those that some servers refuse with PROTOCOL_ERROR in the same sense.
var refusals = []string{
	"http2: Transport received Server's graceful shutdown GOAWAY",
	"http2: client conn not usable",
	"REFUSED_STREAM",
	"PROTOCOL_ERROR; received from peer",
}

// mayRepeat reports whether the request may be sent once more after err: the receiver refused it by HTTP/2, or it used
// an idle connection that was closed before any answer.
func (t *try) mayRepeat(err error) bool {
	switch {
	case t.conn == nil:
		return false
	case t.isHTTP2():
		text := err.Error()
		for _, refusal := range refusals {
			if strings.Contains(text, refusal) {
				return true
			}
		}
		return false
	default:
		return errors.Is(err, errUnasked) || t.reused && !t.answered.Load()
	}
}
