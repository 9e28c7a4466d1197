package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func TestTenants_Lifecycle(t *testing.T) {
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

// The name of a deleted tenant is free at once, with all ids that it used, and nothing of the old tenant is visible.
func TestTenants_ADeletedTenantsNameStartsClean(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	publish := func(key string) answer {
		return e.do(request{method: http.MethodPost, path: "/v1/tenants/acme/events", key: key, header: map[string]string{"Idempotency-Key": "order-1"},
			body: `{"type":"order.created","data":{"n":1},"id":"order-1"}`})
	}
	webhook := func() answer {
		return e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks"}`).is(http.StatusCreated)
	}
	oldWebhook := webhook().text("id")
	first := publish(e.key).is(http.StatusAccepted)
	oldDelivery := e.call("GET /v1/tenants/acme/deliveries", "").data()[0]["id"].(string)
	oldKey := e.key
	for _, need := range []string{"", servicetest.AdminKey} { // in memory
		e.do(request{method: http.MethodPost, path: "/v1/tenants/acme/events", key: need, body: `{"type":"order.created","data":1}`}).is(http.StatusAccepted)
	}

	e.asAdmin("DELETE /v1/tenants/acme", "").is(http.StatusNoContent)
	e.call("GET /v1/tenants/acme", "").is(http.StatusUnauthorized)
	publish(oldKey).is(http.StatusUnauthorized)
	for _, route := range []string{"GET /v1/tenants/acme", "GET /v1/tenants/acme/deliveries/" + oldDelivery, "GET /v1/tenants/acme/events",
		"GET /v1/tenants/acme/event-types", "DELETE /v1/tenants/acme"} {
		e.asAdmin(route, "").is(http.StatusNotFound)
	}
	publish(servicetest.AdminKey).is(http.StatusNotFound)
	require.Empty(t, e.asAdmin("GET /v1/tenants", "").data())

	require.Equal(t, "acme", e.asAdmin("PUT /v1/tenants/acme", `{"name":"Acme again"}`).is(http.StatusCreated).text("id"))
	created := e.asAdmin("POST /v1/tenants/acme/keys", `{"name":"new","role":"tenant"}`).is(http.StatusCreated)
	require.Equal(t, "acme", created.text("tenant"))
	e.key = created.text("key")
	publish(oldKey).is(http.StatusUnauthorized)
	for _, list := range []string{"webhooks", "events", "deliveries"} {
		require.Empty(t, e.call("GET /v1/tenants/acme/"+list, "").is(http.StatusOK).data(), list)
	}
	require.Len(t, e.call("GET /v1/tenants/acme/keys", "").is(http.StatusOK).data(), 1)
	for _, gone := range []string{"webhooks/" + oldWebhook, "deliveries/" + oldDelivery, "events/order-1"} {
		e.call("GET /v1/tenants/acme/"+gone, "").is(http.StatusNotFound)
		e.asAdmin("GET /v1/tenants/acme/"+gone, "").is(http.StatusNotFound)
	}

	made := webhook()
	require.Equal(t, "acme", made.text("tenant"))
	require.Equal(t, "/v1/tenants/acme/webhooks/"+made.text("id"), made.header.Get("Location"))
	second := publish(e.key).is(http.StatusAccepted)
	require.Empty(t, second.header.Get("Idempotency-Replayed"))
	require.NotEqual(t, first.text("workflow_id"), second.text("workflow_id"), "the first one's workflow may still run")
	require.Equal(t, "true", publish(e.key).is(http.StatusAccepted).header.Get("Idempotency-Replayed"))
	e.asAdmin("POST /v1/tenants/acme/events", `{"type":"order.created","data":1}`).is(http.StatusAccepted)
	again, err := e.Store.TenantBySlug(t.Context(), "acme")
	require.NoError(t, err)
	for _, path := range []string{"", "/webhooks", "/keys", "/events", "/event-types"} {
		require.NotContains(t, e.call("GET /v1/tenants/acme"+path, "").is(http.StatusOK).body, again.ID)
		e.asAdmin("GET /v1/tenants/"+again.ID+path, "").is(http.StatusNotFound)
		e.call("GET /v1/tenants/"+again.ID+path, "").is(http.StatusNotFound)
	}
	e.asAdmin("PUT /v1/tenants/"+again.ID, `{}`).is(http.StatusUnprocessableEntity)
	require.Equal(t, "Acme once more", e.asAdmin("PUT /v1/tenants/acme", `{"name":"Acme once more"}`).is(http.StatusOK).text("name"))

	for job := "the first"; job != ""; { // the rest follows
		j, _, err := e.Store.RunJob(t.Context())
		require.NoError(t, err)
		job = j.ID
	}
	events, _, err := e.Store.Events(t.Context(), "acme", models.EventFilter{}, models.Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, events, "what hung on the first tenant's id")
	require.Len(t, e.call("GET /v1/tenants/acme/events", "").data(), 2)
	require.Len(t, e.call("GET /v1/tenants/acme/deliveries", "").data(), 2)
	require.Len(t, e.call("GET /v1/tenants/acme/webhooks", "").data(), 1)
	e.call("GET /v1/tenants/acme/events/order-1", "").is(http.StatusOK)
}

func TestTenants_KeysAreShownOnceAndRevokedAtOnce(t *testing.T) {
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

func TestTenants_Pages(t *testing.T) {
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
		"/v1/event-types":              6 + len(catalog.Operational()),
		"/v1/tenants/acme/event-types": 6 + len(catalog.Operational()),
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

func TestTenants_ATenantIsChangedByWhatTheBodyNames(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	patch := func(body string) answer { return e.asAdmin("PATCH /v1/tenants/globex", body) }
	patch(`{"name":"n"}`).is(http.StatusNotFound)
	before := e.asAdmin("PUT /v1/tenants/globex", `{"name":"Globex","admin_emails":["ops@globex.example"]}`).is(http.StatusCreated).json()
	none := map[string]any{"webhooks": nil, "keys": nil, "rate": nil}
	require.Equal(t, none, before["limits"])

	e.Clock.Advance(time.Second)
	require.Equal(t, before, patch(`{}`).is(http.StatusOK).json(), "nothing has changed")
	require.Equal(t, before, patch(`{"name":"Globex","admin_emails":["ops@globex.example"],"limits":{"webhooks":null}}`).is(http.StatusOK).json())
	changed := patch(`{"limits":{"webhooks":5}}`).is(http.StatusOK).json()
	require.Equal(t, map[string]any{"webhooks": 5.0, "keys": nil, "rate": nil}, changed["limits"])
	require.Equal(t, before["name"], changed["name"])
	require.Equal(t, before["admin_emails"], changed["admin_emails"])
	require.NotEqual(t, before["updated_at"], changed["updated_at"])
	require.Equal(t, changed, e.asAdmin("GET /v1/tenants/globex", "").is(http.StatusOK).json())
	both := map[string]any{"webhooks": 5.0, "keys": 0.0, "rate": nil}
	require.Equal(t, both, patch(`{"limits":{"keys":0}}`).is(http.StatusOK).json()["limits"])
	require.Equal(t, both, e.asAdmin("PUT /v1/tenants/globex", `{"name":"Globex Inc"}`).is(http.StatusOK).json()["limits"], "PUT leaves them")
	require.Equal(t, map[string]any{"webhooks": nil, "keys": 0.0, "rate": nil}, patch(`{"limits":{"webhooks":null}}`).is(http.StatusOK).json()["limits"])
	require.Equal(t, map[string]any{"webhooks": nil, "keys": 0.0, "rate": 2.5}, patch(`{"limits":{"rate":2.5}}`).is(http.StatusOK).json()["limits"])
	require.Equal(t, []string{"limits.rate"}, patch(`{"limits":{"rate":0.000001}}`).is(http.StatusUnprocessableEntity).fields())
	patch(`{"limits":{"rate":10001}}`).is(http.StatusUnprocessableEntity)
	unset := patch(`{"name":null,"admin_emails":null,"limits":null}`).is(http.StatusOK).json()
	require.Empty(t, unset["name"])
	require.Equal(t, []any{}, unset["admin_emails"])
	require.Equal(t, none, unset["limits"])

	for body, fields := range map[string][]string{
		`{"limits":{"webhooks":-1,"keys":-1}}`:                               {"limits.keys", "limits.webhooks"},
		`{"limits":{"webhooks":1000001,"keys":100001}}`:                      {"limits.keys", "limits.webhooks"},
		`{"limits":{"webhooks":"5","keys":1.5}}`:                             {"limits.keys", "limits.webhooks"},
		`{"limits":{"webhooks":1e30,"events":1}}`:                            {"limits.events", "limits.webhooks"},
		`{"limits":5,"name":7,"admin_emails":"a"}`:                           {"admin_emails", "limits", "name"},
		`{"uid":"a b","metadata":{"a":1},"slug":"u"}`:                        {"metadata.a", "slug", "uid"},
		`{"uid":"a b","metadata":{"":"v"}}`:                                  {"metadata", "uid"},
		`{"name":"` + strings.Repeat("n", 201) + `","admin_emails":["a b"]}`: {"admin_emails[0]", "name"},
	} {
		refused := patch(body).is(http.StatusUnprocessableEntity)
		got := refused.fields()
		slices.Sort(got)
		require.Equal(t, fields, got, body)
		require.Equal(t, unset, e.asAdmin("GET /v1/tenants/globex", "").json(), body)
	}
	e.call("PATCH /v1/tenants/acme", `{"limits":{"webhooks":5}}`).is(http.StatusForbidden)
	e.call("PATCH /v1/tenants/globex", `{"limits":{"webhooks":5}}`).is(http.StatusNotFound)
}

// A limit below what the tenant has removes nothing; it stops new ones.
func TestTenants_ALimitStopsNewOnes(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, one := range []struct{ list, body, limit string }{
		{"webhooks", `{"url":"https://shop.example/"}`, `{"limits":{"webhooks":%d}}`},
		{"keys", `{"role":"read"}`, `{"limits":{"keys":%d}}`},
	} {
		route := " /v1/tenants/acme/" + one.list
		limit := func(n int) {
			e.asAdmin("PATCH /v1/tenants/acme", fmt.Sprintf(one.limit, n)).is(http.StatusOK)
		}
		first := e.call("POST"+route, one.body).is(http.StatusCreated).text("id")
		e.call("POST"+route, one.body).is(http.StatusCreated)
		have := len(e.call("GET"+route, "").data())
		limit(1)
		refused := e.call("POST"+route, one.body).is(http.StatusConflict)
		require.Equal(t, "the limit of 1 "+one.list+" is reached", refused.text("detail"))
		require.Len(t, e.call("GET"+route, "").data(), have)
		limit(have)
		e.asAdmin("POST"+route, one.body).is(http.StatusConflict) // an admin key too
		e.call("DELETE"+route+"/"+first, "").is(http.StatusNoContent)
		e.call("POST"+route, one.body).is(http.StatusCreated)
		e.call("POST"+route, one.body).is(http.StatusConflict)
	}
}
