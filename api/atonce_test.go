package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A refusal names every field that is wrong, wherever in the request it stands, and changes nothing.
func TestRefusal_NamesEveryWrongField(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	webhook := e.webhook("https://shop.example/hooks")
	before := e.call("GET /v1/tenants/acme/webhooks", "").is(http.StatusOK).body
	for _, tt := range []struct {
		route, body string
		want        []string
	}{
		{"GET /v1/tenants/acme/events?limit=0&attribute=customer&since=now&bogus=1&type=", "", []string{"attribute", "bogus", "limit", "since", "type"}},
		{"GET /v1/tenants/acme/audit?action=webhook.eaten&limit=many&until=later&actor=a&actor=b", "", []string{"action", "actor", "limit", "until"}},
		{"GET /v1/tenants/acme/deliveries?status=lost&limit=201&test=maybe&nope=1", "", []string{"limit", "nope", "status", "test"}},
		{"GET /v1/tenants/acme/webhooks?nope=1", "", []string{"nope"}},
		{"POST /v1/tenants/acme/webhooks", `{"url":"ftp://shop.example","profile":"nope","event_types":["order.craeted"],"timeout":"10h","uid":"wh_1","channels":["not ok"],"retry":{"backoff":11,"max":101}}`,
			[]string{"channels[0]", "event_types[0]", "profile", "retry.backoff", "retry.max", "timeout", "uid", "url"}},
		{"POST /v1/tenants/acme/webhooks?bogus=1", `{"name":1,"nope":true}`, []string{"bogus", "name", "nope", "url"}},
		// What the schema of the body says, and what only the use case can say.
		{"POST /v1/tenants/acme/webhooks?bogus=1", `{"name":1,"url":"ftp://shop.example","event_types":["order.craeted"],"timeout":"10h","nope":true}`,
			[]string{"bogus", "event_types[0]", "name", "nope", "timeout", "url"}},
		{"POST /v1/tenants/acme/webhooks?bogus=1", `{"url":"ftp://shop.example","event_types":["order.craeted"]}`, []string{"bogus", "event_types[0]", "url"}},
		{"POST /v1/tenants/acme/webhooks?bogus=1", `{"url":"https://shop.example/new"}`, []string{"bogus"}},
		{"POST /v1/tenants/acme/webhooks", `{"url":7,"secret":"short","profile":1,"retry":{"max":101,"initial":"x"}}`, []string{"profile", "retry.initial", "url"}},
		{"POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/new","nope":1}`, []string{"nope"}},
		{"PATCH /v1/tenants/acme/webhooks/" + webhook, `{"status":"paused","url":"x","name":7,"uid":"wh_1"}`, []string{"name", "status", "uid", "url"}},
		{"PATCH /v1/tenants/acme/webhooks/" + webhook, `{"name":7,"url":"https://shop.example/other","active":false}`, []string{"name"}},
		{"POST /v1/tenants/acme/events", `{"type":"order.craeted","data":{},"nope":1,"id":"not ok","tags":7,"channels":["not ok"]}`, []string{"channels[0]", "id", "nope", "tags", "type"}},
		{"POST /v1/tenants/acme/events", `{"type":7,"data":{},"attributes":{"a":1},"id":"a/b"}`, []string{"attributes.a", "id", "type"}},
		{"POST /v1/tenants/acme/events", `[]`, []string{"body"}},
		{"POST /v1/tenants/acme/events/batch", `{"events":[{"type":"order.craeted","data":1},{"type":"order.created","data":1,"nope":1},8,{"type":"order.created"}],"x":1}`,
			[]string{"events[0].type", "events[1].nope", "events[2]", "events[3].data", "x"}},
		{"POST /v1/tenants/acme/events/batch", `{"x":1}`, []string{"events", "x"}},
		{"PATCH /v1/tenants/acme/webhooks/" + webhook, `{"status":"paused","url":"x","timeout":"10h"}`, []string{"status", "timeout", "url"}},
		{"POST /v1/tenants/acme/webhooks/" + webhook + "/recover", `{"statuses":["held","lost"],"rate":-1,"since":"now"}`, []string{"rate", "since", "statuses[1]"}},
		{"POST /v1/tenants/acme/portal-links", `{"role":"read","expires_in":"1s","theme":{"accent":"red; }","mode":"dim"}}`,
			[]string{"expires_in", "theme.accent", "theme.mode"}},
		{"POST /v1/tenants/acme/webhooks/" + webhook + "/recover?bogus=1", `{"channel":7,"nope":1,"event_types":["order.craeted"],"since":"2026-01-02T00:00:00Z","until":"2026-01-01T00:00:00Z"}`,
			[]string{"bogus", "channel", "event_types[0]", "nope", "until"}},
		{"POST /v1/tenants/acme/webhooks/" + webhook + "/recover", `{"missed":true,"nope":1}`, []string{"nope"}},
		{"POST /v1/tenants/acme/webhooks/" + webhook + "/recover?bogus=1", "", []string{"bogus"}},
		{"POST /v1/tenants/acme/erasures", `{"until":7,"event_types":["order.craeted"],"attribute":"customer"}`, []string{"attribute", "event_types[0]", "until"}},
		{"POST /v1/tenants/acme/erasures", `{"all":1,"until":"2026-01-01T00:00:00Z","nope":1}`, []string{"all", "nope"}},
		{"POST /v1/tenants/acme/erasures", `{"event_types":["order.created"],"dry_run":true,"nope":1}`, []string{"nope"}},
		{"POST /v1/tenants/acme/portal-links", `{"role":"root","expires_in":"1s","name":7,"theme":{"accent":"red"},"capabilities":["keys","keys"]}`,
			[]string{"capabilities[1]", "expires_in", "name", "role", "theme.accent"}},
		{"POST /v1/tenants/acme/portal-links?bogus=1", `{"expires_in":"1s"}`, []string{"bogus", "expires_in", "role"}},
		{"POST /v1/tenants/acme/portal-links?bogus=1", `{"role":"read"}`, []string{"bogus"}},
		{"POST /v1/tenants/acme/events/match?limit=0", `{"data":1,"nope":1}`, []string{"limit", "nope", "type"}},
	} {
		refused := e.call(tt.route, tt.body).is(http.StatusUnprocessableEntity)
		require.ElementsMatch(t, tt.want, refused.fields(), tt.route+" "+refused.body)
	}
	refused := e.do(request{method: http.MethodPost, path: "/v1/tenants/acme/events", header: map[string]string{"Idempotency-Key": " "}, body: `{"type":"order.created","data":{},"nope":1}`})
	require.ElementsMatch(t, []string{"Idempotency-Key", "nope"}, refused.is(http.StatusUnprocessableEntity).fields())
	refused = e.call("POST /v1/tenants/acme/events/batch", `{"nope":1,"events":[{"type":1},7,{"data":{},"tags":"x"}]}`).is(http.StatusUnprocessableEntity)
	require.ElementsMatch(t, []string{"nope", "events[0].type", "events[0].data", "events[1]", "events[2].tags", "events[2].type"}, refused.fields(), refused.body)
	limits := e.asAdmin("PATCH /v1/tenants/acme", `{"uid":7,"limits":{"webhooks":-1,"keys":100001}}`).is(http.StatusUnprocessableEntity)
	require.ElementsMatch(t, []string{"uid", "limits.webhooks", "limits.keys"}, limits.fields())
	for route, want := range map[string][]string{
		`PUT /v1/tenants/acme {"name":7,"admin_emails":["ops@example.com","nobody"],"id":"globex"}`:                    {"admin_emails[1]", "id", "name"},
		`PUT /v1/tenants/new {"nope":7,"admin_emails":["nobody"]}`:                                                     {"admin_emails[0]", "nope"},
		`PATCH /v1/tenants/acme {"name":7,"admin_emails":["nobody"],"uid":"wh_1","id":"globex"}`:                       {"admin_emails[0]", "id", "name", "uid"},
		`PUT /v1/event-types/order.new {"description":7,"schema":{"type":"nope"},"name":"other","example":"whatever"}`: {"description", "name", "schema"},
	} {
		path, body, _ := strings.Cut(route, " {")
		require.ElementsMatch(t, want, e.asAdmin(path, "{"+body).is(http.StatusUnprocessableEntity).fields(), route)
	}
	e.asAdmin("GET /v1/tenants/new", "").is(http.StatusNotFound)
	e.asAdmin("GET /v1/event-types/order.new", "").is(http.StatusNotFound)
	require.Equal(t, before, e.call("GET /v1/tenants/acme/webhooks", "").is(http.StatusOK).body)
	require.Empty(t, e.call("GET /v1/tenants/acme/events", "").data())
}
