package im4_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api/im4"
	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

const (
	path      = "/im4/webhooks"
	mediaType = "application/json"
	formType  = "application/x-www-form-urlencoded"
	saved     = `{"message":"Settings updated successfully."}`
	nothing   = `{"webhook_url":null,"webhook_proofreading_created":false,"webhook_proofreading_changed":false,
		"webhook_order_created":false,"webhook_order_changed":false}`
)

func bearer(key string) string { return "Bearer " + key }

func save(b *systemstest.Bench, key, body string) *httptest.ResponseRecorder {
	return b.Do(systemstest.Call{Method: http.MethodPost, Path: path, Authorization: bearer(key), Type: mediaType, Body: body})
}

func show(b *systemstest.Bench, key string) *httptest.ResponseRecorder {
	return b.Do(systemstest.Call{Method: http.MethodGet, Path: path, Authorization: bearer(key)})
}

// settings are in the document's order: proofreading created and changed, order created and changed.
func settings(url string, flags ...string) string {
	return `{"webhook_url":` + url + `,"webhook_proofreading_created":` + flags[0] + `,"webhook_proofreading_changed":` + flags[1] +
		`,"webhook_order_created":` + flags[2] + `,"webhook_order_changed":` + flags[3] + `}`
}

// TestIM4_Document makes the document's three requests, with JSON and with a form, and compares whole answers.
func TestIM4_Document(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	systemstest.RequireJSON(t, 200, nothing, show(b, b.Key))

	want := settings(`"https://client.example/im4"`, "true", "false", "true", "false")
	systemstest.RequireJSON(t, 200, saved, save(b, b.Key, want))
	systemstest.RequireJSON(t, 200, want, show(b, b.Key))
	systemstest.RequireJSON(t, 200, nothing, show(b, b.OtherKey))

	form := systemstest.Call{Method: http.MethodPost, Path: path, Authorization: bearer(b.Key), Type: formType + "; charset=utf-8",
		Body: "webhook_url=https%3A%2F%2Fclient.example%2Fother&webhook_proofreading_changed=1&webhook_order_created=false&webhook_order_changed=true"}
	systemstest.RequireJSON(t, 200, saved, b.Do(form))
	systemstest.RequireJSON(t, 200, settings(`"https://client.example/other"`, "false", "true", "false", "true"), show(b, b.Key))
	require.Len(t, b.Webhooks(systemstest.Tenant), 1, "one settings object, one webhook")

	form.Body = `{"webhook_url":"https://client.example/json"}` // as `curl -d` sends it
	systemstest.RequireJSON(t, 200, saved, b.Do(form))
	systemstest.RequireJSON(t, 200, settings(`"https://client.example/json"`, "false", "false", "false", "false"), show(b, b.Key))

	form.Body = "webhook_url="
	systemstest.RequireJSON(t, 200, saved, b.Do(form))
	systemstest.RequireJSON(t, 200, nothing, show(b, b.Key))
	require.Empty(t, b.Webhooks(systemstest.Tenant))
}

// TestIM4_FlagsSwitchTheirEvents takes each flag alone: names of flags and events are not the same.
func TestIM4_FlagsSwitchTheirEvents(t *testing.T) {
	t.Parallel()
	for flag, event := range map[string]string{
		"webhook_proofreading_created": "proofreading.sent",
		"webhook_proofreading_changed": "proofreading.updated",
		"webhook_order_created":        "order.created",
		"webhook_order_changed":        "order.changed",
	} {
		b := systemstest.New(t, im4.Mount)
		receiver := systemstest.NewReceiver(t)
		systemstest.RequireJSON(t, 200, saved, save(b, b.Key, `{"webhook_url":"`+receiver.URL+`","`+flag+`":true}`))
		require.Equal(t, []string{event}, b.Webhooks(systemstest.Tenant)[0].EventTypes)
		for _, published := range []string{"proofreading.sent", "proofreading.updated", "order.created", "order.changed"} {
			id := b.Publish(systemstest.Tenant, published, `{"project_id":1,"order_id":2,"proofreading_batch_id":3}`)
			require.Equal(t, published == event, len(b.Deliveries(systemstest.Tenant, id)) == 1, "%s with %s", published, flag)
		}
	}
}

func TestIM4_WithAllFlagsOffOnlyTheTestEventIsSent(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	receiver := systemstest.NewReceiver(t)
	body := settings(`"`+receiver.URL+`"`, "false", "false", "false", "false")
	systemstest.RequireJSON(t, 200, saved, save(b, b.Key, `{"webhook_url":"`+receiver.URL+`"}`))
	systemstest.RequireJSON(t, 200, body, show(b, b.Key))
	_, err := b.Service.LoadCatalog(t.Context(), systemstest.Tenant, "im4")
	require.NoError(t, err)
	require.Empty(t, b.Deliveries(systemstest.Tenant, b.Publish(systemstest.Tenant, "order.created", `{"project_id":1,"order_id":2}`)))
	require.Equal(t, 200, b.Do(systemstest.Call{Method: http.MethodPost, Path: path + "/test", Authorization: bearer(b.Key)}).Code)
	require.Len(t, receiver.Take(), 1)
}

func TestIM4_ANullURLKeepsTheFlagsAndNothingElse(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	save(b, b.Key, settings(`"https://client.example/"`, "true", "true", "true", "true"))
	_, err := b.Service.LoadCatalog(t.Context(), systemstest.Tenant, "im4")
	require.NoError(t, err)
	owed := b.Publish(systemstest.Tenant, "order.created", `{"project_id":1,"order_id":2}`)

	want := settings("null", "false", "true", "false", "true")
	systemstest.RequireJSON(t, 200, saved, save(b, b.Key, want))
	systemstest.RequireJSON(t, 200, want, show(b, b.Key))
	require.Empty(t, b.Webhooks(systemstest.Tenant))
	require.Equal(t, models.Canceled, b.Deliveries(systemstest.Tenant, owed)[0].Status)
	systemstest.RequireJSON(t, 422, `{"message":"the request is not valid","errors":{"webhook_url":["is not set"]}}`,
		b.Do(systemstest.Call{Method: http.MethodPost, Path: path + "/test", Authorization: bearer(b.Key)}))

	save(b, b.Key, settings(`"https://client.example/"`, "true", "false", "false", "false"))
	w := b.Webhooks(systemstest.Tenant)[0]
	_, err = b.Service.DeleteWebhook(t.Context(), systemstest.Tenant, w.ID)
	require.NoError(t, err)
	systemstest.RequireJSON(t, 200, nothing, show(b, b.Key)) // and not the settings from before the URL was set
}

// TestIM4_Receiver checks deliveries as the document asks receivers to: the flat body, and the key as the signature.
func TestIM4_Receiver(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	receiver := systemstest.NewReceiver(t)
	save(b, b.Key, settings(`"`+receiver.URL+`"`, "true", "true", "true", "true"))

	require.Equal(t, 200, b.Do(systemstest.Call{Method: http.MethodPost, Path: path + "/test", Authorization: bearer(b.Key)}).Code)
	for _, event := range []struct{ name, data string }{
		{"order.created", `{"project_id":12,"order_id":34}`},
		{"order.changed", `{"project_id":12,"order_id":34}`},
		{"proofreading.sent", `{"project_id":12,"proofreading_batch_id":5}`},
		{"proofreading.updated", `{"project_id":12,"proofreading_batch_id":5}`},
	} {
		require.Equal(t, wire.Masked, b.Deliver(systemstest.Tenant, event.name, event.data).RequestHeaders["Signature"])
	}
	var bodies []string
	for _, got := range receiver.Take() {
		require.Equal(t, b.Key, got.Header.Get("Signature"))
		require.Equal(t, mediaType, got.Header.Get("Content-Type"))
		bodies = append(bodies, got.Body)
	}
	require.Equal(t, []string{
		`{"event":"test","message":"Hello!"}`,
		`{"event":"order.created","project_id":12,"order_id":34}`,
		`{"event":"order.changed","project_id":12,"order_id":34}`,
		`{"event":"proofreading.sent","project_id":12,"proofreading_batch_id":5}`,
		`{"event":"proofreading.updated","project_id":12,"proofreading_batch_id":5}`,
	}, bodies)

	// The key that saves the settings next signs from then on.
	second := b.Env.Key(systemstest.Tenant, models.RoleTenant)
	save(b, second, settings(`"`+receiver.URL+`"`, "true", "true", "true", "true"))
	b.Deliver(systemstest.Tenant, "order.created", `{"project_id":12,"order_id":34}`)
	require.Equal(t, second, receiver.Take()[0].Header.Get("Signature"))
}

func TestIM4_TheTestEventIsTheDocumentsWhateverTheTenantCallsTest(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	receiver := systemstest.NewReceiver(t)
	_, err := b.Service.PutEventType(t.Context(), models.EventType{Name: "test", Example: `{"mine":true}`})
	require.NoError(t, err)
	save(b, b.Key, settings(`"`+receiver.URL+`"`, "true", "true", "true", "true"))
	require.Equal(t, 200, b.Do(systemstest.Call{Method: http.MethodPost, Path: path + "/test", Authorization: bearer(b.Key)}).Code)
	systemstest.RequireBytes(t, `{"event":"test","message":"Hello!"}`, receiver.Take()[0].Body)
}

// TestIM4_CrossView follows one webhook through both APIs.
func TestIM4_CrossView(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	receiver := systemstest.NewReceiver(t)
	all := settings(`"`+receiver.URL+`"`, "true", "true", "true", "true")
	save(b, b.Key, all)
	w := b.Webhooks(systemstest.Tenant)[0]
	require.Equal(t, "im4", w.Profile)
	require.Empty(t, b.Webhooks(systemstest.Other))

	status := func() models.WebhookStatus { return b.Webhooks(systemstest.Tenant)[0].Status }
	_, err := b.Service.Disable(t.Context(), systemstest.Tenant, w.ID, "", "test")
	require.NoError(t, err)
	save(b, b.Key, all)
	require.Equal(t, models.WebhookDisabled, status(), "what its owner took out of service stays so")
	_, err = b.Service.Enable(t.Context(), systemstest.Tenant, w.ID, "test")
	require.NoError(t, err)

	// A receiver that is gone deactivates the webhook; saving the settings is how an InMemory4 client gets it back.
	w = b.Webhooks(systemstest.Tenant)[0]
	require.NoError(t, b.Service.Gone(t.Context(), &w))
	require.Equal(t, models.WebhookDeactivated, status())
	held := b.Publish(systemstest.Tenant, "order.created", `{"project_id":12,"order_id":34}`)
	require.Equal(t, models.Held, b.Deliveries(systemstest.Tenant, held)[0].Status)
	save(b, b.Key, all)
	require.Equal(t, models.WebhookActive, status())
	_, err = b.Service.Recover(t.Context(), systemstest.Tenant, w.ID, service.RecoveryRequest{})
	require.NoError(t, err)

	// Changes through /v1 are visible here.
	_, err = b.Service.UpdateWebhook(t.Context(), systemstest.Tenant, w.ID, service.WebhookChange{EventTypes: &[]string{"order.*"}})
	require.NoError(t, err)
	systemstest.RequireJSON(t, 200, settings(`"`+receiver.URL+`"`, "false", "false", "true", "true"), show(b, b.Key))
}

func TestIM4_SettingsSavedAtOnceMakeOneWebhook(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if w := save(b, b.Key, settings(`"https://client.example/"`, "true", "false", "false", "false")); w.Code != http.StatusOK {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
	wg.Wait()
	require.Len(t, b.Webhooks(systemstest.Tenant), 1)
}

func TestIM4_Access(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	save(b, b.Key, settings(`"https://client.example/"`, "true", "false", "false", "false"))
	systemstest.RequireAccess(t, b, systemstest.Access{
		Calls: []systemstest.Call{
			{Method: "POST", Path: path, Type: mediaType, Body: `{"webhook_url":null}`},
			{Method: "GET", Path: path},
			{Method: "POST", Path: path + "/test"},
		},
		Authorization: bearer,
		Refused:       `{"message":"x"}`,
		Settings:      "POST " + path,
	})
}

func TestIM4_BadInput(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount, servicetest.Strict)
	save(b, b.Key, settings(`"https://client.example/"`, "true", "false", "false", "false"))
	post := func(body string) systemstest.Call {
		return systemstest.Call{Method: "POST", Path: path, Type: mediaType, Body: body}
	}
	form := func(body string) systemstest.Call {
		return systemstest.Call{Method: "POST", Path: path, Type: formType, Body: body}
	}
	invalid := func(field, message string) string {
		return `{"message":"the request is not valid","errors":{"` + field + `":["` + message + `"]}}`
	}
	object := invalid("body", "must be a JSON object")
	systemstest.RequireRefused(t, b, "", bearer(b.Key), []systemstest.BadInput{
		{Name: "no body", Call: post(""), Status: 422, Want: invalid("webhook_url", "is required")},
		{Name: "not JSON", Call: post("{"), Status: 422, Want: object},
		{Name: "a list", Call: post("[]"), Status: 422, Want: object},
		{Name: "two objects", Call: post(`{"webhook_url":null}{}`), Status: 422, Want: object},
		{Name: "null", Call: post("null"), Status: 422, Want: object},
		{Name: "empty", Call: post("{}"), Status: 422, Want: invalid("webhook_url", "is required")},
		{Name: "no URL", Call: post(`{"webhook_order_created":true}`), Status: 422, Want: invalid("webhook_url", "is required")},
		{Name: "URL as number", Call: post(`{"webhook_url":1}`), Status: 422, Want: invalid("webhook_url", "must be a string")},
		{Name: "http", Call: post(`{"webhook_url":"http://client.example/"}`), Status: 422,
			Want: invalid("webhook_url", "destination not allowed: the URL must be https")},
		{Name: "flag as text", Call: post(`{"webhook_url":null,"webhook_order_created":"perhaps"}`), Status: 422,
			Want: invalid("webhook_order_created", "must be a boolean")},
		{Name: "flag as number", Call: post(`{"webhook_url":null,"webhook_order_changed":2}`), Status: 422,
			Want: invalid("webhook_order_changed", "must be a boolean")},
		{Name: "two wrong fields", Call: post(`{"webhook_url":5,"webhook_order_created":"perhaps"}`), Status: 422,
			Want: `{"message":"the request is not valid","errors":{"webhook_url":["must be a string"],"webhook_order_created":["must be a boolean"]}}`},
		{Name: "unknown member", Call: post(`{"webhook_url":null,"webhook_project_created":true}`), Status: 422,
			Want: invalid("webhook_project_created", "is not known")},
		{Name: "form without URL", Call: form("webhook_order_created=1"), Status: 422, Want: invalid("webhook_url", "is required")},
		{Name: "form with a flag that is none", Call: form("webhook_url=&webhook_order_created=perhaps"), Status: 422,
			Want: invalid("webhook_order_created", "must be a boolean")},
		{Name: "form with an unknown name", Call: form("webhook_url=&colour=red"), Status: 422, Want: invalid("colour", "is not known")},
		{Name: "malformed form", Call: form("webhook_url=%zz"), Status: 422, Want: invalid("body", "must be a JSON object or form-encoded")},
	})
	require.Contains(t, show(b, b.Key).Body.String(), "https://client.example/")
}

func TestIM4_PlainHTTPIsRefusedEvenWhereTheInstallationAllowsIt(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	b.Service.Dev = false // the guard lets loopback pass, the profile does not
	w := save(b, b.Key, `{"webhook_url":"http://127.0.0.1:9000/"}`)
	systemstest.RequireJSON(t, 422, `{"message":"the request is not valid","errors":{"webhook_url":["must be https"]}}`, w)
}

// TestIM4_TheTestCallSaysWhetherItWasReceived: the call exists to confirm that the configuration works.
func TestIM4_TheTestCallSaysWhetherItWasReceived(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	receiver := systemstest.NewReceiver(t)
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	test := systemstest.Call{Method: http.MethodPost, Path: path + "/test", Authorization: bearer(b.Key)}
	for _, c := range []struct {
		url    string
		answer int
		want   string // "" = it is received
	}{
		{receiver.URL, 204, ""},
		{receiver.URL, 500, "the test event was not received: 500 Internal Server Error"},
		{receiver.URL, 302, "the test event was not received: 302 Found"},
		{untrusted.URL, 0, "the test event was not received: "},
		{"https://nowhere.example/", 0, "the test event was not received: "},
		{"http://127.0.0.1:1/", 0, "the test event was not received: "},
	} {
		receiver.Answer(c.answer)
		require.Equal(t, 200, save(b, b.Key, `{"webhook_url":"`+c.url+`"}`).Code)
		w := b.Do(test)
		if c.want == "" {
			systemstest.RequireJSON(t, 200, `{"message":"Test event sent."}`, w)
			continue
		}
		require.Equal(t, 422, w.Code, w.Body.String())
		var refused struct{ Errors map[string][]string }
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &refused))
		require.Contains(t, refused.Errors["webhook_url"][0], c.want)
	}
}

// TestIM4_WhatClientsSendIsAccepted: flags in every usual spelling, as JSON, in forms of both kinds and in the query.
func TestIM4_WhatClientsSendIsAccepted(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	const url = "https://client.example/im4"
	want := func(on bool) string {
		return settings(`"`+url+`"`, "false", "false", strconv.FormatBool(on), "false")
	}
	send := func(query, contentType, body string) {
		t.Helper()
		systemstest.RequireJSON(t, 200, saved, b.Do(systemstest.Call{Method: "POST", Path: path + query, Authorization: bearer(b.Key), Type: contentType, Body: body}))
	}
	for value, on := range map[string]bool{`1`: true, `"1"`: true, `"true"`: true, `"TRUE"`: true, `"on"`: true, `"yes"`: true, `true`: true,
		`0`: false, `"0"`: false, `"false"`: false, `"off"`: false, `"no"`: false, `""`: false, `null`: false, `false`: false} {
		send("", mediaType, `{"webhook_url":"`+url+`","webhook_order_created":`+value+`}`)
		systemstest.RequireJSON(t, 200, want(on), show(b, b.Key))
		plain := strings.Trim(value, `"`)
		if plain == "null" {
			continue
		}
		send("", formType, "webhook_url="+url+"&webhook_order_created="+plain)
		systemstest.RequireJSON(t, 200, want(on), show(b, b.Key))
		send("?webhook_url="+url+"&webhook_order_created="+plain, "", "")
		systemstest.RequireJSON(t, 200, want(on), show(b, b.Key))
		send("?webhook_url="+url, formType, "webhook_order_created="+plain)
		systemstest.RequireJSON(t, 200, want(on), show(b, b.Key))
		send("", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"webhook_url\"\r\n\r\n"+url+
			"\r\n--x\r\nContent-Disposition: form-data; name=\"webhook_order_created\"\r\n\r\n"+plain+"\r\n--x--\r\n")
		systemstest.RequireJSON(t, 200, want(on), show(b, b.Key))
	}
	for _, none := range []string{`""`, `null`} {
		send("", mediaType, `{"webhook_url":"`+url+`"}`)
		send("", mediaType, `{"webhook_url":`+none+`}`)
		systemstest.RequireJSON(t, 200, nothing, show(b, b.Key))
	}
}

// TestIM4_ARevokedKeyIsNotSent: the webhook says what to do, its deliveries are held, and saving with another key repairs
// it.
func TestIM4_ARevokedKeyIsNotSent(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	receiver := systemstest.NewReceiver(t)
	all := settings(`"`+receiver.URL+`"`, "true", "true", "true", "true")
	second, key, err := b.Service.CreateKey(t.Context(), systemstest.Tenant, "second", models.RoleTenant)
	require.NoError(t, err)
	systemstest.RequireJSON(t, 200, saved, save(b, key, all))
	other, _, err := b.Service.CreateKey(t.Context(), systemstest.Tenant, "other", models.RoleTenant)
	require.NoError(t, err)
	require.NoError(t, b.Service.RevokeKey(t.Context(), systemstest.Tenant, other.ID))
	require.Equal(t, models.WebhookActive, b.Webhooks(systemstest.Tenant)[0].Status, "another key's end means nothing")

	require.NoError(t, b.Service.RevokeKey(t.Context(), systemstest.Tenant, second.ID))
	w := b.Webhooks(systemstest.Tenant)[0]
	require.Equal(t, models.WebhookDeactivated, w.Status)
	require.Contains(t, w.StatusReason, "save InMemory4's settings again, with a key in force")
	require.Equal(t, models.ActorPosthorn, w.UpdatedBy)
	held := b.Publish(systemstest.Tenant, "order.created", `{"project_id":12,"order_id":34}`)
	require.Equal(t, models.Held, b.Deliveries(systemstest.Tenant, held)[0].Status)

	// A webhook that is enabled by hand still sends no revoked key.
	_, err = b.Service.Enable(t.Context(), systemstest.Tenant, w.ID, "test")
	require.NoError(t, err)
	b.Deliver(systemstest.Tenant, "order.created", `{"project_id":12,"order_id":34}`)
	require.Empty(t, receiver.Take()[0].Header.Values("Signature"))

	systemstest.RequireJSON(t, 200, saved, save(b, b.Key, all))
	b.Deliver(systemstest.Tenant, "order.created", `{"project_id":12,"order_id":34}`)
	require.Equal(t, b.Key, receiver.Take()[0].Header.Get("Signature"))
}

// A key that is revoked while the settings are being saved with it is not kept.
func TestIM4_AKeyRevokedWhileItSavesIsNotKept(t *testing.T) {
	t.Parallel()
	b := systemstest.New(t, im4.Mount)
	k, key, err := b.Service.CreateKey(t.Context(), systemstest.Tenant, "k", models.RoleTenant)
	require.NoError(t, err)
	who, err := b.Service.Authenticate(t.Context(), key)
	require.NoError(t, err)
	require.NoError(t, b.Service.RevokeKey(t.Context(), systemstest.Tenant, k.ID))
	_, err = b.Service.LoadCatalog(t.Context(), systemstest.Tenant, "im4")
	require.NoError(t, err)
	_, _, err = b.Service.CreateWebhook(t.Context(), systemstest.Tenant, service.WebhookChange{URL: new("https://client.example/"),
		EventTypes: &[]string{"order.created"}, Secret: &key, Profile: "im4"})
	require.NoError(t, err)
	require.Error(t, b.Service.KeepsKey(t.Context(), who))
	require.Equal(t, models.WebhookDeactivated, b.Webhooks(systemstest.Tenant)[0].Status)
	secret, err := b.Service.Secret(&b.Webhooks(systemstest.Tenant)[0])
	require.NoError(t, err)
	require.Empty(t, secret)
}
