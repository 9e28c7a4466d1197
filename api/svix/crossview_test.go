package svix_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	native "github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/api/svix"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/callers"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// newBoth is a client of an installation with /v1 as well, whose gate lets pages of an origin call it.
func newBoth(t *testing.T) *client {
	t.Helper()
	c := newClient(t)
	gate, err := callers.New(callers.Options{Origins: []string{"https://app.example.com"}})
	require.NoError(t, err)
	c.Handler, err = native.New(native.Options{Service: c.Service, Store: c.Store, Gate: gate, Systems: []func(gin.IRouter){
		func(r gin.IRouter) { svix.Mount(r, systems.Options{Service: c.Service, Gate: gate}) }}})
	require.NoError(t, err)
	return c
}

// Things made through Svix's API are visible in /v1, and the other way round.
func TestSvixCrossView_BothAPIsSeeTheSame(t *testing.T) {
	t.Parallel()
	c := newBoth(t)
	admin := c.as(servicetest.AdminKey)
	receiver := systemstest.NewReceiver(t)
	made := admin.ok(201, "POST", api+"/app", `{"name":"Shop","uid":"shop-1","metadata":{"plan":"big"}}`)
	tenant := strings.TrimPrefix(text(made, "id"), "app_")
	seen := admin.ok(200, "GET", "/v1/tenants/shop-1", "")
	require.Equal(t, []any{tenant, "shop-1", "Shop", map[string]any{"plan": "big"}}, []any{seen["id"], seen["uid"], seen["name"], seen["metadata"]})
	admin.ok(200, "PATCH", "/v1/tenants/"+tenant, `{"uid":"shop-2","metadata":{"plan":"small"}}`)
	require.Equal(t, []any{text(made, "id"), map[string]any{"plan": "small"}},
		[]any{admin.ok(200, "GET", api+"/app/shop-2", "")["id"], admin.ok(200, "GET", api+"/app/shop-2", "")["metadata"]})

	// Endpoints are webhooks, with their uids, channels and metadata.
	ep := admin.ok(201, "POST", api+"/app/shop-2/endpoint", `{"url":"`+receiver.URL+`","uid":"main","channels":["eu"],"metadata":{"a":"b"},"filterTypes":["order.created"]}`)
	hook := admin.ok(200, "GET", "/v1/tenants/shop-2/webhooks/main", "")
	require.Equal(t, []any{"wh_" + strings.TrimPrefix(text(ep, "id"), "ep_"), "main", []any{"eu"}, map[string]any{"a": "b"}, []any{"order.created"}, "svix"},
		[]any{hook["id"], hook["uid"], hook["channels"], hook["metadata"], hook["event_types"], hook["profile"]})
	admin.ok(200, "PATCH", "/v1/tenants/shop-2/webhooks/main", `{"channels":["us","eu"],"active":false,"uid":"first"}`)
	changed := admin.ok(200, "GET", api+"/app/shop-2/endpoint/first", "")
	require.Equal(t, []any{ep["id"], []any{"us", "eu"}, true}, []any{changed["id"], changed["channels"], changed["disabled"]})
	admin.ok(200, "PATCH", api+"/app/shop-2/endpoint/first", `{"disabled":false}`)
	require.Equal(t, "active", admin.ok(200, "GET", "/v1/tenants/shop-2/webhooks/first", "")["status"])
	admin.ok(201, "POST", "/v1/tenants/shop-2/webhooks", `{"url":"https://v1.example","uid":"second"}`)
	require.Equal(t, "https://v1.example", strings.TrimSuffix(text(admin.ok(200, "GET", api+"/app/shop-2/endpoint/second", ""), "url"), "/"))

	// Messages are events, with their eventIds, channels and tags.
	msg := admin.ok(202, "POST", api+"/app/shop-2/msg", `{"eventType":"order.created","payload":{"n":1},"eventId":"order.1","channels":["us"],"tags":["big"]}`)
	events := rows(admin.ok(200, "GET", "/v1/tenants/shop-2/events?external_id=order.1&tag=big&channel=us", ""))
	require.Len(t, events, 1)
	require.Equal(t, []any{"evt_" + strings.TrimPrefix(text(msg, "id"), "msg_"), "order.1"}, []any{events[0]["id"], events[0]["external_id"]})
	admin.ok(202, "POST", "/v1/tenants/shop-2/events", `{"type":"order.created","data":{"n":2},"external_id":"order.2","channels":["eu"],"tags":["small"]}`)
	second := admin.ok(200, "GET", api+"/app/shop-2/msg/order.2", "")
	require.Equal(t, []any{"order.2", []any{"eu"}, []any{"small"}, map[string]any{"n": 2.0}}, []any{second["eventId"], second["channels"], second["tags"], second["payload"]})
	admin.ok(409, "POST", api+"/app/shop-2/msg", `{"eventType":"order.created","payload":{},"eventId":"order.2"}`)

	// Event types are the same, and /v1 leaves alone what it cannot set.
	admin.ok(201, "POST", api+"/event-type", `{"name":"user.made","description":"A user","groupName":"users"}`)
	require.Equal(t, "users", admin.ok(200, "PUT", "/v1/event-types/user.made", `{"description":"Somebody"}`)["category"])
	kept := admin.ok(200, "GET", api+"/event-type/user.made", "")
	require.Equal(t, []any{"Somebody", "users"}, []any{kept["description"], kept["groupName"]})
	w := admin.call("GET", "/v1/openapi/event-types", "")
	require.Equal(t, []any{}, admin.ok(200, "POST", "/v1/openapi/event-types", w.Body.String())["updated"], "a document has the group too")

	// Deliveries, recoveries and statistics are the same.
	for _, d := range c.Deliveries(tenant, "evt_"+strings.TrimPrefix(text(msg, "id"), "msg_")) {
		if d.WebhookID == "wh_"+strings.TrimPrefix(text(ep, "id"), "ep_") {
			c.Attempt(tenant, d.ID)
		}
	}
	systemstest.RequireBytes(t, `{"n":1}`, receiver.Take()[0].Body)
	attempts := rows(admin.ok(200, "GET", api+"/app/shop-2/attempt/endpoint/first", ""))
	require.Len(t, attempts, 1)
	deliveries := rows(admin.ok(200, "GET", "/v1/tenants/shop-2/deliveries?event_id=evt_"+strings.TrimPrefix(text(msg, "id"), "msg_"), ""))
	require.Len(t, deliveries, 2)
	require.InDelta(t, 1, admin.ok(200, "GET", api+"/app/shop-2/endpoint/first/stats", "")["success"], 0)
	require.InDelta(t, 1, admin.ok(200, "GET", "/v1/tenants/shop-2/stats", "")["totals"].(map[string]any)["attempts"], 0)
	task := admin.ok(202, "POST", api+"/app/shop-2/endpoint/second/replay-missing", `{"since":"`+c.Clock.Now().UTC().Format("2006-01-02")+`T00:00:00Z"}`)
	recovery := admin.ok(200, "GET", "/v1/tenants/shop-2/recoveries/rec_"+strings.TrimPrefix(text(task, "id"), "qtask_"), "")
	require.Equal(t, "running", recovery["status"])
	link := admin.ok(201, "POST", "/v1/tenants/shop-2/portal-links", `{"role":"read"}`)
	c.as(text(link, "token")).ok(200, "GET", api+"/app/shop-2/endpoint/first", "")
	c.as(text(link, "token")).ok(404, "GET", app, "")
	admin.ok(204, "DELETE", "/v1/tenants/shop-2/portal-links", "")
	c.as(text(link, "token")).ok(401, "GET", api+"/app/shop-2/endpoint/first", "")
}

// A page of a listed origin calls the API with an application's token, as svix-react does.
func TestSvixCrossView_PagesCallWithAToken(t *testing.T) {
	t.Parallel()
	c := newBoth(t)
	token := text(c.as(servicetest.AdminKey).ok(200, "POST", api+"/auth/app-portal-access/app_acme", `{}`), "token")
	ask := func(method, origin, key string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, app+"/endpoint", strings.NewReader(`{"url":"https://a.example","filterTypes":[]}`))
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		c.Handler.ServeHTTP(w, r)
		return w
	}
	const origin = "https://app.example.com"
	preflight := ask(http.MethodOptions, origin, "", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type,idempotency-key,svix-req-id,svix-retry-count")
	require.Equal(t, http.StatusNoContent, preflight.Code)
	require.Equal(t, origin, preflight.Header().Get("Access-Control-Allow-Origin"))
	require.Empty(t, preflight.Header().Get("Access-Control-Allow-Credentials"))
	for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "Svix-Req-Id", "Svix-Retry-Count"} {
		require.Contains(t, preflight.Header().Get("Access-Control-Allow-Headers"), name)
	}
	made := ask(http.MethodPost, origin, token)
	require.Equal(t, http.StatusCreated, made.Code, made.Body.String())
	require.Equal(t, origin, made.Header().Get("Access-Control-Allow-Origin"))
	var v map[string]any
	require.NoError(t, json.Unmarshal(made.Body.Bytes(), &v))
	require.Nil(t, v["filterTypes"])
	require.Equal(t, http.StatusForbidden, ask(http.MethodPost, "https://evil.example", token).Code)
	require.Empty(t, ask(http.MethodOptions, "https://evil.example", "", "Access-Control-Request-Method", "POST").Header().Get("Access-Control-Allow-Origin"))
}
