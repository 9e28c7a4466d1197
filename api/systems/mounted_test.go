package systems_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/api/ewarehousing"
	"github.com/posthorn/posthorn/api/im4"
	"github.com/posthorn/posthorn/api/languageweaver"
	"github.com/posthorn/posthorn/api/phrase"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/mounted"
	"github.com/posthorn/posthorn/api/up42"
	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// system says how a webhook is made and listed through one of the systems, and how the system shows that it is out of
// service.
type system struct {
	name                 string
	api                  func(systems.Options) *systems.API
	authorization        string // KEY stands for the key
	create, body, listed string
	out                  string // in the list once /v1 has disabled it; "" = this API does not show it
	notFound             string // of GET <prefix>/nothing
}

// authorize makes the header out of a key.
func (s *system) authorize(key string) string {
	if strings.HasPrefix(s.authorization, "Basic") {
		key = base64.StdEncoding.EncodeToString([]byte(key + ":"))
	}
	return strings.Replace(s.authorization, "KEY", key, 1)
}

// catalogued are the systems with a catalogue of event types. Svix has none, and tests of its own.
var catalogued = []system{
	{"im4", im4.API, "Bearer KEY", "/im4/webhooks", `{"webhook_url":"https://a.example/im4","webhook_order_created":true}`, "/im4/webhooks",
		"", `{"message":"there is no such resource"}`},
	{"phrase", phrase.API, "ApiToken KEY", "/phrase/web/api2/v2/webhooks", `{"url":"https://a.example/phrase","events":["JOB_CREATED"]}`,
		"/phrase/web/api2/v2/webhooks", `"status":"DISABLED"`, `{"errorCode":"ObjectNotFound","errorDescription":"there is no such resource"}`},
	{"languageweaver", languageweaver.API, "Basic KEY", "/languageweaver/api/v2/webhooks",
		"url=https://a.example/languageweaver&events=translation.created", "/languageweaver/api/v2/webhooks", "",
		`{"error":{"code":404,"message":"Not Found","details":"there is no such resource"}}`},
	{"ewarehousing", ewarehousing.API, "Bearer KEY", "/ewarehousing/webhooks/",
		`{"url":"https://a.example/ewarehousing","group":"stock","action":"updated","hash_secret":"s"}`, "/ewarehousing/webhooks/", "",
		`{"code":404,"message":"there is no such resource"}`},
	{"up42", up42.API, "Bearer KEY", "/up42/workspaces/TENANT/webhooks",
		`{"url":"https://a.example/up42","name":"n","events":["order.status"],"active":true}`, "/up42/workspaces/TENANT/webhooks",
		`"active":false`, `{"data":null,"error":{"code":"NOT_FOUND","message":"there is no such resource"}}`},
}

// A system that is mounted is in the tables of these tests, or this fails.
func TestSystemsMounted_EverySystemIsInTheTables(t *testing.T) {
	t.Parallel()
	var inTable []string
	for _, s := range catalogued {
		inTable = append(inTable, s.name)
		require.NotEmpty(t, valid[s.name], "%s: which values are good for its fields?", s.name)
	}
	require.ElementsMatch(t, catalog.Systems(), inTable)
	require.ElementsMatch(t, mounted.Names(), append(inTable, "svix"))
}

// TestSystemsMounted_OneInstallationServesAllSystemsAndTheNativeAPI makes a webhook through each system on one router and follows
// it through /v1, where it is visible, disabled and enabled. No other system shows it.
func TestSystemsMounted_OneInstallationServesAllSystemsAndTheNativeAPI(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	var mounts []func(gin.IRouter)
	for _, s := range catalogued {
		mounts = append(mounts, func(r gin.IRouter) { s.api(systems.Options{Service: env.Service}).Mount(r) })
	}
	handler, err := api.New(api.Options{Service: env.Service, Store: env.Store, Systems: mounts})
	require.NoError(t, err)
	keys := map[string]string{"acme": env.Tenant("acme"), "globex": env.Tenant("globex")}
	do := func(method, target, authorization, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
		r.Header.Set("Authorization", authorization)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w
	}
	v1 := func(method, tenant, path string) string {
		w := do(method, "/v1/tenants/"+tenant+"/webhooks"+path, "Bearer "+keys[tenant], "")
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		return w.Body.String()
	}
	for _, s := range catalogued {
		as := func(tenant, method, target, body string) *httptest.ResponseRecorder {
			return do(method, strings.Replace(target, "TENANT", tenant, 1), s.authorize(keys[tenant]), body)
		}
		made := as("acme", http.MethodPost, s.create, s.body)
		require.Less(t, made.Code, 300, "%s: %s", s.name, made.Body)
		require.Contains(t, as("acme", http.MethodGet, s.listed, "").Body.String(), "https://a.example/"+s.name)

		var page struct {
			Data []struct{ ID, URL, Profile, Status string }
		}
		require.NoError(t, json.Unmarshal([]byte(v1(http.MethodGet, "acme", "?url=https://a.example/"+s.name)), &page))
		require.Len(t, page.Data, 1)
		require.Equal(t, s.name, page.Data[0].Profile)
		require.Equal(t, "active", page.Data[0].Status)

		v1(http.MethodPost, "acme", "/"+page.Data[0].ID+"/disable")
		require.Contains(t, as("acme", http.MethodGet, s.listed, "").Body.String(), s.out)
		v1(http.MethodPost, "acme", "/"+page.Data[0].ID+"/enable")
		if s.out != "" {
			require.NotContains(t, as("acme", http.MethodGet, s.listed, "").Body.String(), s.out)
		}

		require.NotContains(t, as("globex", http.MethodGet, s.listed, "").Body.String(), "a.example")
		require.JSONEq(t, s.notFound, as("acme", http.MethodGet, "/"+s.name+"/nothing", "").Body.String())
	}
	require.NotContains(t, v1(http.MethodGet, "globex", ""), "a.example")
	require.Equal(t, len(catalogued), strings.Count(v1(http.MethodGet, "acme", ""), `"profile"`), "and no system sees another's")
	require.Equal(t, http.StatusNotFound, do(http.MethodGet, "/im5/webhooks", "", "").Code)
}

// A URL is kept in one form, or refused, whichever API it comes through.
func TestSystemsMounted_AllSystemsKeepURLsInOneForm(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	var mounts []func(gin.IRouter)
	for _, s := range catalogued {
		mounts = append(mounts, func(r gin.IRouter) { s.api(systems.Options{Service: env.Service}).Mount(r) })
	}
	handler, err := api.New(api.Options{Service: env.Service, Store: env.Store, Systems: mounts})
	require.NoError(t, err)
	key := env.Tenant("acme")
	for _, s := range catalogued {
		authorization := s.authorize(key)
		do := func(method, target, url string) *httptest.ResponseRecorder {
			body := strings.Replace(s.body, "https://a.example", url, 1)
			r := httptest.NewRequestWithContext(t.Context(), method, strings.Replace(target, "TENANT", "acme", 1), strings.NewReader(body))
			r.Header.Set("Authorization", authorization)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w
		}
		for _, url := range []string{"https://a..b", "https://" + strings.Repeat("a", 64) + ".example", "https://a.example/b|\\\\c", "https://user@a.example"} {
			refused := do(http.MethodPost, s.create, url)
			require.GreaterOrEqual(t, refused.Code, 400, "%s: %s", s.name, url)
			require.Less(t, refused.Code, 500, "%s: %s", s.name, url)
			require.Contains(t, strings.ToLower(refused.Body.String()), "url", "%s names the field", s.name)
		}
		made := do(http.MethodPost, s.create, "HTTPS://BÜCHER.example:443/é|x")
		require.Less(t, made.Code, 300, "%s: %s", s.name, made.Body)
		require.Contains(t, do(http.MethodGet, s.listed, "").Body.String(), "https://xn--bcher-kva.example/%C3%A9%7Cx/"+s.name)
	}
}

// post makes the call by which a webhook is made through each system, with a body, and looks at the answer.
func post(t *testing.T, change func(*api.Options), body func(system) io.Reader, look func(system, *httptest.ResponseRecorder)) {
	t.Helper()
	env := servicetest.New(t)
	o := api.Options{Service: env.Service, Store: env.Store}
	for _, s := range catalogued {
		o.Systems = append(o.Systems, func(r gin.IRouter) { s.api(systems.Options{Service: env.Service}).Mount(r) })
	}
	change(&o)
	handler, err := api.New(o)
	require.NoError(t, err)
	key := env.Tenant("acme")
	for _, s := range catalogued {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, strings.Replace(s.create, "TENANT", "acme", 1), body(s))
		r.Header.Set("Authorization", s.authorize(key))
		if !strings.HasPrefix(s.body, "{") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		look(s, w)
	}
}

// A body without room is not reported as malformed.
func TestSystemsMounted_AllSystemsAnswer503WithoutRoomForABody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		post(t, func(o *api.Options) { o.BodyRoom = 1 }, func(s system) io.Reader { return strings.NewReader(s.body) },
			func(s system, w *httptest.ResponseRecorder) {
				require.Equal(t, http.StatusServiceUnavailable, w.Code, "%s: %s", s.name, w.Body)
				require.Equal(t, "1", w.Header().Get("Retry-After"), s.name)
			})
	})
}

// slowBody is a body whose sender has been too slow.
type slowBody struct{}

func (slowBody) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A slow body is not reported as malformed.
func TestSystemsMounted_AllSystemsAnswer408ToASlowSender(t *testing.T) {
	t.Parallel()
	post(t, func(*api.Options) {}, func(system) io.Reader { return slowBody{} }, func(s system, w *httptest.ResponseRecorder) {
		require.Equal(t, http.StatusRequestTimeout, w.Code, "%s: %s", s.name, w.Body)
		require.Contains(t, w.Body.String(), "did not arrive in time", s.name)
	})
}
