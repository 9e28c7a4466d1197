package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// receiver is a webhook's receiver that answers as the test sets, and with 204 until then.
type receiver struct {
	*httptest.Server
	status atomic.Int32
	body   atomic.Pointer[string]
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.status.Store(http.StatusNoContent)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(r.status.Load()))
		if body := r.body.Load(); body != nil {
			_, _ = w.Write([]byte(*body))
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answers(status int, body string) {
	r.status.Store(int32(status))
	r.body.Store(&body)
}

// webhook registers a webhook for acme and returns its id.
func (e *env) webhook(url string) string {
	e.t.Helper()
	return e.call("POST /v1/tenants/acme/webhooks", `{"url":"`+url+`"}`).is(http.StatusCreated).text("id")
}

func TestWebhook_IsMadeWithAllItCanHave(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	created := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks","event_types":["order.*"],"name":"Shop","description":"d",
		"headers":{"X-Token":"s3cret-token"},"retry":{"initial":"30s","backoff":1.5,"max_interval":3600,"max":0},"timeout":2.5,"max_in_flight":4,"rate_limit":0.5}`).
		is(http.StatusCreated)
	w := created.json()
	require.Regexp(t, `^whsec_`, w["secret"])
	require.Equal(t, "/v1/tenants/acme/webhooks/"+created.text("id"), created.header.Get("Location"))
	require.Equal(t, map[string]any{"initial": "30s", "backoff": 1.5, "max_interval": "1h", "max": 0.0}, w["retry"])
	require.Equal(t, "2.5s", w["timeout"])
	require.Equal(t, "active", w["status"])
	require.Equal(t, "tenant", w["created_by"], "the name of the key")
	require.Equal(t, []any{"order.*"}, w["event_types"])
	require.InDelta(t, 4, w["max_in_flight"], 0)
	require.NotContains(t, created.body, "s3cret-token")
	require.Contains(t, w["headers"], "X-Token")

	delete(w, "secret")
	read := e.call("GET /v1/tenants/acme/webhooks/"+created.text("id"), "").is(http.StatusOK)
	require.Equal(t, w, read.json(), "all but the secret")
}

func TestWebhook_Defaults(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	w := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks","name":null}`).is(http.StatusCreated).json()
	require.Equal(t, map[string]any{"initial": "10s", "backoff": 2.0, "max_interval": "30m", "max": 10.0}, w["retry"])
	require.Equal(t, "15s", w["timeout"])
	require.Equal(t, "standard", w["profile"])
	for _, absent := range []string{"status_reason", "last_failure", "last_success_at", "last_notification", "max_in_flight", "rate_limit"} {
		value, there := w[absent]
		require.True(t, there && value == nil, absent)
	}
	disabled := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks","active":false}`).is(http.StatusCreated)
	require.Equal(t, "disabled", disabled.text("status"))
	unsigned := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks","profile":"im4"}`).is(http.StatusCreated)
	require.Nil(t, unsigned.json()["secret"])
}

func TestWebhook_PatchChangesWhatItNames(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	path := "/v1/tenants/acme/webhooks/" + e.call("POST /v1/tenants/acme/webhooks",
		`{"url":"https://shop.example/hooks","name":"Shop","headers":{"X-A":"1"},"retry":{"max":3},"timeout":"5s"}`).text("id")

	w := e.call("PATCH "+path, `{"name":"Store","event_types":["order.paid"]}`).is(http.StatusOK).json()
	require.Equal(t, "Store", w["name"])
	require.Equal(t, "https://shop.example/hooks", w["url"])
	require.Contains(t, w["headers"], "X-A")
	require.Equal(t, "5s", w["timeout"])

	w = e.call("PATCH "+path, `{"retry":{},"timeout":0,"headers":{},"active":false}`).is(http.StatusOK).json()
	require.Equal(t, "15s", w["timeout"])
	require.InDelta(t, 10, w["retry"].(map[string]any)["max"], 0)
	require.Empty(t, w["headers"])
	require.Equal(t, "disabled", w["status"])

	e.call("DELETE "+path, "").is(http.StatusNoContent)
	e.call("GET "+path, "").is(http.StatusNotFound)
	e.call("PATCH "+path, `{"name":"x"}`).is(http.StatusNotFound)
	e.call("DELETE "+path, "").is(http.StatusNotFound)
}

func TestWebhook_Lists(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	orders := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://a.example/","event_types":["order.*"]}`).text("id")
	paid := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://b.example/?x=1&y=2","event_types":["order.paid"],"active":false}`).text("id")
	for query, want := range map[string][]string{
		"":                        {orders, paid},
		"?url=https://a.example/": {orders},
		"?url=https%3A%2F%2Fb.example%2F%3Fx%3D1%26y%3D2": {paid},
		"?status=disabled":                     {paid},
		"?event_type=order.created":            {orders},
		"?event_type=order.paid":               {orders, paid},
		"?event_type=nobody.wants":             nil,
		"?event_type=order.paid&status=active": {orders},
		"?profile=im4":                         nil,
	} {
		var ids []string
		for _, w := range e.call("GET /v1/tenants/acme/webhooks"+query, "").is(http.StatusOK).data() {
			ids = append(ids, w["id"].(string))
		}
		require.Equal(t, want, ids, query)
	}
	require.Equal(t, []string{"status"}, e.call("GET /v1/tenants/acme/webhooks?status=asleep", "").is(http.StatusUnprocessableEntity).fields())
}

func TestWebhook_Lifecycle(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	path := "/v1/tenants/acme/webhooks/" + e.webhook("https://shop.example/hooks")
	act := func(action, body string, status int) answer {
		t.Helper()
		return e.call("POST "+path+"/"+action, body).is(status)
	}
	act("resume", "", http.StatusOK) // active already: nothing to do
	require.Equal(t, "paused", act("pause", "{}", http.StatusOK).text("status"))
	event := e.Publish("acme", "order.created", `{}`)
	require.Equal(t, "held", string(e.Deliveries("acme", event)[0].Status))
	act("recover", "", http.StatusConflict)
	require.Equal(t, "active", act("resume", "", http.StatusOK).text("status"))

	disabled := act("disable", `{"reason":"moving house"}`, http.StatusOK)
	require.Equal(t, "moving house", disabled.text("status_reason"))
	act("pause", "", http.StatusConflict)
	act("resume", "", http.StatusConflict)
	enabled := act("enable", "", http.StatusOK).json()
	require.Equal(t, "active", enabled["status"])
	require.Nil(t, enabled["recovery"])

	act("disable", "", http.StatusOK)
	e.Publish("acme", "order.created", `{}`)
	recovery, _ := act("enable", `{"recover":true}`, http.StatusOK).json()["recovery"].(map[string]any)
	require.Equal(t, "running", recovery["status"])
	require.Contains(t, e.Engine.Recoveries(), recovery["id"])
}

func TestWebhook_Recovery(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	webhook := e.webhook("https://shop.example/hooks")
	e.call("POST /v1/tenants/acme/webhooks/"+webhook+"/disable", "")
	for range 3 {
		e.Publish("acme", "order.created", `{}`)
	}
	e.call("POST /v1/tenants/acme/webhooks/"+webhook+"/enable", "")
	started := e.call("POST /v1/tenants/acme/webhooks/"+webhook+"/recover",
		`{"since":"2020-01-01T00:00:00+01:00","statuses":["held"],"rate":5}`).is(http.StatusAccepted)
	want := started.json()
	require.InDelta(t, 3, want["total"], 0)
	require.InDelta(t, 0, want["released"], 0)
	require.InDelta(t, 5, want["rate"], 0)
	require.Equal(t, []any{"held"}, want["statuses"])
	require.Equal(t, "2019-12-31T23:00:00.000Z", want["since"])
	require.Equal(t, webhook, want["webhook_id"])
	require.Nil(t, want["finished_at"])

	path := "/v1/tenants/acme/recoveries/" + started.text("id")
	require.Equal(t, want, e.call("GET "+path, "").is(http.StatusOK).json())
	released, err := e.Service.ReleasePage(t.Context(), started.text("id"))
	require.NoError(t, err)
	require.Positive(t, released.Released)
	require.InDelta(t, released.Released, e.call("GET "+path, "").json()["released"], 0)
	canceled := e.call("POST "+path+"/cancel", "").is(http.StatusOK)
	require.Equal(t, "canceled", canceled.text("status"))
	require.NotEmpty(t, canceled.text("finished_at"))
	e.call("GET /v1/tenants/acme/recoveries/rec_none", "").is(http.StatusNotFound)
}

func TestWebhook_TestingAWebhookPostsNow(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := newReceiver(t)
	path := "/v1/tenants/acme/webhooks/" + e.call("POST /v1/tenants/acme/webhooks", `{"url":"`+r.URL+`","event_types":["order.*"],"active":false}`).text("id")

	report := e.call("POST "+path+"/test", "").is(http.StatusOK).json()
	require.InDelta(t, 2, report["tests_run"], 0)
	require.InDelta(t, 2, report["tests_succeeded"], 0)
	require.InDelta(t, 0, report["tests_failed"], 0)

	r.answers(http.StatusTeapot, "short and stout")
	report = e.call("POST "+path+"/test", `{"event_type":"order.paid"}`).is(http.StatusOK).json()
	require.InDelta(t, 1, report["tests_failed"], 0)
	test, _ := report["tests"].([]any)[0].(map[string]any)
	require.Equal(t, "order.paid", test["event_type"])
	require.Equal(t, false, test["received"])
	require.InDelta(t, 418, test["status_code"], 0)
	require.Equal(t, "short and stout", test["response_body"])
	require.NotEmpty(t, test["error"])

	require.Equal(t, []string{"event_type"}, e.call("POST "+path+"/test", `{"event_type":"user.created"}`).is(http.StatusUnprocessableEntity).fields())
}

// Tests appear only in the list of tests, and are not counted.
func TestWebhook_TestsAreListedApart(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := newReceiver(t)
	webhook := e.webhook(r.URL + "?token=s3cret")
	e.call("POST /v1/tenants/acme/webhooks/"+webhook+"/test", `{"event_type":"order.created"}`).is(http.StatusOK)
	r.answers(http.StatusTeapot, "short and stout")
	e.call("POST /v1/tenants/acme/webhooks/"+webhook+"/test", `{"event_type":"order.paid"}`).is(http.StatusOK)

	const list = "/v1/tenants/acme/deliveries"
	for _, none := range []string{"", "?test=false", "?test=true&status=pending", "?test=true&webhook_id=wh_other"} {
		require.Empty(t, e.call("GET "+list+none, "").is(http.StatusOK).data(), none)
	}
	require.Empty(t, e.call("GET /v1/tenants/acme/events", "").is(http.StatusOK).data())
	totals, _ := e.call("GET /v1/tenants/acme/stats", "").is(http.StatusOK).json()["totals"].(map[string]any)
	require.InDelta(t, 0, totals["attempts"], 0)
	require.InDelta(t, 0, e.call("GET /v1/tenants/acme/webhooks/"+webhook, "").json()["failed_attempts"], 0)

	listed := e.call("GET "+list+"?test=true&webhook_id="+webhook, "")
	listed.is(http.StatusOK).fitsDocument(http.MethodGet, "/v1/tenants/{tenant}/deliveries")
	tests := listed.data()
	require.Len(t, tests, 2)
	require.Equal(t, "failed", tests[0]["status"])
	require.Equal(t, true, tests[0]["test"])
	require.InDelta(t, 1, tests[0]["attempt_count"], 0)
	require.InDelta(t, 418, tests[0]["last_attempt"].(map[string]any)["status_code"], 0)
	require.Equal(t, "delivered", tests[1]["status"])
	require.Len(t, e.asAdmin("GET /v1/deliveries?test=true&tenant=acme", "").is(http.StatusOK).data(), 2)

	path := list + "/" + tests[0]["id"].(string)
	one := e.call("GET "+path, "").is(http.StatusOK)
	one.fitsDocument(http.MethodGet, "/v1/tenants/{tenant}/deliveries/{id}")
	attempt, _ := one.json()["attempts"].([]any)[0].(map[string]any)
	require.Equal(t, "short and stout", attempt["response_body"])
	require.Contains(t, attempt["request_body"], `"type":"order.paid"`)
	require.Equal(t, "true", attempt["request_headers"].(map[string]any)["Webhook-Test"])
	require.Equal(t, []any{}, one.json()["upcoming"])
	require.NotContains(t, e.do(request{method: http.MethodGet, path: path, key: e.Key("acme", models.RoleRead)}).is(http.StatusOK).body, "s3cret")
	e.do(request{method: http.MethodGet, path: strings.Replace(path, "acme", "globex", 1), key: e.Tenant("globex")}).is(http.StatusNotFound)
	for _, action := range []string{"retry", "cancel", "pause", "resume"} {
		e.call("POST "+path+"/"+action, "").is(http.StatusNotFound)
	}
}

func TestWebhook_RotateSecret(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	created := e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks"}`)
	path := "POST /v1/tenants/acme/webhooks/" + created.text("id") + "/secret/rotate"
	first := e.call(path, "").is(http.StatusOK).text("secret")
	require.NotEqual(t, created.text("secret"), first)
	require.NotEqual(t, first, e.call(path, `{"overlap":"1h"}`).is(http.StatusOK).text("secret"))
	require.NotEqual(t, first, e.call(path, `{"overlap":0}`).is(http.StatusOK).text("secret"))
	own := "whsec_" + strings.Repeat("MTIzNDU2", 4)
	require.Equal(t, own, e.call(path, `{"secret":"`+own+`"}`).is(http.StatusOK).text("secret"))
	for body, field := range map[string]string{`{"overlap":"a while"}`: "overlap", `{"overlap":"800h"}`: "overlap", `{"secret":"short"}`: "secret"} {
		refused := e.call(path, body).is(http.StatusUnprocessableEntity)
		require.Equal(t, []string{field}, refused.fields())
		require.NotContains(t, refused.body, "short\"")
	}
}

func TestWebhook_ShowsItsHealth(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := newReceiver(t)
	id := e.webhook(r.URL)
	r.answers(http.StatusServiceUnavailable, "")
	event := e.Publish("acme", "order.created", `{}`)
	e.Attempt("acme", e.Deliveries("acme", event)[0].ID)
	w := e.call("GET /v1/tenants/acme/webhooks/"+id, "").json()
	require.InDelta(t, 1, w["failed_attempts"], 0)
	failure, _ := w["last_failure"].(map[string]any)
	require.InDelta(t, 503, failure["status_code"], 0)
	require.Equal(t, "503 Service Unavailable", failure["error"])

	r.answers(http.StatusNoContent, "")
	e.Attempt("acme", e.Deliveries("acme", event)[0].ID)
	w = e.call("GET /v1/tenants/acme/webhooks/"+id, "").json()
	require.InDelta(t, 0, w["failed_attempts"], 0)
	require.NotNil(t, w["last_success_at"])
}

func TestWebhook_ShowsWhomItCouldNotTell(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	id := e.webhook("https://shop.example/hooks")
	n := models.Notification{ID: "ntf_2", WebhookID: id, Kind: models.NotifyWarning}
	require.NoError(t, e.Store.NotificationEnded(t.Context(), &n, models.NoticeSkipped, "no mail was sent"))
	for _, w := range []map[string]any{
		e.call("GET /v1/tenants/acme/webhooks/"+id, "").is(http.StatusOK).json(),
		e.call("GET /v1/tenants/acme/webhooks", "").is(http.StatusOK).data()[0],
	} {
		notice, _ := w["last_notification"].(map[string]any)
		require.Equal(t, "warning", notice["kind"])
		require.Equal(t, "skipped", notice["result"])
		require.Equal(t, "no mail was sent", notice["detail"])
		require.NotEmpty(t, notice["at"])
	}
	require.NoError(t, e.Store.NotificationEnded(t.Context(), &n, models.NoticeSent, ""))
	w := e.call("GET /v1/tenants/acme/webhooks/"+id, "").is(http.StatusOK).json()
	require.Equal(t, "sent", w["last_notification"].(map[string]any)["result"])
	require.Nil(t, w["last_notification"].(map[string]any)["detail"])
}

func TestWebhook_ProductionRefusesDestinations(t *testing.T) {
	t.Parallel()
	e := newEnv(t, servicetest.Strict)
	for _, url := range []string{"http://shop.example/", "https://127.0.0.1/", "https://localhost/", "https://10.1.2.3/", "https://[::1]/", "https://169.254.169.254/latest",
		"https://user:pass@shop.example/", "ftp://shop.example/", "shop.example", "https://", "", "https://shop.example/#top", "https://2130706433/"} {
		refused := e.call("POST /v1/tenants/acme/webhooks", `{"url":"`+url+`"}`).is(http.StatusUnprocessableEntity)
		require.Equal(t, []string{"url"}, refused.fields(), url)
		require.NotContains(t, refused.body, "user:pass")
	}
	require.Empty(t, e.call("GET /v1/tenants/acme/webhooks", "").data())
}
