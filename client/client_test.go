package client_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
	"github.com/posthorn/posthorn/client"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// served is a Posthorn with the tenant acme, and a client of it with the tenant's key.
func served(t *testing.T) (*servicetest.Env, string, *client.ClientWithResponses) {
	t.Helper()
	env := servicetest.New(t)
	handler, err := api.New(api.Options{Service: env.Service, Store: env.Store, Version: "test", Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, env.Tenant("acme"))
	require.NoError(t, err)
	env.EventTypes("order.created")
	return env, server.URL, c
}

func TestClient_PublishesAndReads(t *testing.T) {
	t.Parallel()
	_, _, c := served(t)
	made, err := c.CreateWebhookWithResponse(t.Context(), "acme", client.WebhookInput{URL: "https://shop.example/hooks"})
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, made.StatusCode())
	require.NotEmpty(t, *made.JSON201.Secret)
	require.Nil(t, made.JSON201.LastFailure, "null is nil")

	data := json.RawMessage(`{"n":12345678901234567890,"b":1,"a":2}`)
	accepted, err := c.PublishEventWithResponse(t.Context(), "acme", nil, client.EventInput{Type: "order.created", Data: data})
	require.NoError(t, err)
	event, err := c.GetEventWithResponse(t.Context(), "acme", accepted.JSON202.ID)
	require.NoError(t, err)
	require.Equal(t, string(data), string(event.JSON200.Data), "byte for byte")
	require.Len(t, event.JSON200.Deliveries, 1)
	delivery, err := c.GetDeliveryWithResponse(t.Context(), "acme", event.JSON200.Deliveries[0].ID)
	require.NoError(t, err)
	require.Equal(t, "pending", delivery.JSON200.Status)
	require.WithinDuration(t, time.Now(), delivery.JSON200.CreatedAt, time.Minute)

	status := "disabled"
	listed, err := c.ListWebhooksWithResponse(t.Context(), "acme", &client.ListWebhooksParams{Status: &status})
	require.NoError(t, err)
	require.Empty(t, listed.JSON200.Data)
	gone, err := c.DeleteWebhookWithResponse(t.Context(), "acme", made.JSON201.ID)
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, gone.StatusCode())
}

func TestClient_ErrorsCarryTheProblem(t *testing.T) {
	t.Parallel()
	_, url, c := served(t)
	refused := func(err error) *client.Error {
		t.Helper()
		var e *client.Error
		require.ErrorAs(t, err, &e)
		return e
	}
	_, err := c.PublishEventWithResponse(t.Context(), "acme", nil, client.EventInput{Type: "order.lost", ID: new("a b"), Data: json.RawMessage(`{}`)})
	e := refused(err)
	require.Equal(t, http.StatusUnprocessableEntity, e.Status)
	require.Equal(t, "Unprocessable Entity", e.Title)
	require.Equal(t, "the request is not valid", e.Detail)
	require.NotEmpty(t, e.RequestID)
	fields := map[string]string{}
	for _, f := range e.Errors {
		fields[f.Field] = f.Message
	}
	require.Contains(t, fields, "type")
	require.Contains(t, fields, "id")
	require.Contains(t, err.Error(), "422: the request is not valid; ")
	require.Contains(t, err.Error(), "type: "+fields["type"])

	stranger, err := client.New(url, "nobody's")
	require.NoError(t, err)
	_, err = stranger.ListTenantsWithResponse(t.Context(), nil)
	require.Equal(t, http.StatusUnauthorized, refused(err).Status)
}

func TestClient_TellsWhatIsNoPosthorn(t *testing.T) {
	t.Parallel()
	answer := func(http.ResponseWriter) {}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
	t.Cleanup(server.Close)
	c, err := client.New(server.URL+"/below", "key")
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		answer func(http.ResponseWriter)
		want   client.Error
	}{
		"a page": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "<html>") }, client.Error{Status: 200, Title: "OK"}},
		"a proxy": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, client.Error{Status: 503, Title: "Service Unavailable", RetryAfter: 7 * time.Second}},
		"not a problem": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "<")
		}, client.Error{Status: 500, Title: "Internal Server Error"}},
	} {
		answer = tt.answer
		_, err := c.ListTenantsWithResponse(t.Context(), nil)
		var e *client.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, &tt.want, e, name)
		require.Contains(t, e.Error(), "no Posthorn", name)
	}
}
