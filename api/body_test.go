package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
)

// writes is one operation of each way in which bodies are read, with a body that is accepted.
var writes = map[string]string{
	"POST /v1/tenants/acme/events":       `{"type":"order.created","data":{}}`,
	"POST /v1/tenants/acme/events/batch": `{"events":[{"type":"order.created","data":{}}]}`,
	"POST /v1/tenants/acme/events/match": `{"type":"order.created","data":{}}`,
	"POST /v1/tenants/acme/webhooks":     `{"url":"https://shop.example/"}`,
	"POST /v1/tenants/acme/keys":         `{"role":"read"}`,
}

func TestBody_BodiesThatAreNotWellFormed(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for route, good := range writes {
		t.Run(route, func(t *testing.T) {
			e := e.in(t)
			for name, body := range map[string]string{
				"cut short":             good[:len(good)-1],
				"trailing garbage":      good + "x",
				"two values":            good + good,
				"trailing comma":        good[:len(good)-1] + ",}",
				"comment":               "/* */" + good,
				"single quotes":         strings.ReplaceAll(good, `"`, `'`),
				"byte order mark":       "\ufeff" + good,
				"not UTF-8":             strings.Replace(good, "e", "\xe9", 1),
				"control character":     strings.Replace(good, `":`, "\n\":", 1),
				"not a number":          good[:len(good)-1] + `,"x":NaN}`,
				"a name twice":          strings.Replace(good, "{", "{"+firstMember(good)+",", 1),
				"a name twice, escaped": strings.Replace(good, "{", "{"+escapedFirst(good)+",", 1),
				"too deep":              good[:len(good)-1] + `,"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}",
			} {
				refused := e.call(route, body)
				require.Equal(t, http.StatusBadRequest, refused.status, "%s: %s", name, refused.body)
				require.NotContains(t, refused.body, "json:", name)
			}
			e.call(route, "").is(http.StatusBadRequest)
			require.Equal(t, "body", e.call(route, `[]`).is(http.StatusUnprocessableEntity).fields()[0])
			require.Equal(t, "body", e.call(route, `"text"`).is(http.StatusUnprocessableEntity).fields()[0])
			require.Equal(t, "body", e.call(route, `null`).is(http.StatusUnprocessableEntity).fields()[0])
			require.Contains(t, e.call(route, good[:len(good)-1]+`,"colour":"red"}`).is(http.StatusUnprocessableEntity).fields(), "colour")
			require.NotEmpty(t, e.call(route, strings.ToUpper(good[:4])+good[4:]).is(http.StatusUnprocessableEntity).fields(), "names are exact")
		})
	}
	require.Empty(t, e.call("GET /v1/tenants/acme/events", "").data())
	require.Empty(t, e.call("GET /v1/tenants/acme/webhooks", "").data())
	require.Len(t, e.call("GET /v1/tenants/acme/keys", "").data(), 1)
}

// firstMember returns the first member of an object whose value contains no comma.
func firstMember(object string) string {
	if member, _, more := strings.Cut(object[1:], `,"data"`); more {
		return member
	}
	return object[1 : len(object)-1]
}

// escapedFirst returns firstMember with its name's first letter escaped.
func escapedFirst(object string) string {
	member := firstMember(object)
	return fmt.Sprintf(`"\u%04x%s`, member[1], member[2:])
}

func TestBody_ContentTypes(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for contentType, status := range map[string]int{
		"application/json":                   http.StatusAccepted,
		"application/json; charset=utf-8":    http.StatusAccepted,
		"Application/JSON;charset=\"UTF-8\"": http.StatusAccepted,
		"":                                   http.StatusAccepted,
		"application/json; charset=latin1":   http.StatusUnsupportedMediaType,
		"application/x-www-form-urlencoded":  http.StatusUnsupportedMediaType,
		"text/plain":                         http.StatusUnsupportedMediaType,
		"text/json":                          http.StatusUnsupportedMediaType,
		"application/jsonp":                  http.StatusUnsupportedMediaType,
		"application/cbor":                   http.StatusUnsupportedMediaType,
		"application/json;;":                 http.StatusUnsupportedMediaType,
		"/":                                  http.StatusUnsupportedMediaType,
	} {
		e.do(request{method: http.MethodPost, path: "/v1/tenants/acme/events", body: `{"type":"order.created","data":{}}`,
			header: map[string]string{"Content-Type": contentType}}).is(status)
		if status != http.StatusAccepted {
			e.do(request{method: http.MethodPut, path: "/v1/tenants/acme", body: `{}`, header: map[string]string{"Content-Type": contentType}}).is(http.StatusForbidden)
			e.do(request{method: http.MethodPost, path: "/v1/tenants/acme/keys", body: `{"role":"read"}`, header: map[string]string{"Content-Type": contentType}}).is(status)
		}
	}
}

func TestBody_BodiesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	exactly := func(size int, body string) string { return body + strings.Repeat(" ", size-len(body)) }
	for route, good := range writes {
		limit := 1 << 20
		if strings.HasSuffix(route, "/batch") {
			limit = 32 << 20
		}
		t.Run(route, func(t *testing.T) {
			e := e.in(t)
			require.Less(t, e.call(route, exactly(limit, good)).status, 300)
			e.call(route, exactly(limit+1, good)).is(http.StatusRequestEntityTooLarge)
			method, path, _ := strings.Cut(route, " ")
			chunked := httptest.NewRequestWithContext(t.Context(), method, path, io.MultiReader(bytes.NewBufferString(exactly(limit, good)), strings.NewReader(" ")))
			chunked.ContentLength = -1
			chunked.Header.Set("Authorization", "Bearer "+e.key)
			recorder := httptest.NewRecorder()
			e.handler.ServeHTTP(recorder, chunked)
			require.Equal(t, http.StatusRequestEntityTooLarge, recorder.Code)
		})
	}
	data := `"` + strings.Repeat("x", 1<<20) + `"`
	refused := e.call("POST /v1/tenants/acme/events/batch", `{"events":[{"type":"order.created","data":{}},{"type":"order.created","data":`+data+`}]}`)
	require.Equal(t, []string{"events[1].data"}, refused.is(http.StatusRequestEntityTooLarge).fields())
}

func TestBody_HeadersAreBounded(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	many := map[string]string{}
	for i := range 120 {
		many[fmt.Sprintf("X-H-%d", i)] = "v"
	}
	get := request{method: http.MethodGet, path: "/v1/tenants/acme", header: many}
	e.do(get).is(http.StatusRequestHeaderFieldsTooLarge)
	get.header = map[string]string{"X-Large": strings.Repeat("v", 40<<10)}
	e.do(get).is(http.StatusRequestHeaderFieldsTooLarge)
	e.call("GET /v1/tenants/acme/webhooks?url="+strings.Repeat("x", 9<<10), "").is(http.StatusRequestURITooLong)
}

// TestBody_WrongFields: every wrong field is named, and nothing is stored.
func TestBody_WrongFields(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	webhook := e.webhook("https://shop.example/hooks")
	path := "/v1/tenants/acme/webhooks/" + webhook
	const create, publish = "POST /v1/tenants/acme/webhooks", "POST /v1/tenants/acme/events"
	for _, c := range []struct {
		route, body string
		fields      []string
	}{
		{create, `{}`, []string{"url"}},
		{create, `{"url":7}`, []string{"url"}},
		{create, `{"url":null}`, []string{"url"}},
		{create, `{"url":"https://u:p@shop.example/"}`, []string{"url"}},
		{create, `{"url":"http://shop.example/"}`, []string{"url"}},
		{create, `{"url":"https://192.168.0.1/"}`, []string{"url"}},
		{create, `{"url":"https://shop.example/` + strings.Repeat("x", 2048) + `"}`, []string{"url"}},
		{create, `{"url":"https://shop.example/","event_types":["order.created","no.such","order.*","none.*","*.created","or*"]}`,
			[]string{"event_types[1]", "event_types[3]", "event_types[4]", "event_types[5]"}},
		{create, `{"url":"https://shop.example/","event_types":"order.created"}`, []string{"event_types"}},
		{create, `{"url":"https://shop.example/","event_types":[7]}`, []string{"event_types[0]"}},
		{create, `{"url":"https://shop.example/","name":"` + strings.Repeat("é", 201) + `"}`, []string{"name"}},
		{create, `{"url":"https://shop.example/","name":"a\u0000b","description":"` + strings.Repeat("x", 2001) + `"}`, []string{"name", "description"}},
		{create, `{"url":"https://shop.example/","secret":"tooshort"}`, []string{"secret"}},
		{create, `{"url":"https://shop.example/","headers":{"Host":"x"}}`, []string{"headers"}},
		{create, `{"url":"https://shop.example/","headers":{"X-A":"a\r\nb: c"}}`, []string{"headers"}},
		{create, `{"url":"https://shop.example/","headers":{"X-A":7}}`, []string{"headers.X-A"}},
		{create, `{"url":"https://shop.example/","headers":{` + manyHeaders(60) + `}}`, []string{"headers"}},
		{create, `{"url":"https://shop.example/","active":"yes"}`, []string{"active"}},
		{create, `{"url":"https://shop.example/","profile":"fax"}`, []string{"profile"}},
		{create, `{"url":"https://shop.example/","retry":{"initial":"soon","backoff":"2","max":1.5}}`, []string{"retry.backoff", "retry.initial", "retry.max"}},
		{create, `{"url":"https://shop.example/","retry":{"initial":"25h","backoff":0.5,"max_interval":-1,"max":101}}`,
			[]string{"retry.initial", "retry.backoff", "retry.max_interval", "retry.max"}},
		{create, `{"url":"https://shop.example/","retry":{"max":-1}}`, []string{"retry.max"}},
		{create, `{"url":"https://shop.example/","retry":{"max":1e1}}`, []string{"retry.max"}},
		{create, `{"url":"https://shop.example/","retry":{"initial":1e300}}`, []string{"retry.initial"}},
		{create, `{"url":"https://shop.example/","retry":[]}`, []string{"retry"}},
		{create, `{"url":"https://shop.example/","retry":{"times":3}}`, []string{"retry.times"}},
		{create, `{"url":"https://shop.example/","timeout":"1ms"}`, []string{"timeout"}},
		{create, `{"url":"https://shop.example/","timeout":{}}`, []string{"timeout"}},
		{create, `{"url":"https://shop.example/","timeout":"2m"}`, []string{"timeout"}},
		{create, `{"url":"https://shop.example/","max_in_flight":-1,"rate_limit":-1}`, []string{"max_in_flight", "rate_limit"}},
		{create, `{"url":"https://shop.example/","id":"wh_1","status":"active"}`, []string{"id", "status"}},
		{"PATCH " + path, `{"secret":"x"}`, []string{"secret"}},
		{"PATCH " + path, `{"profile":"im4"}`, []string{"profile"}},
		{"PATCH " + path, `{"url":"file:///etc/passwd"}`, []string{"url"}},
		{"PATCH " + path, `{"event_types":["no.such"]}`, []string{"event_types[0]"}},
		{"POST " + path + "/pause", `{"why":"because"}`, []string{"why"}},
		{"POST " + path + "/enable", `{"recover":"yes"}`, []string{"recover"}},
		{"POST " + path + "/disable", `{"reason":"` + strings.Repeat("x", 501) + `"}`, []string{"reason"}},
		{"POST " + path + "/test", `{"event_type":"order.*"}`, []string{"event_type"}},
		{"POST " + path + "/recover", `{"statuses":["held","pending"]}`, []string{"statuses[1]"}},
		{"POST " + path + "/recover", `{"since":"yesterday","rate":-1}`, []string{"rate", "since"}},
		{"POST " + path + "/recover", `{"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}`, []string{"until"}},
		{publish, `{}`, []string{"type", "data"}},
		{publish, `{"type":"order.created"}`, []string{"data"}},
		{publish, `{"type":null,"data":1}`, []string{"type"}},
		{publish, `{"type":7,"data":1,"id":[],"attributes":"x","colour":1}`, []string{"type", "id", "attributes", "colour"}},
		{publish, `{"type":"no.such","data":1}`, []string{"type"}},
		{publish, `{"type":"order.created","data":1,"id":"a/b"}`, []string{"id"}},
		{publish, `{"type":"order.created","data":1,"id":".."}`, []string{"id"}},
		{publish, `{"type":"order.created","data":1,"attributes":{"a":{},"b":"` + strings.Repeat("x", 1001) + `"}}`, []string{"attributes.a", "attributes.b"}},
		{publish, `{"type":"order.created","data":1,"attributes":{"b":"` + strings.Repeat("x", 1001) + `"}}`, []string{"attributes.b"}},
		{publish, `{"type":"order.created","data":1,"attributes":{` + manyHeaders(21) + `}}`, []string{"attributes"}},
		{publish, `{"type":"order.created","data":1,"attributes":{` + manyHeaders(2000) + `}}`, []string{"attributes"}},
		{"POST /v1/tenants/acme/keys", `{"role":"admin"}`, []string{"role"}},
		{"POST /v1/tenants/acme/keys", `{"name":"x"}`, []string{"role"}},
		{"PUT /v1/tenants/acme", `{"admin_emails":["ops@acme.example","nobody","Ops <ops@acme.example>"]}`, []string{"admin_emails[1]", "admin_emails[2]"}},
		{"PUT /v1/tenants/acme", `{"admin_emails":["ops@bücher.example","jürgen@acme.example","ops@acme.example\r\nBcc: eve@evil.example","ops@[10.0.0.1]"]}`,
			[]string{"admin_emails[1]", "admin_emails[2]", "admin_emails[3]"}},
		{"PUT /v1/tenants/-acme", `{}`, []string{"tenant"}},
		{"PUT /v1/tenants/acme", `{"name":1e400}`, []string{"name"}},
		{"PUT /v1/event-types/a%20b", `{}`, []string{"name"}},
		{"PUT /v1/event-types/a", `{"schema":"object"}`, []string{"schema"}},
		{"PUT /v1/event-types/a", `{"description":"` + strings.Repeat("x", 2001) + `"}`, []string{"description"}},
	} {
		refused := e.asAdmin(c.route, c.body)
		require.Equal(t, http.StatusUnprocessableEntity, refused.status, "%s %s: %s", c.route, c.body, refused.body)
		require.Equal(t, c.fields, refused.fields(), "%s %s", c.route, c.body)
		require.NotContains(t, refused.body, "json:")
		require.NotContains(t, refused.body, "Go struct")
	}
	require.Len(t, e.call("GET /v1/tenants/acme/webhooks", "").data(), 1)
	require.Empty(t, e.call("GET /v1/tenants/acme/events", "").data())
	require.Equal(t, "active", e.call("GET "+path, "").text("status"))
}

func manyHeaders(n int) string {
	pairs := make([]string, n)
	for i := range pairs {
		pairs[i] = fmt.Sprintf(`"X-%d":"v"`, i)
	}
	return strings.Join(pairs, ",")
}

func TestBody_AnIDIsAcceptedOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	const body = `{"type":"order.created","data":{},"id":"order-17"}`
	e.call("POST /v1/tenants/acme/events", body).is(http.StatusAccepted)
	e.call("POST /v1/tenants/acme/events", body).is(http.StatusConflict)
	require.Len(t, e.call("GET /v1/tenants/acme/events", "").data(), 1)
	other := e.Tenant("globex")
	e.do(request{method: http.MethodPost, path: "/v1/tenants/globex/events", body: body, key: other}).is(http.StatusAccepted)
}

func TestBody_SmallerLimits(t *testing.T) {
	t.Parallel()
	e := newEnvWith(t, func(o *api.Options) { o.MaxBody = 100 })
	e.call("POST /v1/tenants/acme/events", `{"type":"order.created","data":"`+strings.Repeat("x", 100)+`"}`).is(http.StatusRequestEntityTooLarge)
	e.call("POST /v1/tenants/acme/events/batch", `{"events":[{"type":"order.created","data":"`+strings.Repeat("x", 100)+`"}]}`).is(http.StatusRequestEntityTooLarge)
	e.call("POST /v1/tenants/acme/events", `{"type":"order.created","data":1}`).is(http.StatusAccepted)
}

func TestBody_PathsAndMethodsThatAreNot(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, path := range []string{"/", "/v1", "/v1/", "/v2/tenants", "/v1/tenants/acme/secrets", "/metricsx", "/v1/tenants/a%2Fb", "/v1/tenants//webhooks",
		"/v1/tenants/acme/webhooks//", "/v1/./tenants", "/v1/tenants/acme/../acme", "/v1/tenants/%2e%2E/tenants", "/docs/.", "/healthz/../v1/tenants"} {
		e.call("GET "+path, "").is(http.StatusNotFound)
		e.do(request{method: http.MethodGet, path: path, key: "-"}).is(http.StatusNotFound)
	}
	for route, allow := range map[string]string{
		"OPTIONS /v1/tenants/acme/events":           "POST",
		"HEAD /v1/tenants/acme/recoveries/x/cancel": "POST",
		"PUT /v1/tenants/acme/webhooks":             "POST",
		"POST /v1/tenants":                          "GET",
		"TRACE /healthz":                            "GET",
		"DELETE /docs":                              "GET",
		"BREW /v1/event-types/order.paid":           "PUT",
	} {
		refused := e.call(route, "").is(http.StatusMethodNotAllowed)
		require.Contains(t, refused.header.Get("Allow"), allow, route)
	}
}
