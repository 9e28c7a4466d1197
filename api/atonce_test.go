package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// A refusal names every field that is wrong, wherever in the request it stands, and changes nothing.
func TestARefusalNamesEveryWrongField(t *testing.T) {
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
		{"PATCH /v1/tenants/acme/webhooks/" + webhook, `{"status":"paused","url":"x","timeout":"10h"}`, []string{"status", "timeout", "url"}},
		{"POST /v1/tenants/acme/webhooks/" + webhook + "/recover", `{"statuses":["held","lost"],"rate":-1,"since":"now"}`, []string{"rate", "since", "statuses[1]"}},
		{"POST /v1/tenants/acme/portal-links", `{"role":"read","expires_in":"1s","theme":{"accent":"red; }","mode":"dim"}}`,
			[]string{"expires_in", "theme.accent", "theme.mode"}},
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
	require.Equal(t, before, e.call("GET /v1/tenants/acme/webhooks", "").is(http.StatusOK).body)
	require.Empty(t, e.call("GET /v1/tenants/acme/events", "").data())
}
