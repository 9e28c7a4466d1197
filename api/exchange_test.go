package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/wire"
	"github.com/posthorn/posthorn/models"
)

// attempts returns the attempts of a delivery, read with a key.
func (e *env) attempts(delivery, key string) []map[string]any {
	e.t.Helper()
	got := e.do(request{method: "GET", path: "/v1/tenants/acme/deliveries/" + delivery, key: key}).is(http.StatusOK).json()
	listed, _ := got["attempts"].([]any)
	attempts := make([]map[string]any, len(listed))
	for i := range listed {
		attempts[i], _ = listed[i].(map[string]any)
	}
	return attempts
}

// echo is a receiver that repeats the request in its headers and in a body of more than 16 KiB, and keeps the request's
// body.
func echo(t *testing.T, got *[]byte) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*got, _ = io.ReadAll(r.Body)
		for name, values := range r.Header {
			w.Header()["X-Echo-"+name] = values
		}
		w.Header()["X-Many"] = []string{"a", "b, c", "a"}
		w.Header().Set("Set-Cookie", "session=1")
		w.WriteHeader(http.StatusInternalServerError)
		assert.NoError(t, json.NewEncoder(w).Encode(map[string]any{"headers": r.Header, "url": r.RequestURI}))
		_, _ = fmt.Fprint(w, strings.Repeat("日", 16<<10/3)) // the cut falls within one
	}))
	t.Cleanup(server.Close)
	return server
}

// An attempt shows the request and the whole answer, but no secret that the receiver echoed. This holds for its owner,
// for a read-only key, and for a test's answer.
func TestExchange_AnAttemptShowsTheWholeExchange(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	reader := e.Key("acme", models.RoleRead)
	var got []byte
	r := echo(t, &got)
	const own, token = `S3cret "value"/+`, "t0ken-in-the-query"
	headers, err := json.Marshal(map[string]string{"X-Own": own})
	require.NoError(t, err)
	url := r.URL + "/hook?token=" + token
	created := e.call("POST /v1/tenants/acme/webhooks", `{"url":"`+url+`","headers":`+string(headers)+`}`).is(http.StatusCreated)
	signing := created.text("secret")
	id := e.Deliveries("acme", e.Publish("acme", "order.created", `{"n":1.0,"text":"日本"}`))[0].ID
	e.Attempt("acme", id)

	check := func(a map[string]any) {
		require.Equal(t, string(got), a["request_body"])
		require.Contains(t, a["request_body"], `{"n":1.0,"text":"日本"}`, "byte for byte")
		require.Equal(t, false, a["request_body_truncated"])
		require.Equal(t, true, a["response_body_truncated"])
		require.Nil(t, a["response_body_encoding"], "it is text still")
		// The last character may be masked: one in 256 keys begins with its last byte.
		require.True(t, strings.HasSuffix(strings.TrimSuffix(a["response_body"].(string), wire.Masked), "日"))
		headers, _ := a["response_headers"].(map[string]any)
		require.Equal(t, "a, b, c, a", headers["X-Many"])
		values, _ := a["response_header_values"].(map[string]any)
		require.Equal(t, []any{"a", "b, c", "a"}, values["X-Many"])
		require.Len(t, values, len(headers))
		require.Equal(t, wire.Masked, headers["X-Echo-X-Own"])
		require.Equal(t, wire.Masked, headers["X-Echo-Webhook-Signature"])
		require.NotEqual(t, wire.Masked, headers["X-Echo-Webhook-Id"])
		tries, _ := a["tries"].([]any)
		require.Len(t, tries, 1)
		require.Equal(t, map[string]any{"started_at": a["started_at"], "error": a["error"]}, tries[0])
		shown, err := json.Marshal([]any{a["response_headers"], a["response_header_values"], a["response_body"], a["request_headers"], a["error"], a["tries"]})
		require.NoError(t, err)
		for _, secret := range []string{own, `S3cret \"value\"/+`, signing, strings.TrimPrefix(signing, "whsec_"), token, "v1,", "session=1"} {
			require.NotContains(t, string(shown), secret)
		}
		require.Contains(t, string(shown), wire.Masked)
	}
	owners := e.attempts(id, "")[0]
	check(owners)
	require.Equal(t, url, owners["url"])
	readers := e.attempts(id, reader)[0]
	check(readers)
	require.Equal(t, r.URL+"/hook", readers["url"])

	report := e.call("POST /v1/tenants/acme/webhooks/"+created.text("id")+"/test", `{"event_type":"order.created"}`).is(http.StatusOK).json()
	test, _ := report["tests"].([]any)[0].(map[string]any)
	test["request_body"] = strings.Replace(test["request_body"].(string), "{}", `{"n":1.0,"text":"日本"}`, 1) // it has the example's data
	got = []byte(test["request_body"].(string))
	check(test)
	require.Equal(t, url, test["url"])
}

// An attempt shows its destination, even if the webhook has another URL now. Once the event is erased, it no longer
// shows the body.
func TestExchange_AnAttemptKeepsWhereItWent(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	r := newReceiver(t)
	r.answers(http.StatusBadGateway, "")
	webhook := e.webhook(r.URL + "/first")
	event := e.Publish("acme", "order.created", `{"big":"`+strings.Repeat("é", 64<<10)+`"}`)
	id := e.Deliveries("acme", event)[0].ID
	e.Attempt("acme", id)
	e.call("PATCH /v1/tenants/acme/webhooks/"+webhook, `{"url":"`+r.URL+`/second"}`).is(http.StatusOK)
	e.Attempt("acme", id)
	attempts := e.attempts(id, "")
	require.Equal(t, []any{r.URL + "/first", r.URL + "/second"}, []any{attempts[0]["url"], attempts[1]["url"]})
	for _, a := range attempts {
		require.Equal(t, true, a["request_body_truncated"])
		require.Less(t, 64<<10-2, len(a["request_body"].(string)))
		require.GreaterOrEqual(t, 64<<10, len(a["request_body"].(string)))
		require.True(t, strings.HasSuffix(a["request_body"].(string), "é"), "whole characters")
	}
	e.call("DELETE /v1/tenants/acme/webhooks/"+webhook, "")
	require.Equal(t, attempts, e.attempts(id, ""), "the webhook's end changes nothing")

	e.call("DELETE /v1/tenants/acme/events/"+event+"/payload", "")
	for i, a := range e.attempts(id, "") {
		require.Nil(t, a["request_body"])
		require.Equal(t, false, a["request_body_truncated"])
		require.Equal(t, attempts[i]["url"], a["url"])
	}
}

// The URL of a webhook is stored in one form, and sending that form back changes nothing.
func TestExchange_AWebhooksURLIsKeptInOneForm(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	made := e.call("POST /v1/tenants/acme/webhooks", `{"url":"HTTPS://BÜCHER.example:443/é x?q=a b&r=%2f"}`).is(http.StatusCreated)
	const canonical = "https://xn--bcher-kva.example/%C3%A9%20x?q=a%20b&r=%2f"
	require.Equal(t, canonical, made.text("url"))
	path := "/v1/tenants/acme/webhooks/" + made.text("id")
	require.Equal(t, canonical, e.call("GET "+path, "").text("url"))
	require.Equal(t, canonical, e.call("PATCH "+path, `{"url":"`+canonical+`"}`).is(http.StatusOK).text("url"))
	for _, url := range []string{"https://a..b/", "https://shop.example/ ", `https://shop.example/a\\b`, "https://shop.example/?%", "https://" + strings.Repeat("a", 64) + ".example/"} {
		require.Equal(t, []string{"url"}, e.call("PATCH "+path, `{"url":"`+url+`"}`).is(http.StatusUnprocessableEntity).fields(), url)
	}
	require.Equal(t, canonical, e.call("GET "+path, "").text("url"), "what is refused changes nothing")
	for _, spelling := range []string{"https://xn--bcher-kva.example/%25C3%25A9%2520x%3Fq=a%2520b%26r=%252f", "HTTPS://B%C3%9CCHER.example:443/%C3%A9%20x%3Fq=a%20b%26r=%252f"} {
		require.Len(t, e.call("GET /v1/tenants/acme/webhooks?url="+spelling, "").data(), 1, spelling)
	}
	require.Empty(t, e.call("GET /v1/tenants/acme/webhooks?url=https://other.example/", "").data())
}
