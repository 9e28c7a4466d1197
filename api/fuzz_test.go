package api_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// FuzzBodies checks that /v1 answers any body, and never with a 5xx. A refusal is a problem in UTF-8 that names the
// mistake in few words.
func FuzzBodies(f *testing.F) {
	e := servicetest.New(f)
	handler, err := api.New(api.Options{Service: e.Service, Store: e.Store, Version: "1.2.3", Log: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	e.Tenant("acme")
	e.EventTypes("order.created")
	hook := "/v1/tenants/acme/webhooks/" + e.Webhook("acme", "https://127.0.0.1:1/hooks").ID
	routes := []string{"PUT /v1/tenants/acme", "PUT /v1/event-types/order.paid", "POST /v1/tenants/acme/webhooks", "PATCH " + hook, "POST " + hook + "/secret/rotate",
		"POST " + hook + "/recover", "POST " + hook + "/disable", "POST " + hook + "/enable", "POST /v1/tenants/acme/keys", "POST /v1/tenants/acme/events", "POST /v1/tenants/acme/events/batch",
		"POST /v1/tenants/acme/events/match"}
	for i, seed := range []string{`{"name":"a","admin_emails":["a@b.example"],"id":"acme","created_at":null}`, `{"schema":{"type":"object"},"example":{},"name":"order.paid"}`,
		`{"url":"https://127.0.0.1:1/","headers":{"X-A":"********"},"retry":{"initial":1e300,"max":-1},"timeout":"1h","rate_limit":1e-300}`,
		`{"status":"active","headers":{"a":"1"},"retry":{},"timeout":0,"event_types":["order.*"],"failed_attempts":1e999}`, `{"overlap":"0s","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`,
		`{"since":"0000-01-01T00:00:00Z","until":"9999-12-31T23:59:59-23:59","rate":0.1,"statuses":["held"]}`, `{"reason":"\u0000"}`, `{"recover":true}`, `{"role":"read","name":"\ud800"}`,
		`{"type":"order.created","data":{"n":1e999999},"id":"x","attributes":{"a":"b"}}`, `{"events":[{"type":"order.created","data":1}]}`, `{"type":"order.created","data":null}`} {
		f.Add(uint8(i), seed)
	}
	f.Fuzz(func(t *testing.T, route uint8, body string) {
		method, path, _ := strings.Cut(routes[int(route)%len(routes)], " ")
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+servicetest.AdminKey)
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, r)
		require.Less(t, recorder.Code, 500, "%s %s: %s", method, path, recorder.Body)
		if recorder.Code < 400 {
			return
		}
		require.Equal(t, "application/problem+json", recorder.Header().Get("Content-Type"))
		require.True(t, utf8.Valid(recorder.Body.Bytes()))
		require.Less(t, recorder.Body.Len(), 64<<10+4*len(body))
		var problem struct {
			Title, Detail string
			Status        int
		}
		require.NoError(t, json.Unmarshal(recorder.Body.Bytes(), &problem))
		require.Equal(t, recorder.Code, problem.Status)
		require.NotEmpty(t, problem.Title+problem.Detail)
		require.NotEqual(t, http.StatusUnauthorized, recorder.Code)
	})
}
