package api_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// listRoutes are the paths of all lists that the API documents, for the tenant acme, with the names of their parameters.
func listRoutes(t *testing.T) map[string][]string {
	t.Helper()
	lists := map[string][]string{}
	paths, _ := theDocument().raw["paths"].(map[string]any)
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		get, _ := operations["get"].(map[string]any)
		parameters, _ := get["parameters"].([]any)
		var names []string
		for _, p := range parameters {
			if p, _ := p.(map[string]any); p["in"] == "query" {
				names = append(names, p["name"].(string))
			}
		}
		if slices.Contains(names, "after") {
			lists[strings.ReplaceAll(path, "{tenant}", "acme")] = names
		}
	}
	require.GreaterOrEqual(t, len(lists), 7)
	return lists
}

// withRows is an installation in which every list has several pages, for two tenants.
func withRows(t *testing.T) *env {
	t.Helper()
	e := newEnv(t)
	e.Tenant("globex")
	for _, tenant := range []string{"acme", "globex"} {
		e.Key(tenant, models.RoleRead)
		for range 2 {
			w := e.Webhook(tenant, "https://shop.example/hooks")
			_, err := e.Service.Recover(t.Context(), tenant, w.ID, service.RecoveryRequest{})
			require.NoError(t, err)
		}
		for range 3 {
			e.Publish(tenant, "order.created", `{}`)
		}
	}
	return e
}

// Every list refuses a query with an unclear parameter, and names the parameter. If it ignored the parameter, it would
// answer another question.
func TestLists_RefuseQueriesThatSayNothingOrTwoThings(t *testing.T) {
	t.Parallel()
	e := withRows(t)
	value := map[string]string{"limit": "5", "status": "active", "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}
	for path, names := range listRoutes(t) {
		if strings.HasSuffix(path, "/deliveries") {
			value["status"] = "held"
		} else {
			value["status"] = "active"
		}
		refused := func(query string, fields ...string) {
			t.Helper()
			a := e.asAdmin("GET "+path+"?"+query, "").is(http.StatusUnprocessableEntity)
			require.ElementsMatch(t, fields, a.fields(), "%s?%s", path, query)
		}
		for _, name := range names {
			v := url.QueryEscape(cmpOr(value[name], "x"))
			refused(name+"="+v+"&"+name+"="+v, name)
			refused(strings.ToUpper(name)+"="+v, strings.ToUpper(name))
			if name == "after" { // an empty one means the first page
				e.asAdmin("GET "+path+"?after=", "").is(http.StatusOK)
				continue
			}
			refused(name+"=", name)
			refused(name, name)
			refused("nonsense=1&"+name+"=", name, "nonsense") // all of them at once
		}
		for _, limit := range []string{"0", "-1", "201", "99999999999999999999", "ten", "1.5", "1e2", "0x10", "%201"} {
			refused("limit="+limit, "limit")
		}
		refused("after="+strings.Repeat("a", 1001), "after")
		require.Empty(t, e.asAdmin("GET "+path+"?limit=5;after=x", "").is(http.StatusUnprocessableEntity).fields())
		require.Empty(t, e.asAdmin("GET "+path+"?limit=%zz", "").is(http.StatusUnprocessableEntity).fields())
		for _, limit := range []string{"1", "200"} {
			e.asAdmin("GET "+path+"?limit="+limit, "").is(http.StatusOK)
		}
	}
	// Paths that are not lists take no parameters either.
	require.Equal(t, []string{"x"}, e.asAdmin("GET /v1/tenants/acme?x=1", "").is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"id"}, e.call(eventsRoute+"?id=1", `{"type":"order.created","data":1}`).is(http.StatusUnprocessableEntity).fields())
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// A cursor is valid only for its own list, with the same tenant and the same filter. Any other is refused.
func TestLists_RefuseCursorsThatAreNotTheirs(t *testing.T) {
	t.Parallel()
	e := withRows(t)
	lists := listRoutes(t)
	cursors := map[string]string{}
	for path := range lists {
		next, _ := e.asAdmin("GET "+path+"?limit=1", "").is(http.StatusOK).json()["next"].(string)
		require.NotEmpty(t, next, path)
		cursors[path] = next
		if strings.Contains(path, "/acme/") {
			other := strings.Replace(path, "/acme/", "/globex/", 1)
			next, _ := e.asAdmin("GET "+other+"?limit=1", "").is(http.StatusOK).json()["next"].(string)
			require.NotEmpty(t, next, other)
			cursors[other] = next
		}
	}
	filters := map[string]string{"type": "order.created", "event_type": "order.created", "status": "active", "profile": "standard", "url": "https://shop.example/hooks",
		"webhook_id": "wh_1", "event_id": "evt_1", "since": "2020-01-01T00:00:00Z", "until": "2096-01-01T00:00:00Z"}
	for path, names := range lists {
		refused := func(query, cursor string) {
			t.Helper()
			a := e.asAdmin("GET "+path+"?"+query+"after="+url.QueryEscape(cursor), "").is(http.StatusUnprocessableEntity)
			require.Equal(t, []string{"after"}, a.fields(), "%s %q", path, cursor)
		}
		own := cursors[path]
		e.asAdmin("GET "+path+"?after="+own, "").is(http.StatusOK)
		for _, other := range slices.Sorted(maps.Keys(cursors)) {
			same := strings.HasSuffix(path, "/event-types") && strings.HasSuffix(other, "/event-types") && !strings.Contains(path+other, "acme") && other == path
			if other != path && !same {
				refused("", cursors[other])
			}
		}
		for _, name := range names {
			if filters[name] == "" || name == "status" && strings.HasSuffix(path, "/deliveries") {
				continue
			}
			refused(name+"="+url.QueryEscape(filters[name])+"&", own)
		}
		for i := range own { // altered anywhere
			b := []byte(own)
			if b[i]++; own[i] == 'z' || own[i] == '9' || own[i] == 'Z' {
				b[i] = 'b'
			}
			refused("", string(b))
		}
		for _, garbage := range []string{"garbage", "?", "=", own + "=", own + "A", own[1:], own[:len(own)-1], own + "\n", "\n" + own, " ", "null", "0", "Cg"} {
			refused("", garbage)
		}
	}
}

// A page's cursor leads to the next page with the same filters, in every zone and spelling of the same times.
func TestLists_CursorsGoOnWithTheSameFilter(t *testing.T) {
	t.Parallel()
	e := withRows(t)
	for _, path := range []string{"/v1/tenants/acme/events", "/v1/tenants/acme/deliveries"} {
		first := e.call("GET "+path+"?limit=2&since=2020-01-01T00:00:00Z", "").is(http.StatusOK)
		after, _ := first.json()["next"].(string)
		second := e.call("GET "+path+"?limit=2&since=2020-01-01T01:00:00%2B01:00&after="+after, "").is(http.StatusOK)
		require.NotEmpty(t, second.data())
		require.NotContains(t, second.body, first.data()[1]["id"])
	}
}

func TestLists_PublishesRefuseAKeyThatSaysNothingOrTwoThings(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	send := func(path, body string, change func(http.Header)) answer {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+e.key)
		change(r.Header)
		recorder := httptest.NewRecorder()
		e.handler.ServeHTTP(recorder, r)
		return answer{t: t, status: recorder.Code, header: recorder.Header(), body: recorder.Body.String()}
	}
	const event = `{"type":"order.created","data":1}`
	for path, body := range map[string]string{"/v1/tenants/acme/events": event, "/v1/tenants/acme/events/batch": `{"events":[` + event + `]}`} {
		for name, keys := range map[string][]string{"blank": {""}, "a space": {" "}, "a tab": {"\t"}, "two": {"a", "b"}, "the same twice": {"a", "a"}, "one of two": {"a", ""}} {
			refused := send(path, body, func(h http.Header) { h["Idempotency-Key"] = keys }).is(http.StatusUnprocessableEntity)
			require.Equal(t, []string{"Idempotency-Key"}, refused.fields(), name)
		}
		for _, encoding := range []string{"gzip", "deflate", "br", "identity", "gzip, gzip", ""} {
			refused := send(path, body, func(h http.Header) { h.Set("Content-Encoding", encoding) }).is(http.StatusUnsupportedMediaType)
			require.Equal(t, []string{"Content-Encoding"}, refused.fields())
			require.Equal(t, "identity", refused.header.Get("Accept-Encoding"))
		}
		for _, types := range [][]string{{"text/plain"}, {"application/x-www-form-urlencoded"}, {"application/json; charset=utf-16"}, {"application/json", "application/json"}} {
			send(path, body, func(h http.Header) { h["Content-Type"] = types }).is(http.StatusUnsupportedMediaType)
		}
	}
	require.Empty(t, e.call("GET /v1/tenants/acme/events", "").data(), "nothing of what was refused is stored")
	admin := map[string]string{"Content-Encoding": "gzip"}
	e.do(request{method: http.MethodPut, path: "/v1/tenants/acme", body: `{}`, key: servicetest.AdminKey, header: admin}).is(http.StatusUnsupportedMediaType)
}

// Errors about times have our own words, in every place for a time.
func TestLists_TimesThatAreNone(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	hook := e.webhook("https://shop.example/hooks")
	for _, text := range []string{"today", "2026-01-02", "1700000000", "2026-01-02T24:00:00Z", "2026-06-30T23:59:60Z", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z",
		"2026-01-02T03:04:05", "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+00:60", "2026-01-02T03:04:05,5Z", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "2026-01-02T3:04:05Z"} {
		for _, list := range []string{"events", "deliveries", "audit"} {
			for _, name := range []string{"since", "until"} {
				refused := e.call("GET /v1/tenants/acme/"+list+"?"+name+"="+url.QueryEscape(text), "").is(http.StatusUnprocessableEntity)
				require.Equal(t, []string{name}, refused.fields())
				require.Contains(t, refused.body, "RFC 3339")
				require.NotContains(t, refused.body, "2006-01-02", "Go's layout")
			}
		}
		for _, name := range []string{"since", "until"} {
			refused := e.call("POST /v1/tenants/acme/webhooks/"+hook+"/recover", `{"`+name+`":"`+text+`"}`).is(http.StatusUnprocessableEntity)
			require.Equal(t, []string{name}, refused.fields(), refused.body)
			require.Contains(t, refused.body, "RFC 3339")
		}
	}
	require.Contains(t, e.call("GET /v1/tenants/acme/events?since=2026-01-02T03:04:05+01:00", "").is(http.StatusUnprocessableEntity).body, "%2B")
	for _, value := range []string{`7`, `true`, `{}`, `""`} {
		require.Equal(t, []string{"since"}, e.call("POST /v1/tenants/acme/webhooks/"+hook+"/recover", `{"since":`+value+`}`).is(http.StatusUnprocessableEntity).fields())
	}
	e.call("POST /v1/tenants/acme/webhooks/"+hook+"/recover", `{"since":null}`).is(http.StatusAccepted)
}

// A window may begin and end at any time: before the first event, at the edges of years and zones, and after the last
// event. The answer fits the times.
func TestLists_WindowsAtTheBoundsOfTime(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	hook := e.webhook("https://shop.example/hooks")
	e.Publish("acme", "order.created", `{}`)
	before := []string{"0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1583-01-01T00:00:00Z", "1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00Z",
		"1970-01-01T00:00:00+23:59", "2020-02-29t00:00:00.1z"}
	after := []string{"2200-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-23:59", "2262-04-12T00:00:00Z", "3000-01-01T00:00:00.000000001+00:00"}
	for _, list := range []string{"events", "deliveries"} {
		rows := func(name, text string) int {
			t.Helper()
			return len(e.call("GET /v1/tenants/acme/"+list+"?"+name+"="+url.QueryEscape(text), "").is(http.StatusOK).data())
		}
		for _, text := range before {
			require.Equal(t, 1, rows("since", text), "%s since %s", list, text)
			require.Equal(t, 0, rows("until", text), "%s until %s", list, text)
		}
		for _, text := range after {
			require.Equal(t, 0, rows("since", text), "%s since %s", list, text)
			require.Equal(t, 1, rows("until", text), "%s until %s", list, text)
		}
	}
	for _, since := range before {
		for _, until := range after {
			e.call("POST /v1/tenants/acme/webhooks/"+hook+"/recover", `{"since":"`+since+`","until":"`+until+`"}`).is(http.StatusAccepted)
		}
	}
	refused := e.call("POST /v1/tenants/acme/webhooks/"+hook+"/recover", `{"since":"0002-01-01T00:00:00Z","until":"0001-01-01T00:00:00Z"}`)
	require.Equal(t, []string{"until"}, refused.is(http.StatusUnprocessableEntity).fields())
}

// The matching webhooks of an event come in pages too.
func TestLists_MatchesComeInPages(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.EventTypes("order.other")
	var want []string
	for range 3 {
		want = append(want, e.webhook("https://shop.example/hooks"))
	}
	const event = `{"type":"order.created","data":{}}`
	after, got := "", []string(nil)
	for range 3 {
		page := e.call(eventsRoute+"/match?limit=1"+after, event).is(http.StatusOK)
		require.Len(t, page.data(), 1)
		got = append(got, page.data()[0]["webhook_id"].(string))
		next, _ := page.json()["next"].(string)
		after = "&after=" + next
	}
	require.Equal(t, want, got)
	require.Nil(t, e.call(eventsRoute+"/match", event).is(http.StatusOK).json()["next"])
	next, _ := e.call(eventsRoute+"/match?limit=2", event).json()["next"].(string)
	for query, field := range map[string]string{"limit=0": "limit", "limit=1001": "limit", "limit=x": "limit", "limit=": "limit", "limit=1&limit=1": "limit", "after=garbage": "after", "x=1": "x"} {
		require.Equal(t, []string{field}, e.call(eventsRoute+"/match?"+query, event).is(http.StatusUnprocessableEntity).fields(), query)
	}
	require.Equal(t, []string{"after"}, e.call(eventsRoute+"/match?after="+next, `{"type":"order.other","data":{}}`).is(http.StatusUnprocessableEntity).fields())
	e.call(eventsRoute+"/match?after="+next, event).is(http.StatusOK)
}
