package callers_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/callers"
)

func gate(t *testing.T, o callers.Options) *callers.Gate {
	t.Helper()
	g, err := callers.New(o)
	require.NoError(t, err)
	return g
}

// status is what a Gate answers with; 0 = it lets the request through.
func status(g *callers.Gate, r *http.Request) int {
	if refused := g.Check(r); refused != nil {
		return refused.Status
	}
	return 0
}

func TestCallers_PathsThatOthersReadOtherwiseAreNotThere(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{
		"/v1/tenants/acme":                0,
		"/v1/tenants/acme/":               0,
		"/v1/event-types/order.created":   0,
		"/v1/event-types/.hidden":         0,
		"/v1/event-types/...":             0,
		"/v1/event-types/a..b":            0,
		"/v1/event-types/%C3%A4":          0,
		"/v1/tenants/../tenants":          http.StatusNotFound,
		"/v1/tenants/./acme":              http.StatusNotFound,
		"/v1/tenants/..":                  http.StatusNotFound,
		"/v1/tenants/.":                   http.StatusNotFound,
		"/v1/tenants/%2e%2e/tenants":      http.StatusNotFound,
		"/v1/tenants/%2E/acme":            http.StatusNotFound,
		"/v1/tenants/.%2e":                http.StatusNotFound,
		"/v1/tenants/a%2fb":               http.StatusNotFound,
		"/v1/tenants/a%2Fb":               http.StatusNotFound,
		"/v1/tenants/..%2f..%2fadmin":     http.StatusNotFound,
		"/v1/tenants//webhooks":           http.StatusNotFound,
		"//v1/tenants":                    http.StatusNotFound,
		"/v1/tenants/acme?a=..%2f/../b":   0,
		"/v1/tenants/a%00b":               http.StatusNotFound,
		"/v1/tenants/a%ff":                http.StatusNotFound,
		"/v1/tenants?url=%00":             http.StatusBadRequest,
		"/v1/tenants?url=%ff":             http.StatusBadRequest,
		"/" + strings.Repeat("x", 9*1024): http.StatusRequestURITooLong,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		u, err := url.Parse("http://example.com" + path)
		require.NoError(t, err)
		r.URL, r.RequestURI = u, path
		got := status(callers.Default(), r)
		if refused := callers.CheckQuery(r); got == 0 && refused != nil {
			got = refused.Status
		}
		require.Equal(t, want, got, path)
	}
}

func TestCallers_PagesOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	g := gate(t, callers.Options{Origins: []string{"https://app.example.com"}, PublicURL: "https://hooks.example.com/base"})
	for _, c := range []struct {
		method, site, origin string
		want                 int
	}{
		{http.MethodPost, "", "", 0}, // no browser
		{http.MethodPost, "same-origin", "http://example.com", 0},
		{http.MethodPost, "none", "", 0},
		{http.MethodPost, "cross-site", "https://evil.example", http.StatusForbidden},
		{http.MethodPost, "same-site", "https://other.example.com", http.StatusForbidden},
		{http.MethodPut, "cross-site", "", http.StatusForbidden},
		{http.MethodDelete, "cross-site", "null", http.StatusForbidden},
		{http.MethodPost, "", "https://evil.example", http.StatusForbidden}, // an old browser
		{http.MethodPost, "", "null", http.StatusForbidden},
		{http.MethodPost, "", "http://example.com", 0},
		{http.MethodPost, "cross-site", "https://app.example.com", 0},
		{http.MethodPost, "", "https://hooks.example.com", 0},
		{http.MethodGet, "cross-site", "https://evil.example", 0}, // a link
	} {
		r := httptest.NewRequest(c.method, "http://example.com/languageweaver/api/v2/webhooks", nil)
		for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Origin": c.origin} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		require.Equal(t, c.want, status(g, r), "%+v", c)
	}
}

func TestCallers_ForeignHostNames(t *testing.T) {
	t.Parallel()
	own := callers.LocalHosts("127.0.0.1:8080", "https://Hooks.Example.com/base", "")
	everywhere := callers.LocalHosts(":8080", "")
	for host, want := range map[string][2]bool{
		"localhost:8080":         {true, true},
		"LOCALHOST":              {true, true},
		"localhost.":             {true, true},
		"dev.localhost:1":        {true, true},
		"127.0.0.1:8080":         {true, true},
		"127.8.9.1":              {true, true},
		"[::1]:8080":             {true, true},
		"[::1]":                  {true, true},
		"[::ffff:127.0.0.1]:1":   {true, true},
		"hooks.example.com:443":  {true, false},
		"":                       {true, true},
		"evil.example":           {false, false},
		"evil.example:8080":      {false, false},
		"localhost.evil.example": {false, false},
		"notlocalhost":           {false, false},
		"127.0.0.1.evil.example": {false, false},
		"192.0.2.1:8080":         {false, true},
		"[2001:db8::1]:8080":     {false, true},
		"a.hooks.example.com":    {false, false},
		"127.1":                  {false, false},
	} {
		require.Equal(t, want, [2]bool{own(host), everywhere(host)}, host)
	}
	require.True(t, callers.LocalHosts("192.0.2.1:8080")("192.0.2.1:8080"))
	require.True(t, callers.LocalHosts("box.lan:8080")("box.lan:8080"))

	r := httptest.NewRequest(http.MethodGet, "http://evil.example/v1/tenants", nil)
	require.Equal(t, http.StatusForbidden, status(gate(t, callers.Options{Host: own}), r))
	require.Zero(t, status(callers.Default(), r))
}

func TestCallers_OnlyTrustedProxiesSayWhereACallerIs(t *testing.T) {
	t.Parallel()
	trusting := gate(t, callers.Options{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for _, c := range []struct {
		from      string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:1", nil, "203.0.113.9"},
		{"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"10.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"192.0.2.66, 198.51.100.1"}, "198.51.100.1"}, // the first is the caller's own word
		{"10.0.0.1:1", []string{"192.0.2.66", "198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"198.51.100.1, 10.1.1.1"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"10.2.2.2, 10.1.1.1"}, "10.2.2.2"},
		{"10.0.0.1:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"[2001:db8::7]:4711"}, "2001:db8::7"},
		{"10.0.0.1:1", []string{"198.51.100.1, nonsense"}, "10.0.0.1"},
		{"10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"@", []string{"198.51.100.1"}, ""},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.from
		r.Header["X-Forwarded-For"] = c.forwarded
		require.Equal(t, c.want, trusting.Address(r), "%+v", c)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	r.Header.Set("X-Forwarded-Proto", "https")
	require.Equal(t, "10.0.0.1", callers.Default().Address(r), "no proxy is trusted unless it is named")
	require.False(t, callers.Default().Secure(r))
	require.True(t, trusting.Secure(r))
	r.RemoteAddr = "203.0.113.9:1"
	require.False(t, trusting.Secure(r))
	r.TLS = &tls.ConnectionState{}
	require.True(t, trusting.Secure(r))
}

func TestCallers_CORSIsForListedOriginsAlone(t *testing.T) {
	t.Parallel()
	g := gate(t, callers.Options{Origins: []string{"https://app.example.com"}})
	ask := func(g *callers.Gate, method, origin string) (http.Header, bool) {
		r := httptest.NewRequest(method, "/v1/tenants", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		h := http.Header{}
		return h, g.CORS(h, r)
	}
	h, preflight := ask(g, http.MethodOptions, "https://app.example.com")
	require.True(t, preflight)
	require.Equal(t, "https://app.example.com", h.Get("Access-Control-Allow-Origin"))
	require.Contains(t, h.Get("Access-Control-Allow-Headers"), "Authorization")
	require.Contains(t, h.Get("Access-Control-Allow-Methods"), "PATCH")
	require.Empty(t, h.Get("Access-Control-Allow-Credentials"))
	h, preflight = ask(g, http.MethodPost, "https://app.example.com")
	require.False(t, preflight)
	require.Equal(t, "https://app.example.com", h.Get("Access-Control-Allow-Origin"))
	require.Equal(t, "Origin", h.Get("Vary"))
	for _, origin := range []string{"", "null", "https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "https://app.example.com:8443"} {
		h, preflight = ask(g, http.MethodOptions, origin)
		require.False(t, preflight, origin)
		require.Empty(t, h.Get("Access-Control-Allow-Origin"), origin)
		require.Equal(t, "Origin", h.Get("Vary"))
	}
	h, preflight = ask(callers.Default(), http.MethodOptions, "https://app.example.com")
	require.False(t, preflight)
	require.Empty(t, h, "it is off")
	_, err := callers.New(callers.Options{Origins: []string{"*"}})
	require.Error(t, err)
}
