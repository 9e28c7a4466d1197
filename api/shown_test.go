package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// What a role may see. The table stands in docs/security.md, too, under "Who may see what".
const (
	whole   = "whole"   // as it is
	bare    = "bare"    // of a URL scheme, host and path
	origin  = "origin"  // of a URL scheme and host
	masked  = "masked"  // only that the value exists
	nothing = "nothing" // the answer has no such field
	refused = "refused" // 403
)

// The values that are looked for. Each stands in one field only.
const (
	hookQuery   = "token=query-of-the-url"
	hookPath    = "/path-of-the-url"
	headerValue = "value-of-the-header"
	eventData   = "data-of-the-event"
	answerBody  = "answer-of-the-receiver"
	adminEmail  = "ops@acme.example"
)

func TestRoles_WhoMaySeeWhat(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	receiver := newReceiver(t)
	receiver.answers(http.StatusBadGateway, answerBody)
	e.asAdmin("PUT /v1/tenants/acme", `{"admin_emails":["`+adminEmail+`"]}`).is(http.StatusOK)
	created := e.call("POST /v1/tenants/acme/webhooks", `{"url":"`+receiver.URL+hookPath+`?`+hookQuery+`","headers":{"X-Token":"`+headerValue+`"}}`).is(http.StatusCreated)
	event := e.Publish("acme", "order.created", `{"x":"`+eventData+`"}`)
	delivery := e.Deliveries("acme", event)[0].ID
	e.Attempt("acme", delivery)
	keys := e.keysOfEveryRole()
	const match = `{"type":"order.created","data":{}}`
	hook := "/v1/tenants/acme/webhooks/" + created.text("id")
	admin, tenant, publish, read, settings := models.RoleAdmin, models.RoleTenant, models.RolePublish, models.RoleRead, models.RoleSettings
	for _, row := range []struct {
		field, route, body, value string
		sees                      map[models.Role]string
	}{
		{"a webhook's URL", "GET " + hook, "", hookQuery, map[models.Role]string{admin: whole, tenant: whole, publish: refused, read: bare, settings: refused}},
		{"a webhook's URL in lists", "GET /v1/tenants/acme/webhooks", "", hookQuery, map[models.Role]string{admin: whole, tenant: whole, publish: refused, read: bare, settings: refused}},
		{"a webhook's URL in matches", "POST /v1/tenants/acme/events/match", match, hookQuery, map[models.Role]string{admin: whole, tenant: whole, publish: origin, read: refused, settings: refused}},
		{"a webhook's headers", "GET " + hook, "", headerValue, map[models.Role]string{admin: masked, tenant: masked, publish: refused, read: masked, settings: refused}},
		{"a webhook's secret", "GET " + hook, "", created.text("secret"), map[models.Role]string{admin: nothing, tenant: nothing, publish: refused, read: nothing, settings: refused}},
		{"an attempt's headers", "GET /v1/tenants/acme/deliveries/" + delivery, "", headerValue, map[models.Role]string{admin: masked, tenant: masked, publish: refused, read: masked, settings: refused}},
		{"a receiver's answer", "GET /v1/tenants/acme/deliveries/" + delivery, "", answerBody, map[models.Role]string{admin: whole, tenant: whole, publish: refused, read: whole, settings: refused}},
		{"an event's data", "GET /v1/tenants/acme/events/" + event, "", eventData, map[models.Role]string{admin: whole, tenant: whole, publish: refused, read: whole, settings: refused}},
		{"an event's data in lists", "GET /v1/tenants/acme/events", "", eventData, map[models.Role]string{admin: nothing, tenant: nothing, publish: refused, read: nothing, settings: refused}},
		{"keys", "GET /v1/tenants/acme/keys", "", e.key, map[models.Role]string{admin: nothing, tenant: nothing, publish: refused, read: nothing, settings: refused}},
		{"administrators", "GET /v1/tenants/acme", "", adminEmail, map[models.Role]string{admin: whole, tenant: whole, publish: refused, read: whole, settings: refused}},
		{"other tenants", "GET /v1/tenants", "", adminEmail, map[models.Role]string{admin: whole, tenant: refused, publish: refused, read: refused, settings: refused}},
	} {
		for role, key := range keys {
			sees, ok := row.sees[role]
			require.True(t, ok, "what does the role %s see of %s?", role, row.field)
			method, path, _ := strings.Cut(row.route, " ")
			a := e.do(request{method: method, path: path, body: row.body, key: key})
			what := row.field + " to " + string(role)
			if sees == refused {
				a.is(http.StatusForbidden)
				continue
			}
			a.is(http.StatusOK)
			switch sees {
			case whole:
				require.Contains(t, a.body, row.value, what)
				continue
			case masked:
				require.Contains(t, a.body, "X-Token", what)
			case bare:
				require.Contains(t, a.body, `"`+receiver.URL+hookPath+`"`, what)
			case origin:
				require.Contains(t, a.body, `"`+receiver.URL+`"`, what)
				require.NotContains(t, a.body, hookPath, what)
			}
			require.NotContains(t, a.body, row.value, what)
		}
	}
}
