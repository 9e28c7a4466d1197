package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const typesRoute = "/v1/openapi/event-types"

// The catalogue can be exported as an OpenAPI document, and imported again unchanged.
func TestTypeDocument_EventTypesAsADocument(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.asAdmin("PUT /v1/event-types/user.created", `{"description":"A user","schema":{"$defs":{"n":{"type":"integer"}},"properties":{"n":{"$ref":"#/$defs/n"}}},"example":{"n":1},"deprecated":true}`).is(http.StatusOK)
	e.call("PUT /v1/tenants/acme/catalogs/up42", "").is(http.StatusOK)

	shared := e.asAdmin("GET "+typesRoute, "").is(http.StatusOK)
	webhooks := shared.json()["webhooks"].(map[string]any)
	require.Contains(t, webhooks, "user.created")
	require.Contains(t, webhooks, "webhook.deactivated")
	require.Contains(t, webhooks, "order.created")
	own := e.call("GET "+typesRoute, "").is(http.StatusOK).json()["webhooks"].(map[string]any)
	require.Greater(t, len(own), len(webhooks), "a tenant's own types are in its document")

	again := e.asAdmin("POST "+typesRoute+"?replace=true", shared.body).is(http.StatusOK).json()
	require.Equal(t, map[string]any{"created": []any{}, "updated": []any{}, "deleted": []any{}, "unchanged": 3.0, "dry_run": false}, again)

	changed := strings.Replace(shared.body, "A user", "Somebody", 1)
	dry := e.asAdmin("POST "+typesRoute+"?dry_run=true", changed).is(http.StatusOK).json()
	require.Equal(t, []any{"user.created"}, dry["updated"])
	require.Equal(t, true, dry["dry_run"])
	require.Equal(t, "A user", e.asAdmin("GET /v1/event-types/user.created", "").text("description"))
	require.Equal(t, []any{"user.created"}, e.asAdmin("POST "+typesRoute, changed).is(http.StatusOK).json()["updated"])
	is := e.asAdmin("GET /v1/event-types/user.created", "")
	require.Equal(t, "Somebody", is.text("description"))
	require.Equal(t, `{"$defs":{"n":{"type":"integer"}},"properties":{"n":{"$ref":"#/$defs/n"}}}`, rawMember(t, is.body, "schema"), "as it was put") //nolint:testifylint // byte for byte
	e.call("POST /v1/tenants/acme/events", `{"type":"user.created","data":{"n":"x"}}`).is(http.StatusUnprocessableEntity)
}

// replace deletes what the document does not have, unless a webhook names it.
func TestTypeDocument_ImportReplaces(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/","event_types":["order.paid","order.*"]}`).is(http.StatusCreated)
	document := func(names ...string) string {
		items := map[string]any{}
		for _, name := range names {
			items[name] = map[string]any{"post": map[string]any{"summary": "S"}}
		}
		text, err := json.Marshal(map[string]any{"openapi": "3.1.0", "webhooks": items})
		require.NoError(t, err)
		return string(text)
	}
	for _, dry := range []string{"true", "false"} {
		refused := e.asAdmin("POST "+typesRoute+"?replace=true&dry_run="+dry, document("user.created")).is(http.StatusConflict)
		require.Equal(t, []string{"order.paid"}, refused.fields(), "order.created is wanted by a wildcard, not by its name")
	}
	e.asAdmin("GET /v1/event-types/user.created", "").is(http.StatusNotFound)
	done := e.asAdmin("POST "+typesRoute+"?replace=true", document("user.created", "order.paid")).is(http.StatusOK).json()
	require.Equal(t, []any{"user.created"}, done["created"])
	require.Equal(t, []any{"order.created"}, done["deleted"])
	e.asAdmin("GET /v1/event-types/order.created", "").is(http.StatusNotFound)
	e.asAdmin("GET /v1/event-types/webhook.deactivated", "").is(http.StatusOK)
	e.call("POST /v1/tenants/acme/events", `{"type":"user.created","data":{}}`).is(http.StatusAccepted)
}

// Every mistake is named, and nothing is stored.
func TestTypeDocument_ImportRefuses(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	body := func(schema string) string {
		return `{"post":{"requestBody":{"content":{"application/json":{"schema":` + schema + `,"example":{"n":"x"}}}}}}`
	}
	refused := e.asAdmin("POST "+typesRoute, `{"openapi":"3.1.0","info":{"title":"T","version":"1"},"webhooks":{"good":{"post":{}},"a b":{"post":{}},
		"bad.type":`+body(`{"type":"strnig"}`)+`,"bad.example":`+body(`{"properties":{"n":{"type":"integer"}}}`)+`}}`).is(http.StatusUnprocessableEntity)
	require.ElementsMatch(t, []string{"webhooks.a b", "webhooks.bad.type.schema", "webhooks.bad.example.example.n"}, refused.fields())
	e.asAdmin("GET /v1/event-types/good", "").is(http.StatusNotFound)
	refused = e.asAdmin("POST "+typesRoute, `{"openapi":"3.1.0","webhooks":{"a":`+body(`{"$ref":"https://elsewhere.example/s.json"}`)+`}}`).is(http.StatusUnprocessableEntity)
	require.Equal(t, []string{"webhooks.a.post.requestBody.content.application/json.schema"}, refused.fields())
	require.Contains(t, refused.body, "leads out of the document")
	require.Equal(t, []string{"dry_run", "openapi", "webhooks"}, e.asAdmin("POST "+typesRoute+"?dry_run=1", `{}`).is(http.StatusUnprocessableEntity).fields())
	require.ElementsMatch(t, []string{"openapi", "webhooks"}, e.asAdmin("POST "+typesRoute, `{}`).is(http.StatusUnprocessableEntity).fields())
	e.asAdmin("POST "+typesRoute, `{"webhooks":{},"webhooks":{}}`).is(http.StatusBadRequest)
	e.asAdmin("POST "+typesRoute, "").is(http.StatusBadRequest)

	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf(`"t%d":{"post":{}}`, i))
	}
	require.Equal(t, []string{"webhooks"}, e.asAdmin("POST "+typesRoute, `{"openapi":"3.1.0","webhooks":{`+strings.Join(many, ",")+`}}`).is(http.StatusUnprocessableEntity).fields())
}
