package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// damage changes the sealed values of a webhook.
func (e *env) damage(id string, part func(*models.Webhook) []byte) {
	e.t.Helper()
	_, err := e.Store.UpdateWebhook(e.t.Context(), "acme", id, func(w *models.Webhook) error {
		sealed := part(w)
		sealed[len(sealed)-1] ^= 1
		return nil
	})
	require.NoError(e.t, err)
}

func secretsOf(w *models.Webhook) []byte { return w.Secrets }
func headersOf(w *models.Webhook) []byte { return w.Headers }

// A webhook whose secret cannot be opened affects only itself. It can be listed, read and changed, it names the
// problem, and a new secret repairs it.
func TestSealed_AWebhookThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	create := func() string {
		return e.call("POST /v1/tenants/acme/webhooks", `{"url":"https://shop.example/hooks","headers":{"X-Shop":"1"}}`).is(http.StatusCreated).text("id")
	}
	well, noSecret, noHeaders := create(), create(), create()
	e.damage(noSecret, secretsOf)
	e.damage(noHeaders, headersOf)

	list := e.call("GET /v1/tenants/acme/webhooks", "").is(http.StatusOK).data()
	require.Len(t, list, 3)
	reasons := map[string]any{}
	for _, w := range list {
		require.Equal(t, "active", w["status"])
		reasons[w["id"].(string)] = w["status_reason"]
	}
	require.Equal(t, map[string]any{well: nil, noSecret: "the signing secret cannot be opened: rotate it",
		noHeaders: "the headers cannot be opened: set them again"}, reasons)

	for _, id := range []string{noSecret, noHeaders} {
		path := "/v1/tenants/acme/webhooks/" + id
		e.call("GET "+path, "").is(http.StatusOK)
		e.call("PATCH "+path, `{"name":"changed"}`).is(http.StatusOK)
		require.Contains(t, e.call("GET "+path, "").is(http.StatusOK).text("status_reason"), "cannot be opened", "a change of something else leaves it")
		require.Contains(t, e.call("POST "+path+"/test", "").is(http.StatusConflict).text("detail"), "cannot be opened")
		paused := e.call("POST "+path+"/pause", "").is(http.StatusOK).text("status_reason")
		require.True(t, strings.HasPrefix(paused, "paused by ") && strings.Contains(paused, "; the "), paused)
		e.call("POST "+path+"/resume", "").is(http.StatusOK)
	}
	e.call("POST /v1/tenants/acme/webhooks/"+noSecret+"/secret/rotate", "").is(http.StatusOK)
	e.call("PATCH /v1/tenants/acme/webhooks/"+noHeaders, `{"headers":{"X-Shop":"2"}}`).is(http.StatusOK)
	for _, id := range []string{noSecret, noHeaders} {
		w := e.call("GET /v1/tenants/acme/webhooks/"+id, "").is(http.StatusOK).json()
		require.Nil(t, w["status_reason"])
		require.Equal(t, "changed", w["name"])
		require.Len(t, w["headers"], 1)
		e.call("POST /v1/tenants/acme/webhooks/"+id+"/test", "").is(http.StatusOK)
		e.call("DELETE /v1/tenants/acme/webhooks/"+id, "").is(http.StatusNoContent)
	}
}
