package svix_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// release makes all pages of a task that is a recovery.
func (c *client) release(taskID string) {
	c.t.Helper()
	id := models.PrefixRecovery + strings.TrimPrefix(taskID, "qtask_")
	for {
		r, err := c.Service.ReleasePage(c.t.Context(), id)
		require.NoError(c.t, err)
		if r.Status != models.RecoveryRunning {
			return
		}
	}
}

func TestSvixTasks_ReplaysAndTasks(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	receiver := systemstest.NewReceiver(t)
	since := `{"since":"` + c.Clock.Now().Add(-time.Hour).UTC().Format(time.RFC3339) + `"`
	first := c.message("order.created", `{"n":1}`)
	ep := app + "/endpoint/" + c.endpoint(`{"url":"`+receiver.URL+`","filterTypes":["order.created"]}`)
	second := c.message("order.created", `{"n":2}`)
	c.attempt(second)
	c.message("order.paid", `{}`)
	require.Len(t, receiver.Take(), 1)

	missing := c.ok(202, "POST", ep+"/replay-missing", since+`}`)
	require.Equal(t, []any{"running", "endpoint.replay"}, []any{missing["status"], missing["task"]})
	c.release(text(missing, "id"))
	c.attempt(first)
	got := receiver.Take()
	require.Len(t, got, 1, "what was sent is not missing, and what is not wanted is not either")
	require.Equal(t, first, got[0].Header.Get("Svix-Id"))
	done := admin.ok(200, "GET", api+"/background-task/"+text(missing, "id"), "")
	require.Equal(t, []any{"finished", "endpoint.replay"}, []any{done["status"], done["task"]})
	require.InDelta(t, 1, done["data"].(map[string]any)["released"], 0)

	c.Clock.Advance(time.Second)
	bulk := c.ok(202, "POST", ep+"/bulk-replay", since+`,"eventTypes":["order.created"],"status":0}`)
	require.Equal(t, "endpoint.bulk-replay", bulk["task"])
	c.release(text(bulk, "id"))
	c.attempt(first)
	c.attempt(second)
	require.Len(t, receiver.Take(), 2)
	c.Clock.Advance(time.Second)
	none := c.ok(202, "POST", ep+"/bulk-replay", since+`,"status":2}`)
	c.release(text(none, "id"))
	c.attempt(second)
	require.Empty(t, receiver.Take(), "nothing has failed")

	// Recovering sends failed messages once more.
	receiver.Answer(http.StatusInternalServerError)
	failing := c.message("order.created", `{}`)
	for range 20 {
		c.attempt(failing)
	}
	before := len(receiver.Take())
	receiver.Answer(http.StatusOK)
	c.Clock.Advance(time.Second)
	recovery := c.ok(202, "POST", ep+"/recover", since+`}`)
	c.release(text(recovery, "id"))
	c.attempt(failing)
	require.Len(t, receiver.Take(), 1)
	require.Len(t, ids(c.ok(200, "GET", app+"/attempt/msg/"+failing, "")), before+1)
	var replays []string

	for body, status := range map[string]int{`{}`: 422, since + `,"status":3}`: 422, since + `,"eventTypes":["no.such"]}`: 422,
		since + `,"channel":"` + strings.Repeat("c", 129) + `"}`: 422, since + `,"statusCodeClass":450}`: 422, since + `,"statusCodeClass":600}`: 422} {
		c.ok(status, "POST", ep+"/bulk-replay", body)
	}

	detail := c.ok(422, "POST", ep+"/bulk-replay", `{"since":"2020","eventTypes":["no.such"],"statusCodeClass":450,"channel":"`+strings.Repeat("c", 129)+`"}`)["detail"]
	var wrong []any
	for _, problem := range detail.([]any) {
		wrong = append(wrong, problem.(map[string]any)["loc"].([]any)[1])
	}
	require.ElementsMatch(t, []any{"since", "filterTypes", "statusCodeClass", "channel"}, wrong, "one answer names all that is wrong")

	// By channel, tag, and what was answered.
	labelled := text(c.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{},"channels":["one"],"tags":["import"]}`), "id")
	c.attempt(labelled)
	receiver.Take()
	for narrowed, want := range map[string]int{`,"channel":"one","tag":"import","statusCodeClass":200}`: 1, `,"channel":"two"}`: 0, `,"tag":"import","statusCodeClass":500}`: 0,
		`,"channel":"one"}`: 1} {
		c.Clock.Advance(time.Second)
		replay := c.ok(202, "POST", ep+"/bulk-replay", since+narrowed)
		c.release(text(replay, "id"))
		c.attempt(labelled)
		require.Len(t, receiver.Take(), want, narrowed)
		require.InDelta(t, want, admin.ok(200, "GET", api+"/background-task/"+text(replay, "id"), "")["data"].(map[string]any)["released"], 0)
		replays = append([]string{text(replay, "id")}, replays...)
	}
	triggers := map[float64]int{}
	for _, attempt := range rows(c.ok(200, "GET", app+"/attempt/msg/"+labelled, "")) {
		triggers[attempt["triggerType"].(float64)]++
	}
	require.Equal(t, map[float64]int{0: 1, 1: 2}, triggers, "the schedule's and those that were asked for")

	c.Clock.Advance(time.Second)
	purge := c.ok(202, "POST", app+"/msg/expunge-all-contents", "")
	require.Equal(t, "application.purge_content", purge["task"])
	purge = admin.ok(200, "GET", api+"/background-task/"+text(purge, "id"), "")
	require.Equal(t, []any{"finished", map[string]any{"messagesPurged": 5.0}}, []any{purge["status"], purge["data"]})
	require.Equal(t, map[string]any{"expired": true}, c.ok(200, "GET", app+"/msg/"+first, "")["payload"])

	all := slices.Concat([]string{text(purge, "id")}, replays, []string{text(recovery, "id"), text(none, "id"), text(bulk, "id"), text(missing, "id")})
	list := func(query string) map[string]any { return admin.ok(200, "GET", api+"/background-task?"+query, "") }
	require.Equal(t, all, ids(list("")))
	require.Equal(t, []string{all[len(all)-1], all[len(all)-2]}, ids(list("order=ascending&limit=2")))
	page := list("limit=2")
	require.Equal(t, []any{false, all[1]}, []any{page["done"], page["iterator"]})
	require.Equal(t, all[2:4], ids(list("limit=2&iterator="+all[1])))
	require.Equal(t, all[:2], ids(list("limit=2&iterator=-"+all[2])))
	require.Equal(t, all[:1], ids(list("task=application.purge_content&status=finished")))
	require.Equal(t, []any{false, all[1]}, []any{list("limit=2&status=running")["done"], list("limit=2&status=running")["iterator"]}, "it goes on behind what was looked at")
	admin.ok(422, "GET", api+"/background-task?status=none", "")
	admin.ok(404, "GET", api+"/background-task/qtask_0198c0de-0000-7000-8000-000000000002", "")
	admin.ok(404, "GET", api+"/background-task/none", "")
	c.ok(403, "GET", api+"/background-task", "")
}

// Payloads are erased by the ids of their messages and by eventId, only in the caller's application.
func TestSvixTasks_MessagesAreExpungedInBulk(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	const path = app + "/msg/bulk-expunge"
	first, kept := c.message("order.created", `{"n":1}`), c.message("order.created", `{"n":2}`)
	c.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{"n":3},"eventId":"order.3"}`)
	answer := c.ok(200, "POST", path, `{"ids":["`+first+`","order.3","order.4","msg_none"]}`)
	require.Equal(t, map[string]any{"results": map[string]any{first: "expunged", "order.3": "expunged", "order.4": "not-found", "msg_none": "not-found"}}, answer)
	for id, payload := range map[string]any{first: map[string]any{"expired": true}, "order.3": map[string]any{"expired": true}, kept: map[string]any{"n": 2.0}} {
		require.Equal(t, payload, c.ok(200, "GET", app+"/msg/"+id, "")["payload"])
	}
	other := c.as(c.OtherKey).ok(200, "POST", api+"/app/app_globex/msg/bulk-expunge", `{"ids":["`+kept+`"]}`)
	require.Equal(t, map[string]any{kept: "not-found"}, other["results"])
	require.Equal(t, map[string]any{"n": 2.0}, c.ok(200, "GET", app+"/msg/"+kept, "")["payload"])
	require.Equal(t, map[string]any{}, c.ok(200, "POST", path, `{}`)["results"])
	c.ok(422, "POST", path, `{"ids":[`+strings.Repeat(`"a",`, 100)+`"b"]}`)
	c.as(c.Env.Key(systemstest.Tenant, models.RolePublish)).ok(403, "POST", path, `{"ids":["`+kept+`"]}`)
}

// The token of a portal link is an application's token: for its application alone, with its role, until it ends.
func TestSvixTasks_ApplicationTokens(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	access := func(by *client, path, body string) *client {
		t.Helper()
		v := by.ok(200, "POST", api+"/auth/"+path, body)
		require.Contains(t, v["url"], "https://posthorn.example/portal/open?code=")
		return c.as(text(v, "token"))
	}
	token := access(admin, "app-portal-access/app_acme", `{"sessionId":"jane","expiry":3600}`)
	ep := app + "/endpoint/" + text(token.ok(201, "POST", app+"/endpoint", `{"url":"https://a.example"}`), "id")
	token.ok(200, "GET", ep+"/secret", "")
	token.ok(202, "POST", app+"/msg", `{"eventType":"order.created","payload":{}}`)
	token.ok(200, "GET", api+"/event-type", "")
	token.ok(404, "GET", api+"/app/app_globex", "")
	token.ok(404, "GET", api+"/app/app_globex/endpoint", "")
	for _, call := range []string{"GET /app", "POST /app", "PATCH /app/app_acme", "DELETE /app/app_acme", "POST /event-type", "GET /background-task",
		"POST /auth/app-portal-access/app_acme", "POST /auth/app/app_acme/expire-all"} {
		method, path, _ := strings.Cut(call, " ")
		token.ok(403, method, api+path, `{"name":"n"}`)
	}
	entries, _, err := c.Store.AuditLog(t.Context(), models.AuditFilter{Action: models.AuditWebhookCreated}, models.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []string{models.ActorLink, "jane"}, []string{entries[0].ActorKind, entries[0].ActorName})

	for path, body := range map[string]string{"app-portal-access/app_acme": `{"readOnly":true}`, "app-portal-access/app_acme/": `{"capabilities":["ViewBase"]}`} {
		reader := access(c, path, body)
		reader.ok(200, "GET", ep, "")
		reader.ok(403, "GET", ep+"/secret", "")
		reader.ok(403, "POST", app+"/endpoint", `{"url":"https://a.example"}`)
	}
	access(c, "app-portal-access/app_acme", `{"capabilities":["ViewBase","ViewEndpointSecret","ManageEndpointSecret","CreateAttempts","ManageEndpoint"]}`).ok(200, "GET", ep+"/secret", "")
	old := access(admin, "dashboard-access/app_acme", "")

	// A token that logs out ends alone, and all of them together.
	token.ok(204, "POST", api+"/auth/logout", "")
	token.ok(401, "GET", ep, "")
	old.ok(200, "GET", ep, "")
	c.ok(403, "POST", api+"/auth/logout", "")
	admin.ok(403, "POST", api+"/auth/logout", "")
	admin.ok(204, "POST", api+"/auth/app/app_acme/expire-all", `{}`)
	old.ok(401, "GET", ep, "")

	// The answer to a repeated request is not stored, because it shows a token.
	first := admin.ok(200, "POST", api+"/auth/app-portal-access/app_acme", `{}`, "Idempotency-Key", "auto_1")
	require.NotEqual(t, first["token"], admin.ok(200, "POST", api+"/auth/app-portal-access/app_acme", `{}`, "Idempotency-Key", "auto_1")["token"])

	// It may bring its application.
	admin.ok(404, "POST", api+"/auth/app-portal-access/new-1", `{}`)
	admin.ok(422, "POST", api+"/auth/app-portal-access/new-1", `{"application":{"name":"New"}}`)
	admin.ok(422, "POST", api+"/auth/app-portal-access/new-1", `{"application":{"name":"New","uid":"new-2"}}`)
	access(admin, "app-portal-access/new-1", `{"application":{"name":"New","uid":"new-1"}}`).ok(200, "GET", api+"/app/new-1", "")
	for body, status := range map[string]int{`{"expiry":60}`: 422, `{"expiry":700000}`: 422, `{"capabilities":["All"]}`: 422,
		`{"capabilities":["ViewBase","ManageEndpoint"]}`: 501, `{"featureFlags":["a b"]}`: 422} {
		admin.ok(status, "POST", api+"/auth/app-portal-access/app_acme", body)
	}

	// Each session can be ended alone, at once or later.
	jane, joe := access(admin, "app-portal-access/app_acme", `{"sessionId":"jane"}`), access(admin, "app-portal-access/app_acme", `{"sessionId":"joe"}`)
	admin.ok(204, "POST", api+"/auth/app/app_acme/expire-all", `{"sessionIds":["jane"]}`)
	jane.ok(401, "GET", ep, "")
	joe.ok(200, "GET", ep, "")
	admin.ok(204, "POST", api+"/auth/app/app_acme/expire-all", `{"expiry":60}`)
	joe.ok(200, "GET", ep, "")
	c.Clock.Advance(time.Minute)
	joe.ok(401, "GET", ep, "")
	admin.ok(422, "POST", api+"/auth/app/app_acme/expire-all", `{"expiry":604801}`)
	c.as(c.OtherKey).ok(404, "POST", api+"/auth/app-portal-access/app_acme", `{}`)
	c.as(c.Env.Key(systemstest.Tenant, models.RoleRead)).ok(403, "POST", api+"/auth/app-portal-access/app_acme", `{}`)
}

func TestSvixTasks_EventTypesAreImportedAndExported(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	const spec = `{"openapi":"3.1.0","info":{"title":"t","version":"1"},"webhooks":{"pet.new":{"post":{"description":"A pet","requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Pet"}}}}}}},
		"components":{"schemas":{"Pet":{"type":"object","required":["id"]}}}}`
	const path = api + "/event-type/import/openapi"
	dry := admin.ok(200, "POST", path, `{"spec":`+spec+`,"dryRun":true}`)["data"].(map[string]any)
	require.Equal(t, []any{}, dry["modified"])
	require.Equal(t, "pet.new", dry["to_modify"].([]any)[0].(map[string]any)["name"])
	admin.ok(404, "GET", api+"/event-type/pet.new", "")
	require.Equal(t, []any{"pet.new"}, admin.ok(200, "POST", path, `{"spec":`+spec+`}`)["data"].(map[string]any)["modified"])
	require.Equal(t, []any{}, admin.ok(200, "POST", path, `{"specRaw":`+jsonOf(t, spec)+`}`)["data"].(map[string]any)["modified"])
	made := admin.ok(200, "GET", api+"/event-type/pet.new", "")
	require.Equal(t, "A pet", made["description"])
	require.Equal(t, []any{"id"}, made["schemas"].(map[string]any)["1"].(map[string]any)["required"])
	for body, status := range map[string]int{`{}`: 422, `{"spec":` + spec + `,"specRaw":"{}"}`: 422, `{"specRaw":"openapi: 3.1.0"}`: 422, `{"spec":{"openapi":"3.0.0"}}`: 422} {
		admin.ok(status, "POST", path, body)
	}
	c.endpoint(`{"url":"https://a.example","filterTypes":["order.paid"]}`)
	admin.ok(409, "POST", path, `{"spec":`+spec+`,"replaceAll":true}`)

	// An export can be imported, here and elsewhere. Types that it does not contain stay.
	_, err := c.Service.PutEventType(t.Context(), models.EventType{Name: "order.created", Description: "An order", Example: `{"total":1}`})
	require.NoError(t, err)
	w := admin.call("POST", api+"/environment/export", "")
	require.Equal(t, http.StatusOK, w.Code)
	export := w.Body.String()
	admin.ok(204, "POST", api+"/environment/import", export)
	kept, err := c.Service.EventType(t.Context(), "", "order.created")
	require.NoError(t, err)
	require.JSONEq(t, `{"total":1}`, kept.Example)
	other := newClient(t).as(servicetest.AdminKey)
	other.ok(204, "POST", api+"/environment/import", export)
	moved := other.ok(200, "GET", api+"/event-type/pet.new", "")
	require.Equal(t, []any{made["description"], made["schemas"]}, []any{moved["description"], moved["schemas"]})
	for body, status := range map[string]int{`{"connectors":[{"name":"c"}]}`: 501, `{"settings":{"a":1}}`: 501, `{"eventTypes":[{"name":"a b","description":""}]}`: 422,
		`{"eventTypes":[{"name":"a","description":"","featureFlag":"a b"}]}`: 422, `{"eventTypes":[{"description":""}]}`: 422} {
		admin.ok(status, "POST", api+"/environment/import", body)
	}
	c.ok(403, "POST", api+"/environment/export", "")
}
