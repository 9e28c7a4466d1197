// Package systemstest is what the tests of the outside systems' APIs share: an installation with one system mounted,
// curl commands run as the documents print them, receivers, and the checks that hold for every system alike.
//
// It is for tests alone.
package systemstest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// PublicURL is the base of links in answers.
const PublicURL = "https://hooks.example"

// Tenant is the tenant that Bench.Key belongs to, Other is its neighbour.
const (
	Tenant = "acme"
	Other  = "globex"
)

// Bench is an installation with one system mounted and two tenants.
type Bench struct {
	*servicetest.Env
	t        testing.TB
	Handler  http.Handler
	Key      string // of Tenant
	OtherKey string // of Other
}

var quiet = sync.OnceFunc(func() { gin.SetMode(gin.TestMode) }) // Gin prints its routes otherwise

// New makes a Bench that ends with the test.
func New(tb testing.TB, mount func(gin.IRouter, systems.Options), options ...servicetest.Option) *Bench {
	tb.Helper()
	quiet()
	env := servicetest.New(tb, options...)
	router := gin.New()
	mount(router, systems.Options{Service: env.Service, PublicURL: PublicURL})
	return &Bench{Env: env, t: tb, Handler: router, Key: env.Tenant(Tenant), OtherKey: env.Tenant(Other)}
}

// Call is one request.
type Call struct {
	Method, Path  string
	Authorization string // the header, "" = none
	Type, Body    string // Type "" = none
}

// Do makes a request.
func (b *Bench) Do(c Call) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequestWithContext(b.t.Context(), c.Method, c.Path, strings.NewReader(c.Body))
	if c.Authorization != "" {
		r.Header.Set("Authorization", c.Authorization)
	}
	if c.Type != "" {
		r.Header.Set("Content-Type", c.Type)
	}
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, r)
	return w
}

// Webhooks reads all of a tenant's webhooks as /v1 sees them.
func (b *Bench) Webhooks(tenant string) []models.Webhook {
	b.t.Helper()
	all, _, err := b.Service.Webhooks(b.t.Context(), tenant, models.WebhookFilter{}, models.Page{Limit: 1000})
	require.NoError(b.t, err)
	return all
}

// Deliver publishes an event and makes the first attempt of its one delivery. It gives the attempt.
func (b *Bench) Deliver(tenant, eventType, data string) models.Attempt {
	b.t.Helper()
	deliveries := b.Deliveries(tenant, b.Publish(tenant, eventType, data))
	require.Len(b.t, deliveries, 1)
	return b.Attempt(tenant, deliveries[0].ID)
}

// Receiver is a webhook's receiver. It remembers what it got.
type Receiver struct {
	URL string

	mu     sync.Mutex
	status int
	got    []Received
}

// Received is one POST that a Receiver got.
type Received struct {
	Header http.Header
	Body   string
}

// NewReceiver makes a receiver that answers 200 until told otherwise.
func NewReceiver(tb testing.TB) *Receiver {
	tb.Helper()
	r := &Receiver{status: http.StatusOK}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, Received{q.Header, string(body)})
		w.WriteHeader(r.status)
	}))
	tb.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

// Answer sets the status of the answers to come.
func (r *Receiver) Answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// Take returns the POSTs that have been received since the last Take.
func (r *Receiver) Take() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// RequireBytes compares a body byte by byte: a signature is over bytes, and not over what they mean.
func RequireBytes(tb testing.TB, want, got string) {
	tb.Helper()
	require.Equal(tb, want, got)
}

// RequireJSON compares a whole JSON answer. Members of the masked names, at any depth, must be texts that are not
// empty, and may differ.
func RequireJSON(tb testing.TB, status int, want string, w *httptest.ResponseRecorder, masked ...string) {
	tb.Helper()
	require.Equal(tb, status, w.Code, w.Body.String())
	require.Equal(tb, "application/json; charset=utf-8", w.Header().Get("Content-Type"))
	var expected, actual any
	require.NoError(tb, json.Unmarshal([]byte(want), &expected), "the expectation is not JSON")
	require.NoError(tb, json.Unmarshal(w.Body.Bytes(), &actual), w.Body.String())
	require.Equal(tb, mask(expected, masked), mask(actual, masked))
}

func mask(v any, names []string) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = mask(v[i], names)
		}
	case map[string]any:
		for name, value := range v {
			v[name] = mask(value, names)
			for _, masked := range names {
				if text, ok := value.(string); name == masked && ok && text != "" {
					v[name] = "masked"
				}
			}
		}
	}
	return v
}

// Text reads one text member of a JSON answer by its path.
func Text(tb testing.TB, w *httptest.ResponseRecorder, path ...string) string {
	tb.Helper()
	var v any
	require.NoError(tb, json.Unmarshal(w.Body.Bytes(), &v), w.Body.String())
	for _, name := range path {
		object, ok := v.(map[string]any)
		require.True(tb, ok, w.Body.String())
		v = object[name]
	}
	text, ok := v.(string)
	require.True(tb, ok, w.Body.String())
	return text
}
