package up42_test

import (
	"net/http"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/api/up42"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	collection = "/up42/workspaces/acme/webhooks"
	mediaType  = "application/json"
	refused    = `{"data":null,"error":{"code":"x","message":"x"}}`
	// sample is the document's own request body.
	sample = `{
"events": ["order.status"],
"name": "My alert for order statuses",
"url": "https://my.sample.endpoint.com/",
"secret": "QWZTFnMEXhqZKNmu",
"active": true
}`
)

func bearer(key string) string { return "Bearer " + key }

func create(t *testing.T, b *systemstest.Bench, body string) string {
	t.Helper()
	w := b.Do(systemstest.Call{Method: http.MethodPost, Path: collection, Authorization: bearer(b.Key), Type: mediaType, Body: body})
	require.Equal(t, http.StatusCreated, w.Code, w.Body.String())
	return systemstest.Text(t, w, "data", "id")
}

// TestUP42_Document makes the document's requests and compares whole answers.
func TestUP42_Document(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	do := func(method, path, body string) systemstest.Call {
		return systemstest.Call{Method: method, Path: path, Authorization: bearer(b.Key), Type: mediaType, Body: body}
	}
	volatile := []string{"id", "createdAt", "updatedAt"}

	systemstest.RequireJSON(t, 200, `{"data": [
		{"name": "job.status", "title": "Job Status Updates", "category": "job", "description": "Sent when job/task status is updated",
			"documentation": "https://docs.up42.com/developers/"},
		{"name": "order.status", "title": "Order Status Updates", "category": "order", "description": "Sent when order status is updated",
			"documentation": "https://docs.up42.com/developers/"}], "error": null}`, b.Do(do("GET", "/up42/webhooks/events", "")))
	systemstest.RequireJSON(t, 200, `{"data": [], "error": null}`, b.Do(do("GET", collection, "")))

	want := `{"id": "x", "url": "https://my.sample.endpoint.com/", "name": "My alert for order statuses", "active": true,
		"events": ["order.status"], "createdAt": "x", "updatedAt": "x", "secret": "QWZTFnMEXhqZKNmu"}`
	made := b.Do(do("POST", collection, sample))
	systemstest.RequireJSON(t, 201, `{"data": `+want+`, "error": null}`, made, volatile...)
	require.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, systemstest.Text(t, made, "data", "id"))
	require.Regexp(t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`, systemstest.Text(t, made, "data", "createdAt"))

	one := collection + "/" + systemstest.Text(t, made, "data", "id")
	systemstest.RequireJSON(t, 200, `{"data": `+want+`, "error": null}`, b.Do(do("GET", one, "")), volatile...)
	systemstest.RequireJSON(t, 200, `{"data": [`+want+`], "error": null}`, b.Do(do("GET", collection, "")), volatile...)

	changed := strings.NewReplacer("My alert for order statuses", "Mine", "QWZTFnMEXhqZKNmu", "", `"active": true`, `"active": false`).Replace(want)
	systemstest.RequireJSON(t, 200, `{"data": `+changed+`, "error": null}`,
		b.Do(do("PUT", one, `{"name":"Mine","secret":"","active":false}`)), volatile...)
	// What was read can be sent back whole.
	again := b.Do(do("GET", one, ""))
	back := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(again.Body.String()), `{"data":`), `,"error":null}`)
	systemstest.RequireJSON(t, 200, `{"data": `+changed+`, "error": null}`, b.Do(do("PUT", one, back)), volatile...)

	gone := b.Do(do("DELETE", one, ""))
	require.Equal(t, 204, gone.Code)
	require.Empty(t, gone.Body.String())
	systemstest.RequireJSON(t, 404, `{"data": null, "error": {"code": "NOT_FOUND", "message": "there is no such webhook"}}`, b.Do(do("GET", one, "")))
}

func TestUP42_DefaultsAreInactiveAndUnsigned(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	create(t, b, `{"events":["job.status"],"name":"n","url":"https://my.sample.endpoint.com/"}`)
	w := b.Do(systemstest.Call{Method: "GET", Path: collection, Authorization: bearer(b.Key)})
	systemstest.RequireJSON(t, 200, `{"data":[{"id":"x","url":"https://my.sample.endpoint.com/","name":"n","active":false,"events":["job.status"],
		"createdAt":"x","updatedAt":"x","secret":""}],"error":null}`, w, "id", "createdAt", "updatedAt")
}

func TestUP42_EventsJoinedWithACommaAreTakenApart(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	create(t, b, strings.Replace(sample, `["order.status"]`, `["job.status, order.status"]`, 1))
	require.Equal(t, []string{"job.status", "order.status"}, b.Webhooks(systemstest.Tenant)[0].EventTypes)
	create(t, b, strings.Replace(sample, `["order.status"]`, `["order.status, job.status","order.status"]`, 1))
	list := b.Do(systemstest.Call{Method: "GET", Path: collection, Authorization: bearer(b.Key)})
	require.Contains(t, list.Body.String(), `"events":["order.status","job.status"]`, "in the order in which they were sent")
}

func TestUP42_TestsPostEverySubscribedEventOrTheOneNamed(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	receiver := systemstest.NewReceiver(t)
	id := create(t, b, `{"events":["job.status","order.status"],"name":"n","url":"`+receiver.URL+`"}`)
	run := func(body string) systemstest.Call {
		return systemstest.Call{Method: "POST", Path: collection + "/" + id + "/tests", Authorization: bearer(b.Key), Body: body}
	}
	all := `{"data":{"startedAt":"x","testsRun":2,"testsSucceeded":2,"testsFailed":0,"tests":[
		{"event":"job.status","success":true,"startedAt":"x","durationMs":0,"statusCode":200,"error":null},
		{"event":"order.status","success":true,"startedAt":"x","durationMs":0,"statusCode":200,"error":null}]},"error":null}`
	systemstest.RequireShape(t, all, b.Do(run("")))
	require.Len(t, receiver.Take(), 2)
	systemstest.RequireShape(t, all, b.Do(run("{}")))
	receiver.Take()

	receiver.Answer(500)
	w := b.Do(run(`{"event":"order.status"}`))
	systemstest.RequireShape(t, `{"data":{"startedAt":"x","testsRun":1,"testsSucceeded":0,"testsFailed":1,"tests":[
		{"event":"order.status","success":false,"startedAt":"x","durationMs":0,"statusCode":500,"error":"x"}]},"error":null}`, w)
	require.Contains(t, w.Body.String(), `"testsRun":1,"testsSucceeded":0,"testsFailed":1,"tests":[{"event":"order.status"`)
	got := receiver.Take()
	require.Len(t, got, 1)
	require.Contains(t, got[0].Body, `"status":"FULFILLED"`)

	receiver.Answer(200)
	systemstest.RequireShape(t, all, b.Do(run(`{"events":["order.status","job.status"]}`)))
	require.Len(t, receiver.Take(), 2)
	require.Contains(t, b.Do(run(`{"events":["order.status, order.status"],"event":"order.status"}`)).Body.String(), `"testsRun":1,`)
	require.Len(t, receiver.Take(), 1)
	require.Contains(t, b.Do(run(`{"events":[]}`)).Body.String(), `"testsRun":2,`)
}

func TestUP42_ANullSecretIsNone(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	one := collection + "/" + create(t, b, sample)
	put := func(body string) string {
		w := b.Do(systemstest.Call{Method: "PUT", Path: one, Authorization: bearer(b.Key), Body: body})
		require.Equal(t, 200, w.Code, w.Body.String())
		w = b.Do(systemstest.Call{Method: "GET", Path: one, Authorization: bearer(b.Key)})
		return strings.TrimPrefix(systemstest.Text(t, w, "data", "secret"), " ")
	}
	require.Equal(t, "QWZTFnMEXhqZKNmu", put(`{"name":"n"}`))
	require.Equal(t, "QWZTFnMEXhqZKNmu", put(`{"secret":"`+wire.Masked+`"}`))
	require.Empty(t, put(`{"secret":null}`))
	require.Equal(t, "x", put(`{"secret":"x"}`))
	require.Empty(t, put(`{"secret":""}`))
}

// TestUP42_Receiver verifies deliveries as a receiver of Standard Webhooks does, with the secret's bytes as the key.
func TestUP42_Receiver(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"QWZTFnMEXhqZKNmu", ""} {
		b := systemstest.New(t, up42.Mount)
		receiver := systemstest.NewReceiver(t)
		create(t, b, `{"events":["order.status"],"name":"n","url":"`+receiver.URL+`","secret":"`+secret+`","active":true}`)
		b.Deliver(systemstest.Tenant, "order.status", `{"orderId":"o-1","status":"FULFILLED"}`)
		got := receiver.Take()
		require.Len(t, got, 1)
		require.Regexp(t, `^\{"event":"order\.status","timestamp":"[^"]+","data":\{"orderId":"o-1","status":"FULFILLED"\}\}$`, got[0].Body)
		require.Equal(t, mediaType, got[0].Header.Get("Content-Type"))
		if secret == "" {
			require.Empty(t, got[0].Header.Get("webhook-signature"))
			continue
		}
		verifier, err := standardwebhooks.NewWebhookRaw([]byte(secret))
		require.NoError(t, err)
		require.NoError(t, verifier.Verify([]byte(got[0].Body), got[0].Header))
	}
}

// TestUP42_CrossView follows one webhook through both APIs.
func TestUP42_CrossView(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	receiver := systemstest.NewReceiver(t)
	id := create(t, b, strings.Replace(sample, "https://my.sample.endpoint.com/", receiver.URL, 1))
	w := b.Webhooks(systemstest.Tenant)[0]
	require.Equal(t, "wh_"+id, w.ID)
	require.Equal(t, "up42", w.Profile)

	active := func() string {
		return b.Do(systemstest.Call{Method: "GET", Path: collection + "/" + w.ID, Authorization: bearer(b.Key)}).Body.String()
	}
	_, err := b.Service.Disable(t.Context(), systemstest.Tenant, w.ID, "", "test")
	require.NoError(t, err)
	require.Contains(t, active(), `"active":false`)
	held := b.Publish(systemstest.Tenant, "order.status", `{}`)
	require.Equal(t, models.Held, b.Deliveries(systemstest.Tenant, held)[0].Status)

	put := systemstest.Call{Method: "PUT", Path: collection + "/" + id, Authorization: bearer(b.Key), Body: `{"active":true}`}
	require.Equal(t, 200, b.Do(put).Code)
	require.Contains(t, active(), `"active":true`)
	require.Equal(t, models.WebhookActive, b.Webhooks(systemstest.Tenant)[0].Status)
	_, err = b.Service.Recover(t.Context(), systemstest.Tenant, w.ID, service.RecoveryRequest{})
	require.NoError(t, err)
	require.Len(t, b.Engine.Recoveries(), 1)
}

func TestUP42_WebhooksOfOthersAndOfOtherProfilesAreNotSeen(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	id := create(t, b, sample)
	standard := b.Webhook(systemstest.Tenant, "https://receiver.example/")
	for _, c := range []systemstest.Call{
		{Method: "GET", Path: collection}, {Method: "GET", Path: collection + "/" + id}, {Method: "DELETE", Path: collection + "/" + id},
		{Method: "POST", Path: collection, Body: sample},
	} {
		c.Authorization = bearer(b.OtherKey)
		require.Equal(t, 403, b.Do(c).Code, "the neighbour's key in this workspace")
	}
	for _, c := range []systemstest.Call{{Method: "GET"}, {Method: "PUT", Body: "{}"}, {Method: "DELETE"}} {
		c.Path, c.Authorization = "/up42/workspaces/globex/webhooks/"+id, bearer(b.OtherKey)
		require.Equal(t, 404, b.Do(c).Code, "this workspace's webhook in the neighbour's")
		c.Path, c.Authorization = collection+"/"+standard.ID, bearer(b.Key)
		require.Equal(t, 404, b.Do(c).Code, "a webhook of another profile")
	}
	require.Contains(t, b.Do(systemstest.Call{Method: "GET", Path: "/up42/workspaces/globex/webhooks", Authorization: bearer(b.OtherKey)}).Body.String(), `"data":[]`)
	require.Len(t, b.Webhooks(systemstest.Tenant), 2)
}

func TestUP42_Access(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	one := collection + "/" + create(t, b, sample)
	systemstest.RequireAccess(t, b, systemstest.Access{
		Calls: []systemstest.Call{
			{Method: "GET", Path: "/up42/webhooks/events"},
			{Method: "POST", Path: collection, Body: sample},
			{Method: "GET", Path: collection},
			{Method: "GET", Path: one},
			{Method: "PUT", Path: one, Body: `{"name":"x"}`},
			{Method: "DELETE", Path: one},
			{Method: "POST", Path: one + "/tests", Body: `{}`},
		},
		Authorization: bearer,
		Refused:       refused,
		AdminAllowed:  true,
	})
	admin := bearer(servicetest.AdminKey)
	require.Equal(t, 200, b.Do(systemstest.Call{Method: "GET", Path: collection, Authorization: admin}).Code)
	for _, unknown := range []string{"nobody", "%00", "%ff"} {
		w := b.Do(systemstest.Call{Method: "GET", Path: "/up42/workspaces/" + unknown + "/webhooks", Authorization: admin})
		require.Equal(t, 404, w.Code, w.Body.String())
	}
	read := b.Do(systemstest.Call{Method: "GET", Path: one, Authorization: bearer(b.Env.Key(systemstest.Tenant, models.RoleRead))})
	require.Equal(t, wire.Masked, systemstest.Text(t, read, "data", "secret"), "a key that may only read does not see the secret")
}

func TestUP42_BadInput(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	one := collection + "/" + create(t, b, sample)
	post := func(body string) systemstest.Call {
		return systemstest.Call{Method: "POST", Path: collection, Body: body}
	}
	put := func(body string) systemstest.Call { return systemstest.Call{Method: "PUT", Path: one, Body: body} }
	with := func(member string) string {
		return `{"events":["order.status"],"name":"n","url":"https://a.example/",` + member + `}`
	}
	systemstest.RequireRefused(t, b, refused, bearer(b.Key), []systemstest.BadInput{
		{Name: "no body", Call: post(""), Status: 400},
		{Name: "not JSON", Call: post("{"), Status: 400, Want: `{"data":null,"error":{"code":"BAD_REQUEST","message":"body must be a JSON object"}}`},
		{Name: "two objects", Call: post(sample + sample), Status: 400},
		{Name: "a list", Call: post("[]"), Status: 400},
		{Name: "null", Call: post("null"), Status: 400},
		{Name: "form", Call: post("name=n"), Status: 400},
		{Name: "empty", Call: post("{}"), Status: 400, Want: `{"data":null,"error":{"code":"BAD_REQUEST","message":"events is required; name is required; url is required"}}`},
		{Name: "no url", Call: post(`{"events":["order.status"],"name":"n"}`), Status: 400},
		{Name: "no events", Call: post(`{"name":"n","url":"https://a.example/"}`), Status: 400},
		{Name: "empty events", Call: post(`{"events":[],"name":"n","url":"https://a.example/"}`), Status: 400},
		{Name: "empty event", Call: post(`{"events":[" , "],"name":"n","url":"https://a.example/"}`), Status: 400},
		{Name: "unknown event", Call: post(`{"events":["order.status","order.lost"],"name":"n","url":"https://a.example/"}`), Status: 400,
			Want: `{"data":null,"error":{"code":"BAD_REQUEST","message":"events must be of job.status, order.status"}}`},
		{Name: "wildcard", Call: post(`{"events":["*"],"name":"n","url":"https://a.example/"}`), Status: 400},
		{Name: "events as text", Call: post(`{"events":"order.status","name":"n","url":"https://a.example/"}`), Status: 400,
			Want: `{"data":null,"error":{"code":"BAD_REQUEST","message":"events must be a list"}}`},
		{Name: "event as number", Call: post(`{"events":[1],"name":"n","url":"https://a.example/"}`), Status: 400},
		{Name: "name as number", Call: post(with(`"name":1`)), Status: 400},
		{Name: "name too long", Call: post(with(`"name":"` + strings.Repeat("n", 201) + `"`)), Status: 400},
		{Name: "name with NUL", Call: post(with(`"name":"a\u0000"`)), Status: 400},
		{Name: "active as text", Call: post(with(`"active":"yes"`)), Status: 400,
			Want: `{"data":null,"error":{"code":"BAD_REQUEST","message":"active must be a boolean"}}`},
		{Name: "secret as list", Call: post(with(`"secret":[]`)), Status: 400},
		{Name: "secret too long", Call: post(with(`"secret":"` + strings.Repeat("s", 1025) + `"`)), Status: 400},
		{Name: "unknown member", Call: post(with(`"colour":"red"`)), Status: 400,
			Want: `{"data":null,"error":{"code":"BAD_REQUEST","message":"colour is not known"}}`},
		{Name: "not a URL", Call: post(`{"events":["order.status"],"name":"n","url":"nowhere"}`), Status: 400},
		{Name: "URL with credentials", Call: post(`{"events":["order.status"],"name":"n","url":"https://u:p@a.example/"}`), Status: 400},
		{Name: "private address", Call: post(`{"events":["order.status"],"name":"n","url":"https://10.0.0.1/"}`), Status: 400},
		{Name: "URL with NUL", Call: post(`{"events":["order.status"],"name":"n","url":"https://a.example/\u0000"}`), Status: 400},
		{Name: "update to an empty name", Call: put(`{"name":""}`), Status: 400},
		{Name: "update to no events", Call: put(`{"events":[]}`), Status: 400},
		{Name: "update to a bad URL", Call: put(`{"url":""}`), Status: 400},
		{Name: "update with an unknown member", Call: put(`{"colour":1}`), Status: 400},
		{Name: "test of an event not subscribed to", Call: systemstest.Call{Method: "POST", Path: one + "/tests", Body: `{"event":"job.status"}`}, Status: 400,
			Want: `{"data":null,"error":{"code":"BAD_REQUEST","message":"event is not an event type of this webhook"}}`},
		{Name: "test with an unknown member", Call: systemstest.Call{Method: "POST", Path: one + "/tests", Body: `{"what":1}`}, Status: 400},
		{Name: "no such webhook", Call: systemstest.Call{Method: "GET", Path: collection + "/1df1ebb0-78a4-55d9-b806-15d22e391bd3"}, Status: 404},
		{Name: "no id", Call: systemstest.Call{Method: "GET", Path: collection + "/%00"}, Status: 404},
		{Name: "delete of no such webhook", Call: systemstest.Call{Method: "DELETE", Path: collection + "/1"}, Status: 404},
		{Name: "test of no such webhook", Call: systemstest.Call{Method: "POST", Path: collection + "/x/tests"}, Status: 404},
	})
}

// A workspace appears with its tenant's name, not the tenant's id.
func TestUP42_AWorkspaceWithADeletedOnesName(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, up42.Mount)
	create(t, b, sample)
	old := b.Key
	var id string
	id, b.Key = b.TenantAgain(systemstest.Tenant)
	do := func(path, key string) int {
		return b.Do(systemstest.Call{Method: http.MethodGet, Path: path, Authorization: bearer(key)}).Code
	}
	require.Empty(t, b.Webhooks(id))
	create(t, b, sample)
	require.Len(t, b.Webhooks(id), 1)
	require.Equal(t, http.StatusUnauthorized, do(collection, old))
	require.Equal(t, http.StatusOK, do(collection, b.Key))
	require.Equal(t, http.StatusOK, do(collection, servicetest.AdminKey))
	inside := strings.Replace(collection, systemstest.Tenant, id, 1)
	require.Equal(t, http.StatusForbidden, do(inside, b.Key))
	require.Equal(t, http.StatusNotFound, do(inside, servicetest.AdminKey))
}
