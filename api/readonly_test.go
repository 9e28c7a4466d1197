package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// changedIn returns a copy of an object with one changed member.
func changedIn(object map[string]any, name string, value any) map[string]any {
	other := maps.Clone(object)
	other[name] = value
	return other
}

// A webhook as it was read, alone or in a list, can be sent back with its masked headers, the schedule in force and all
// read-only fields. This changes nothing.
func TestReadOnly_AWebhookCanBeSentBackAsItWasRead(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := newReceiver(t)
	for name, body := range map[string]string{
		"plain": `{"url":"` + r.URL + `/plain"}`,
		"everything set": `{"url":"` + r.URL + `/all?token=s3cret","event_types":["order.paid","order.*"],"name":"Shop","description":"d",
			"headers":{"X-Token":"s3cret-token","x-other":"2"},"retry":{"initial":"30s","backoff":1.5,"max_interval":3600,"max":0},"timeout":2.5,"max_in_flight":4,"rate_limit":0.5}`,
		"disabled":               `{"url":"` + r.URL + `/off","active":false}`,
		"of a profile":           `{"url":"` + r.URL + `/up42","profile":"up42"}`,
		"a type since deleted":   `{"url":"` + r.URL + `/gone","event_types":["order.gone"]}`,
		"the defaults, as given": `{"url":"` + r.URL + `/given","retry":{"initial":"10s","backoff":2,"max_interval":"30m","max":10},"timeout":"15s"}`,
	} {
		e.EventTypes("order.gone")
		path := "/v1/tenants/acme/webhooks/" + e.call("POST /v1/tenants/acme/webhooks", body).is(http.StatusCreated).text("id")
		e.asAdmin("DELETE /v1/event-types/order.gone", "").is(http.StatusNoContent)
		stored := func() models.Webhook {
			w, err := e.Store.Webhook(t.Context(), "acme", path[len("/v1/tenants/acme/webhooks/"):])
			require.NoError(t, err)
			return w
		}
		before := stored()
		read := e.call("GET "+path, "").is(http.StatusOK).json()
		e.Clock.Advance(time.Minute)
		require.Equal(t, read, e.asAdmin("PATCH "+path, asJSON(t, read)).is(http.StatusOK).json(), name)
		for _, listed := range e.call("GET /v1/tenants/acme/webhooks", "").data() {
			if listed["id"] == read["id"] {
				require.Equal(t, read, e.call("PATCH "+path, asJSON(t, listed)).is(http.StatusOK).json(), name)
			}
		}
		require.Equal(t, before, stored(), "%s: sealed parts and version included", name)

		changed := e.call("PATCH "+path, asJSON(t, changedIn(read, "name", "renamed"))).is(http.StatusOK).json()
		require.Equal(t, "renamed", changed["name"])
		require.NotEqual(t, read["updated_at"], changed["updated_at"])
		require.Equal(t, read["headers"], changed["headers"])
		after := stored()
		require.Equal(t, before.Headers, after.Headers)
		require.Equal(t, before.Retry, after.Retry)
		require.Equal(t, before.TimeoutMS, after.TimeoutMS)
	}
}

func TestReadOnly_FieldsOfAWebhookCannotBeChanged(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	path := "/v1/tenants/acme/webhooks/" + e.webhook("https://shop.example/hooks")
	read := e.call("GET "+path, "").is(http.StatusOK).json()
	for name, value := range map[string]any{"id": "wh_1", "tenant": "globex", "status": "disabled", "status_reason": "x", "failed_attempts": 7, "last_failure": map[string]any{},
		"last_success_at": "2026-01-02T03:04:05.000Z", "last_notification": 1, "profile": "im4", "created_at": "2020-01-01T00:00:00.000Z", "updated_at": nil, "created_by": "me", "updated_by": ""} {
		refused := e.call("PATCH "+path, asJSON(t, changedIn(read, name, value))).is(http.StatusUnprocessableEntity)
		require.Equal(t, []string{name}, refused.fields(), name)
	}
	all := e.call("PATCH "+path, `{"id":"x","url":"ftp://shop.example","name":"renamed","headers":{"X-New":"********"}}`).is(http.StatusUnprocessableEntity)
	require.ElementsMatch(t, []string{"id", "url", "headers"}, all.fields(), "everything that is wrong, in one answer")
	require.Equal(t, read, e.call("GET "+path, "").json(), "nothing has changed")
}

// A masked value stands for the value that the header has, under any spelling of its name.
func TestReadOnly_MaskedHeadersKeepTheirValues(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	w := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks","headers":{"X-Keep":"kept","X-Change":"old","X-Drop":"1"}}`).is(http.StatusCreated)
	path := "/v1/tenants/acme/webhooks/" + w.text("id")
	e.call("PATCH "+path, `{"headers":{"x-keep":"********","X-Change":"new"}}`).is(http.StatusOK)
	receiver := newReceiver(t)
	got := make(chan http.Header, 1)
	receiver.Config.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
	e.call("PATCH "+path, `{"url":"`+receiver.URL+`"}`).is(http.StatusOK)
	e.call("POST "+path+"/test", `{"event_type":"order.created"}`).is(http.StatusOK)
	sent := <-got
	require.Equal(t, "kept", sent.Get("X-Keep"))
	require.Equal(t, "new", sent.Get("X-Change"))
	require.Empty(t, sent.Values("X-Drop"))
	refused := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks","headers":{"X-Keep":"********"}}`).is(http.StatusUnprocessableEntity)
	require.Equal(t, []string{"headers"}, refused.fields(), "a new webhook has no value to keep")
}

func TestReadOnly_ATenantCanBePutAsItWasRead(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	const path = "/v1/tenants/acme"
	e.asAdmin("PUT "+path, `{"name":"Acme <&> Ltd","admin_emails":["b@acme.example","a@acme.example"]}`).is(http.StatusOK)
	read := e.asAdmin("GET "+path, "").is(http.StatusOK).json()
	e.Clock.Advance(time.Minute)
	require.Equal(t, read, e.asAdmin("PUT "+path, asJSON(t, read)).is(http.StatusOK).json())
	require.Equal(t, read, e.asAdmin("PUT "+path, asJSON(t, e.asAdmin("GET /v1/tenants", "").data()[0])).is(http.StatusOK).json())
	for name, value := range map[string]any{"id": "globex", "created_at": "2020-01-01T00:00:00.000Z", "updated_at": nil} {
		refused := e.asAdmin("PUT "+path, asJSON(t, changedIn(changedIn(read, name, value), "name", "renamed"))).is(http.StatusUnprocessableEntity)
		require.Equal(t, []string{name}, refused.fields())
	}
	require.Equal(t, read, e.asAdmin("GET "+path, "").json())
	changed := e.asAdmin("PUT "+path, asJSON(t, changedIn(read, "name", "renamed"))).is(http.StatusOK).json()
	require.NotEqual(t, read["updated_at"], changed["updated_at"])
	e.asAdmin("PUT /v1/tenants/initech", `{"id":"initech","name":"Initech"}`).is(http.StatusCreated)
	require.Equal(t, []string{"created_at"}, e.asAdmin("PUT /v1/tenants/umbrella", `{"id":"umbrella","created_at":"2020-01-01T00:00:00.000Z"}`).is(http.StatusUnprocessableEntity).fields())
}

func TestReadOnly_AnEventTypeCanBePutAsItWasRead(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	const path = "/v1/event-types/user.created"
	e.asAdmin("PUT "+path, `{"description":"A user","schema":{ "type" : "object", "properties": {"n":{"const":1.50}} },"example": {"n" : 1.50, "s":"<&> é"}, "deprecated":true}`).is(http.StatusOK)
	read := e.asAdmin("GET "+path, "").is(http.StatusOK)
	e.Clock.Advance(time.Minute)
	require.Equal(t, read.body, e.asAdmin("PUT "+path, read.body).is(http.StatusOK).body)
	for _, listed := range e.asAdmin("GET /v1/event-types", "").data() {
		if listed["name"] == "user.created" {
			require.Equal(t, read.json()["updated_at"], e.asAdmin("PUT "+path, asJSON(t, changedIn(listed, "example", read.json()["example"]))).json()["updated_at"])
		}
	}
	for name, value := range map[string]any{"name": "user.deleted", "tenant": "acme", "system": "im4", "title": "x", "category": "x", "documentation": "x", "created_at": nil, "updated_at": 1} {
		refused := e.asAdmin("PUT "+path, asJSON(t, changedIn(read.json(), name, value))).is(http.StatusUnprocessableEntity)
		require.Equal(t, []string{name}, refused.fields())
	}
	require.Equal(t, read.body, e.asAdmin("GET "+path, "").body)
	changed := e.asAdmin("PUT "+path, asJSON(t, changedIn(read.json(), "description", "Somebody new"))).is(http.StatusOK).json()
	require.NotEqual(t, read.json()["updated_at"], changed["updated_at"])
}
