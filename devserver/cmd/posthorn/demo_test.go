package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// The demo creates its webhooks once, and points them to its receivers after each start.
func TestDemo_CreatesItsWebhooksOnce(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	require.NoError(t, seed(t.Context(), env.Service))
	urls := func() map[string]string {
		rows, _, err := env.Store.Webhooks(t.Context(), "demo", models.WebhookFilter{}, models.Page{Limit: 100})
		require.NoError(t, err)
		all := map[string]string{}
		for _, w := range rows {
			all[w.UID] = w.URL
		}
		require.Len(t, all, len(rows))
		return all
	}
	d := &demo{log: slog.New(slog.DiscardHandler)}
	require.NoError(t, d.start(t.Context(), env.Service))
	first := urls()
	require.Len(t, first, len(demoReceivers))
	require.NoError(t, d.start(t.Context(), env.Service))
	second := urls()
	require.Len(t, second, len(demoReceivers))
	for uid, url := range second {
		require.NotEqual(t, first[uid], url)
		require.True(t, strings.HasPrefix(url, d.url), url)
	}

	event := env.Publish("demo", "order.created", `{"order_id":1}`)
	statuses := map[string]int{}
	for _, delivery := range env.Deliveries("demo", event) {
		w, err := env.Store.Webhook(t.Context(), "demo", delivery.WebhookID)
		require.NoError(t, err)
		if w.UID != "demo-slow" {
			statuses[w.UID] = env.Attempt("demo", delivery.ID).StatusCode
		}
	}
	require.Equal(t, map[string]int{"demo-well": 200, "demo-fails": 503}, statuses)
}
