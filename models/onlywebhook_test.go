package models_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestOfSeveralOnlyWebhooksOneIsCreated(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		s.Webhook(t, tenant) // of another profile
		only := func() error {
			return s.CreateOnlyWebhook(t.Context(), &models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: "im4",
				Status: models.WebhookActive, EventTypes: []string{}, Settings: map[string]string{}, Headers: []byte{}, Secrets: []byte{}})
		}
		var created atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := only(); err == nil {
					created.Add(1)
				} else if !errors.Is(err, models.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int32(1), created.Load())

		all, _, err := s.Webhooks(t.Context(), tenant, models.WebhookFilter{Profile: "im4"}, models.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, all, 1)
		_, err = s.DeleteWebhook(t.Context(), tenant, all[0].ID)
		require.NoError(t, err)
		require.NoError(t, only(), "a deleted one does not count")
		require.ErrorIs(t, s.CreateOnlyWebhook(t.Context(), &models.Webhook{Tenant: "nobody", Profile: "im4"}), models.ErrNotFound)
	})
}

func TestNoEventTypeIsWanted(t *testing.T) {
	t.Parallel()
	w := models.Webhook{EventTypes: []string{models.NoEventTypes}}
	for _, name := range []string{"order.created", "webhook.deactivated", "a"} {
		require.False(t, w.Wants(name))
	}
}
