package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/metrics"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// mounted returns every route, with paths filled in.
func (e *env) mounted() []request {
	e.t.Helper()
	router, ok := e.handler.(*gin.Engine)
	require.True(e.t, ok)
	fill := strings.NewReplacer(":tenant", "acme", ":id", "none", ":name", "user.created", ":system", "up42")
	var all []request
	for _, route := range router.Routes() {
		path := fill.Replace(route.Path)
		require.NotContains(e.t, path, ":", "say here what stands for the parameter")
		all = append(all, request{method: route.Method, path: path})
	}
	require.Greater(e.t, len(all), 80)
	return all
}

// TestCallers_AKeyForSettingsMayNothingElse walks the mounted routes, so that a new one is covered the day it is added.
func TestCallers_AKeyForSettingsMayNothingElse(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	settings := e.Key("acme", models.RoleSettings)
	open := 0
	for _, r := range e.mounted() {
		if !strings.HasPrefix(r.path, "/v1/") {
			open++
			continue
		}
		r.key = settings
		require.Equal(t, http.StatusForbidden, e.answer(r).status, "%s %s", r.method, r.path)
	}
	require.LessOrEqual(t, open, 28, "routes that need no key")
}

// TestCallers_EveryAnswerCarriesItsHeaders walks the mounted routes with a key, with a wrong one and without.
func TestCallers_EveryAnswerCarriesItsHeaders(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, r := range append(e.mounted(), request{method: http.MethodGet, path: "/nothing"}, request{method: http.MethodDelete, path: "/docs"},
		request{method: http.MethodGet, path: "/v1/../v1"}) {
		if r.method == http.MethodDelete && strings.TrimSuffix(r.path, "/") == "/v1/tenants/acme" {
			continue // it would take the others' ground away
		}
		for _, key := range []string{servicetest.AdminKey, "wrong", "-"} {
			r.key = key
			h := e.answer(r).header
			require.Equal(t, "no-store", h.Get("Cache-Control"), "%s %s", r.method, r.path)
			require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), "%s %s", r.method, r.path)
			require.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", "%s %s", r.method, r.path)
			require.Equal(t, "no-referrer", h.Get("Referrer-Policy"), "%s %s", r.method, r.path)
		}
	}
	require.Contains(t, e.call("GET /docs", "").header.Get("Content-Security-Policy"), "style-src 'sha256-")
}

// TestCallers_SlashesAndHEADLeadToTheSamePlace: each route of the contract with a slash at its end, and HEAD where GET is.
func TestCallers_SlashesAndHEADLeadToTheSamePlace(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, r := range contract {
		plain := r.request("acme", nil, e.key)
		slash := plain
		slash.path += "/"
		if strings.HasPrefix(r.route, "DELETE /v1/tenants/{tenant}") {
			plain.key, slash.key = "wrong", "wrong"
		}
		require.Equal(t, e.answer(plain).status, e.answer(slash).status, r.route)
		if plain.method == http.MethodGet {
			want := e.answer(plain)
			for _, head := range []request{plain, slash} {
				head.method = http.MethodHead
				require.Equal(t, want.status, e.answer(head).status, r.route)
			}
		}
	}
	list := e.call("GET /v1/tenants/acme/webhooks/?limit=1", "").is(http.StatusOK)
	require.Equal(t, e.call("GET /v1/tenants/acme/webhooks?limit=1", "").body, list.body)
}

func TestCallers_ListsShowWhenAKeyWasLastUsed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	created := e.call("POST /v1/tenants/acme/keys", `{"name":"ci","role":"settings"}`).is(http.StatusCreated)
	require.Nil(t, created.json()["last_used_at"])
	e.do(request{method: http.MethodGet, path: "/v1/tenants/acme", key: created.text("key")}).is(http.StatusForbidden)
	e.Service.Close() // waits for what is being written down
	for _, key := range e.call("GET /v1/tenants/acme/keys", "").data() {
		require.Regexp(t, `^\d{4}-\d\d-\d\dT`, key["last_used_at"], key["name"])
	}
	e.call("POST /v1/tenants/acme/keys", `{"role":"admin"}`).is(http.StatusUnprocessableEntity)
}

// The actor of a change is known wherever it is made.
func TestCallers_TheActorIsInTheContext(t *testing.T) {
	t.Parallel()
	var seen []service.Actor
	e := newEnvWith(t, func(o *api.Options) {
		o.Systems = []func(gin.IRouter){func(r gin.IRouter) {
			r.GET("/who", func(c *gin.Context) { seen = append(seen, service.ActorOf(c.Request.Context())) })
		}}
	})
	e.do(request{method: http.MethodGet, path: "/who", header: map[string]string{"X-Request-Id": "mine-1"}})
	require.Equal(t, []service.Actor{{Address: "192.0.2.1", RequestID: "mine-1"}}, seen)
}

// A bare worker answers only probes, with the same headers.
func TestCallers_AWorkerAnswersProbesAlone(t *testing.T) {
	t.Parallel()
	e := newEnvWith(t, func(o *api.Options) { o.ProbesOnly = true })
	e.call("GET /healthz", "").is(http.StatusOK)
	e.call("HEAD /readyz", "").is(http.StatusOK)
	e.call("GET /metrics", "")
	for _, path := range []string{"/docs", "/openapi.json", "/v1/tenants", "/v1/tenants/acme"} {
		none := e.answer(request{method: http.MethodGet, path: path, key: servicetest.AdminKey}).is(http.StatusNotFound)
		require.Equal(t, "no-store", none.header.Get("Cache-Control"))
	}
}

func TestCallers_PanicsAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	metrics.New(registry)
	e := newEnvWith(t, func(o *api.Options) {
		o.Registry = registry
		o.Systems = []func(gin.IRouter){func(r gin.IRouter) {
			r.GET("/system/panic", func(*gin.Context) { panic("the cat sat on the keyboard") })
		}}
	})
	require.Contains(t, e.call("GET /metrics", "").body, "posthorn_panics_total ")
	e.call("GET /system/panic", "").is(http.StatusInternalServerError)
	require.NotContains(t, e.call("GET /metrics", "").body, "posthorn_panics_total 0")
}
