package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func ids(a answer) []any {
	list := []any{}
	for _, row := range a.data() {
		list = append(list, row["id"])
	}
	return list
}

func TestLabels_EventsAreFoundByTheirLabels(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	first := e.call(eventsRoute, `{"type":"order.created","data":{},"tags":["red","big","red"],"channels":["north"],"external_id":"order.1","attributes":{"customer":"c:1"}}`).
		is(http.StatusAccepted).text("id")
	second := e.do(request{method: http.MethodPost, path: "/v1/tenants/acme/events/batch", header: map[string]string{"Idempotency-Key": "k1"},
		body: `{"events":[{"type":"order.paid","data":{},"tags":["red"]},{"type":"order.paid","data":{}}]}`}).is(http.StatusAccepted).data()
	const list = "GET /v1/tenants/acme/events?"
	require.Equal(t, []any{second[0]["id"], first}, ids(e.call(list+"tag=red", "").is(http.StatusOK)))
	require.Equal(t, []any{first}, ids(e.call(list+"tag=red&channel=north&type=order.created", "").is(http.StatusOK)))
	require.Equal(t, []any{first}, ids(e.call(list+"attribute=customer:c:1", "").is(http.StatusOK)))
	require.Equal(t, []any{first}, ids(e.call(list+"external_id=order.1", "").is(http.StatusOK)))
	require.ElementsMatch(t, []any{second[0]["id"], second[1]["id"]}, ids(e.call(list+"idempotency_key=k1", "").is(http.StatusOK)))
	require.Equal(t, []any{second[0]["id"]}, ids(e.call(list+"idempotency_key=k1&tag=red", "").is(http.StatusOK)))
	require.Empty(t, ids(e.call(list+"idempotency_key=k2", "").is(http.StatusOK)))
	require.Equal(t, []string{"attribute"}, e.call(list+"attribute=customer", "").is(http.StatusUnprocessableEntity).fields())

	read := e.call("GET /v1/tenants/acme/events/"+first, "").is(http.StatusOK).json()
	require.Equal(t, "order.1", read["external_id"])
	require.Equal(t, []any{"red", "big"}, read["tags"])
	require.Equal(t, []any{"north"}, read["channels"])
	plain := e.call("GET /v1/tenants/acme/events/"+second[1]["id"].(string), "").is(http.StatusOK).json()
	require.Nil(t, plain["external_id"])
	require.Equal(t, []any{}, plain["tags"])

	again := e.call(eventsRoute, `{"type":"order.created","data":{},"external_id":"order.1"}`).is(http.StatusConflict)
	require.Contains(t, again.body, "external_id")

	other := e.Tenant("globex")
	require.Empty(t, ids(e.do(request{method: http.MethodGet, path: "/v1/tenants/globex/events?tag=red", key: other}).is(http.StatusOK)))
	require.Empty(t, ids(e.do(request{method: http.MethodGet, path: "/v1/tenants/globex/events?idempotency_key=k1", key: other}).is(http.StatusOK)))
}

// Deliveries are found by their own id, and by what their event is called: in one tenant, or in all.
func TestLabels_DeliveriesAreFoundByName(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.webhook("https://shop.example/hooks")
	e.Tenant("globex")
	event := e.call(eventsRoute, `{"type":"order.created","data":{},"tags":["red"],"external_id":"order.1"}`).is(http.StatusAccepted).text("id")
	e.call(eventsRoute, `{"type":"order.created","data":{}}`).is(http.StatusAccepted)
	const list = "GET /v1/tenants/acme/deliveries?"
	one := ids(e.call(list+"event_id="+event, "").is(http.StatusOK))
	require.Len(t, one, 1)
	id, _ := one[0].(string)
	for _, q := range []string{id, event, "order.1", "red"} {
		require.Equal(t, one, ids(e.call(list+"q="+q, "").is(http.StatusOK)), q)
		require.Equal(t, one, ids(e.call(list+"status=pending&q="+q, "").is(http.StatusOK)), q)
		require.Empty(t, ids(e.call(list+"status=failed&q="+q, "").is(http.StatusOK)), q)
		require.Equal(t, one, ids(e.asAdmin("GET /v1/deliveries?tenant=acme&q="+q, "").is(http.StatusOK)), q)
		require.Empty(t, ids(e.asAdmin("GET /v1/deliveries?tenant=globex&q="+q, "").is(http.StatusOK)), q)
		if q != "red" { // tags have an index in each tenant
			require.Equal(t, one, ids(e.asAdmin("GET /v1/deliveries?q="+q, "").is(http.StatusOK)), q)
		}
	}
	require.Empty(t, ids(e.call(list+"q=order", "").is(http.StatusOK)))
	require.Equal(t, []string{"q"}, e.call(list+"test=true&q=red", "").is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"q"}, e.call(list+"q="+strings.Repeat("x", 257), "").is(http.StatusUnprocessableEntity).fields())

	const events = "GET /v1/tenants/acme/events?"
	require.Equal(t, []any{event}, ids(e.call(events+"id="+event, "").is(http.StatusOK)))
	require.Equal(t, []any{event}, ids(e.call(events+"tag=red&id="+event, "").is(http.StatusOK)))
	require.Empty(t, ids(e.call(events+"tag=blue&id="+event, "").is(http.StatusOK)))
	require.Empty(t, ids(e.call(events+"idempotency_key=k&id="+event, "").is(http.StatusOK)))
	window := url.Values{"since": {"2026-01-01T00:00:00Z"}, "until": {"2026-01-01T01:00:00Z"}}.Encode()
	require.Equal(t, []string{"q"}, e.call(events+"q=x&id="+event+"&"+window, "").is(http.StatusUnprocessableEntity).fields())
}

func TestLabels_OfEventsAreChecked(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	long := strings.Repeat("x", 300)
	require.ElementsMatch(t, []string{"external_id", "channels[1]", "tags[0]", "tags[1]"}, e.call(eventsRoute,
		`{"type":"order.created","data":{},"external_id":"`+long+`","channels":["ok","not ok"],"tags":["","`+long+`"]}`).is(http.StatusUnprocessableEntity).fields())
	require.ElementsMatch(t, []string{"channels", "tags"}, e.call(eventsRoute,
		`{"type":"order.created","data":{},"channels":["1","2","3","4","5","6"],"tags":["1","2","3","4","5","6"]}`).is(http.StatusUnprocessableEntity).fields())
	require.ElementsMatch(t, []string{"channels", "tags[0]", "external_id"}, e.call(eventsRoute,
		`{"type":"order.created","data":{},"channels":"a","tags":[1],"external_id":2}`).is(http.StatusUnprocessableEntity).fields())
	e.call(eventsRoute, `{"type":"order.created","data":{},"channels":null,"tags":null,"external_id":null}`).is(http.StatusAccepted)
}

func TestLabels_MatchSaysWhatChannelsDecide(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks","channels":["north"]}`).is(http.StatusCreated)
	const match = "POST /v1/tenants/acme/events/match"
	got := e.call(match, `{"type":"order.created","data":{},"channels":["north"]}`).is(http.StatusOK).data()[0]
	require.Equal(t, true, got["matched"])
	got = e.call(match, `{"type":"order.created","data":{}}`).is(http.StatusOK).data()[0]
	require.Equal(t, false, got["matched"])
	require.Contains(t, got["reason"], "channels")
	require.Equal(t, []string{"tags"}, e.call(match, `{"type":"order.created","data":{},"tags":["a"]}`).is(http.StatusUnprocessableEntity).fields())
}

// A webhook's uid works wherever its id does.
func TestLabels_WebhooksHaveUIDsMetadataAndChannels(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	const route = "/v1/tenants/acme/webhooks"
	made := e.call("POST "+route, `{"url":"https://shop.example/hooks","uid":"shop.main","metadata":{"team":"a"},"channels":["north","north"]}`).is(http.StatusCreated).json()
	id, _ := made["id"].(string)
	require.Equal(t, "shop.main", made["uid"])
	require.Equal(t, map[string]any{"team": "a"}, made["metadata"])
	require.Equal(t, []any{"north"}, made["channels"])

	read := e.call("GET "+route+"/shop.main", "").is(http.StatusOK)
	require.Equal(t, id, read.text("id"))
	back := e.call("PATCH "+route+"/shop.main", read.body).is(http.StatusOK)
	require.JSONEq(t, read.body, back.body, "sent back as it was read, nothing changes")
	e.call("POST "+route+"/shop.main/pause", "").is(http.StatusOK)
	e.call("POST "+route+"/shop.main/resume", "").is(http.StatusOK)
	event := e.call(eventsRoute, `{"type":"order.created","data":{},"channels":["north"]}`).is(http.StatusAccepted).text("id")
	deliveries := e.call("GET /v1/tenants/acme/deliveries?webhook_id=shop.main", "").is(http.StatusOK).data()
	require.Len(t, deliveries, 1)
	require.Equal(t, event, deliveries[0]["event_id"])
	require.Empty(t, e.call("GET /v1/tenants/acme/deliveries?webhook_id=shop", "").is(http.StatusOK).data())
	require.Len(t, e.asAdmin("GET /v1/deliveries?tenant=acme&webhook_id=shop.main", "").is(http.StatusOK).data(), 1)
	e.call("POST "+route+"/shop.main/recover", "").is(http.StatusAccepted)
	for _, list := range []string{"/v1/tenants/acme/recoveries?webhook_id=shop.main", "/v1/recoveries?tenant=acme&webhook_id=shop.main"} {
		require.Len(t, e.asAdmin("GET "+list, "").is(http.StatusOK).data(), 2, "of the pause, and this one")
	}
	for _, stats := range []string{"/v1/tenants/acme/stats?webhook_id=shop.main", "/v1/stats?tenant=acme&webhook_id=shop.main"} {
		require.Contains(t, e.asAdmin("GET "+stats, "").is(http.StatusOK).body, `"totals":{"events":1,`)
	}
	replayed := e.call("POST /v1/tenants/acme/events/"+event+"/replay", `{"webhook_ids":["shop.main"]}`).is(http.StatusAccepted)
	require.Contains(t, replayed.body, id)
	require.Equal(t, []string{"webhook_ids[0]"}, e.call("POST /v1/tenants/acme/events/"+event+"/replay", `{"webhook_ids":["shop"]}`).is(http.StatusUnprocessableEntity).fields())

	e.call("POST "+route, `{"url":"https://shop.example/hooks","uid":"shop.main"}`).is(http.StatusConflict)
	other := e.webhook("https://shop.example/other")
	e.call("PATCH "+route+"/"+other, `{"uid":"shop.main"}`).is(http.StatusConflict)
	changed := e.call("PATCH "+route+"/shop.main", `{"uid":null,"metadata":{},"channels":[]}`).is(http.StatusOK).json()
	require.Nil(t, changed["uid"])
	require.Equal(t, map[string]any{}, changed["metadata"])
	require.Equal(t, []any{}, changed["channels"])
	e.call("GET "+route+"/shop.main", "").is(http.StatusNotFound)
	e.call("PATCH "+route+"/"+other, `{"uid":"shop.main"}`).is(http.StatusOK)
	e.call("DELETE "+route+"/shop.main", "").is(http.StatusNoContent)
	e.call("GET "+route+"/shop.main", "").is(http.StatusNotFound)
	e.call("POST "+route, `{"url":"https://shop.example/hooks","uid":"shop.main"}`).is(http.StatusCreated)

	// Another tenant's uid is not this one's.
	key := e.Tenant("globex")
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		e.do(request{method: method, path: "/v1/tenants/globex/webhooks/shop.main", key: key}).is(http.StatusNotFound)
	}

	for _, uid := range []string{".", "..", "new", "wh_1", "ep_1", "a b", "a/b", "ä", strings.Repeat("x", 257)} {
		require.Equal(t, []string{"uid"}, e.call("POST "+route, `{"url":"https://shop.example/hooks","uid":"`+uid+`"}`).is(http.StatusUnprocessableEntity).fields(), uid)
	}
	require.Equal(t, []string{"channels"}, e.call("POST "+route, `{"url":"https://shop.example/","channels":["1","2","3","4","5","6","7","8","9","10","11"]}`).
		is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"metadata." + "a"}, e.call("POST "+route, `{"url":"https://shop.example/","metadata":{"a":"`+strings.Repeat("x", 1001)+`"}}`).
		is(http.StatusUnprocessableEntity).fields())

	log := e.call("GET /v1/tenants/acme/audit?action=webhook.created&limit=50", "").is(http.StatusOK)
	require.Contains(t, log.body, `"uid":{"from":"","to":"shop.main"}`)
	require.Contains(t, log.body, `"metadata":{"added":["team"]}`, "by name alone")
}

// A tenant's uid is set by PATCH, stays when the tenant is put, and names it in paths.
func TestLabels_TenantsHaveUIDsAndMetadata(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.asAdmin("PATCH /v1/tenants/acme", `{"uid":"crm-1","metadata":{"plan":"large"},"limits":{"webhooks":3}}`).is(http.StatusOK)
	read := e.asAdmin("GET /v1/tenants/crm-1", "").is(http.StatusOK)
	require.Equal(t, "acme", read.text("id"))
	require.Equal(t, "crm-1", read.text("uid"))
	require.Equal(t, map[string]any{"plan": "large"}, read.json()["metadata"])
	e.asAdmin("PUT /v1/tenants/acme", read.body).is(http.StatusOK)
	e.asAdmin("PUT /v1/tenants/acme", `{"uid":"other"}`).is(http.StatusUnprocessableEntity)
	put := e.asAdmin("PUT /v1/tenants/acme", `{"name":"Acme"}`).is(http.StatusOK)
	require.Equal(t, "crm-1", put.text("uid"))
	require.Equal(t, map[string]any{}, put.json()["metadata"])
	require.Equal(t, map[string]any{"webhooks": float64(3), "keys": nil, "rate": nil}, put.json()["limits"])

	e.call("GET /v1/tenants/crm-1/webhooks", "").is(http.StatusOK)
	e.call("POST /v1/tenants/crm-1/events", `{"type":"order.created","data":{}}`).is(http.StatusAccepted)
	e.do(request{method: http.MethodGet, path: "/v1/tenants/crm-1/webhooks", key: e.Tenant("globex")}).is(http.StatusNotFound)

	e.asAdmin("PATCH /v1/tenants/globex", `{"uid":"crm-1"}`).is(http.StatusConflict)
	e.asAdmin("PATCH /v1/tenants/globex", `{"uid":"acme"}`).is(http.StatusConflict)
	e.asAdmin("PUT /v1/tenants/crm-1", `{}`).is(http.StatusConflict)
	require.Equal(t, []string{"uid"}, e.asAdmin("PATCH /v1/tenants/globex", `{"uid":"wh_1"}`).is(http.StatusUnprocessableEntity).fields())
	require.Nil(t, e.asAdmin("PATCH /v1/tenants/acme", `{"uid":null}`).is(http.StatusOK).json()["uid"])
	e.asAdmin("GET /v1/tenants/crm-1", "").is(http.StatusNotFound)
	e.asAdmin("PATCH /v1/tenants/globex", `{"uid":"crm-1"}`).is(http.StatusOK)
	require.Contains(t, e.asAdmin("GET /v1/audit?action=tenant.updated", "").is(http.StatusOK).body, `"uid":{"from":"","to":"crm-1"}`)
}

func TestLabels_EventsAreFoundByText(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	since := e.Store.Now()
	first := e.call(eventsRoute, `{"type":"order.created","data":{"name":"needle & thread"}}`).is(http.StatusAccepted).text("id")
	e.call(eventsRoute, `{"type":"order.created","data":{"name":"hay"}}`).is(http.StatusAccepted)
	list := func(q string, since, until time.Time) answer {
		v := url.Values{"q": {q}, "since": {since.Format(time.RFC3339)}, "until": {until.Format(time.RFC3339)}}
		return e.call("GET /v1/tenants/acme/events?"+v.Encode(), "")
	}
	hour := time.Hour
	found := list("needle & t", since.Add(-hour), since.Add(hour)).is(http.StatusOK)
	require.Equal(t, []any{first}, ids(found))
	require.Equal(t, true, found.json()["complete"])
	require.Empty(t, ids(list("Needle", since.Add(-hour), since.Add(hour)).is(http.StatusOK)))
	require.Equal(t, []string{"until"}, list("needle", since.Add(-hour), since.Add(24*hour)).is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"q", "since", "until"}, e.call("GET /v1/tenants/acme/events?q=a&idempotency_key=k", "").is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, true, e.call("GET /v1/tenants/acme/events", "").is(http.StatusOK).json()["complete"])
}
