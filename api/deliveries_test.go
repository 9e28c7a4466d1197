package api_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// deliveryOf publishes an event to the tenant's only webhook and returns its delivery.
func (e *env) deliveryOf(eventType string) string {
	e.t.Helper()
	return e.Deliveries("acme", e.Publish("acme", eventType, `{}`))[0].ID
}

func TestDeliveries_Timeline(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := newReceiver(t)
	webhook := e.call("POST /v1/tenants/acme/webhooks", `{"url":"`+r.URL+`","headers":{"X-Token":"s3cret"},"retry":{"max":3}}`).text("id")
	id := e.deliveryOf("order.created")
	path := "/v1/tenants/acme/deliveries/" + id

	fresh := e.call("GET "+path, "").is(http.StatusOK).json()
	require.Equal(t, "pending", fresh["status"])
	require.Equal(t, []any{}, fresh["attempts"])
	require.Nil(t, fresh["last_attempt"])
	require.Len(t, fresh["upcoming"], 4, "the first attempt and three retries")
	require.NotNil(t, fresh["next_attempt_at"])
	require.Nil(t, fresh["finished_at"])
	require.Equal(t, webhook, fresh["webhook_id"])
	require.Regexp(t, `^deliver/evt_`, fresh["workflow_id"])
	require.Regexp(t, `^http://ui\.test/`, fresh["ui_url"])

	r.answers(http.StatusBadGateway, "\xff\xfe binary")
	e.Attempt("acme", id)
	failed := e.call("GET "+path, "").is(http.StatusOK)
	require.NotContains(t, failed.body, "s3cret")
	attempts, _ := failed.json()["attempts"].([]any)
	require.Len(t, attempts, 1)
	attempt, _ := attempts[0].(map[string]any)
	require.InDelta(t, 1, attempt["number"], 0)
	require.InDelta(t, 502, attempt["status_code"], 0)
	require.Equal(t, "502 Bad Gateway", attempt["error"])
	require.Equal(t, "base64", attempt["response_body_encoding"])
	require.Equal(t, base64.StdEncoding.EncodeToString([]byte("\xff\xfe binary")), attempt["response_body"])
	require.NotEmpty(t, attempt["request_headers"])
	require.NotEmpty(t, attempt["response_headers"])
	upcoming, _ := failed.json()["upcoming"].([]any)
	require.Len(t, upcoming, 3)
	previous := time.Time{}
	for i, planned := range upcoming {
		entry, _ := planned.(map[string]any)
		require.InDelta(t, 2+i, entry["number"], 0)
		at, err := time.Parse(time.RFC3339, entry["at"].(string))
		require.NoError(t, err)
		require.True(t, at.After(previous), "soonest first")
		previous = at
	}
	require.Equal(t, failed.json()["next_attempt_at"], upcoming[0].(map[string]any)["at"])

	r.answers(http.StatusOK, "thanks")
	e.Attempt("acme", id)
	done := e.call("GET "+path, "").is(http.StatusOK).json()
	require.Equal(t, "delivered", done["status"])
	for _, shown := range []map[string]any{done, e.call("GET /v1/tenants/acme/deliveries", "").is(http.StatusOK).data()[0]} {
		require.InDelta(t, 2, shown["attempt_count"], 0)
		latest, _ := shown["last_attempt"].(map[string]any)
		require.InDelta(t, 200, latest["status_code"], 0)
		require.Nil(t, latest["error"])
		require.NotEmpty(t, latest["at"])
	}
	require.Nil(t, done["next_attempt_at"])
	require.NotNil(t, done["finished_at"])
	require.Equal(t, []any{}, done["upcoming"])
	require.InDelta(t, 2, done["attempt_count"], 0)
	last, _ := done["attempts"].([]any)[1].(map[string]any)
	require.Nil(t, last["error"])
	require.Equal(t, "thanks", last["response_body"])
	require.Nil(t, last["response_body_encoding"])
}

func TestDeliveries_DeliveryActions(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	webhook := e.webhook("https://shop.example/hooks")
	path := "/v1/tenants/acme/deliveries/" + e.deliveryOf("order.created")
	for _, step := range []struct {
		action string
		status int
		then   string
	}{
		{"resume", http.StatusConflict, ""},
		{"pause", http.StatusOK, "held"},
		{"pause", http.StatusConflict, ""},
		{"resume", http.StatusOK, "pending"},
		{"retry", http.StatusOK, "pending"},
		{"cancel", http.StatusOK, "canceled"},
		{"cancel", http.StatusConflict, ""},
		{"pause", http.StatusConflict, ""},
		{"retry", http.StatusOK, "pending"},
	} {
		a := e.call("POST "+path+"/"+step.action, "").is(step.status)
		if step.then != "" {
			require.Equal(t, step.then, a.text("status"), step.action)
		}
	}
	e.call("POST /v1/tenants/acme/webhooks/"+webhook+"/disable", "")
	e.call("POST "+path+"/retry", "").is(http.StatusConflict)
	e.call("POST "+path+"/resume", "").is(http.StatusConflict)
	e.call("DELETE /v1/tenants/acme/webhooks/"+webhook, "")
	require.Equal(t, "canceled", e.call("GET "+path, "").is(http.StatusOK).text("status"))
	e.call("POST "+path+"/retry", "").is(http.StatusConflict)
	for _, action := range []string{"retry", "cancel", "pause", "resume"} {
		e.call("POST /v1/tenants/acme/deliveries/dlv_none/"+action, "").is(http.StatusNotFound)
	}
}

// A timeline says which attempts were asked for, and a recovery can be for some of what there is.
func TestDeliveries_WhatIsAskedFor(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	hook := "/v1/tenants/acme/webhooks/" + e.webhook("http://127.0.0.1:1")
	delivery := e.deliveryOf("order.created")
	e.Attempt("acme", delivery)
	e.call("POST /v1/tenants/acme/deliveries/"+delivery+"/retry", "").is(http.StatusOK)
	e.Attempt("acme", delivery)
	var manual []any
	attempts, _ := e.call("GET /v1/tenants/acme/deliveries/"+delivery, "").is(http.StatusOK).json()["attempts"].([]any)
	for _, attempt := range attempts {
		manual = append(manual, attempt.(map[string]any)["manual"])
	}
	require.Equal(t, []any{false, true}, manual)

	r := e.call("POST "+hook+"/recover", `{"channel":"project-1","tag":"import","status_class":4}`).is(http.StatusAccepted).json()
	require.Equal(t, []any{"project-1", "import", 4.0}, []any{r["channel"], r["tag"], r["status_class"]})
	r = e.call("POST "+hook+"/recover", "").is(http.StatusAccepted).json()
	require.Equal(t, []any{nil, nil, nil}, []any{r["channel"], r["tag"], r["status_class"]})
	for body, field := range map[string]string{`{"status_class":6}`: "status_class", `{"status_class":4,"missed":true}`: "status_class",
		`{"channel":"` + strings.Repeat("c", 129) + `"}`: "channel"} {
		require.Equal(t, []string{field}, e.call("POST "+hook+"/recover", body).is(http.StatusUnprocessableEntity).fields(), body)
	}
	require.Nil(t, e.call("GET /v1/tenants/acme/events", "").is(http.StatusOK).data()[0]["data_until"])
}

func TestDeliveries_DeliveryLists(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	webhook := e.webhook("https://shop.example/hooks")
	first := e.deliveryOf("order.created")
	second := e.deliveryOf("order.paid")
	e.call("POST /v1/tenants/acme/deliveries/"+second+"/cancel", "")
	event, err := e.Store.Delivery(t.Context(), "acme", first)
	require.NoError(t, err)
	for query, want := range map[string][]string{
		"":                                {second, first},
		"?webhook_id=" + webhook:          {second, first},
		"?webhook_id=wh_other":            nil,
		"?event_id=" + event.EventID:      {first},
		"?status=canceled":                {second},
		"?status=delivered":               nil,
		"?event_type=order.created":       {first},
		"?since=2020-01-01T00:00:00Z":     {second, first},
		"?until=2020-01-01T00:00:00.123Z": nil,
	} {
		var ids []string
		for _, d := range e.call("GET /v1/tenants/acme/deliveries"+query, "").is(http.StatusOK).data() {
			ids = append(ids, d["id"].(string))
			require.InDelta(t, 0, d["attempts"], 0)
		}
		require.Equal(t, want, ids, query)
	}
	for query, field := range map[string]string{"?status=lost": "status", "?since=1700000000": "since", "?until=now": "until"} {
		require.Equal(t, []string{field}, e.call("GET /v1/tenants/acme/deliveries"+query, "").is(http.StatusUnprocessableEntity).fields())
	}
}

// A pending delivery that somebody has paused in Temporal says so (A10).
func TestDeliveries_ADeliveryThatIsPausedInTemporalSaysSo(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.webhook("https://shop.example/hooks")
	path := "/v1/tenants/acme/deliveries/" + e.deliveryOf("order.created")
	require.Nil(t, e.call("GET "+path, "").is(http.StatusOK).json()["status_reason"])
	e.Engine.Pause(e.Engine.Dispatches()[0].ID)
	paused := e.call("GET "+path, "").is(http.StatusOK).json()
	require.Equal(t, "pending", paused["status"])
	require.Equal(t, "paused in Temporal", paused["status_reason"])
	held := e.call("POST "+path+"/pause", "").is(http.StatusOK).json()
	require.Equal(t, "paused", held["status_reason"], "it does not wait for Temporal any more")
}

// The links that the Temporal Web UI shows lead to the delivery.
func TestDeliveries_LinksToDeliveriesLeadToTheAPI(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	const path = "/tenants/acme/deliveries/dlv_0198c0de-0000-7000-8000-000000000005"
	for link, want := range map[string]string{
		"/console" + path:                        "/v1" + path,
		"/console/tenants/acme/deliveries/dlv_1": "",
		"/console/tenants/acme/deliveries/wh_0198c0de-0000-7000-8000-000000000005": "",
		"/console/tenants/-/deliveries/dlv_0198c0de-0000-7000-8000-000000000005":   "",
	} {
		response := httptest.NewRecorder()
		e.handler.ServeHTTP(response, httptest.NewRequest(http.MethodGet, link, nil))
		if want == "" {
			require.Equal(t, http.StatusNotFound, response.Code, link)
			continue
		}
		require.Equal(t, http.StatusFound, response.Code)
		require.True(t, strings.HasSuffix(response.Header().Get("Location"), want), response.Header().Get("Location"))
	}
}
