package rolling

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/test/harness"
)

// lookEvery is the time between two looks of the balancer at a backend. Real ones look less often, and are given longer.
const lookEvery = 200 * time.Millisecond

// balancer sends each request to one of the backends that are ready. Like every balancer it tries another one if a
// connection is refused, as nothing has been sent then, and in no other case.
type balancer struct {
	URL      string
	backends []*backend
	next     atomic.Int64
	refused  atomic.Int64 // connections
}

type backend struct {
	url   *url.URL
	ready atomic.Bool
}

func newBalancer(t *testing.T, servers ...*harness.Server) *balancer {
	t.Helper()
	b := &balancer{}
	for _, s := range servers {
		target, err := url.Parse(s.URL)
		require.NoError(t, err)
		one := &backend{url: target}
		one.look(t.Context())
		b.backends = append(b.backends, one)
		go one.watch(t.Context())
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: b, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, "balancer: "+err.Error(), http.StatusBadGateway)
	}}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	b.URL = front.URL
	return b
}

// RoundTrip implements http.RoundTripper.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	err := errors.New("no backend is ready")
	for range 2 * len(b.backends) {
		one := b.backends[int(b.next.Add(1))%len(b.backends)]
		if !one.ready.Load() {
			continue
		}
		try := r.Clone(r.Context())
		try.URL.Scheme, try.URL.Host, try.Body = one.url.Scheme, one.url.Host, io.NopCloser(bytes.NewReader(body))
		var response *http.Response
		if response, err = http.DefaultTransport.RoundTrip(try); !errors.Is(err, syscall.ECONNREFUSED) {
			return response, err
		}
		b.refused.Add(1)
	}
	return nil, err
}

func (b *backend) watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
			b.look(ctx)
		case <-ctx.Done():
		}
	}
}

func (b *backend) look(ctx context.Context) {
	b.ready.Store(harness.API{URL: b.url.String()}.Ready(ctx) == nil)
}
