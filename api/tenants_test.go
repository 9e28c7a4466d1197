package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTenants(t *testing.T) {
	t.Parallel()
	e := newEnv(t)

	created := e.asAdmin("PUT /v1/tenants/globex", `{"name":"Globex","admin_emails":["ops@globex.example"]}`).is(http.StatusCreated).json()
	require.Equal(t, "globex", created["id"])
	require.Equal(t, []any{"ops@globex.example"}, created["admin_emails"])
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, created["created_at"])

	replaced := e.asAdmin("PUT /v1/tenants/globex", `{"name":"Globex Inc"}`).is(http.StatusOK).json()
	require.Equal(t, "Globex Inc", replaced["name"])
	require.Equal(t, []any{}, replaced["admin_emails"], "what is left out becomes empty")
	require.Equal(t, created["created_at"], replaced["created_at"])
	require.Equal(t, "Globex Inc", e.asAdmin("GET /v1/tenants/globex", "").is(http.StatusOK).text("name"))

	require.Len(t, e.asAdmin("GET /v1/tenants", "").is(http.StatusOK).data(), 2)
	e.asAdmin("DELETE /v1/tenants/globex", "").is(http.StatusNoContent)
	e.asAdmin("GET /v1/tenants/globex", "").is(http.StatusNotFound)
	e.asAdmin("DELETE /v1/tenants/globex", "").is(http.StatusNotFound)
}

func TestKeysAreShownOnceAndRevokedAtOnce(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	created := e.call("POST /v1/tenants/acme/keys", `{"name":"ci","role":"read"}`).is(http.StatusCreated)
	key, id := created.text("key"), created.text("id")
	require.Equal(t, "read", created.text("role"))

	get := request{method: http.MethodGet, path: "/v1/tenants/acme/keys", key: key}
	listed := e.do(get).is(http.StatusOK)
	require.Len(t, listed.data(), 2)
	require.NotContains(t, listed.body, key)

	e.call("DELETE /v1/tenants/acme/keys/"+id, "").is(http.StatusNoContent)
	e.do(get).is(http.StatusUnauthorized)
	e.call("DELETE /v1/tenants/acme/keys/"+id, "").is(http.StatusNotFound)
	require.Len(t, e.call("GET /v1/tenants/acme/keys", "").data(), 1)
}

func TestPages(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, id := range []string{"t1", "t2", "t3", "t4"} {
		e.Tenant(id)
		e.Key("acme", "read")
		e.EventTypes("type." + id)
		e.Webhook("acme", "https://"+id+".example/")
		e.Publish("acme", "order.created", `{}`)
	}
	for path, total := range map[string]int{
		"/v1/tenants":                  5,
		"/v1/tenants/acme/keys":        5,
		"/v1/event-types":              8,
		"/v1/tenants/acme/event-types": 8,
		"/v1/tenants/acme/webhooks":    4,
		"/v1/tenants/acme/events":      4,
		"/v1/tenants/acme/deliveries":  10,
	} {
		t.Run(path, func(t *testing.T) {
			e := e.in(t)
			all := e.asAdmin("GET "+path+"?limit=200", "").is(http.StatusOK)
			require.Nil(t, all.json()["next"])
			require.Len(t, all.data(), total)
			var paged []map[string]any
			for after := ""; ; {
				page := e.asAdmin("GET "+path+"?limit=3&after="+after, "").is(http.StatusOK)
				require.LessOrEqual(t, len(page.data()), 3)
				paged = append(paged, page.data()...)
				if page.json()["next"] == nil {
					break
				}
				after = page.text("next")
			}
			require.Equal(t, all.data(), paged)
			for _, query := range []string{"?limit=0", "?limit=201", "?limit=-1", "?limit=x", "?limit=1.5"} {
				require.Equal(t, []string{"limit"}, e.asAdmin("GET "+path+query, "").is(http.StatusUnprocessableEntity).fields())
			}
			require.Equal(t, []string{"after"}, e.asAdmin("GET "+path+"?after=~", "").is(http.StatusUnprocessableEntity).fields())
			require.Equal(t, []string{"colour"}, e.asAdmin("GET "+path+"?colour=red", "").is(http.StatusUnprocessableEntity).fields())
		})
	}
}
