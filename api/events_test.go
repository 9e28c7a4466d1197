package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

const eventsRoute = "POST /v1/tenants/acme/events"

func TestEvents_DataStaysAsItWasPosted(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, data := range []string{
		`{"b":1.0,"a":1e400,"c":-0,"big":12345678901234567890.10}`,
		"{ \"a\" :\t[ 1 ,\n 2 ] , \"a\":3 }",
		`{"s":"\u00e9\/ é \ud83d\ude00 <&> \u2028"}`,
		`[]`, `null`, `"text"`, `0.10`, `true`,
	} {
		id := e.call(eventsRoute, `{ "type" : "order.created" , "data" : `+data+` }`).is(http.StatusAccepted).text("id")
		stored, err := e.Store.Event(t.Context(), "acme", id)
		require.NoError(t, err)
		require.Equal(t, data, string(stored.Data))
		var want bytes.Buffer
		require.NoError(t, json.Compact(&want, []byte(data)))
		read := e.call("GET /v1/tenants/acme/events/"+id, "").is(http.StatusOK)
		require.Equal(t, want.String(), rawMember(t, read.body, "data"), "all but the white space between")
	}
}

func TestEvents_PublishAnswersWithTheWorkflow(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	nobody := e.call(eventsRoute, `{"type":"order.created","data":{}}`).is(http.StatusAccepted)
	require.Nil(t, nobody.json()["workflow_id"])
	e.webhook("https://shop.example/hooks")
	own := e.call(eventsRoute, `{"type":"order.created","data":{},"attributes":{"entity":"order","customer":"c1"}}`).is(http.StatusAccepted)
	require.Equal(t, "deliver/"+own.text("id"), own.text("workflow_id"))
	e.Engine.SetBusy(true)
	require.Nil(t, e.call(eventsRoute, `{"type":"order.created","data":{}}`).is(http.StatusAccepted).json()["workflow_id"])

	read := e.call("GET /v1/tenants/acme/events/"+own.text("id"), "").is(http.StatusOK).json()
	require.Equal(t, map[string]any{"entity": "order", "customer": "c1"}, read["attributes"])
	require.Nil(t, read["erased_at"])
	deliveries, _ := read["deliveries"].([]any)
	require.Len(t, deliveries, 1)
	require.Equal(t, "pending", deliveries[0].(map[string]any)["status"])
}

// An event with many webhooks says whether all its deliveries exist, alone and in lists.
func TestEvents_AnEventSaysWhetherItIsFannedOut(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	require.NoError(t, e.Store.Tx(t.Context(), func(tx *models.Store) error {
		for range models.FanOutAbove + 1 {
			w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: "acme", Profile: "standard", Status: models.WebhookActive,
				URL: "https://shop.example/", EventTypes: []string{"order.paid"}}
			if err := tx.CreateWebhook(t.Context(), &w); err != nil {
				return err
			}
		}
		return nil
	}))
	narrow := e.call(eventsRoute, `{"type":"order.created","data":{}}`).is(http.StatusAccepted).text("id")
	wide := e.call(eventsRoute, `{"type":"order.paid","data":{}}`).is(http.StatusAccepted)
	require.Nil(t, wide.json()["workflow_id"])
	said := func() (alone, first, second any) {
		list := e.call("GET /v1/tenants/acme/events", "").data()
		require.Equal(t, []any{wide.text("id"), narrow}, []any{list[0]["id"], list[1]["id"]})
		return e.call("GET /v1/tenants/acme/events/"+wide.text("id"), "").json()["fanned_out"], list[0]["fanned_out"], list[1]["fanned_out"]
	}
	alone, first, second := said()
	require.Equal(t, []any{false, false, true}, []any{alone, first, second})
	for range 2 {
		_, _, err := e.Store.RunJob(t.Context())
		require.NoError(t, err)
	}
	alone, first, second = said()
	require.Equal(t, []any{true, true, true}, []any{alone, first, second})
}

func TestEvents_PublishThatFindsNoRoomSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.webhook("https://shop.example/hooks")
	e.Engine.SetFull(true)
	refused := e.call(eventsRoute, `{"type":"order.created","data":{}}`).is(http.StatusServiceUnavailable)
	require.Equal(t, "1", refused.header.Get("Retry-After"))
	require.Empty(t, e.call("GET /v1/tenants/acme/events", "").data())
}

func TestEvents_IdempotencyKey(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.webhook("https://shop.example/hooks")
	post := func(route, body, key string) answer {
		return e.do(request{method: http.MethodPost, path: strings.TrimPrefix(route, "POST "), body: body, header: map[string]string{"Idempotency-Key": key}})
	}
	const body = `{"type":"order.created","data":{"n":1}}`
	first := post(eventsRoute, body, "k1").is(http.StatusAccepted)
	require.Empty(t, first.header.Get("Idempotency-Replayed"))
	again := post(eventsRoute, body, "k1").is(http.StatusAccepted)
	require.Equal(t, first.body, again.body)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	post(eventsRoute, `{"type":"order.created","data":{"n":1} }`, "k1").is(http.StatusConflict) // a space more
	post(eventsRoute, body, "k2").is(http.StatusAccepted)
	require.Len(t, e.call("GET /v1/tenants/acme/events", "").data(), 2)

	batch := `{"events":[` + body + `,` + body + `]}`
	first = post(eventsRoute+"/batch", batch, "k3").is(http.StatusAccepted)
	again = post(eventsRoute+"/batch", batch, "k3").is(http.StatusAccepted)
	require.Equal(t, first.body, again.body)
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))
	for _, key := range []string{strings.Repeat("x", 256), "schlüssel"} {
		require.Equal(t, []string{"Idempotency-Key"}, post(eventsRoute, body, key).is(http.StatusUnprocessableEntity).fields())
	}
}

func TestEvents_BatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.webhook("https://shop.example/hooks")
	accepted := e.call(eventsRoute+"/batch", `{"events":[{"type":"order.created","data":1,"id":"first"},{"type":"order.paid","data":2}]}`).is(http.StatusAccepted)
	require.Equal(t, "first", accepted.data()[0]["id"])
	require.Len(t, accepted.data(), 2)

	for body, fields := range map[string][]string{
		`{"events":[]}`: {"events"},
		`{"events":[` + strings.Repeat(`{"type":"order.paid","data":1},`, 1000) + `{"type":"order.paid","data":1}]}`: {"events"},
		`{"events":[{"type":"order.paid","data":1},{"type":"no.such","data":2},{"type":"order.paid"},7]}`:            {"events[2].data", "events[3]", "events[1].type"},
		`{"events":[{"type":"order.paid","data":1},{"type":"no.such","data":2}]}`:                                    {"events[1].type"},
		`{"events":[{"type":"order.paid","data":1,"id":"a b"},{"type":"order.paid","data":1,"attributes":{"x":1}}]}`: {"events[1].attributes.x", "events[0].id"},
		`{"events":{}}`: {"events"}, `{}`: {"events"}, `[]`: {"body", "events"}, `{"events":[],"more":1}`: {"more", "events"},
	} {
		require.Equal(t, fields, e.call(eventsRoute+"/batch", body).is(http.StatusUnprocessableEntity).fields(), body)
	}
	e.call(eventsRoute+"/batch", `{"events":[{"type":"order.paid","data":1},{"type":"order.paid","data":1,"id":"first"}]}`).is(http.StatusConflict)
	e.call(eventsRoute+"/batch", `{"events":[{"type":"order.paid","data":1,"id":"x"},{"type":"order.paid","data":1,"id":"x"}]}`).is(http.StatusConflict)
	require.Len(t, e.call("GET /v1/tenants/acme/events", "").data(), 2, "nothing of what was refused is stored")
}

func TestEvents_MatchTellsWhoWouldGetIt(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://a.example/","event_types":["order.created"],"name":"a"}`)
	e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://b.example/","event_types":["order.paid"],"name":"b"}`)
	e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://c.example/","active":false,"name":"c"}`)
	matches := e.call(eventsRoute+"/match", `{"type":"order.created","data":{}}`).is(http.StatusOK).data()
	require.Len(t, matches, 3)
	for i, want := range []bool{true, false, true} {
		require.Equal(t, want, matches[i]["matched"])
		require.NotEmpty(t, matches[i]["reason"])
	}
	require.Equal(t, []string{"type"}, e.call(eventsRoute+"/match", `{"type":"no.such","data":{}}`).is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"id"}, e.call(eventsRoute+"/match", `{"type":"order.created","data":{},"id":"x"}`).is(http.StatusUnprocessableEntity).fields())
	require.Empty(t, e.call("GET /v1/tenants/acme/events", "").data())
}

func TestEvents_SchemaViolationsNameEveryField(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	put := e.asAdmin("PUT /v1/event-types/user.created", `{"description":"A user","schema":{"type":"object","required":["email","age"],
		"properties":{"age":{"type":"integer","minimum":0},"email":{"type":"string"},"tags":{"type":"array","items":{"type":"string"}}}},
		"example":{"email":"a@b.example","age":1}}`).is(http.StatusOK).json()
	require.Equal(t, "A user", put["description"])
	require.Equal(t, map[string]any{"email": "a@b.example", "age": 1.0}, put["example"])
	refused := e.call(eventsRoute, `{"type":"user.created","data":{"age":-1,"tags":["x",2]}}`).is(http.StatusUnprocessableEntity)
	require.ElementsMatch(t, []string{"data", "data.age", "data.tags.1"}, refused.fields())
	e.call(eventsRoute, `{"type":"user.created","data":{"email":"x","age":7}}`).is(http.StatusAccepted)
	require.Len(t, e.call("GET /v1/tenants/acme/events", "").data(), 1)
}

func TestEvents_EventTypes(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	names := func(a answer) (all []string) {
		for _, row := range a.is(http.StatusOK).data() {
			all = append(all, row["name"].(string))
		}
		return all
	}
	shared := []string{"order.created", "order.paid", "webhook.created", "webhook.deactivated", "webhook.deleted", "webhook.delivery.failed",
		"webhook.delivery.failing", "webhook.delivery.recovered", "webhook.enabled", "webhook.updated", "webhook.warning"}
	require.Equal(t, shared, names(e.call("GET /v1/event-types", "")))

	loaded := e.call("PUT /v1/tenants/acme/catalogs/up42", "").is(http.StatusOK).data()
	require.NotEmpty(t, loaded)
	require.Equal(t, "acme", loaded[0]["tenant"])
	require.Equal(t, "up42", loaded[0]["system"])
	require.Len(t, e.call("GET /v1/event-types?limit=200", "").data(), len(loaded)+len(shared), "a tenant's key sees the tenant's own too")
	require.Len(t, e.call("GET /v1/tenants/acme/event-types?limit=200", "").data(), len(loaded)+len(shared))
	require.Equal(t, shared, names(e.asAdmin("GET /v1/event-types", "")))
	e.call("GET /v1/event-types/"+loaded[0]["name"].(string), "").is(http.StatusOK)
	e.asAdmin("GET /v1/event-types/"+loaded[0]["name"].(string), "").is(http.StatusNotFound)
	e.call("PUT /v1/tenants/acme/catalogs/sap", "").is(http.StatusNotFound)
	e.asAdmin("GET /v1/tenants/nobody/event-types", "").is(http.StatusNotFound)

	// What is archived is in no list unless it is asked for; flags hide types from portal links alone.
	archived := e.asAdmin("PUT /v1/event-types/old.type", `{"archived":true,"feature_flags":["beta"]}`).is(http.StatusOK).json()
	require.Equal(t, []any{true, []any{"beta"}}, []any{archived["archived"], archived["feature_flags"]})
	require.Equal(t, shared, names(e.asAdmin("GET /v1/event-types", "")))
	require.Contains(t, names(e.asAdmin("GET /v1/event-types?archived=true", "")), "old.type")
	require.Contains(t, names(e.call("GET /v1/tenants/acme/event-types?archived=true&limit=200", "")), "old.type")
	e.call("GET /v1/event-types/old.type", "").is(http.StatusOK)
	require.Equal(t, []string{"feature_flags[0]"}, e.asAdmin("PUT /v1/event-types/old.type", `{"feature_flags":["a b"]}`).is(http.StatusUnprocessableEntity).fields())
	e.asAdmin("DELETE /v1/event-types/old.type", "").is(http.StatusNoContent)

	e.asAdmin("DELETE /v1/event-types/order.paid", "").is(http.StatusNoContent)
	e.asAdmin("DELETE /v1/event-types/order.paid", "").is(http.StatusNotFound)
	e.asAdmin("DELETE /v1/event-types/webhook.warning", "").is(http.StatusConflict)
	require.Equal(t, []string{"name"}, e.asAdmin("PUT /v1/event-types/webhook.mine", `{}`).is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"schema"}, e.asAdmin("PUT /v1/event-types/a", `{"schema":{"type":"strnig"}}`).is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"schema"}, e.asAdmin("PUT /v1/event-types/a", `{"schema":{"$ref":"https://elsewhere.example/s.json"}}`).is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"example.n"}, e.asAdmin("PUT /v1/event-types/a",
		`{"schema":{"properties":{"n":{"type":"string"}}},"example":{"n":1}}`).is(http.StatusUnprocessableEntity).fields())
}

func TestEvents_EventLists(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	created := e.Publish("acme", "order.created", `{"secret":"payload"}`)
	e.Clock.Advance(1e9 * 3600)
	paid := e.Publish("acme", "order.paid", `{}`)
	at, err := e.Store.Event(t.Context(), "acme", paid)
	require.NoError(t, err)
	later := at.CreatedAt.Format("2006-01-02T15:04:05.000Z07:00")
	for query, want := range map[string][]string{
		"":                    {paid, created},
		"?type=order.created": {created},
		"?since=" + later:     {paid},
		"?until=" + later:     {created},
		"?since=2020-01-01T00:00:00%2B02:00&type=order.paid": {paid},
	} {
		listed := e.call("GET /v1/tenants/acme/events"+query, "").is(http.StatusOK)
		var ids []string
		for _, row := range listed.data() {
			ids = append(ids, row["id"].(string))
		}
		require.Equal(t, want, ids, query)
		require.NotContains(t, listed.body, "payload")
	}
	require.Equal(t, []string{"since"}, e.call("GET /v1/tenants/acme/events?since=yesterday", "").is(http.StatusUnprocessableEntity).fields())
}

func TestEvents_ErasingAPayloadKeepsTheRecord(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.webhook("https://shop.example/hooks")
	id := e.Publish("acme", "order.created", `{"card":"4111"}`)
	e.call("DELETE /v1/tenants/acme/events/"+id+"/payload", "").is(http.StatusNoContent)
	read := e.call("GET /v1/tenants/acme/events/"+id, "").is(http.StatusOK)
	require.Nil(t, read.json()["data"])
	require.NotNil(t, read.json()["erased_at"])
	require.NotContains(t, read.body, "4111")
	require.Equal(t, models.Canceled, e.Deliveries("acme", id)[0].Status)
	e.call("DELETE /v1/tenants/acme/events/evt_none/payload", "").is(http.StatusNotFound)
	e.call("GET /v1/tenants/acme/events/evt_none", "").is(http.StatusNotFound)
}
