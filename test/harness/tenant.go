package harness

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// Object is a JSON object.
type Object = map[string]any

// Tenant is a tenant of an installation, with its own key.
type Tenant struct {
	API
	ID    string
	Admin string // the administrator's address
}

// NewTenant makes a tenant, and the event types the tests publish: order.created, order.paid, and invoice.sent, which
// has a schema.
func NewTenant(tb testing.TB, admin API) Tenant {
	tb.Helper()
	for name, schema := range map[string]any{
		"order.created": nil, "order.paid": nil,
		"invoice.sent": Object{"type": "object", "required": []string{"number", "total"}, "properties": Object{
			"number": Object{"type": "string"}, "total": Object{"type": "number", "minimum": 0}}},
	} {
		reply, err := admin.Do(tb.Context(), "PUT /v1/event-types/"+name, Object{"description": name, "schema": schema})
		if err != nil || reply.Status != http.StatusOK && reply.Status != http.StatusCreated {
			tb.Fatalf("event type %s: %v, %d %s", name, err, reply.Status, reply.Body)
		}
	}
	x := Tenant{API: API{URL: admin.URL}, ID: "t-" + strings.ToLower(rand.Text()[:12])}
	x.Admin = "ops@" + x.ID + ".example"
	admin.Call(tb, http.StatusCreated, "PUT /v1/tenants/"+x.ID, Object{"name": x.ID, "admin_emails": []string{x.Admin}})
	x.Key = x.NewKey(tb, admin, "tenant")
	return x
}

// NewKey creates a key of the tenant with a role.
func (x Tenant) NewKey(tb testing.TB, admin API, role string) string {
	tb.Helper()
	reply := admin.Call(tb, http.StatusCreated, "POST "+x.Path("/keys"), Object{"name": role, "role": role})
	return Read[struct{ Key string }](tb, reply).Key
}

// Path returns a path below the tenant's.
func (x Tenant) Path(rest string) string { return "/v1/tenants/" + x.ID + rest }

// Hook registers a webhook for all events; fields override its own.
func (x Tenant) Hook(tb testing.TB, url string, fields ...Object) Webhook {
	tb.Helper()
	input := Object{"url": url}
	for _, f := range fields {
		maps.Copy(input, f)
	}
	w := Read[Webhook](tb, x.Call(tb, http.StatusCreated, "POST "+x.Path("/webhooks"), input))
	if w.Secret == "" {
		tb.Fatalf("the secret of webhook %s is not shown", w.ID)
	}
	return w
}

// Retries returns a schedule of at most n retries with about equal waits.
func Retries(n int, wait string) Object {
	return Object{"retry": Object{"initial": wait, "backoff": 1, "max_interval": wait, "max": n}}
}

// All reads a list of the tenant from its first page to its last. rest is its path with a query.
func All[T any](tb testing.TB, x Tenant, rest string) (all []T) {
	tb.Helper()
	after := ""
	for {
		page := Get[List[T]](tb, x.API, fmt.Sprintf("%s&limit=200%s", x.Path(rest), after))
		all = append(all, page.Data...)
		if page.Next == nil {
			return all
		}
		after = "&after=" + *page.Next
	}
}
