package svix_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdk "github.com/svix/svix-webhooks/go/models"

	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func TestSvixUIDs_OfApplications(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	made := admin.ok(201, "POST", api+"/app", `{"name":"Shop","uid":"shop.1","metadata":{"plan":"big"}}`)
	require.Equal(t, []any{"shop.1", map[string]any{"plan": "big"}}, []any{made["uid"], made["metadata"]})
	id := api + "/app/" + text(made, "id")
	uid := api + "/app/shop.1"
	require.Equal(t, made, admin.ok(200, "GET", uid, ""))
	require.Equal(t, made, admin.ok(200, "GET", id+"/", ""))
	endpoint := text(admin.ok(201, "POST", uid+"/endpoint", `{"url":"https://a.example"}`), "id")
	require.Equal(t, []string{endpoint}, ids(admin.ok(200, "GET", id+"/endpoint", "")))

	require.Equal(t, "conflict", admin.ok(409, "POST", api+"/app", `{"name":"Shop","uid":"shop.1"}`)["code"])
	require.Equal(t, "conflict", admin.ok(409, "POST", api+"/app", `{"name":"Shop","uid":"acme"}`)["code"], "a name of /v1 is taken too")
	require.Equal(t, made, admin.ok(200, "POST", api+"/app?get_if_exists=true", `{"name":"Other","uid":"shop.1"}`))
	second := admin.ok(201, "POST", api+"/app?get_if_exists=true", `{"name":"Other","uid":"shop.2"}`)
	require.NotEqual(t, made["id"], second["id"])
	require.Equal(t, "conflict", admin.ok(409, "PATCH", uid, `{"uid":"shop.2"}`)["code"])

	// PATCH keeps the fields that it does not name. PUT replaces everything.
	require.Equal(t, made["metadata"], admin.ok(200, "PATCH", uid, `{"name":"Store"}`)["metadata"])
	require.Equal(t, map[string]any{}, admin.ok(200, "PATCH", uid, `{"metadata":{}}`)["metadata"])
	put := admin.ok(200, "PUT", uid, `{"name":"Store","uid":"shop.3","metadata":{"a":"b"}}`)
	require.Equal(t, []any{made["id"], "shop.3", map[string]any{"a": "b"}}, []any{put["id"], put["uid"], put["metadata"]})
	admin.ok(404, "GET", uid, "")
	unset := admin.ok(200, "PATCH", id, `{"uid":null}`)
	require.Nil(t, unset["uid"])
	require.Equal(t, map[string]any{"a": "b"}, unset["metadata"])
	admin.ok(404, "GET", api+"/app/shop.3", "")
	put = admin.ok(200, "PUT", id, `{"name":"Store"}`)
	require.Equal(t, []any{nil, map[string]any{}}, []any{put["uid"], put["metadata"]})

	// PUT creates a missing thing, once.
	upserted := admin.ok(201, "PUT", api+"/app/up.1", `{"name":"Up","uid":"up.1"}`)
	require.Equal(t, upserted["id"], admin.ok(200, "PUT", api+"/app/up.1", `{"name":"Up","uid":"up.1"}`)["id"])

	admin.ok(204, "DELETE", api+"/app/shop.2", "")
	require.NotEqual(t, second["id"], admin.ok(201, "POST", api+"/app", `{"name":"Again","uid":"shop.2"}`)["id"], "the uid is free again")
	for _, body := range []string{`{"name":"n","uid":"app_x"}`, `{"name":"n","uid":"a b"}`, `{"name":"n","uid":".."}`, `{"name":"n","metadata":{"":"x"}}`} {
		admin.ok(422, "POST", api+"/app", body)
	}

	// A tenant's own key finds it by its uid as well.
	_, err := c.Service.UpdateTenant(t.Context(), systemstest.Tenant, service.TenantChange{UID: new("mine")})
	require.NoError(t, err)
	require.Equal(t, "app_acme", c.ok(200, "GET", api+"/app/mine", "")["id"])
	c.as(c.OtherKey).ok(404, "GET", api+"/app/mine", "")
	c.ok(404, "GET", api+"/app/shop.2", "")
}

func TestSvixUIDs_OfEndpoints(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	made := c.ok(201, "POST", app+"/endpoint", `{"url":"https://a.example","uid":"main","metadata":{"team":"one"},"channels":["eu"]}`)
	require.Equal(t, []any{"main", map[string]any{"team": "one"}, []any{"eu"}}, []any{made["uid"], made["metadata"], made["channels"]})
	one := app + "/endpoint/main"
	require.Equal(t, made, c.ok(200, "GET", one, ""))
	require.Equal(t, "conflict", c.ok(409, "POST", app+"/endpoint", `{"url":"https://a.example","uid":"main"}`)["code"])
	globex := c.as(c.OtherKey)
	globex.ok(201, "POST", api+"/app/app_globex/endpoint", `{"url":"https://a.example","uid":"main"}`)

	require.Equal(t, made["id"], c.ok(200, "PATCH", one, `{"description":"d"}`)["id"])
	for _, path := range []string{"/secret", "/headers", "/msg", "/stats"} {
		c.ok(200, "GET", one+path, "")
	}
	c.ok(200, "GET", app+"/attempt/endpoint/main", "")
	c.ok(204, "POST", one+"/secret/rotate", "{}")
	unset := c.ok(200, "PATCH", one, `{"uid":null,"channels":null,"metadata":{}}`)
	require.Equal(t, []any{nil, nil, map[string]any{}, "d"}, []any{unset["uid"], unset["channels"], unset["metadata"], unset["description"]})
	c.ok(404, "GET", one, "")

	// PUT creates a missing thing with the path's uid, and replaces an existing one completely.
	put := c.ok(201, "PUT", one, `{"url":"https://b.example","channels":["us"],"metadata":{"a":"b"}}`)
	require.Equal(t, "main", put["uid"])
	again := c.ok(200, "PUT", one, `{"url":"https://b.example","uid":"main"}`)
	require.Equal(t, []any{put["id"], "main", nil, map[string]any{}}, []any{again["id"], again["uid"], again["channels"], again["metadata"]})
	c.ok(422, "PUT", app+"/endpoint/other", `{"url":"nonsense"}`)
	c.ok(422, "PUT", app+"/endpoint/other", `{}`)
	c.ok(204, "DELETE", one, "")
	c.ok(201, "POST", app+"/endpoint", `{"url":"https://a.example","uid":"main"}`)
}

// A message goes to the endpoints that share a channel with it, and to those without channels.
func TestSvixUIDs_ChannelsTagsAndEventIDs(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	all := c.endpoint(`{"url":"` + receiver.URL + `"}`)
	eu := c.endpoint(`{"url":"` + receiver.URL + `","channels":["eu","de"]}`)
	send := func(more string) map[string]any {
		t.Helper()
		return c.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{}`+more+`}`)
	}
	europe := send(`,"channels":["eu"],"tags":["big"],"eventId":"order-1.eu"`)
	require.Equal(t, []any{"order-1.eu", []any{"eu"}, []any{"big"}}, []any{europe["eventId"], europe["channels"], europe["tags"]})
	us := send(`,"channels":["us"]`)
	none := send("")
	for _, sent := range []struct {
		msg  string
		want []string
	}{{text(europe, "id"), []string{all, eu}}, {text(us, "id"), []string{all}}, {text(none, "id"), []string{all}}} {
		msg := sent.msg
		c.attempt(msg)
		require.ElementsMatch(t, sent.want, ids(c.ok(200, "GET", app+"/msg/"+msg+"/endpoint", "")))
	}
	require.Equal(t, text(europe, "id"), receiver.Take()[0].Header.Get("Svix-Id"), "never the caller's own")

	// The caller's id works wherever Posthorn's does, and is used once.
	require.Equal(t, europe, c.ok(200, "GET", app+"/msg/order-1.eu", ""))
	require.Equal(t, "conflict", c.ok(409, "POST", app+"/msg", `{"eventType":"order.created","payload":{},"eventId":"order-1.eu"}`)["code"])
	require.Len(t, ids(c.ok(200, "GET", app+"/attempt/msg/order-1.eu", "")), 2)
	require.Len(t, ids(c.ok(200, "GET", app+"/attempt/msg/order-1.eu?endpoint_id="+eu, "")), 1)
	c.ok(422, "GET", app+"/attempt/msg/order-1.eu?endpoint_id=none", "")
	c.ok(404, "GET", app+"/msg/order-1.us", "")

	for query, want := range map[string][]string{"channel=eu": {text(europe, "id")}, "tag=big": {text(europe, "id")}, "channel=us&tag=big": {}, "channel=none": {}} {
		require.Equal(t, want, ids(c.ok(200, "GET", app+"/msg?"+query, "")), query)
		require.Equal(t, want, ids(c.ok(200, "GET", app+"/endpoint/"+all+"/msg?"+query, "")), query)
		require.Len(t, ids(c.ok(200, "GET", app+"/attempt/endpoint/"+all+"?"+query, "")), len(want), query)
		require.Len(t, ids(c.ok(200, "GET", app+"/attempt/msg/"+text(europe, "id")+"?"+query, "")), 2*len(want), query)
	}
	require.Empty(t, ids(c.ok(200, "GET", app+"/endpoint/"+all+"/msg?channel=eu&iterator="+text(europe, "id"), "")))

	active := func(body string) any {
		return c.ok(200, "POST", app+"/msg/precheck/active", body)["active"]
	}
	require.Equal(t, true, active(`{"eventType":"order.paid"}`))
	c.ok(204, "DELETE", app+"/endpoint/"+all, "")
	require.Equal(t, false, active(`{"eventType":"order.paid"}`))
	require.Equal(t, true, active(`{"eventType":"order.paid","channels":["us","de"]}`))
	c.ok(200, "PATCH", app+"/endpoint/"+eu, `{"disabled":true}`)
	require.Equal(t, false, active(`{"eventType":"order.paid","channels":["us","de"]}`))
	c.ok(422, "POST", app+"/msg/precheck/active", `{"eventType":"no.such"}`)
	for _, more := range []string{`,"channels":["1","2","3","4","5","6"]`, `,"tags":["1","2","3","4","5","6"]`, `,"tags":[""]`} {
		c.ok(422, "POST", app+"/msg", `{"eventType":"order.created","payload":{}`+more+`}`)
	}
}

// A message can bring its application, and its payload in the form in which it is sent.
func TestSvixUIDs_MessagesThatBringMore(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	const body = `{"eventType":"order.created","payload":{},"application":{"name":"New","uid":"new-1"}}`
	require.Equal(t, []any{map[string]any{"loc": []any{"body", "application", "uid"}, "msg": "must be the uid in the path: there is no application with that one", "type": "value_error"}},
		admin.ok(422, "POST", api+"/app/other-1/msg", body)["detail"])
	admin.ok(404, "POST", api+"/app/new-1/msg", `{"eventType":"order.created","payload":{}}`)
	c.ok(404, "POST", api+"/app/new-1/msg", body)
	admin.ok(202, "POST", api+"/app/new-1/msg", body)
	require.Equal(t, "New", admin.ok(200, "GET", api+"/app/new-1", "")["name"])
	admin.ok(202, "POST", api+"/app/new-1/msg", body)
	require.Len(t, ids(admin.ok(200, "GET", api+"/app/new-1/msg", "")), 2)

	receiver := systemstest.NewReceiver(t)
	c.endpoint(`{"url":"` + receiver.URL + `"}`)
	raw := c.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{},"transformationsParams":{"rawPayload":"{ \"a\" :1.0}","headers":{"content-type":"application/json"}}}`)
	c.attempt(text(raw, "id"))
	systemstest.RequireBytes(t, `{ "a" :1.0}`, receiver.Take()[0].Body)
	for params, status := range map[string]int{`{"rawPayload":"no JSON"}`: 422, `{"rawPayload":"{}","headers":{"content-type":"text/xml"}}`: 501, `{"headers":{"x-a":"b"}}`: 501} {
		c.ok(status, "POST", app+"/msg", `{"eventType":"order.created","payload":{},"transformationsParams":`+params+`}`)
	}

	// The installation keeps payloads for 14 days.
	for retention, status := range map[string]int{`"payloadRetentionPeriod":90`: 202, `"payloadRetentionPeriod":30`: 202, `"payloadRetentionPeriod":5`: 202,
		`"payloadRetentionPeriod":4`: 422, `"payloadRetentionPeriod":91`: 422, `"payloadRetentionHours":720`: 202, `"payloadRetentionHours":24`: 202,
		`"payloadRetentionHours":720,"payloadRetentionPeriod":30`: 422} {
		c.ok(status, "POST", app+"/msg", `{"eventType":"order.created","payload":{},`+retention+`}`)
	}
}

// The shorter one of the message's time and the installation's, which is 14 days, is when the payload goes.
func TestSvixUIDs_PayloadsExpire(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	send := func(more string) (id string, expires time.Duration) {
		t.Helper()
		m := c.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{"n":1}`+more+`}`)
		if m["payloadExpiresAt"] == nil {
			return text(m, "id"), 0
		}
		times := make([]time.Time, 2)
		for i, name := range []string{"timestamp", "payloadExpiresAt"} {
			at, err := time.Parse(time.RFC3339, text(m, name))
			require.NoError(t, err)
			times[i] = at
		}
		return text(m, "id"), times[1].Sub(times[0])
	}
	const day = 24 * time.Hour
	plain, lasts := send("")
	require.Zero(t, lasts)
	long, lasts := send(`,"payloadRetentionPeriod":30`)
	require.Equal(t, 14*day, lasts)
	short, lasts := send(`,"payloadRetentionPeriod":5`)
	require.Equal(t, 5*day, lasts)
	hour, lasts := send(`,"payloadRetentionHours":1`)
	require.Equal(t, time.Hour, lasts)
	expire := func() map[string]any {
		t.Helper()
		_, _, err := c.Store.EraseDue(t.Context())
		require.NoError(t, err)
		payloads := map[string]any{}
		for name, id := range map[string]string{"plain": plain, "long": long, "short": short, "hour": hour} {
			payloads[name] = c.ok(200, "GET", app+"/msg/"+id, "")["payload"]
		}
		return payloads
	}
	kept, gone := map[string]any{"n": 1.0}, map[string]any{"expired": true}
	require.Equal(t, map[string]any{"plain": kept, "long": kept, "short": kept, "hour": kept}, expire())
	c.Clock.Advance(time.Hour)
	require.Equal(t, map[string]any{"plain": kept, "long": kept, "short": kept, "hour": gone}, expire())
	c.Clock.Advance(5 * day)
	require.Equal(t, map[string]any{"plain": kept, "long": kept, "short": gone, "hour": gone}, expire())
	require.NotEmpty(t, c.ok(200, "GET", app+"/msg/"+short, "")["payloadExpiresAt"])

	svix, ctx := c.official(), t.Context()
	message, err := svix.Message.Create(ctx, "app_acme", sdk.MessageIn{EventType: "order.created", Payload: map[string]any{"n": 2}, PayloadRetentionPeriod: new(int64(5))}, nil)
	require.NoError(t, err)
	c.Clock.Advance(5 * day)
	expire()
	read, err := svix.Message.Get(ctx, "app_acme", message.Id, nil)
	require.NoError(t, err)
	require.Equal(t, gone, read.Payload)
}

func TestSvixUIDs_Statistics(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	ep := c.endpoint(`{"url":"` + receiver.URL + `"}`)
	stats := func(query string) map[string]any { return c.ok(200, "GET", app+"/endpoint/"+ep+"/stats?"+query, "") }
	counts := func(success, pending, sending, fail float64) map[string]any {
		return map[string]any{"success": success, "pending": pending, "sending": sending, "fail": fail, "canceled": 0.0}
	}
	require.Equal(t, counts(0, 0, 0, 0), stats(""))
	c.attempt(c.message("order.created", `{}`))
	receiver.Answer(500)
	failing := c.message("order.created", `{}`)
	c.attempt(failing)
	c.attempt(failing)
	c.message("order.created", `{}`)
	require.Equal(t, counts(1, 1, 1, 1), stats(""))
	now := c.Clock.Now().UTC()
	at := func(days int) string { return now.AddDate(0, 0, days).Format("2006-01-02T15:04:05Z") }
	require.Equal(t, counts(1, 1, 1, 1), stats("since="+at(-1)))
	require.Equal(t, counts(1, 1, 1, 1), stats("since="+at(-28)))
	require.Equal(t, counts(0, 0, 0, 0), stats("since="+at(-3)+"&until="+at(-1)))
	for _, query := range []string{"since=" + at(-29), "until=" + at(1), "since=" + at(-1) + "&until=" + at(-2)} {
		require.Equal(t, "invalid_range", c.ok(400, "GET", app+"/endpoint/"+ep+"/stats?"+query, "")["code"], query)
	}
	c.ok(422, "GET", app+"/endpoint/"+ep+"/stats?since=now", "")

	// The usage of an installation's applications is a task that is finished at its creation.
	admin := c.as(servicetest.AdminKey)
	window := `"since":"` + at(-2) + `","until":"` + at(1) + `"`
	usage := admin.ok(202, "POST", api+"/stats/usage/app", `{`+window+`,"appIds":["app_acme","none"]}`)
	require.Equal(t, []any{"finished", "application.stats", []any{"none"}}, []any{usage["status"], usage["task"], usage["unresolvedAppIds"]})
	task := admin.ok(200, "GET", api+"/background-task/"+text(usage, "id"), "")
	require.Equal(t, map[string]any{"appStats": []any{map[string]any{"appId": "app_acme", "appUid": nil, "messageDestinations": 3.0}}}, task["data"])
	all := admin.ok(202, "POST", api+"/stats/usage/app", `{`+window+`}`)
	require.Len(t, all["data"].(map[string]any)["appStats"], 2)
	admin.ok(422, "POST", api+"/stats/usage/app", `{`+window+`,"appIds":["none"]}`)
	admin.ok(422, "POST", api+"/stats/usage/app", `{"since":"`+at(-40)+`","until":"`+at(0)+`"}`)
	admin.ok(404, "GET", api+"/background-task/qtask_stats_nonsense", "")
	c.ok(403, "GET", api+"/background-task/"+text(usage, "id"), "")
}

func TestSvixUIDs_AnAnswerIsExpunged(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	receiver := systemstest.NewReceiver(t)
	c.endpoint(`{"url":"` + receiver.URL + `"}`)
	msg := c.message("order.created", `{}`)
	c.attempt(msg)
	one := app + "/msg/" + msg + "/attempt/" + ids(c.ok(200, "GET", app+"/attempt/msg/"+msg, ""))[0]
	before := c.ok(200, "GET", one, "")
	c.as(c.Env.Key(systemstest.Tenant, models.RoleRead)).ok(403, "DELETE", one+"/content", "")
	c.ok(404, "DELETE", app+"/msg/"+c.message("order.paid", `{}`)+one[len(app+"/msg/"+msg):]+"/content", "")
	c.ok(204, "DELETE", one+"/content", "")
	c.ok(204, "DELETE", one+"/content", "")
	before["response"] = "EXPUNGED"
	require.Equal(t, before, c.ok(200, "GET", one, ""))
	native, err := c.Service.Delivery(t.Context(), systemstest.Tenant, c.Deliveries(systemstest.Tenant, "evt_"+msg[len("msg_"):])[0].ID)
	require.NoError(t, err)
	require.Empty(t, native.History[0].ResponseHeaders)
	entries, _, err := c.Store.AuditLog(t.Context(), models.AuditFilter{}, models.Page{Limit: 2})
	require.NoError(t, err)
	require.Equal(t, models.AuditAttemptErased, entries[0].Action)
	require.NotEqual(t, models.AuditAttemptErased, entries[1].Action, "once")
}
