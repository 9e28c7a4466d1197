package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func TestServer_Probes(t *testing.T) {
	t.Parallel()
	var down error
	e := newEnvWith(t, func(o *api.Options) { o.Ready = func(context.Context) error { return down } })
	probe := func(method, path string) answer { return e.do(request{method: method, path: path, key: "-"}) }
	require.Equal(t, "ok", probe(http.MethodGet, "/healthz").is(http.StatusOK).text("status"))
	require.Equal(t, "ready", probe(http.MethodGet, "/readyz").is(http.StatusOK).text("status"))
	probe(http.MethodHead, "/healthz").is(http.StatusOK)
	probe(http.MethodHead, "/readyz").is(http.StatusOK)

	down = errors.New("dial 10.0.0.9: refused")
	refused := probe(http.MethodGet, "/readyz").is(http.StatusServiceUnavailable)
	require.Equal(t, []string{"temporal"}, refused.fields())
	require.Contains(t, refused.body, "Temporal cannot be reached")
	require.NotContains(t, refused.body, "10.0.0.9")
	require.Contains(t, e.log.String(), "10.0.0.9")
	probe(http.MethodGet, "/healthz").is(http.StatusOK)
}

func TestServer_NotReadyUntilMigratedAndWithoutADatabase(t *testing.T) {
	t.Parallel()
	store, err := models.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "empty.db"), models.Options{})
	require.NoError(t, err)
	e := newEnvWith(t, func(o *api.Options) { o.Store = store })
	ready := request{method: http.MethodGet, path: "/readyz", key: "-"}
	require.Equal(t, []string{"schema"}, e.do(ready).is(http.StatusServiceUnavailable).fields())
	require.NoError(t, store.Migrate(t.Context()))
	e.do(ready).is(http.StatusOK)
	require.NoError(t, store.Close())
	require.Equal(t, []string{"database", "schema"}, e.do(ready).is(http.StatusServiceUnavailable).fields())
}

func TestServer_Metrics(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.call("GET /v1/tenants/acme", "").is(http.StatusOK)
	e.call("GET /v1/nowhere/really", "").is(http.StatusNotFound)
	e.call("BREW /v1/tenants/acme", "").is(http.StatusMethodNotAllowed)
	recorder := httptest.NewRecorder()
	e.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, recorder.Code)
	text := recorder.Body.String()
	require.Contains(t, text, `posthorn_http_request_duration_seconds_count{method="GET",route="/v1/tenants/:tenant",status="200"} 1`)
	require.Contains(t, text, `{method="GET",route="none",status="404"}`)
	require.Contains(t, text, `{method="other",route="none",status="405"}`)
	require.NotContains(t, text, "nowhere")

	registry := prometheus.NewRegistry()
	_, err := api.New(api.Options{Service: e.Service, Store: e.Store, Registry: registry})
	require.NoError(t, err)
	_, err = api.New(api.Options{Service: e.Service, Store: e.Store, Registry: registry})
	require.ErrorContains(t, err, "metrics")
	without := newEnvWith(t, func(o *api.Options) { o.Registry = nil })
	without.call("GET /metrics", "").is(http.StatusNotFound)
}

// entries returns the log's entries with this message.
func (e *env) entries(message string) []map[string]any {
	e.t.Helper()
	var found []map[string]any
	for decoder := json.NewDecoder(strings.NewReader(e.log.String())); ; {
		var entry map[string]any
		err := decoder.Decode(&entry)
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(e.t, err)
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
}

func TestServer_RequestsAreLoggedWithoutSecrets(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	created := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/path-token","headers":{"X-Token":"header-token"}}`).is(http.StatusCreated)
	e.call("GET /v1/tenants/acme/webhooks?url=https://shop.example/path-token", "").is(http.StatusOK)
	e.call("POST /v1/tenants/acme/events", `{"type":"order.created","data":"payload-token"}`).is(http.StatusAccepted)
	rotated := e.call("POST /v1/tenants/acme/webhooks/"+created.text("id")+"/secret/rotate", "").is(http.StatusOK)
	refused := e.do(request{method: http.MethodPost, path: "/v1/tenants/acme/events", body: `{"type":"x","data":"payload-token"}`, header: map[string]string{"X-Request-Id": "mine-1"}}).
		is(http.StatusUnprocessableEntity)
	require.Equal(t, "mine-1", refused.header.Get("X-Request-Id"))
	e.do(request{method: http.MethodGet, path: "/v1/tenants", key: "wrong-token"}).is(http.StatusUnauthorized)

	for _, secret := range []string{"path-token", "header-token", "payload-token", "wrong-token", e.key, created.text("secret"), rotated.text("secret"), "whsec_"} {
		require.NotContains(t, e.log.String(), secret)
	}
	entries := e.entries("request")
	require.Len(t, entries, 6)
	require.Equal(t, "DEBUG", entries[0]["level"])
	require.Equal(t, created.header.Get("X-Request-Id"), entries[0]["request_id"])
	require.Equal(t, "acme", entries[0]["tenant"])
	require.NotEmpty(t, entries[0]["key"])
	require.Equal(t, "INFO", entries[4]["level"])
	require.InDelta(t, 422, entries[4]["status"], 0)
	require.Equal(t, "mine-1", entries[4]["request_id"])
	require.NotContains(t, entries[5], "key")
}

func TestServer_RequestIDsThatAreNotPlainAreReplaced(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, id := range []string{"", "two words", `quo"te`, strings.Repeat("x", 65), "línea"} {
		got := e.do(request{method: http.MethodGet, path: "/healthz", header: map[string]string{"X-Request-Id": id}}).header.Get("X-Request-Id")
		require.Regexp(t, `^[0-9a-f-]{36}$`, got)
	}
}

func TestServer_InternalErrorsAreLoggedAndNotTold(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	key := e.key
	store, err := models.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "gone.db"), models.Options{})
	require.NoError(t, err)
	require.NoError(t, store.Close())
	e.Service.Store = store
	for _, r := range []request{
		{method: http.MethodGet, path: "/v1/tenants/acme", key: key},
		{method: http.MethodGet, path: "/v1/tenants", key: servicetest.AdminKey},
		{method: http.MethodPost, path: "/v1/tenants/acme/events", body: `{"type":"order.created","data":{}}`, key: servicetest.AdminKey},
	} {
		failed := e.do(r).is(http.StatusInternalServerError)
		require.Equal(t, "internal error", failed.text("detail"))
		require.NotContains(t, failed.body, "sql")
	}
	entries := e.entries("request failed")
	require.Len(t, entries, 3)
	require.Contains(t, entries[0]["error"], "sql")
	require.NotEmpty(t, entries[0]["request_id"])
	require.Equal(t, "WARN", e.entries("request")[0]["level"])
}

func TestServer_APanicIsAnInternalError(t *testing.T) {
	t.Parallel()
	mounted := func(r gin.IRouter) {
		r.GET("/system/panic", func(*gin.Context) { panic("the cat sat on the keyboard") })
		r.GET("/system/abort", func(*gin.Context) { panic(http.ErrAbortHandler) })
	}
	e := newEnvWith(t, func(o *api.Options) { o.Systems = []func(gin.IRouter){mounted} })
	failed := e.call("GET /system/panic", "").is(http.StatusInternalServerError)
	require.NotContains(t, failed.body, "cat")
	entries := e.entries("panic")
	require.Len(t, entries, 1)
	require.Contains(t, entries[0]["stack"], "service_test.go")
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { e.call("GET /system/abort", "") })
}
