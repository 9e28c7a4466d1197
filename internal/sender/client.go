// Package sender POSTs bytes to receivers on the open internet and reports the results.
//
// It owns the HTTP client for deliveries: the destination guard that checks the dialled address, the time and size
// limits of an exchange, and the classification of its result. It must not import the database, the wire formats or
// Temporal: it gets a URL, headers and a body, and knows nothing about webhooks, retries or signatures.
package sender

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Defaults and limits of one exchange.
const (
	// DefaultTimeout bounds an exchange whose Request sets no timeout.
	DefaultTimeout = 15 * time.Second
	// DefaultResponseLimit is how many bytes of a response body are kept.
	DefaultResponseLimit = 16 << 10
	// DefaultMaxIdleConnsPerHost and DefaultMaxIdleConns bound the connections kept open between exchanges.
	DefaultMaxIdleConnsPerHost = 256
	DefaultMaxIdleConns        = 8192
	// DefaultUserAgent is sent if neither Config nor Request sets one.
	DefaultUserAgent = "Posthorn"

	// idleConnTimeout is below the 5 s after which a receiver on Node.js closes an idle connection, so that a POST
	// rarely uses a connection that is being closed.
	idleConnTimeout = 4 * time.Second
	// connectTimeout bounds name resolution plus TCP connection; tlsHandshakeTimeout bounds the TLS handshake.
	connectTimeout      = 10 * time.Second
	tlsHandshakeTimeout = 10 * time.Second
	// maxResponseHeaderBytes is how much of the response headers the transport reads before it gives up.
	maxResponseHeaderBytes = 64 << 10
	// A silent HTTP/2 connection is probed after h2SilenceBeforePing. Otherwise one dead connection would swallow
	// every exchange with its host until each one times out.
	h2SilenceBeforePing = 5 * time.Second
	h2PingTimeout       = 5 * time.Second
	// The h2 receive windows bound how much a receiver can make us buffer beyond the kept bytes.
	h2StreamWindow     = 128 << 10
	h2ConnectionWindow = 1 << 20
	tlsSessionsCached  = 1024
)

// Config of a Client. The zero value is the strict production setting: https to public addresses only.
type Config struct {
	// AllowHTTP permits plain http to any destination that the guard permits.
	AllowHTTP bool
	// AllowNetworks are non-public networks that the destination guard allows.
	AllowNetworks []netip.Prefix
	// AllowLoopbackHTTP is for development: it allows loopback addresses, over https and plain http. Plain http to any
	// other address stays forbidden.
	AllowLoopbackHTTP bool
	// UserAgent is sent when a Request has none. Default DefaultUserAgent.
	UserAgent string
	// ResponseLimit is how many bytes of a response body are kept. Default DefaultResponseLimit.
	ResponseLimit int
	// MaxConnsPerHost bounds all connections to one host, idle or not. 0, the default, means no bound: the caller
	// decides how many POSTs are in flight.
	MaxConnsPerHost int
	// MaxIdleConnsPerHost and MaxIdleConns bound the idle connections that are kept, for https and plain http each.
	// The defaults are the constants of the same names.
	MaxIdleConnsPerHost int
	MaxIdleConns        int
	// Resolver resolves names. Default net.DefaultResolver.
	Resolver Resolver
	// Now is the clock for Result.StartedAt, Retry-After dates and the name cache. Default time.Now.
	Now func() time.Time
	// RootCAs replaces the system's certificate authorities.
	RootCAs *x509.CertPool
}

// Client sends POSTs. It is safe for concurrent use and keeps connections open between them.
type Client struct {
	guard *Guard
	// Plain http has a separate transport, so that its connection pool holds only connections that were checked
	// against the rule for plain http when they were dialled.
	secure, plain transports
	canary        *canary
	userAgent     string
	responseLimit int64
	now           func() time.Time
}

// transports are two that differ in one thing: kept keeps its connections for the next request, and single makes a new
// one for each.
type transports struct{ kept, single *http.Transport }

func newTransports(cfg Config, d *dialer) transports {
	t := transports{kept: newTransport(cfg, d), single: newTransport(cfg, d)}
	t.single.DisableKeepAlives = true
	return t
}

// New returns a Client that never uses a proxy, whatever the environment says: the checked address must be the dialled
// address.
func New(cfg Config) *Client {
	cfg.UserAgent = cmp.Or(cfg.UserAgent, DefaultUserAgent)
	cfg.ResponseLimit = cmp.Or(cfg.ResponseLimit, DefaultResponseLimit)
	cfg.MaxIdleConns = cmp.Or(cfg.MaxIdleConns, DefaultMaxIdleConns)
	cfg.MaxIdleConnsPerHost = min(cmp.Or(cfg.MaxIdleConnsPerHost, DefaultMaxIdleConnsPerHost), cfg.MaxIdleConns)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	guard := NewGuard(cfg)
	if cfg.RootCAs == nil {
		// The system's certificates are read only once. If there is no file descriptor for that at the time, none
		// would ever be trusted, so the first POST must not be the one that reads them.
		_, _ = x509.SystemCertPool()
	}
	return &Client{
		guard:         guard,
		canary:        &canary{resolver: guard.names.resolver, now: cfg.Now},
		secure:        newTransports(cfg, newDialer(guard.names, guard.controlSecure)),
		plain:         newTransports(cfg, newDialer(guard.names, guard.controlPlain)),
		userAgent:     cfg.UserAgent,
		responseLimit: int64(cfg.ResponseLimit),
		now:           cfg.Now,
	}
}

func newTransport(cfg Config, d *dialer) *http.Transport {
	return &http.Transport{
		Proxy:       nil,
		DialContext: d.dial,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            cfg.RootCAs,
			ClientSessionCache: tls.NewLRUClientSessionCache(tlsSessionsCached),
		},
		TLSHandshakeTimeout:    tlsHandshakeTimeout,
		ForceAttemptHTTP2:      true, // otherwise our own dialer and TLS settings switch it off
		DisableCompression:     true, // keeps the bytes as sent, and rules out decompression bombs
		MaxIdleConns:           cfg.MaxIdleConns,
		MaxIdleConnsPerHost:    cfg.MaxIdleConnsPerHost,
		MaxConnsPerHost:        cfg.MaxConnsPerHost,
		IdleConnTimeout:        idleConnTimeout,
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
		HTTP2: &http.HTTP2Config{
			SendPingTimeout:               h2SilenceBeforePing,
			PingTimeout:                   h2PingTimeout,
			MaxReceiveBufferPerStream:     h2StreamWindow,
			MaxReceiveBufferPerConnection: h2ConnectionWindow,
		},
	}
}

// Guard returns the destination rules that this client applies.
func (c *Client) Guard() *Guard { return c.guard }

// Close closes idle connections. Exchanges in flight finish.
func (c *Client) Close() {
	for _, t := range []transports{c.secure, c.plain} {
		t.kept.CloseIdleConnections()
		t.single.CloseIdleConnections()
	}
}

// Host returns the host of a URL in lower case, with its port if the URL has one; "" if it has no host. It is the part
// of a webhook's URL that may be shown, because path and query may be secrets. Limits and measurements of a host use
// it.
func Host(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return strings.ToLower(strings.TrimSuffix(u.Host, "."))
}

// Request is one POST.
type Request struct {
	// URL is the receiver's URL. Credentials in it are refused.
	URL string
	// Header is sent as given, except for headers of the connection (Host, Connection, Content-Length …), which are
	// dropped. It is not modified.
	Header http.Header
	Body   []byte
	// Timeout bounds the whole exchange, from name resolution to the last byte of the response. Default DefaultTimeout.
	Timeout time.Duration
}

// Post sends r and returns the result; every failure is a Result. Redirects are not followed.
//
// Once a status has arrived it decides: a receiver that answers 200 and then drips its body until the timeout has
// received the POST. If the receiver refused the request by HTTP/2 before acting on it, or was closing the connection,
// the request is sent once more. So a receiver may, rarely, get the same bytes twice in one Post. Result.Tries has
// both.
func (c *Client) Post(ctx context.Context, r Request) Result {
	started := c.now()
	result := c.exchange(ctx, r, started)
	result.StartedAt = started
	result.Duration = c.now().Sub(started)
	return result
}

func (c *Client) exchange(parent context.Context, r Request, started time.Time) Result {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	var phase phase
	ctx, cancel := context.WithTimeout(withPhase(parent, &phase), timeout)
	defer cancel()

	u, canonical, err := c.guard.target(r.URL)
	if err != nil {
		return Result{URL: r.URL, Outcome: Failed, Error: err.Error()}
	}
	header, err := requestHeader(r.Header, c.userAgent)
	if err != nil {
		return Result{URL: canonical, Outcome: Failed, Error: err.Error()}
	}
	pair := c.secure
	if u.Scheme == "http" {
		pair = c.plain
	}
	var tries []Try
	first := &try{}
	resp, err := first.roundTrip(ctx, pair.kept, u, header, r.Body) //nolint:bodyclose // answer closes it
	if err != nil && ctx.Err() == nil && first.mayRepeat(err) {
		tries = []Try{{StartedAt: started, Error: failureText(err, nil, timeout)}, {StartedAt: c.now()}}
		again := pair.single // other idle connections may be in the same state
		if first.isHTTP2() {
			again = pair.kept
		}
		resp, err = (&try{}).roundTrip(ctx, again, u, header, r.Body) //nolint:bodyclose // as above
	}
	var result Result
	if err != nil {
		result = c.failure(parent, ctx, err, &phase, timeout)
	} else {
		result = c.answer(resp)
	}
	if len(tries) > 0 {
		tries[1].Error = result.Error
	}
	result.URL, result.Tries = canonical, tries
	return result
}

// failure returns the Result of an exchange without an answer.
func (c *Client) failure(parent, ctx context.Context, err error, p *phase, timeout time.Duration) Result {
	if parent.Err() != nil {
		return Result{Outcome: Local, Reason: ReasonCanceled, Aborted: true, Error: "canceled before the receiver answered"}
	}
	if reason := c.own(err, ctx.Err(), p); reason != "" {
		return Result{Outcome: Local, Reason: reason, Error: localText}
	}
	return Result{Outcome: Failed, Error: failureText(err, ctx.Err(), timeout)}
}

// answer returns the Result of an answer, whose body it reads.
func (c *Client) answer(resp *http.Response) Result {
	defer func() { _ = resp.Body.Close() }() // the outcome does not depend on it
	result := Result{Header: keepHeader(resp.Header)}
	if resp.StatusCode < 100 || resp.StatusCode > 999 { // net/http accepts such a status
		result.Outcome, result.Error = Failed, "the receiver answered with a status that HTTP does not have"
	} else {
		result.StatusCode, result.Outcome, result.Error = resp.StatusCode, outcomeOf(resp.StatusCode), statusText(resp.StatusCode)
		result.RetryAfter = retryAfter(resp.StatusCode, resp.Header, c.now())
	}
	result.Body, result.BodyTruncated = readBody(resp, c.responseLimit)
	return result
}

// own returns the reason if a failure is Posthorn's own, or "" if it is the receiver's.
func (c *Client) own(err, ctxErr error, p *phase) Reason {
	if reason := localReason(err, hasRoute); reason != "" {
		return reason
	}
	// If the time of the exchange ended during the look-up, err does not say so.
	if unansweredLookup(err) || ctxErr != nil && p.resolving.Load() {
		if !c.canary.resolverIsUp() {
			return ReasonResolver
		}
	}
	return ""
}
