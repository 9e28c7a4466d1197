package api_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// route is a route of the contract and the roles that may use it. Admins may use all. body is the smallest valid body.
type route struct {
	route string
	roles string
	body  string
}

// contract is every route of /v1.
var contract = []route{
	{"PUT /v1/tenants/{tenant}", "", `{}`},
	{"GET /v1/tenants", "", ""},
	{"GET /v1/tenants/{tenant}", "tenant read", ""},
	{"PATCH /v1/tenants/{tenant}", "", `{}`},
	{"DELETE /v1/tenants/{tenant}", "", ""},
	{"POST /v1/tenants/{tenant}/keys", "tenant", `{"role":"read"}`},
	{"GET /v1/tenants/{tenant}/keys", "tenant read", ""},
	{"DELETE /v1/tenants/{tenant}/keys/{id}", "tenant", ""},
	{"POST /v1/tenants/{tenant}/portal-links", "tenant", `{"role":"read"}`},
	{"DELETE /v1/tenants/{tenant}/portal-links", "tenant", ""},
	{"DELETE /v1/tenants/{tenant}/portal-links/{id}", "tenant", ""},
	{"GET /v1/event-types", "tenant publish read", ""},
	{"PUT /v1/event-types/{name}", "", `{}`},
	{"GET /v1/event-types/{name}", "tenant publish read", ""},
	{"DELETE /v1/event-types/{name}", "", ""},
	{"GET /v1/openapi/event-types", "tenant publish read", ""},
	{"POST /v1/openapi/event-types", "", ""}, // an OpenAPI document may have other members beside its webhooks
	{"GET /v1/tenants/{tenant}/event-types", "tenant read", ""},
	{"PUT /v1/tenants/{tenant}/catalogs/{system}", "tenant", ""},
	{"POST /v1/tenants/{tenant}/webhooks", "tenant", `{"url":"https://shop.example/"}`},
	{"GET /v1/tenants/{tenant}/webhooks", "tenant read", ""},
	{"GET /v1/tenants/{tenant}/webhooks/{id}", "tenant read", ""},
	{"PATCH /v1/tenants/{tenant}/webhooks/{id}", "tenant", `{}`},
	{"POST /v1/tenants/{tenant}/webhooks/{id}/test", "tenant", ""},
	{"POST /v1/tenants/{tenant}/webhooks/{id}/secret/rotate", "tenant", ""},
	{"POST /v1/tenants/{tenant}/webhooks/{id}/enable", "tenant", ""},
	{"POST /v1/tenants/{tenant}/webhooks/{id}/disable", "tenant", ""},
	{"POST /v1/tenants/{tenant}/webhooks/{id}/pause", "tenant", ""},
	{"POST /v1/tenants/{tenant}/webhooks/{id}/resume", "tenant", ""},
	{"POST /v1/tenants/{tenant}/webhooks/{id}/recover", "tenant", ""},
	{"DELETE /v1/tenants/{tenant}/webhooks/{id}", "tenant", ""},
	{"GET /v1/tenants/{tenant}/recoveries", "tenant read", ""},
	{"GET /v1/tenants/{tenant}/recoveries/{id}", "tenant read", ""},
	{"POST /v1/tenants/{tenant}/recoveries/{id}/cancel", "tenant", ""},
	{"POST /v1/tenants/{tenant}/events", "tenant publish", `{"type":"order.created","data":{}}`},
	{"POST /v1/tenants/{tenant}/events/batch", "tenant publish", `{"events":[{"type":"order.created","data":{}}]}`},
	{"POST /v1/tenants/{tenant}/events/match", "tenant publish", `{"type":"order.created","data":{}}`},
	{"GET /v1/tenants/{tenant}/events", "tenant read", ""},
	{"GET /v1/tenants/{tenant}/events/{id}", "tenant read", ""},
	{"DELETE /v1/tenants/{tenant}/events/{id}/payload", "tenant", ""},
	{"POST /v1/tenants/{tenant}/events/{id}/replay", "tenant", ""},
	{"POST /v1/tenants/{tenant}/erasures", "tenant", `{"event_types":["order.created"],"dry_run":true}`},
	{"GET /v1/tenants/{tenant}/erasures/{id}", "tenant read", ""},
	{"GET /v1/webhooks", "", ""},
	{"GET /v1/deliveries", "", ""},
	{"GET /v1/recoveries", "", ""},
	{"GET /v1/tenants/{tenant}/deliveries", "tenant read", ""},
	{"GET /v1/tenants/{tenant}/deliveries/{id}", "tenant read", ""},
	{"POST /v1/tenants/{tenant}/deliveries/{id}/retry", "tenant", ""},
	{"POST /v1/tenants/{tenant}/deliveries/{id}/cancel", "tenant", ""},
	{"POST /v1/tenants/{tenant}/deliveries/{id}/pause", "tenant", ""},
	{"POST /v1/tenants/{tenant}/deliveries/{id}/resume", "tenant", ""},
	{"GET /v1/stats", "", ""},
	{"GET /v1/tenants/{tenant}/stats", "tenant read", ""},
	{"GET /v1/audit", "", ""},
	{"GET /v1/tenants/{tenant}/audit", "tenant read", ""},
}

// request fills in the route. ids has the id for each kind of thing.
func (r route) request(tenant string, ids map[string]string, key string) request {
	method, path, _ := strings.Cut(r.route, " ")
	id := "none"
	for kind, known := range ids {
		if strings.Contains(path, "/"+kind+"/") {
			id = known
		}
	}
	path = strings.NewReplacer("{tenant}", tenant, "{id}", id, "{name}", "user.created", "{system}", "up42").Replace(path)
	return request{method: method, path: path, body: r.body, key: key}
}

func TestAuth_WhoMayDoWhat(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	keys := e.keysOfEveryRole()
	for _, r := range contract {
		t.Run(r.route, func(t *testing.T) {
			e := e.in(t)
			for _, wrong := range []string{"-", "nobody's key", e.key + "x"} {
				refused := e.do(r.request("acme", nil, wrong)).is(http.StatusUnauthorized)
				require.Regexp(t, `^Bearer`, refused.header.Get("WWW-Authenticate"))
			}
			for role, key := range keys {
				if role == models.RoleAdmin && strings.HasPrefix(r.route, "DELETE /v1/tenants/{tenant}") {
					continue // it would take the others' ground away
				}
				may := role == models.RoleAdmin || slices.Contains(strings.Fields(r.roles), string(role))
				status := e.do(r.request("acme", nil, key)).status
				require.Equal(t, may, status != http.StatusForbidden && status != http.StatusUnauthorized, "%s: %d", role, status)
			}
		})
	}
}

func TestAuth_AKeyRevokedInAnotherProcessIsRevokedHere(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for _, route := range []string{"/events", "/events/match", "/webhooks"} {
		created := e.call("POST /v1/tenants/acme/keys", `{"role":"tenant"}`)
		r := request{method: http.MethodPost, path: "/v1/tenants/acme/events", body: `{"type":"order.created","data":{}}`, key: created.text("key")}
		e.do(r).is(http.StatusAccepted) // so that the key is in memory
		require.NoError(t, e.Store.RevokeAPIKey(t.Context(), "acme", created.text("id")))
		if r.path = "/v1/tenants/acme" + route; route == "/webhooks" {
			r.body = `{"url":"https://shop.example/"}`
		}
		e.do(r).is(http.StatusUnauthorized)
	}
}

func TestAuth_TheKeyIsABearerToken(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for header, status := range map[string]int{
		"Bearer " + e.key:            http.StatusOK,
		"bearer  " + e.key:           http.StatusOK,
		e.key:                        http.StatusUnauthorized,
		"Basic " + e.key:             http.StatusUnauthorized,
		"Bearer":                     http.StatusUnauthorized,
		"Bearer " + e.key + ", more": http.StatusUnauthorized,
	} {
		e.do(request{method: http.MethodGet, path: "/v1/tenants/acme", key: "-", header: map[string]string{"Authorization": header}}).is(status)
	}
	e.do(request{method: http.MethodGet, path: "/v1/tenants/acme?key=" + e.key, key: "-"}).is(http.StatusUnauthorized)
}

func TestAuth_AnotherTenantsThingsAreNotFound(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	other := e.Tenant("globex")
	webhook := e.webhook("https://shop.example/hooks")
	event := e.Publish("acme", "order.created", `{}`)
	ids := map[string]string{
		"webhooks": webhook, "events": event, "deliveries": e.Deliveries("acme", event)[0].ID,
		"recoveries": e.call("POST /v1/tenants/acme/webhooks/"+webhook+"/recover", "").text("id"),
		"keys":       e.call("GET /v1/tenants/acme/keys", "").data()[0]["id"].(string),
	}
	before := e.snapshot(ids)
	for _, r := range contract {
		if !strings.Contains(r.route, "{tenant}") {
			continue
		}
		t.Run(r.route, func(t *testing.T) {
			e := e.in(t)
			// The other tenant's path, whether there is such a tenant or not.
			theirs := e.do(r.request("acme", ids, other)).is(http.StatusNotFound)
			none := e.do(r.request("nobody", ids, other)).is(http.StatusNotFound)
			require.Equal(t, none.body, theirs.body)
			// One's own path, the other's thing.
			if strings.Contains(r.route, "{id}") {
				e.do(r.request("globex", ids, other)).is(http.StatusNotFound)
				e.do(r.request("globex", ids, servicetest.AdminKey)).is(http.StatusNotFound)
			}
			if r.roles == "" {
				return
			}
			if method, _, _ := strings.Cut(r.route, " "); method == http.MethodGet {
				mine := e.do(r.request("globex", nil, other))
				for _, id := range []string{webhook, event, ids["deliveries"]} {
					require.NotContains(t, mine.body, id)
				}
			}
		})
	}
	require.Equal(t, before, e.snapshot(ids), "nothing has changed")
	for _, query := range []string{"?webhook_id=" + webhook, "?event_id=" + event} {
		require.Empty(t, e.do(request{method: http.MethodGet, path: "/v1/tenants/globex/deliveries" + query, key: other}).is(http.StatusOK).data())
	}
}

// snapshot returns everything that can be read of acme's things.
func (e *env) snapshot(ids map[string]string) []string {
	e.t.Helper()
	var all []string
	used := regexp.MustCompile(`"last_used_at":[^,}]*`) // changes with every call
	for _, path := range []string{"", "/keys", "/webhooks", "/webhooks/" + ids["webhooks"], "/events", "/events/" + ids["events"],
		"/deliveries", "/deliveries/" + ids["deliveries"], "/recoveries/" + ids["recoveries"], "/event-types"} {
		all = append(all, e.call("GET /v1/tenants/acme"+path, "").is(http.StatusOK).body)
		all[len(all)-1] = used.ReplaceAllString(all[len(all)-1], "")
	}
	return all
}
