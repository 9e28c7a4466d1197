package svix_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/svix"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

const (
	api     = "/svix/api/v1"
	app     = api + "/app/app_acme"
	refused = `{"code":"x","detail":"x"}`
)

// client calls the API with one key.
type client struct {
	*systemstest.Bench
	t   *testing.T
	key string
}

func newClient(t *testing.T, options ...servicetest.Option) *client {
	t.Helper()
	b := systemstest.New(t, svix.Mount, options...)
	b.EventTypes("order.created", "order.paid")
	return &client{b, t, b.Key}
}

// as returns the client with another key.
func (c *client) as(key string) *client { return &client{c.Bench, c.t, key} }

func (c *client) call(method, path, body string, header ...string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	c.Handler.ServeHTTP(w, r)
	return w
}

// ok makes a call that is answered with this status, and decodes the answer.
func (c *client) ok(status int, method, path, body string, header ...string) map[string]any {
	c.t.Helper()
	w := c.call(method, path, body, header...)
	require.Equal(c.t, status, w.Code, "%s %s: %s", method, path, w.Body)
	if status == http.StatusNoContent {
		require.Empty(c.t, w.Body.String())
		return nil
	}
	var v map[string]any
	require.NoError(c.t, json.Unmarshal(w.Body.Bytes(), &v), w.Body.String())
	return v
}

// ids returns the ids, or names, of a list's rows.
func ids(list map[string]any) []string {
	all := []string{}
	rows, _ := list["data"].([]any)
	for _, row := range rows {
		v, _ := row.(map[string]any)
		id, ok := v["id"].(string)
		if !ok {
			id, _ = v["name"].(string)
		}
		all = append(all, id)
	}
	return all
}

// jsonOf returns a value as JSON.
func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func text(v map[string]any, name string) string {
	s, _ := v[name].(string)
	return s
}

// rows returns a list's rows.
func rows(list map[string]any) []map[string]any {
	var all []map[string]any
	data, _ := list["data"].([]any)
	for _, row := range data {
		v, _ := row.(map[string]any)
		all = append(all, v)
	}
	return all
}

func (c *client) endpoint(body string) string {
	c.t.Helper()
	return text(c.ok(http.StatusCreated, "POST", app+"/endpoint", body), "id")
}

func (c *client) message(eventType, payload string) string {
	c.t.Helper()
	return text(c.ok(http.StatusAccepted, "POST", app+"/msg", `{"eventType":"`+eventType+`","payload":`+payload+`}`), "id")
}

// attempt makes the next attempt of all pending deliveries of a message.
func (c *client) attempt(messageID string) {
	c.t.Helper()
	for _, d := range c.Deliveries(systemstest.Tenant, "evt_"+strings.TrimPrefix(messageID, "msg_")) {
		if d.Status == models.Pending {
			c.Attempt(systemstest.Tenant, d.ID)
		}
	}
}

func TestSvix_Access(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	ep := app + "/endpoint/" + c.endpoint(`{"url":"https://a.example"}`)
	systemstest.RequireAccess(t, c.Bench, systemstest.Access{
		Calls: []systemstest.Call{
			{Method: "GET", Path: app + "/endpoint"},
			{Method: "POST", Path: app + "/endpoint", Body: `{"url":"https://b.example"}`},
			{Method: "GET", Path: ep},
			{Method: "PUT", Path: ep, Body: `{"url":"https://b.example"}`},
			{Method: "PATCH", Path: ep, Body: `{"url":"https://b.example"}`},
			{Method: "GET", Path: ep + "/headers"},
			{Method: "GET", Path: ep + "/msg"},
			{Method: "PUT", Path: ep + "/headers", Body: `{"headers":{}}`},
			{Method: "POST", Path: ep + "/secret/rotate"},
			{Method: "GET", Path: app + "/msg"},
			{Method: "DELETE", Path: ep},
		},
		Authorization: func(key string) string { return "Bearer " + key },
		Refused:       refused,
		AdminAllowed:  true,
	})
}

func TestSvix_Applications(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	made := admin.ok(201, "POST", api+"/app/", `{"name":"Shop"}`)
	id := text(made, "id")
	require.Regexp(t, `^app_[0-9a-f-]{36}$`, id)
	require.Equal(t, map[string]any{"id": id, "uid": nil, "name": "Shop", "rateLimit": nil, "throttleRate": nil, "metadata": map[string]any{},
		"createdAt": made["createdAt"], "updatedAt": made["updatedAt"]}, made)
	require.Equal(t, made, admin.ok(200, "GET", api+"/app/"+id, ""))

	require.Equal(t, "Store", admin.ok(200, "PUT", api+"/app/"+id, `{"name":"Store"}`)["name"])
	require.Equal(t, "Store", admin.ok(200, "PATCH", api+"/app/"+id, `{}`)["name"])
	require.Equal(t, "Mall", admin.ok(200, "PATCH", api+"/app/"+id, `{"name":"Mall","uid":null,"rateLimit":null}`)["name"])
	require.Equal(t, "app_customer-1", admin.ok(201, "PUT", api+"/app/customer-1", `{"name":"Customer"}`)["id"])
	require.Equal(t, "Again", admin.ok(200, "PUT", api+"/app/app_customer-1/", `{"name":"Again"}`)["name"])
	_, err := c.Service.Tenant(t.Context(), "customer-1")
	require.NoError(t, err, "/v1 has it too")
	require.Equal(t, "acme", c.ok(200, "GET", app, "")["name"], "what /v1 has made is here")

	// The rate of all endpoints together: set and unset by itself, by both names.
	for _, name := range []string{"rateLimit", "throttleRate"} {
		limited := admin.ok(201, "POST", api+"/app", `{"name":"n","`+name+`":5}`)
		of := api + "/app/" + text(limited, "id")
		require.Equal(t, []any{5.0, 5.0}, []any{limited["rateLimit"], limited["throttleRate"]})
		require.InDelta(t, 5, admin.ok(200, "PATCH", of, `{"name":"m"}`)["rateLimit"], 0)
		require.InDelta(t, 7, admin.ok(200, "PATCH", of, `{"`+name+`":7}`)["throttleRate"], 0)
		require.Nil(t, admin.ok(200, "PATCH", of, `{"`+name+`":null}`)["rateLimit"])
		require.InDelta(t, 8, admin.ok(200, "PUT", of, `{"name":"n","`+name+`":8}`)["rateLimit"], 0)
		require.Nil(t, admin.ok(200, "PUT", of, `{"name":"n"}`)["throttleRate"])
		admin.ok(422, "PATCH", of, `{"`+name+`":0}`)
		admin.ok(204, "DELETE", of, "")
	}
	require.Equal(t, []any{map[string]any{"loc": []any{"body", "name"}, "msg": "is required", "type": "value_error"}},
		admin.ok(422, "POST", api+"/app", `{}`)["detail"])
	admin.ok(422, "POST", api+"/app", `{"name":" "}`)
	admin.ok(422, "GET", api+"/app?limit=251", "")
	require.Equal(t, []any{map[string]any{"loc": []any{"query", "iterator"}, "msg": "is not an iterator of this list", "type": "value_error"}},
		admin.ok(422, "GET", api+"/app?iterator=app_-", "")["detail"])

	// The same key, the same application; another key, another one. Bodies are not compared.
	first := admin.ok(201, "POST", api+"/app", `{"name":"once"}`, "Idempotency-Key", "auto_1")
	require.Equal(t, first, admin.ok(201, "POST", api+"/app", `{"name":"twice"}`, "Idempotency-Key", "auto_1"))
	require.NotEqual(t, first["id"], admin.ok(201, "POST", api+"/app", `{"name":"once"}`, "Idempotency-Key", "auto_2")["id"])

	admin.ok(204, "DELETE", api+"/app/"+id, "")
	require.Equal(t, map[string]any{"code": "not_found", "detail": "Entity not found"}, admin.ok(404, "GET", api+"/app/"+id, ""))
	admin.ok(404, "POST", api+"/app/"+id+"/msg", `{"eventType":"order.created","payload":{}}`)
	for _, call := range []string{"GET /app", "POST /app", "PUT /app/app_acme", "PATCH /app/app_acme", "DELETE /app/app_acme", "POST /event-type"} {
		method, path, _ := strings.Cut(call, " ")
		require.Equal(t, "insufficient access", c.ok(403, method, api+path, `{"name":"n"}`)["code"], call)
	}
}

func TestSvix_ListsGoBothWays(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	var made []string
	for range 5 {
		made = append(made, c.endpoint(`{"url":"https://a.example"}`))
	}
	get := func(query string) map[string]any { return c.ok(200, "GET", app+"/endpoint?"+query, "") }
	first := get("limit=2")
	require.Equal(t, made[:2], ids(first))
	require.Equal(t, made[1], first["iterator"])
	require.Equal(t, "-"+made[0], first["prevIterator"])
	require.Equal(t, false, first["done"])
	require.Equal(t, made[2:4], ids(get("limit=2&iterator="+made[1])))
	last := get("limit=2&iterator=" + made[3])
	require.Equal(t, made[4:], ids(last))
	require.Equal(t, true, last["done"])
	require.Equal(t, made[2:4], ids(get("limit=2&iterator=-"+made[4])))
	require.Equal(t, made[:2], ids(get("limit=2&iterator=-"+made[2])))
	require.Equal(t, []string{made[4], made[3]}, ids(get("limit=2&order=descending")))
	require.Equal(t, []string{made[4], made[3]}, ids(get("limit=2&order=descending&iterator=-"+made[2])))
	empty := get("iterator=" + made[4])
	require.Equal(t, map[string]any{"data": []any{}, "iterator": nil, "prevIterator": nil, "done": true}, empty)

	var sent []string
	for range 4 {
		sent = append([]string{c.message("order.created", `{}`)}, sent...)
		c.Clock.Advance(time.Second)
	}
	get = func(query string) map[string]any { return c.ok(200, "GET", app+"/msg?"+query, "") }
	require.Equal(t, sent[:3], ids(get("limit=3")))
	require.Equal(t, sent[3:], ids(get("limit=3&iterator="+sent[2])))
	require.Equal(t, sent[1:3], ids(get("limit=2&iterator=-"+sent[3])))
	get = func(query string) map[string]any { return c.ok(200, "GET", app+"/endpoint/"+made[0]+"/msg?"+query, "") }
	require.Equal(t, sent[1:3], ids(get("limit=2&iterator="+sent[0])))
	require.Equal(t, sent[1:3], ids(get("limit=2&iterator=-"+sent[3])))

	admin := c.as(servicetest.AdminKey)
	require.Equal(t, []string{"app_acme"}, ids(admin.ok(200, "GET", api+"/app?limit=1", "")))
	require.Equal(t, []string{"app_globex"}, ids(admin.ok(200, "GET", api+"/app?limit=1&iterator=app_acme", "")))
	require.Equal(t, []string{"app_acme"}, ids(admin.ok(200, "GET", api+"/app?limit=1&iterator=-app_globex", "")))
	require.Equal(t, []string{"order.created"}, ids(c.ok(200, "GET", api+"/event-type?limit=1&iterator=-order.paid", "")))
}

func TestSvix_Endpoints(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	made := c.ok(201, "POST", app+"/endpoint/", `{"url":"https://a.example/hook"}`)
	id := text(made, "id")
	require.Equal(t, map[string]any{"id": id, "uid": nil, "url": "https://a.example/hook", "description": "", "disabled": false, "filterTypes": nil,
		"eventTypes": nil, "channels": nil, "rateLimit": nil, "throttleRate": nil, "metadata": map[string]any{}, "version": 1.0,
		"createdAt": made["createdAt"], "updatedAt": made["updatedAt"]}, made)
	one := app + "/endpoint/" + id
	require.Equal(t, made, c.ok(200, "GET", one+"/", ""))
	require.Equal(t, "svix", c.Webhooks(systemstest.Tenant)[0].Profile)

	for name, rate := range map[string]string{"filterTypes": "rateLimit", "eventTypes": "throttleRate"} {
		set := c.ok(200, "PATCH", one, `{"`+name+`":["order.paid"],"`+rate+`":7,"description":"d","disabled":true}`)
		for _, both := range []string{"filterTypes", "eventTypes"} {
			require.Equal(t, []any{"order.paid"}, set[both])
		}
		require.Equal(t, []any{7.0, 7.0, "d", true}, []any{set["rateLimit"], set["throttleRate"], set["description"], set["disabled"]})
		require.Equal(t, set, c.ok(200, "PATCH", one, `{}`), "what is absent stays")
		back, err := json.Marshal(set)
		require.NoError(t, err)
		require.Equal(t, set, c.ok(200, "PUT", one, string(back)), "what was read can be sent back")
		unset := c.ok(200, "PATCH", one, `{"`+name+`":null,"`+rate+`":null,"disabled":false}`)
		require.Equal(t, []any{nil, nil, "d", false}, []any{unset["filterTypes"], unset["rateLimit"], unset["description"], unset["disabled"]})
	}
	c.ok(200, "PATCH", one, `{"filterTypes":["order.paid"],"rateLimit":7,"description":"d","disabled":true}`)
	whole := c.ok(200, "PUT", one, `{"url":"https://b.example/hook"}`)
	require.Equal(t, []any{"https://b.example/hook", nil, nil, "", false},
		[]any{whole["url"], whole["filterTypes"], whole["rateLimit"], whole["description"], whole["disabled"]})
	require.Nil(t, c.ok(201, "POST", app+"/endpoint", `{"url":"https://a.example","filterTypes":[]}`)["filterTypes"])

	for body, status := range map[string]int{
		`{"url":"https://a.example","uid":"ep_mine"}`:                                          422,
		`{"url":"https://a.example","channels":["a b"]}`:                                       422,
		`{"url":"https://a.example","channels":[]}`:                                            422,
		`{"url":"nonsense"}`:                                                                   422,
		`{"url":"https://a.example","filterTypes":["no.such"]}`:                                422,
		`{"url":"https://a.example","secret":"short"}`:                                         422,
		`{"url":"https://a.example","rateLimit":0}`:                                            422,
		`{"url":"https://a.example","filterTypes":["order.paid"],"eventTypes":["order.none"]}`: 422,
		`{"url":"https://a.example","rateLimit":1,"throttleRate":2}`:                           422,
		`{"url":"https://a.example","headers":{"Content-Length":"1"}}`:                         422,
		`{"url":"https://a.example","nonsense":1}`:                                             422,
		`[]`: 422,
	} {
		c.ok(status, "POST", app+"/endpoint", body)
	}
	detail := jsonOf(t, c.ok(422, "POST", app+"/endpoint", `{"url":"nonsense","filterTypes":["no.such"]}`)["detail"])
	require.Contains(t, detail, `["body","url"]`)
	require.Contains(t, detail, `["body","filterTypes",0]`)

	// Webhooks made through /v1 are visible here, whatever their wire format, and the other way round.
	native := c.Webhook(systemstest.Tenant, "https://v1.example")
	require.Equal(t, native.URL, c.ok(200, "GET", app+"/endpoint/"+strings.Replace(native.ID, "wh_", "ep_", 1), "")["url"])
	seen, err := c.Service.Webhook(t.Context(), systemstest.Tenant, strings.Replace(id, "ep_", "wh_", 1))
	require.NoError(t, err)
	require.Equal(t, "https://b.example/hook", seen.URL)
	_, err = c.Service.Pause(t.Context(), systemstest.Tenant, seen.ID, "test")
	require.NoError(t, err)
	require.Equal(t, true, c.ok(200, "GET", one, "")["disabled"])

	c.ok(404, "PUT", app+"/endpoint/ep_0198c0de-0000-7000-8000-000000000002", `{"url":"https://a.example"}`)
	c.ok(204, "DELETE", one, "")
	c.ok(404, "GET", one, "")
}

func TestSvix_AnotherApplicationsThingsAreNotFound(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	ep := c.endpoint(`{"url":"http://127.0.0.1:1","uid":"mine"}`)
	msg := text(c.ok(202, "POST", app+"/msg", `{"eventType":"order.created","eventId":"order-7","payload":{}}`), "id")
	c.attempt(msg)
	attempt := ids(c.ok(200, "GET", app+"/attempt/msg/"+msg, ""))[0]
	other := c.as(c.OtherKey)
	for _, of := range []string{"app_acme", "app_globex", "acme", "app_none"} {
		for call, body := range map[string]string{
			"GET /endpoint/" + ep: "", "PUT /endpoint/" + ep: `{"url":"https://b.example"}`, "PATCH /endpoint/" + ep: `{}`, "DELETE /endpoint/" + ep: "",
			"GET /endpoint/" + ep + "/secret": "", "POST /endpoint/" + ep + "/secret/rotate": "{}", "GET /endpoint/" + ep + "/headers": "",
			"PUT /endpoint/" + ep + "/headers": `{"headers":{}}`, "PATCH /endpoint/" + ep + "/headers": `{"headers":{}}`,
			"POST /endpoint/" + ep + "/recover": `{"since":"2026-11-20T00:00:00Z"}`, "POST /endpoint/" + ep + "/send-example": `{"eventType":"svix.ping"}`,
			"GET /endpoint/" + ep + "/msg": "", "GET /attempt/endpoint/" + ep: "", "GET /msg/" + msg: "", "DELETE /msg/" + msg + "/content": "",
			"GET /attempt/msg/" + msg: "", "GET /msg/" + msg + "/endpoint": "", "POST /msg/" + msg + "/endpoint/" + ep + "/resend": "",
			"GET /msg/" + msg + "/attempt/atmpt_0198c0de-0000-7000-8000-000000000002": "",
			"GET /endpoint/mine": "", "PATCH /endpoint/mine": `{}`, "DELETE /endpoint/mine": "", "GET /msg/order-7": "", "DELETE /msg/order-7/content": "",
			"GET /endpoint/" + ep + "/stats": "", "POST /endpoint/" + ep + "/replay-missing": `{"since":"2026-11-20T00:00:00Z"}`,
			"POST /endpoint/" + ep + "/bulk-replay":                   `{"since":"2026-11-20T00:00:00Z"}`,
			"DELETE /msg/" + msg + "/attempt/" + attempt + "/content": "", "GET /msg/" + msg + "/attempt/" + attempt: "",
		} {
			method, path, _ := strings.Cut(call, " ")
			require.Equal(t, map[string]any{"code": "not_found", "detail": "Entity not found"}, other.ok(404, method, api+"/app/"+of+path, body), call)
		}
	}
	require.Equal(t, ep, c.ok(200, "GET", app+"/endpoint/mine", "")["id"])
	require.Equal(t, []string{attempt}, ids(c.ok(200, "GET", app+"/attempt/msg/order-7", "")))
}

func TestSvix_Secrets(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	id := c.endpoint(`{"url":"` + receiver.URL + `","secret":"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`)
	secret := app + "/endpoint/" + id + "/secret"
	require.Equal(t, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", c.ok(200, "GET", secret, "")["key"])
	entries, _, err := c.Store.AuditLog(t.Context(), models.AuditFilter{}, models.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, models.AuditWebhookSecretShown, entries[0].Action)
	c.as(c.Env.Key(systemstest.Tenant, models.RoleRead)).ok(403, "GET", secret, "")
	c.as(c.Env.Key(systemstest.Tenant, models.RolePublish)).ok(403, "GET", secret, "")
	native := c.Webhook(systemstest.Tenant, "https://v1.example")
	c.ok(403, "GET", app+"/endpoint/"+strings.Replace(native.ID, "wh_", "ep_", 1)+"/secret", "")

	c.ok(204, "POST", secret+"/rotate", `{"key":"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"}`)
	require.Equal(t, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", c.ok(200, "GET", secret, "")["key"])
	c.attempt(c.message("order.created", `{}`))
	require.Len(t, strings.Fields(receiver.Take()[0].Header.Get("Svix-Signature")), 2, "old and new sign")
	c.ok(204, "POST", secret+"/rotate", "", "Idempotency-Key", "auto_1")
	rotated := c.ok(200, "GET", secret, "")["key"]
	c.ok(204, "POST", secret+"/rotate", `{"gracePeriodSeconds":60}`, "Idempotency-Key", "auto_1")
	require.Equal(t, rotated, c.ok(200, "GET", secret, "")["key"], "it was rotated once")
	require.NotEqual(t, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", rotated)
	detail := jsonOf(t, c.ok(422, "POST", secret+"/rotate", `{"key":"short"}`)["detail"])
	require.Contains(t, detail, `["body","key"]`)
	c.ok(204, "POST", secret+"/rotate", "{}")
	c.ok(204, "POST", secret+"/rotate", "{}")
	require.Equal(t, "limit_reached", c.ok(400, "POST", secret+"/rotate", "{}")["code"])
}

func TestSvix_Headers(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	headers := app + "/endpoint/" + c.endpoint(`{"url":"`+receiver.URL+`","headers":{"X-Shop":"one","Authorization":"Basic s3cret"}}`) + "/headers"
	require.Equal(t, map[string]any{"headers": map[string]any{"X-Shop": "one"}, "sensitive": []any{"Authorization"}}, c.ok(200, "GET", headers, ""))
	require.Equal(t, map[string]any{"headers": map[string]any{}, "sensitive": []any{"Authorization", "X-Shop"}},
		c.as(c.Env.Key(systemstest.Tenant, models.RoleRead)).ok(200, "GET", headers, ""))

	c.ok(204, "PATCH", headers, `{"headers":{"x-new":"two","X-Shop":null}}`)
	require.Equal(t, map[string]any{"headers": map[string]any{"x-new": "two"}, "sensitive": []any{"Authorization"}}, c.ok(200, "GET", headers, ""))
	c.attempt(c.message("order.created", `{}`))
	got := receiver.Take()[0].Header
	require.Equal(t, []string{"Basic s3cret", "two", ""}, []string{got.Get("Authorization"), got.Get("X-New"), got.Get("X-Shop")})
	c.ok(204, "PATCH", headers, `{"headers":{},"deleteHeaders":["authorization"]}`)
	require.Equal(t, map[string]any{"headers": map[string]any{"x-new": "two"}, "sensitive": []any{}}, c.ok(200, "GET", headers, ""))
	c.ok(204, "PUT", headers, `{"headers":{"X-Only":"three"}}`)
	require.Equal(t, map[string]any{"headers": map[string]any{"X-Only": "three"}, "sensitive": []any{}}, c.ok(200, "GET", headers, ""))
	c.ok(422, "PUT", headers, `{"headers":{"svix-id":"x"}}`)
	c.ok(422, "PUT", headers, `{"headers":{"a b":"x"}}`)
	c.ok(422, "PUT", headers, `{}`)
}

func TestSvix_Messages(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	c.endpoint(`{"url":"` + receiver.URL + `"}`)
	made := c.ok(202, "POST", app+"/msg/", `{"eventType":"order.created","payload":{"total": 1.0, "<b>":"é"}}`, "Idempotency-Key", "auto_1")
	id := text(made, "id")
	require.Regexp(t, `^msg_[0-9a-f-]{36}$`, id)
	require.Equal(t, map[string]any{"id": id, "eventId": nil, "eventType": "order.created", "payload": map[string]any{"total": 1.0, "<b>": "é"},
		"channels": nil, "tags": nil, "timestamp": made["timestamp"]}, made)
	require.Equal(t, made, c.ok(200, "GET", app+"/msg/"+id, ""))
	require.Equal(t, map[string]any{}, c.ok(200, "GET", app+"/msg/"+id+"?with_content=false", "")["payload"])
	c.attempt(id)
	got := receiver.Take()
	require.Len(t, got, 1)
	systemstest.RequireBytes(t, `{"total": 1.0, "<b>":"é"}`, got[0].Body)
	require.Equal(t, id, got[0].Header.Get("Svix-Id"))

	// An idempotency key returns the same message, whatever the body is.
	require.Equal(t, made, c.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{"total":2}}`, "Idempotency-Key", "auto_1"))
	require.NotEqual(t, id, c.ok(202, "POST", app+"/msg", `{"eventType":"order.paid","payload":{}}`, "Idempotency-Key", "auto_2")["id"])

	for _, query := range []string{"event_types=order.paid", "event_types=order.paid,none", "event_types[]=order.paid", "event_types[0]=order.paid"} {
		paid := rows(c.ok(200, "GET", app+"/msg?"+query, ""))
		require.Len(t, paid, 1, query)
		require.Equal(t, "order.paid", paid[0]["eventType"])
	}
	require.Empty(t, ids(c.ok(200, "GET", app+"/msg?before=2020-01-01T00:00:00Z", "")))
	require.Len(t, ids(c.ok(200, "GET", app+"/msg?after=2020-01-01T00:00:00Z&with_content=false", "")), 2)
	require.Equal(t, []any{"query", "after"}, c.ok(422, "GET", app+"/msg?after=yesterday", "")["detail"].([]any)[0].(map[string]any)["loc"])
	for body, status := range map[string]int{
		`{"eventType":"order.created"}`:                                                   422,
		`{"eventType":"order.created","payload":[1]}`:                                     422,
		`{"eventType":"no.such","payload":{}}`:                                            422,
		`{"eventType":"order.created","payload":{},"eventId":"a b"}`:                      422,
		`{"eventType":"order.created","payload":{},"eventId":"msg_1"}`:                    422,
		`{"eventType":"order.created","payload":{},"channels":["a b"]}`:                   422,
		`{"eventType":"order.created","payload":{},"deliverAt":"2026-12-01T00:00:00Z"}`:   501,
		`{"eventType":"order.created","payload":{},"transformationsParams":{"raw":"x"}}`:  422,
		`{"eventType":"order.created","payload":{},"application":{"name":"n","uid":"u"}}`: 202,
	} {
		c.ok(status, "POST", app+"/msg", body)
	}
	require.Equal(t, "payload_too_large", c.ok(413, "POST", app+"/msg", `{"eventType":"order.created","payload":{"a":"`+strings.Repeat("x", 1<<20)+`"}}`)["code"])

	c.ok(204, "DELETE", app+"/msg/"+id+"/content", "")
	require.Equal(t, map[string]any{"expired": true}, c.ok(200, "GET", app+"/msg/"+id, "")["payload"])
	list := jsonOf(t, c.ok(200, "GET", app+"/msg", ""))
	require.Contains(t, list, `{"expired":true}`)

	// Messages of /v1 are here, with ids of their publisher's and data of any kind.
	published, err := c.Service.Publish(t.Context(), systemstest.Tenant, service.PublishRequest{Events: []service.EventInput{
		{ID: "order-1", Type: "order.created", Data: []byte(`[1]`)}}})
	require.NoError(t, err)
	native := c.ok(200, "GET", app+"/msg/msg_"+published[0].ID, "")
	require.Equal(t, []any{"msg_order-1", map[string]any{"data": []any{1.0}}}, []any{native["id"], native["payload"]})

	publisher := c.as(c.Env.Key(systemstest.Tenant, models.RolePublish))
	require.Equal(t, true, publisher.ok(200, "POST", app+"/msg/precheck/active", `{"eventType":"order.created"}`)["active"])
	publisher.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{}}`)
	publisher.ok(403, "GET", app+"/msg", "")
}

// A page with large payloads ends early, and the next one goes on where it ended.
func TestSvix_APageOfLargePayloadsEndsEarly(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	payload := `{"a":"` + strings.Repeat("x", 900<<10) + `"}`
	for range 7 {
		c.message("order.created", payload)
	}
	first := c.ok(200, "GET", app+"/msg", "")
	require.Len(t, ids(first), 5)
	require.Equal(t, false, first["done"])
	second := c.ok(200, "GET", app+"/msg?iterator="+text(first, "iterator"), "")
	require.Len(t, ids(second), 2)
	require.Equal(t, true, second["done"])
	require.Len(t, ids(c.ok(200, "GET", app+"/msg?with_content=false", "")), 7)
}

// A page of what few have looks at a bounded number of messages. It may be empty, and the list goes on with its iterator.
func TestSvix_APageThatHasLookedFarGoesOn(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	ep := c.endpoint(`{"url":"https://receiver.example/all"}`)
	rare := c.message("order.paid", `{}`)
	for range 3 {
		events := make([]service.EventInput, 900)
		for i := range events {
			events[i] = service.EventInput{Type: "order.created", Data: []byte(`{}`)}
		}
		_, err := c.Service.Publish(t.Context(), systemstest.Tenant, service.PublishRequest{Events: events, Batch: true})
		require.NoError(t, err)
	}
	for _, path := range []string{app + "/msg", app + "/endpoint/" + ep + "/msg"} {
		list := func(iterator string) map[string]any {
			return c.ok(200, "GET", path+"?event_types=order.paid,order.shipped&limit=20"+iterator, "")
		}
		page := list("")
		require.Empty(t, ids(page))
		require.Equal(t, false, page["done"])
		require.Equal(t, "-"+text(page, "iterator"), page["prevIterator"])
		last := list("&iterator=" + text(page, "iterator"))
		require.Equal(t, []string{rare}, ids(last))
		require.Equal(t, true, last["done"])
		back := list("&iterator=" + text(last, "prevIterator"))
		require.Empty(t, ids(back))
		require.Equal(t, false, back["done"], "it has not looked at all that is newer")
		back = list("&iterator=" + text(back, "prevIterator"))
		require.Equal(t, []any{true, []any{}}, []any{back["done"], back["data"]})
	}
}

func TestSvix_Attempts(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	ep := c.endpoint(`{"url":"` + receiver.URL + `"}`)
	msg := c.message("order.created", `{"n":1}`)
	messages := func(query string) []map[string]any {
		return rows(c.ok(200, "GET", app+"/endpoint/"+ep+"/msg?"+query, ""))
	}
	list := func(query string) []map[string]any {
		return rows(c.ok(200, "GET", app+"/attempt/endpoint/"+ep+"?"+query, ""))
	}
	require.Equal(t, []any{1.0, "pending", msg}, []any{messages("")[0]["status"], messages("status=1")[0]["statusText"], messages("")[0]["id"]})
	require.Empty(t, messages("status=3"))
	require.Empty(t, list(""))

	receiver.Answer(403)
	c.attempt(msg)
	require.Equal(t, []any{3.0, "sending"}, []any{messages("status=3")[0]["status"], messages("status=3")[0]["statusText"]})
	require.NotNil(t, messages("")[0]["nextAttempt"])
	require.Empty(t, messages("status=1"))
	failed := list("")[0]
	require.Equal(t, map[string]any{"id": failed["id"], "msgId": msg, "endpointId": ep, "url": c.Webhooks(systemstest.Tenant)[0].URL, "response": "", "responseStatusCode": 403.0,
		"responseDurationMs": failed["responseDurationMs"], "status": 3.0, "statusText": "sending", "triggerType": 0.0, "timestamp": failed["timestamp"]}, failed)

	receiver.Answer(200)
	c.ok(202, "POST", app+"/msg/"+msg+"/endpoint/"+ep+"/resend", "")
	c.attempt(msg)
	require.InDelta(t, 0, messages("status=0")[0]["status"], 0)
	require.Len(t, list(""), 2)
	require.Equal(t, []any{0.0, 2.0}, []any{list("")[0]["status"], list("")[1]["status"]})
	for query, n := range map[string]int{"status=0": 1, "status=2": 1, "status=1": 0, "status=3": 0, "status=4": 0, "status_code_class=200": 1, "status_code_class=400": 1,
		"status_code_class=0": 0, "event_types=order.paid": 0, "event_types=order.created": 2, "before=2020-01-01T00:00:00Z": 0, "after=2020-01-01T00:00:00Z": 2} {
		require.Len(t, list(query), n, query)
		require.Len(t, rows(c.ok(200, "GET", app+"/attempt/msg/"+msg+"?"+query, "")), n, query)
	}
	c.ok(422, "GET", app+"/attempt/msg/"+msg+"?status=5", "")
	c.ok(422, "GET", app+"/attempt/msg/"+msg+"?status_code_class=250", "")
	var wrong []any
	for _, problem := range c.ok(422, "GET", app+"/attempt/msg/"+msg+"?iterator=atmpt_x&status_code_class=250&after=yesterday", "")["detail"].([]any) {
		wrong = append(wrong, problem.(map[string]any)["loc"].([]any)[1])
	}
	require.ElementsMatch(t, []any{"iterator", "status_code_class", "after"}, wrong, "one answer names all that is wrong")
	require.Equal(t, msg, list("with_msg=true")[0]["msg"].(map[string]any)["id"])
	require.Equal(t, []string{text(failed, "id")}, ids(c.ok(200, "GET", app+"/attempt/endpoint/"+ep+"?limit=1&iterator="+text(list("")[0], "id"), "")))
	require.Equal(t, text(failed, "id"), c.ok(200, "GET", app+"/msg/"+msg+"/attempt/"+text(failed, "id"), "")["id"])
	another := c.message("order.created", `{}`)
	c.ok(404, "GET", app+"/msg/"+another+"/attempt/"+text(failed, "id"), "")

	// A dead receiver has no status code.
	dead := c.endpoint(`{"url":"http://127.0.0.1:1"}`)
	c.ok(202, "POST", app+"/msg/"+msg+"/endpoint/"+dead+"/resend", "") // it came later
	picky := c.endpoint(`{"url":"http://127.0.0.1:1","filterTypes":["order.paid"]}`)
	c.ok(400, "POST", app+"/msg/"+msg+"/endpoint/"+picky+"/resend", "")
	lost := c.message("order.created", `{}`)
	c.attempt(lost)
	require.InDelta(t, 0, rows(c.ok(200, "GET", app+"/attempt/endpoint/"+dead, ""))[0]["responseStatusCode"], 0)

	c.ok(204, "DELETE", app+"/endpoint/"+dead, "")
	destinations := rows(c.ok(200, "GET", app+"/msg/"+lost+"/endpoint", ""))
	require.Len(t, destinations, 2)
	require.ElementsMatch(t, []any{ep, dead}, []any{destinations[0]["id"], destinations[1]["id"]}, "the deleted one too")
	last := c.ok(200, "GET", app+"/msg/"+lost+"/endpoint?limit=1&iterator="+text(destinations[0], "id"), "")
	require.Equal(t, []any{true, []string{text(destinations[1], "id")}}, []any{last["done"], ids(last)})
	require.Equal(t, []string{text(destinations[0], "id")}, ids(c.ok(200, "GET", app+"/msg/"+lost+"/endpoint?limit=1&iterator="+text(last, "prevIterator"), "")))
}

func TestSvix_RecoverAndExamples(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	ep := app + "/endpoint/" + c.endpoint(`{"url":"`+receiver.URL+`"}`)
	since := func(ago time.Duration) string {
		return `{"since":"` + c.Clock.Now().Add(-ago).Format(time.RFC3339) + `"}`
	}
	task := c.ok(202, "POST", ep+"/recover", since(time.Hour), "Idempotency-Key", "auto_1")
	require.Regexp(t, `^qtask_`, task["id"])
	require.Equal(t, []any{"running", "endpoint.recover"}, []any{task["status"], task["task"]})
	require.Equal(t, task, c.ok(202, "POST", ep+"/recover", since(time.Minute), "Idempotency-Key", "auto_1"))
	c.ok(422, "POST", ep+"/recover", since(15*24*time.Hour))
	c.ok(422, "POST", ep+"/recover", `{}`)
	c.ok(422, "POST", ep+"/recover", `{"since":"2020"}`)

	ping := c.ok(200, "POST", ep+"/send-example", `{"eventType":"svix.ping"}`)
	require.Equal(t, []any{"svix.ping", map[string]any{"success": true}}, []any{ping["eventType"], ping["payload"]})
	got := receiver.Take()
	require.Len(t, got, 1)
	systemstest.RequireBytes(t, `{"success":true}`, got[0].Body)
	require.Equal(t, ping["id"], got[0].Header.Get("Svix-Id"))
	_, err := c.Service.PutEventType(t.Context(), models.EventType{Name: "order.paid", Example: `{"total":3}`})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"total": 3.0}, c.ok(200, "POST", ep+"/send-example", `{"eventType":"order.paid"}`)["payload"])
	c.as(servicetest.AdminKey).ok(201, "POST", api+"/event-type", `{"name":"user.made","description":"","schemas":{"1":{"type":"object","examples":[{"n":1},{"n":2}]}}}`)
	for index, n := range map[string]float64{"": 1, `,"exampleIndex":0`: 1, `,"exampleIndex":1`: 2} {
		require.Equal(t, map[string]any{"n": n}, c.ok(200, "POST", ep+"/send-example", `{"eventType":"user.made"`+index+`}`)["payload"], index)
	}
	c.ok(422, "POST", ep+"/send-example", `{"eventType":"user.made","exampleIndex":2}`)
	c.ok(404, "POST", ep+"/send-example", `{"eventType":"no.such"}`)
	receiver.Answer(500)
	c.ok(400, "POST", ep+"/send-example", `{"eventType":"svix.ping"}`)
}

func TestSvix_EventTypes(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	made := admin.ok(201, "POST", api+"/event-type", `{"name":"user.made","description":"A user","schemas":{"1":{"type":"object","required":["id"]}}}`)
	require.Equal(t, map[string]any{"name": "user.made", "description": "A user", "deprecated": false, "archived": false, "featureFlag": nil, "featureFlags": nil,
		"groupName": nil, "schemas": map[string]any{"1": map[string]any{"type": "object", "required": []any{"id"}}},
		"createdAt": made["createdAt"], "updatedAt": made["updatedAt"]}, made)
	require.Equal(t, made, c.ok(200, "GET", api+"/event-type/user.made/", ""))
	require.Equal(t, "conflict", admin.ok(409, "POST", api+"/event-type", `{"name":"user.made","description":""}`)["code"])
	c.ok(422, "POST", app+"/msg", `{"eventType":"user.made","payload":{}}`)
	c.message("user.made", `{"id":1}`)

	changed := admin.ok(200, "PATCH", api+"/event-type/user.made", `{"deprecated":true}`)
	require.Equal(t, []any{true, "A user"}, []any{changed["deprecated"], changed["description"]})
	require.NotNil(t, changed["schemas"])
	require.Nil(t, admin.ok(200, "PATCH", api+"/event-type/user.made", `{"schemas":null}`)["schemas"])
	whole := admin.ok(200, "PUT", api+"/event-type/user.made", `{"description":"All"}`)
	require.Equal(t, []any{false, "All", nil}, []any{whole["deprecated"], whole["description"], whole["schemas"]})
	require.Equal(t, "users", admin.ok(200, "PATCH", api+"/event-type/user.made", `{"groupName":"users"}`)["groupName"])
	require.Equal(t, "users", admin.ok(200, "PATCH", api+"/event-type/user.made", `{"description":"All"}`)["groupName"])
	require.Nil(t, admin.ok(200, "PATCH", api+"/event-type/user.made", `{"groupName":null}`)["groupName"])
	admin.ok(201, "PUT", api+"/event-type/user.gone", `{"description":"","schemas":{"1":{"type":"object"}}}`)
	require.Contains(t, ids(c.ok(200, "GET", api+"/event-type?include_archived=true", "")), "user.gone")
	for query, shown := range map[string]bool{"": false, "?with_content=true": true} {
		for _, row := range rows(c.ok(200, "GET", api+"/event-type"+query, "")) {
			if row["name"] == "user.gone" {
				require.Equal(t, shown, row["schemas"] != nil)
			}
		}
	}
	for body, status := range map[string]int{
		`{"name":"a","description":"","schemas":{"2":{}}}`:                             501,
		`{"name":"a","description":"","schemas":{"1":{},"2":{}}}`:                      501,
		`{"name":"a","description":"","featureFlag":"a b"}`:                            422,
		`{"name":"a","description":"","featureFlag":"a","featureFlags":["b"]}`:         422,
		`{"name":"a","description":"","groupName":"` + strings.Repeat("g", 257) + `"}`: 422,
		`{"name":"a","description":"","schemas":{"1":{"type":"nothing"}}}`:             422,
		`{"name":"a b","description":""}`:                                              422,
		`{"name":"a"}`:                                                                 422,
	} {
		admin.ok(status, "POST", api+"/event-type", body)
	}
	admin.ok(204, "DELETE", api+"/event-type/user.gone?expunge=true", "")
	admin.ok(404, "GET", api+"/event-type/user.gone", "")
}

func TestSvix_WhatIsNotThere(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	for _, call := range []string{"POST /auth/stream-logout", "GET /connector", "GET /app/app_acme/msg/msg_x/raw",
		"POST /ingest/source", "PATCH /operational-webhook/endpoint/ep_x", "POST /stats/usage/event-types", "GET /stream/s/sink", "GET /app/app_acme/poller/p/",
		"GET /app/app_acme/endpoint/ep_x/transformation", "GET /app/app_acme/integration", "GET /app/app_acme/endpoint/ep_x/mtls"} {
		method, path, _ := strings.Cut(call, " ")
		require.Equal(t, "not_implemented", c.ok(501, method, api+path, "")["code"], call)
	}
	require.Equal(t, map[string]any{"code": "not_found", "detail": "Entity not found"}, c.ok(404, "GET", api+"/nonsense", ""))
	c.ok(404, "GET", "/svix/nonsense", "")
	c.ok(405, "PUT", app+"/endpoint", "")
	for _, path := range []string{"/health", "/health/", "/health/ping"} {
		for _, method := range []string{"GET", "HEAD"} {
			c.as("").ok(204, method, api+path, "")
		}
	}
}
