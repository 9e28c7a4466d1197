package svix_test

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	official "github.com/svix/svix-webhooks/go"
	sdk "github.com/svix/svix-webhooks/go/models"

	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// official is Svix's own Go module, unchanged, with an administrator's key.
func (c *client) official() *official.Svix {
	c.t.Helper()
	server := httptest.NewServer(c.Handler)
	c.t.Cleanup(server.Close)
	address, err := url.Parse(server.URL + "/svix")
	require.NoError(c.t, err)
	svix, err := official.New(servicetest.AdminKey, &official.SvixOptions{ServerUrl: address})
	require.NoError(c.t, err)
	return svix
}

// An operational endpoint gets events about the endpoints of all applications, in Svix's form.
func TestSvixOperational_EndpointsWithTheOfficialClient(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	svix, ctx := c.official(), t.Context()
	none, err := svix.OperationalWebhook.Endpoint.List(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, none.Data)
	require.True(t, none.Done)
	_, err = svix.OperationalWebhook.Endpoint.Get(ctx, "ep_0198c0de-0000-7000-8000-000000000002")
	require.ErrorContains(t, err, "404")

	receiver := systemstest.NewReceiver(t)
	made, err := svix.OperationalWebhook.Endpoint.Create(ctx, sdk.OperationalWebhookEndpointIn{Url: receiver.URL, Description: new("Ours"),
		FilterTypes: []string{"endpoint.disabled"}, ThrottleRate: new(uint16(9)), Uid: new("ours"), Metadata: &map[string]string{"team": "ops"}}, nil)
	require.NoError(t, err)
	require.Equal(t, []any{"Ours", []string{"endpoint.disabled"}, uint16(9), uint16(9), "ours", map[string]string{"team": "ops"}, false},
		[]any{made.Description, made.FilterTypes, *made.ThrottleRate, *made.RateLimit, *made.Uid, made.Metadata, *made.Disabled})
	got, err := svix.OperationalWebhook.Endpoint.Get(ctx, "ours")
	require.NoError(t, err)
	require.Equal(t, made, got)
	list, err := svix.OperationalWebhook.Endpoint.List(ctx, &official.OperationalWebhookEndpointListOptions{Limit: new(uint64(1))})
	require.NoError(t, err)
	require.Equal(t, []sdk.OperationalWebhookEndpointOut{*made}, list.Data)
	made, err = svix.OperationalWebhook.Endpoint.Update(ctx, made.Id, sdk.OperationalWebhookEndpointUpdate{Url: receiver.URL, Uid: new("ours")})
	require.NoError(t, err)
	require.Nil(t, made.FilterTypes)
	require.Nil(t, made.RateLimit)
	require.Empty(t, made.Description)

	require.NoError(t, svix.OperationalWebhook.Endpoint.UpdateHeaders(ctx, made.Id, sdk.OperationalWebhookEndpointHeadersIn{Headers: map[string]string{"X-Team": "ops"}}))
	headers, err := svix.OperationalWebhook.Endpoint.GetHeaders(ctx, made.Id)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"X-Team": "ops"}, headers.Headers)
	before, err := svix.OperationalWebhook.Endpoint.GetSecret(ctx, made.Id)
	require.NoError(t, err)
	require.NoError(t, svix.OperationalWebhook.Endpoint.RotateSecret(ctx, made.Id, sdk.OperationalWebhookEndpointSecretIn{}, nil))
	secret, err := svix.OperationalWebhook.Endpoint.GetSecret(ctx, made.Id)
	require.NoError(t, err)
	require.NotEqual(t, before.Key, secret.Key)

	// What Posthorn says about any application's endpoint arrives in Svix's form, signed with that secret.
	_, err = c.Service.Publish(ctx, models.OperationalTenant, service.PublishRequest{Events: []service.EventInput{{Type: "webhook.deactivated", ID: "told", Data: []byte(
		`{"webhook":{"id":"wh_0198c0de-0000-7000-8000-000000000002","uid":"shop","tenant":"acme","url":"https://a.example","status":"deactivated"},
		"failed_attempts":10,"threshold":10,"reason":"r","last_success_at":"2026-01-19T08:30:00.000Z"}`)}}})
	require.NoError(t, err)
	c.Attempt(models.OperationalTenant, c.Deliveries(models.OperationalTenant, "told")[0].ID)
	sent := receiver.Take()
	require.Len(t, sent, 1)
	require.JSONEq(t, `{"type":"endpoint.disabled","data":{"appId":"app_acme","appUid":null,"endpointId":"ep_0198c0de-0000-7000-8000-000000000002",
		"endpointUid":"shop","failSince":"2026-01-19T08:30:00.000Z","trigger":"automatic","failedAttempts":10,"threshold":10}}`, sent[0].Body)
	require.Equal(t, "ops", sent[0].Header.Get("X-Team"))
	verifier, err := official.NewWebhook(secret.Key)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify([]byte(sent[0].Body), sent[0].Header))

	// It is a webhook of /v1, and its tenant is no application.
	webhooks := c.Webhooks(models.OperationalTenant)
	require.Len(t, webhooks, 1)
	require.Equal(t, []any{"svix", []string{"webhook.*"}, "ours"}, []any{webhooks[0].Profile, webhooks[0].EventTypes, webhooks[0].UID})
	applications, err := svix.Application.List(ctx, nil)
	require.NoError(t, err)
	require.Len(t, applications.Data, 2)
	require.NoError(t, svix.OperationalWebhook.Endpoint.Delete(ctx, made.Id))
	_, err = svix.OperationalWebhook.Endpoint.Get(ctx, made.Id)
	require.ErrorContains(t, err, "404")
}

// announced does all jobs, and sends what they leave for operational endpoints. It returns the operational webhooks that arrived.
func (c *client) announced(receiver *systemstest.Receiver) (bodies []string) {
	c.t.Helper()
	for {
		job, page, err := c.Store.RunJob(c.t.Context())
		require.NoError(c.t, err)
		if job.ID == "" {
			break
		}
		for _, dispatch := range page.Fresh {
			for _, key := range dispatch.Deliveries {
				c.Attempt(key.Tenant, key.ID)
			}
		}
	}
	for _, r := range receiver.Take() {
		bodies = append(bodies, r.Body)
	}
	return bodies
}

// Changes of endpoints, and messages that fail, arrive in the form that Svix's own types have.
func TestSvixOperational_WebhooksWithTheOfficialClient(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	svix, ctx := c.official(), t.Context()
	ops, receiver := systemstest.NewReceiver(t), systemstest.NewReceiver(t)
	operational, err := svix.OperationalWebhook.Endpoint.Create(ctx, sdk.OperationalWebhookEndpointIn{Url: ops.URL, FilterTypes: []string{
		"endpoint.created", "endpoint.updated", "endpoint.deleted", "endpoint.enabled", "endpoint.disabled",
		"message.attempt.failing", "message.attempt.exhausted", "message.attempt.recovered"}}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"endpoint.created", "endpoint.updated", "endpoint.deleted", "endpoint.enabled", "endpoint.disabled",
		"message.attempt.failing", "message.attempt.exhausted", "message.attempt.recovered"}, operational.FilterTypes)
	require.Empty(t, c.announced(ops), "it is not an application's")

	application, err := svix.Application.Create(ctx, sdk.ApplicationIn{Name: "Shop", Uid: new("shop")}, nil)
	require.NoError(t, err)
	endpoint, err := svix.Endpoint.Create(ctx, application.Id, sdk.EndpointIn{Url: receiver.URL, Uid: new("main")}, nil)
	require.NoError(t, err)
	change := func(name string) string {
		return `{"type":"` + name + `","data":{"appId":"` + application.Id + `","appUid":"shop","endpointId":"` + endpoint.Id + `","endpointUid":"main"}}`
	}
	arrived := func(want ...string) {
		t.Helper()
		got := c.announced(ops)
		require.Len(t, got, len(want))
		for i := range want {
			require.JSONEq(t, change(want[i]), got[i])
		}
	}
	arrived("endpoint.created")
	_, err = svix.Endpoint.Patch(ctx, application.Id, endpoint.Id, sdk.EndpointPatch{Description: new("new")})
	require.NoError(t, err)
	arrived("endpoint.updated")
	require.NoError(t, svix.Endpoint.RotateSecret(ctx, application.Id, endpoint.Id, sdk.EndpointSecretRotateIn{}, nil))
	arrived("endpoint.updated")
	require.NoError(t, svix.Endpoint.UpdateHeaders(ctx, application.Id, endpoint.Id, sdk.EndpointHeadersIn{Headers: map[string]string{"X-A": "1"}}))
	arrived("endpoint.updated")
	_, err = svix.Endpoint.Patch(ctx, application.Id, endpoint.Id, sdk.EndpointPatch{Disabled: new(true)})
	require.NoError(t, err)
	arrived("endpoint.updated")
	_, err = svix.Endpoint.Patch(ctx, application.Id, endpoint.Id, sdk.EndpointPatch{Disabled: new(false)})
	require.NoError(t, err)
	arrived("endpoint.enabled")

	receiver.Answer(500)
	message, err := svix.Message.Create(ctx, application.Id, sdk.MessageIn{EventType: "order.created", EventId: new("mine"), Payload: map[string]any{"n": 1}}, nil)
	require.NoError(t, err)
	tenant := strings.TrimPrefix(application.Id, "app_")
	delivery := c.Deliveries(tenant, "evt_"+strings.TrimPrefix(message.Id, "msg_"))[0]
	var last models.Attempt
	attempt := func() { last = c.Attempt(tenant, delivery.ID) }
	messageIs := func(name string, data sdk.MessageAttemptFailingEventData) {
		t.Helper()
		require.Equal(t, sdk.MessageAttemptFailingEventData{AppId: application.Id, AppUid: new("shop"), EndpointId: endpoint.Id, MsgId: message.Id, MsgEventId: new("mine"),
			LastAttempt: sdk.MessageAttemptFailedData{Id: "atmpt_" + strings.TrimPrefix(last.ID, "att_"), ResponseStatusCode: int16(last.StatusCode),
				Timestamp: last.StartedAt.Truncate(time.Millisecond).UTC()}}, data, name)
	}
	for range 3 {
		attempt()
	}
	require.Empty(t, c.announced(ops))
	attempt()
	announced := func(event any) { // the only one
		t.Helper()
		got := c.announced(ops)
		require.Len(t, got, 1)
		require.NoError(t, json.Unmarshal([]byte(got[0]), event))
	}
	var failing sdk.MessageAttemptFailingEvent
	announced(&failing)
	require.Equal(t, "message.attempt.failing", failing.Type)
	messageIs(failing.Type, failing.Data)
	for c.Deliveries(tenant, delivery.EventID)[0].Status == models.Pending {
		attempt()
	}
	var exhausted sdk.MessageAttemptExhaustedEvent
	announced(&exhausted)
	require.Equal(t, "message.attempt.exhausted", exhausted.Type)
	messageIs(exhausted.Type, sdk.MessageAttemptFailingEventData(exhausted.Data))

	receiver.Answer(200)
	message, err = svix.Message.Create(ctx, application.Id, sdk.MessageIn{EventType: "order.created", EventId: new("mine2"), Payload: map[string]any{"n": 2}}, nil)
	require.NoError(t, err)
	delivery = c.Deliveries(tenant, "evt_"+strings.TrimPrefix(message.Id, "msg_"))[0]
	attempt()
	var recovered sdk.MessageAttemptRecoveredEvent
	announced(&recovered)
	require.Equal(t, "message.attempt.recovered", recovered.Type)
	require.Equal(t, "mine2", *recovered.Data.MsgEventId)
	require.Equal(t, int16(200), recovered.Data.LastAttempt.ResponseStatusCode)

	// The events match the schemas of their types: an event that a caller publishes is checked against them.
	events, _, err := c.Store.Events(ctx, models.OperationalTenant, models.EventFilter{}, models.Page{Limit: 100})
	require.NoError(t, err)
	require.Len(t, events, 9)
	for i := range events {
		e, err := c.Store.Event(ctx, models.OperationalTenant, events[i].ID)
		require.NoError(t, err)
		_, err = c.Service.Publish(ctx, models.OperationalTenant, service.PublishRequest{Events: []service.EventInput{{Type: e.Type, Data: e.Data}}})
		require.NoError(t, err, e.Type)
	}
	require.NoError(t, svix.Endpoint.Delete(ctx, application.Id, endpoint.Id))
	arrived("endpoint.deleted")
}

func TestSvixOperational_Endpoints(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	const path = api + "/operational-webhook/endpoint"
	for name, status := range map[string]int{`{"url":"nonsense"}`: 422, `{}`: 422, `{"url":"https://a.example","filterTypes":["order.created"]}`: 422,
		`{"url":"https://a.example","filterTypes":["message.attempt.log"]}`: 501, `{"url":"https://a.example","channels":["a"]}`: 422} {
		admin.ok(status, "POST", path, name)
	}
	made := admin.ok(201, "POST", path+"/", `{"url":"https://a.example/?token=1","eventTypes":["endpoint.disabled","webhook.warning"],"rateLimit":7}`)
	for _, name := range []string{"filterTypes", "eventTypes"} {
		require.Equal(t, []any{"endpoint.disabled", "webhook.warning"}, made[name])
	}
	require.Equal(t, []any{7.0, 7.0}, []any{made["rateLimit"], made["throttleRate"]})
	one := path + "/" + text(made, "id")
	require.Equal(t, made, admin.ok(200, "PUT", one, jsonOf(t, map[string]any{"url": made["url"], "filterTypes": made["filterTypes"], "throttleRate": 7})))
	require.Equal(t, []string{text(made, "id")}, ids(admin.ok(200, "GET", path+"?order=descending", "")))
	// An application's key and another application's endpoint.
	mine := c.endpoint(`{"url":"https://b.example"}`)
	admin.ok(404, "GET", path+"/"+mine, "")
	c.ok(404, "GET", app+"/endpoint/"+text(made, "id"), "")
	for _, call := range []string{"GET ", "POST ", "GET /x", "PUT /x", "DELETE /x", "GET /x/secret", "POST /x/secret/rotate", "GET /x/headers", "PUT /x/headers"} {
		method, rest, _ := strings.Cut(call, " ")
		c.ok(403, method, path+rest, `{"url":"https://a.example","headers":{}}`)
	}
	admin.ok(501, "PATCH", one, `{}`)
	admin.ok(204, "DELETE", one, "")
}

// Headers that are patched at the same time are all there afterwards.
func TestSvixOperational_HeadersArePatchedTogether(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	path := app + "/endpoint/" + c.endpoint(`{"url":"https://a.example","headers":{"X-Old":"1","X-Kept":"2"}}`) + "/headers"
	var all sync.WaitGroup
	want := map[string]any{"X-Kept": "2"}
	for i := range 10 {
		name := "X-New-" + strconv.Itoa(i)
		want[name] = "v"
		all.Go(func() {
			if w := c.call("PATCH", path, `{"headers":{"`+name+`":"v"},"deleteHeaders":["x-old"]}`); w.Code != 204 {
				t.Errorf("%d: %s", w.Code, w.Body)
			}
		})
	}
	all.Wait()
	require.Equal(t, want, c.ok(200, "GET", path, "")["headers"])
	c.ok(204, "PATCH", path, `{"headers":{"x-kept":"3"}}`)
	headers, _ := c.ok(200, "GET", path, "")["headers"].(map[string]any)
	require.Equal(t, "3", headers["x-kept"])
	require.Len(t, headers, 11)
	c.ok(422, "PATCH", path, `{"headers":{"Content-Length":"3"}}`)
}
