package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// find returns the newest entry of an action.
func (a answer) find(action string) map[string]any {
	a.t.Helper()
	for _, e := range a.data() {
		if e["action"] == action {
			return e
		}
	}
	require.Fail(a.t, "no such entry", "%s in %s", action, a.body)
	return nil
}

func TestAuditLog_SaysWhoChangedWhat(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	made := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks?token=1","headers":{"X-Auth":"hush"},"event_types":["order.created"]}`).is(http.StatusCreated)
	id := made.text("id")
	patched := e.do(request{method: http.MethodPatch, path: "/v1/tenants/acme/webhooks/" + id, header: map[string]string{"X-Request-Id": "call-7"},
		body: `{"url":"https://shop.example/hooks?token=2","headers":{"X-Auth":"other","X-New":"v"},"retry":{"initial":"1s","max":0},"description":"d"}`}).is(http.StatusOK)
	require.Equal(t, "call-7", patched.header.Get("X-Request-Id"))

	list := e.call("GET /v1/tenants/acme/audit?target="+id, "").is(http.StatusOK)
	require.Len(t, list.data(), 2)
	created, updated := list.find("webhook.created"), list.find("webhook.updated")
	require.Equal(t, map[string]any{
		"url": map[string]any{"from": "", "to": "https://shop.example/hooks"}, "secret": "changed", "headers": map[string]any{"added": []any{"X-Auth"}},
		"event_types": map[string]any{"from": []any{}, "to": []any{"order.created"}},
		"profile":     map[string]any{"from": nil, "to": "standard"}, "status": map[string]any{"from": nil, "to": "active"},
	}, created["changes"])
	require.Equal(t, map[string]any{
		"url":         map[string]any{"from": "https://shop.example/hooks", "to": "https://shop.example/hooks", "query": "changed"},
		"headers":     map[string]any{"added": []any{"X-New"}, "changed": []any{"X-Auth"}},
		"retry":       map[string]any{"from": map[string]any{}, "to": map[string]any{"initial": "1s", "max": 0.0}},
		"description": map[string]any{"from": "", "to": "d"},
	}, updated["changes"])
	require.Equal(t, "call-7", updated["request_id"])
	require.Equal(t, "acme", updated["tenant"])
	require.Equal(t, map[string]any{"kind": "webhook", "id": id}, updated["target"])
	actor, _ := updated["actor"].(map[string]any)
	require.Equal(t, "key", actor["kind"])
	require.Regexp(t, `^key_`, actor["id"])
	require.Equal(t, "tenant", actor["name"])
	require.NotNil(t, updated["address"])
	require.NotContains(t, list.body, "hush")
	require.NotContains(t, list.body, "token=")

	keyID, _ := actor["id"].(string)
	require.Len(t, e.call("GET /v1/tenants/acme/audit?actor="+keyID, "").data(), 2)
	require.Len(t, e.call("GET /v1/tenants/acme/audit?action=webhook.updated", "").data(), 1)
	require.Empty(t, e.call("GET /v1/tenants/acme/audit?until=2020-01-01T00:00:00Z", "").data())
	require.Equal(t, []string{"action"}, e.call("GET /v1/tenants/acme/audit?action=webhook.craeted", "").is(http.StatusUnprocessableEntity).fields())
	require.Equal(t, []string{"after"}, e.call("GET /v1/tenants/acme/audit?after=x", "").is(http.StatusUnprocessableEntity).fields())
}

// A tenant's keys see only that one of the platform's staff made a change, and not who.
func TestAuditLog_TenantsDoNotLearnWhoOfTheStaffItWas(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.asAdmin("PUT /v1/tenants/acme", `{"name":"Acme"}`).is(http.StatusOK)
	named := e.asAdmin("GET /v1/audit?tenant=acme&action=tenant.updated", "").is(http.StatusOK).data()
	require.Len(t, named, 1)
	actor, _ := named[0]["actor"].(map[string]any)
	require.Equal(t, "admin", actor["kind"])
	id, _ := actor["id"].(string)
	require.NotEmpty(t, id)
	require.NotNil(t, named[0]["address"])

	for _, key := range []string{e.key, e.Key("acme", models.RoleRead)} {
		list := e.do(request{method: http.MethodGet, path: "/v1/tenants/acme/audit?actor=staff", key: key}).is(http.StatusOK)
		require.Len(t, list.data(), 1)
		require.Equal(t, map[string]any{"kind": "staff"}, list.data()[0]["actor"])
		require.Nil(t, list.data()[0]["address"])
		require.Empty(t, e.do(request{method: http.MethodGet, path: "/v1/tenants/acme/audit?actor=" + id, key: key}).is(http.StatusOK).data())
	}
}

func TestAuditLog_EntriesOfADeletedTenantAreForAdminsAlone(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.webhook("https://shop.example/hooks")
	_, key := e.TenantAgain("acme")
	list := e.do(request{method: http.MethodGet, path: "/v1/tenants/acme/audit", key: key}).is(http.StatusOK)
	require.NotContains(t, list.body, "webhook.created")
	require.NotContains(t, list.body, "tenant.deleted")
	all := e.asAdmin("GET /v1/audit?tenant=acme", "").is(http.StatusOK)
	all.find("webhook.created")
	all.find("tenant.deleted")
	e.do(request{method: http.MethodGet, path: "/v1/audit", key: key}).is(http.StatusForbidden)
	require.NotContains(t, e.do(request{method: http.MethodGet, path: "/v1/tenants/acme/audit", key: servicetest.AdminKey}).is(http.StatusOK).body, "webhook.created")
}
