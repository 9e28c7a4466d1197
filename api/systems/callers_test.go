package systems_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/callers"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// native is /v1 in the form of the systems.
var native = system{name: "v1", authorization: "Bearer KEY", create: "/v1/tenants/TENANT/webhooks", body: `{"url":"https://a.example/v1"}`,
	listed: "/v1/tenants/TENANT/webhooks", notFound: `{"title":"Not Found","status":404,"detail":"there is nothing at this path"}`}

// everyAPI is /v1 and the systems with a catalogue.
func everyAPI() []system { return append([]system{native}, catalogued...) }

// panicking is a system whose one route panics.
func panicking(r gin.IRouter, o systems.Options) {
	a := systems.New(systems.Form{System: "mill", Key: systems.Bearer, Refuse: func(c *gin.Context, r systems.Refusal) {
		c.PureJSON(r.Status, gin.H{"told": r.Message})
	}}, o)
	a.Handle(systems.Operation{Method: http.MethodGet, Path: "/grind"}, func(*systems.Request) error { panic("the cat sat on the keyboard") })
	a.Mount(r)
}

// front is an installation with all APIs behind a real server.
type front struct {
	*servicetest.Env
	t   *testing.T
	url string
	key string // of acme
}

func newFront(t *testing.T, o callers.Options, options ...servicetest.Option) *front {
	t.Helper()
	env := servicetest.New(t, options...)
	gate, err := callers.New(o)
	require.NoError(t, err)
	shared := systems.Options{Service: env.Service, Gate: gate}
	mounts := []func(gin.IRouter){func(r gin.IRouter) { panicking(r, shared) }}
	for _, s := range catalogued {
		mounts = append(mounts, func(r gin.IRouter) { s.api(shared).Mount(r) })
	}
	handler, err := api.New(api.Options{Service: env.Service, Store: env.Store, Systems: mounts, Gate: gate})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &front{env, t, server.URL, env.Tenant("acme")}
}

// call makes a request with a key in the system's own way and reads the answer into a recorder.
func (f *front) call(s system, method, target, key, body string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+strings.Replace(target, "TENANT", "acme", 1), strings.NewReader(body))
	require.NoError(f.t, err)
	if strings.HasPrefix(s.authorization, "Basic") {
		key = base64.StdEncoding.EncodeToString([]byte(key + ":"))
	}
	r.Header.Set("Authorization", strings.Replace(s.authorization, "KEY", key, 1))
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	} else if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, do := range change {
		do(r)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(f.t, err)
	defer func() { _ = answer.Body.Close() }()
	w := httptest.NewRecorder()
	w.Code = answer.StatusCode
	maps.Copy(w.Header(), answer.Header)
	_, err = io.Copy(w.Body, answer.Body)
	require.NoError(f.t, err)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// requireHeaders checks what every answer carries.
func requireHeaders(t *testing.T, h http.Header, what string) {
	t.Helper()
	require.Equal(t, "no-store", h.Get("Cache-Control"), what)
	require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), what)
	require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", what)
	require.NotEmpty(t, h.Get("X-Request-Id"), what)
}

// TestSystemCallers_EveryAPIRefusesInItsOwnShape: paths that others read otherwise, pages of other sites, and too many headers.
func TestSystemCallers_EveryAPIRefusesInItsOwnShape(t *testing.T) {
	t.Parallel()
	f := newFront(t, callers.Options{})
	webhooks := func() int {
		all, _, err := f.Service.Webhooks(t.Context(), "acme", models.WebhookFilter{}, models.Page{Limit: 100})
		require.NoError(t, err)
		return len(all)
	}
	for _, s := range everyAPI() {
		refused := func(status int, w *httptest.ResponseRecorder) {
			t.Helper()
			require.Equal(t, status, w.Code, "%s: %s", s.name, w.Body)
			systemstest.RequireShape(t, s.notFound, w)
			requireHeaders(t, w.Header(), s.name)
		}
		for _, path := range []string{"/" + s.name + "/../" + s.name, "/" + s.name + "/%2e%2e/v1/tenants", s.listed + "/./x", s.listed + "/%2E", s.listed + "/a%2Fb", "/" + s.name + "//x"} {
			refused(http.StatusNotFound, f.call(s, http.MethodGet, path, f.key, ""))
			refused(http.StatusNotFound, f.call(s, http.MethodGet, path, "phk_wrong", ""))
		}
		for _, change := range []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Site", "same-site"),
			header("Origin", "https://evil.example"), header("Origin", "null")} {
			refused(http.StatusForbidden, f.call(s, http.MethodPost, s.create, f.key, s.body, change))
		}
		refused(http.StatusRequestHeaderFieldsTooLarge, f.call(s, http.MethodGet, s.listed, f.key, "", header("X-Long", strings.Repeat("x", 33<<10))))
		refused(http.StatusMethodNotAllowed, f.call(s, http.MethodTrace, s.listed, f.key, ""))
		refused(http.StatusUnauthorized, f.call(s, http.MethodGet, s.listed, "phk_wrong", ""))
		require.Zero(t, webhooks(), s.name)
	}
	for _, s := range everyAPI() {
		w := f.call(s, http.MethodPost, s.create, f.key, s.body, header("Sec-Fetch-Site", "same-origin"))
		require.Less(t, w.Code, 300, "%s: %s", s.name, w.Body)
		requireHeaders(t, w.Header(), s.name)
	}
}

func TestSystemCallers_EveryAPIAnswersHEADWhereItAnswersGET(t *testing.T) {
	t.Parallel()
	f := newFront(t, callers.Options{})
	for _, s := range everyAPI() {
		get := f.call(s, http.MethodGet, s.listed, f.key, "")
		head := f.call(s, http.MethodHead, s.listed, f.key, "")
		require.Equal(t, http.StatusOK, get.Code, s.name)
		require.Equal(t, http.StatusOK, head.Code, s.name)
		require.Empty(t, head.Body.String(), s.name)
		require.Equal(t, get.Header().Get("Content-Type"), head.Header().Get("Content-Type"), s.name)
		requireHeaders(t, head.Header(), s.name)
		require.Equal(t, http.StatusUnauthorized, f.call(s, http.MethodHead, s.listed, "phk_wrong", "").Code, s.name)
	}
}

// TestSystemCallers_EveryAPILimitsItsCallers: 429 with Retry-After, in the API's own shape, and nothing is done.
func TestSystemCallers_EveryAPILimitsItsCallers(t *testing.T) {
	t.Parallel()
	f := newFront(t, callers.Options{}, func(_ *sender.Config, o *service.Options) { o.RequestRate = 0.5 })
	now := f.Clock.Now()
	f.Service.Now = func() time.Time { return now }
	for _, s := range everyAPI() {
		key := f.Key("acme", models.RoleTenant)
		require.Equal(t, http.StatusOK, f.call(s, http.MethodGet, s.listed, key, "").Code, s.name)
		w := f.call(s, http.MethodPost, s.create, key, s.body)
		require.Equal(t, http.StatusTooManyRequests, w.Code, "%s: %s", s.name, w.Body)
		require.Equal(t, "2", w.Header().Get("Retry-After"), s.name)
		systemstest.RequireShape(t, s.notFound, w)
	}
}

// A browser that has been to this machine under another name is refused everything.
func TestSystemCallers_EveryAPIRefusesForeignHosts(t *testing.T) {
	t.Parallel()
	f := newFront(t, callers.Options{Host: callers.LocalHosts("127.0.0.1:8080", "https://hooks.example.com")})
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for _, s := range everyAPI() {
		w := f.call(s, http.MethodGet, s.listed, f.key, "", host("evil.example:8080"))
		require.Equal(t, http.StatusForbidden, w.Code, "%s: %s", s.name, w.Body)
		systemstest.RequireShape(t, s.notFound, w)
		for _, own := range []string{"localhost:8080", "127.0.0.1", "hooks.example.com"} {
			require.Equal(t, http.StatusOK, f.call(s, http.MethodGet, s.listed, f.key, "", host(own)).Code, "%s %s", s.name, own)
		}
	}
	for _, path := range []string{"/docs", "/openapi.json", "/healthz", "/readyz", "/nothing", "/console/tenants/acme/deliveries/x"} {
		require.Equal(t, http.StatusForbidden, f.call(native, http.MethodGet, path, f.key, "", host("evil.example")).Code, path)
	}
}

// Pages of listed origins may call /v1 and Language Weaver's API, and no other page and no other API.
func TestSystemCallers_CORSOfEveryAPI(t *testing.T) {
	t.Parallel()
	const app = "https://app.example.com"
	f := newFront(t, callers.Options{Origins: []string{app}})
	for _, s := range everyAPI() {
		allowed := s.name == "v1" || s.name == "languageweaver"
		w := f.call(s, http.MethodOptions, s.create, "", "", header("Origin", app), header("Access-Control-Request-Method", http.MethodPost))
		other := f.call(s, http.MethodOptions, s.create, "", "", header("Origin", "https://evil.example"), header("Access-Control-Request-Method", http.MethodPost))
		require.Equal(t, http.StatusMethodNotAllowed, other.Code, s.name)
		require.Empty(t, other.Header().Get("Access-Control-Allow-Origin"), s.name)
		if !allowed {
			require.Equal(t, http.StatusMethodNotAllowed, w.Code, s.name)
			require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"), s.name)
			continue
		}
		require.Equal(t, http.StatusNoContent, w.Code, s.name)
		require.Equal(t, app, w.Header().Get("Access-Control-Allow-Origin"), s.name)
		requireHeaders(t, w.Header(), s.name)
		w = f.call(s, http.MethodPost, s.create, f.key, s.body, header("Origin", app), header("Sec-Fetch-Site", "cross-site"))
		require.Less(t, w.Code, 300, "%s: %s", s.name, w.Body)
		require.Equal(t, app, w.Header().Get("Access-Control-Allow-Origin"), s.name)
		w = f.call(s, http.MethodGet, s.listed, "phk_wrong", "", header("Origin", app))
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.Equal(t, app, w.Header().Get("Access-Control-Allow-Origin"), "a page can read why it is refused")
	}
}

// A handler that panics answers once in its API's shape, and the connection goes on.
func TestSystemCallers_APanicInASystemIsOneAnswer(t *testing.T) {
	t.Parallel()
	f := newFront(t, callers.Options{})
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	answers := newAnswers(conn)
	for range 2 {
		_, err = fmt.Fprintf(conn, "GET /mill/grind HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", f.key)
		require.NoError(t, err)
		status, body := answers.next(t)
		require.Equal(t, http.StatusInternalServerError, status)
		require.JSONEq(t, `{"told":"an internal error occurred; it has been logged"}`, body)
	}
}

// A Content-Length beside Transfer-Encoding may mean another request to a proxy. The rest is not read.
func TestSystemCallers_AConnectionEndsAfterTwoLengths(t *testing.T) {
	t.Parallel()
	f := newFront(t, callers.Options{})
	for _, s := range everyAPI() {
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		smuggled := fmt.Sprintf("GET /v1/tenants/acme HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", f.key)
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s",
			strings.Replace(s.create, "TENANT", "acme", 1), smuggled)
		require.NoError(t, err)
		all, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		require.Equal(t, 1, strings.Count(string(all), "HTTP/1.1 "), "%s: %s", s.name, all)
		require.Contains(t, string(all), "Connection: close", s.name)
	}
}

// A system's large bodies take turns with those of /v1 for decoding. Small ones never wait.
func TestSystemCallers_ASystemsLargeBodiesWaitForTheirTurn(t *testing.T) {
	t.Parallel()
	for i := range catalogued {
		t.Run(catalogued[i].name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWalk(t, &catalogued[i])
				path := strings.Replace(w.s.create, "TENANT", systemstest.Tenant, 1)
				for {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					done, err := w.Service.Expand(ctx, systemstest.Tenant, 1<<20)
					cancel()
					if err != nil {
						break
					}
					defer done()
				}
				require.NotEqual(t, http.StatusServiceUnavailable, w.do(http.MethodPost, path, "", w.s.body).Code)
				require.Equal(t, http.StatusServiceUnavailable, w.do(http.MethodPost, path, "", w.s.body+strings.Repeat(" ", 64<<10)).Code)
			})
		})
	}
}
