package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// second is another process of the same installation.
func (e *env) second() *env {
	e.t.Helper()
	other := *e
	handler, err := api.New(api.Options{Service: e.Another(), Store: e.Store, Version: "1.2.3"})
	require.NoError(e.t, err)
	other.handler = handler
	return &other
}

// A tenant with the name of a deleted one starts clean, at once and in every process, even in one that has the deleted
// tenant in memory.
func TestReuse_ATenantMadeAgainStartsClean(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	other := e.second()
	const event = `{"type":"order.created","data":{},"id":"chosen"}`
	publish := func(e *env, key string) answer {
		return e.do(request{method: http.MethodPost, path: "/v1/tenants/acme/events", body: event, key: key, header: map[string]string{"Idempotency-Key": "k"}})
	}
	hook := e.webhook("https://shop.example/hooks")
	e.call("PUT /v1/tenants/acme/catalogs/up42", "").is(http.StatusOK)
	publish(e, "").is(http.StatusAccepted)
	require.Equal(t, "true", publish(other, "").is(http.StatusAccepted).header.Get("Idempotency-Replayed"))
	recovery := e.call("POST /v1/tenants/acme/webhooks/"+hook+"/recover", "").is(http.StatusAccepted).text("id")

	old := e.key
	e.asAdmin("DELETE /v1/tenants/acme", "").is(http.StatusNoContent)
	e.asAdmin("PUT /v1/tenants/acme", `{}`).is(http.StatusCreated)
	key := e.asAdmin("POST /v1/tenants/acme/keys", `{"role":"tenant"}`).is(http.StatusCreated).text("key")
	for name, process := range map[string]*env{"this process": e, "the other": other} {
		publish(process, old).is(http.StatusUnauthorized)
		process.key = key
		for _, list := range []string{"webhooks", "events", "deliveries"} {
			require.Empty(t, process.call("GET /v1/tenants/acme/"+list, "").is(http.StatusOK).data(), "%s: %s", name, list)
		}
		require.Len(t, process.call("GET /v1/tenants/acme/event-types?limit=200", "").data(), 2+len(catalog.Operational()), "the shared ones")
		require.Len(t, process.call("GET /v1/tenants/acme/keys", "").data(), 1)
		process.call("GET /v1/tenants/acme/recoveries/"+recovery, "").is(http.StatusNotFound)
		process.call("GET /v1/tenants/acme/events/chosen", "").is(http.StatusNotFound)
		require.Empty(t, process.call("POST /v1/tenants/acme/events/match", `{"type":"order.created","data":{}}`).is(http.StatusOK).data())
	}
	first := publish(other, servicetest.AdminKey).is(http.StatusAccepted)
	require.Empty(t, first.header.Get("Idempotency-Replayed"), "neither the key nor the id is the earlier tenant's")
	require.Equal(t, "true", publish(e, key).is(http.StatusAccepted).header.Get("Idempotency-Replayed"))
	require.Len(t, e.call("GET /v1/tenants/acme/events", "").data(), 1)
}

// A new event type with the name of a deleted one has neither its schema nor its example, in every process.
func TestReuse_AnEventTypeMadeAgainStartsClean(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	other := e.second()
	e.asAdmin("PUT /v1/event-types/user.created", `{"schema":{"required":["email"]},"example":{"email":"a@b.example"}}`).is(http.StatusOK)
	const event = `{"type":"user.created","data":{}}`
	for _, process := range []*env{e, other} {
		process.call(eventsRoute, event).is(http.StatusUnprocessableEntity)
	}
	e.asAdmin("DELETE /v1/event-types/user.created", "").is(http.StatusNoContent)
	for _, process := range []*env{e, other} {
		require.Equal(t, []string{"type"}, process.call(eventsRoute, event).is(http.StatusUnprocessableEntity).fields())
	}
	again := e.asAdmin("PUT /v1/event-types/user.created", `{}`).is(http.StatusOK).json()
	require.Nil(t, again["example"])
	require.Nil(t, again["schema"])
	for _, process := range []*env{e, other} {
		process.call(eventsRoute, event).is(http.StatusAccepted)
	}
}

// Paths with a dot segment or an encoded slash are not found, on every API.
func TestReuse_PathsThatAreReadInTwoWays(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, path := range []string{"/v1/tenants%2facme", "/v1/tenants%2Facme/webhooks", "/v1/tenants/acme%2fwebhooks", "/v1/tenants/acme/./webhooks", "/v1/tenants/acme/%2e%2e/acme",
		"/v1/tenants/globex/../acme", "/v1/tenants/acme/webhooks/%2e", "/im4/%2e%2e/v1/tenants", "/v1/tenants/acme/webhooks/..%2f..%2facme"} {
		e.do(request{method: http.MethodGet, path: path, key: servicetest.AdminKey}).is(http.StatusNotFound)
	}
	e.asAdmin("GET /v1/tenants/acme", "").is(http.StatusOK)
	e.asAdmin("PUT /v1/event-types/a..b", `{}`).is(http.StatusOK)
}
