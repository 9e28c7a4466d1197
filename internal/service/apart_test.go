package service_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// outbox remembers the requests it was given.
type outbox struct{ sent []sender.Request }

func (p *outbox) Post(_ context.Context, r sender.Request) sender.Result {
	p.sent = append(p.sent, r)
	return sender.Result{Outcome: sender.Received, StatusCode: 200}
}

// Headers that would fill the memory for webhooks are not kept there, but are sent like any other.
func TestLargeHeaders_AreReadForEachPost(t *testing.T) {
	t.Parallel()
	var p outbox
	env := servicetest.New(t, servicetest.WithPoster(&p))
	env.Tenant("acme")
	env.EventTypes("order.created")
	post := func(id string) string {
		t.Helper()
		env.Clock.Advance(2 * time.Second)
		r, err := env.Service.Receiver(t.Context(), "acme", id)
		require.NoError(t, err)
		env.Service.Post(t.Context(), r, &models.Event{Tenant: "acme", ID: "evt", Type: "order.created", Data: []byte(`{}`)})
		return p.sent[len(p.sent)-1].Header.Get("X-Large")
	}
	url := "https://receiver.example/hook"
	create := func(value string) models.Webhook {
		headers := map[string]string{"X-Large": value}
		for _, name := range []string{"X-1", "X-2", "X-3"} {
			headers[name] = value
		}
		w, _, err := env.Service.CreateWebhook(t.Context(), "acme", service.WebhookChange{URL: &url, Headers: &headers})
		require.NoError(t, err)
		return w
	}
	small, large := create("v"), create(strings.Repeat("v", 1000))
	require.Equal(t, "v", post(small.ID))
	require.Len(t, post(large.ID), 1000)
	require.False(t, env.Service.IsApart(t.Context(), "acme", small.ID))
	require.True(t, env.Service.IsApart(t.Context(), "acme", large.ID))
	_, err := env.Another().UpdateWebhook(t.Context(), "acme", large.ID, service.WebhookChange{Headers: &map[string]string{"X-Large": "other"}})
	require.NoError(t, err)
	require.Equal(t, "other", post(large.ID))
	require.False(t, env.Service.IsApart(t.Context(), "acme", large.ID))
	_, err = env.Service.DeleteWebhook(t.Context(), "acme", large.ID)
	require.NoError(t, err)
	_, err = env.Service.Receiver(t.Context(), "acme", large.ID)
	var refused *service.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, service.NotFound, refused.Code)
}
