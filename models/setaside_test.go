package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// Deliveries of types for which a webhook is no longer registered are canceled with the reason. Those of its registered
// types and wildcards are left.
func TestSetAside_CancelsWhatIsNotWantedAnyMore(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		d := s.Publish(t, "acme", w)[0] // order.created
		wants := func(types ...string) {
			t.Helper()
			_, err := s.UpdateWebhook(t.Context(), "acme", w.ID, func(w *models.Webhook) error { w.EventTypes = types; return nil })
			require.NoError(t, err)
		}
		for _, types := range [][]string{{"order.*"}, {"a", "order.created"}, {"*"}, {}} {
			wants(types...)
			left, err := s.SetAside(t.Context(), []models.Delivery{d})
			require.NoError(t, err)
			require.Equal(t, []models.DeliveryKey{d.Key()}, left, "%q", types)
			require.Equal(t, models.Pending, s.Reload(t, d).Status)
		}
		wants("order.paid", "user.*")
		left, err := s.SetAside(t.Context(), []models.Delivery{d})
		require.NoError(t, err)
		require.Empty(t, left)
		canceled := s.Reload(t, d)
		require.Equal(t, models.Canceled, canceled.Status)
		require.Equal(t, models.ReasonUnwanted, canceled.StatusReason)
		require.Nil(t, canceled.NextAttemptAt)
		require.NotNil(t, canceled.FinishedAt)

		wants(models.NoEventTypes)
		d = s.Publish(t, "acme", w)[0]
		_, err = s.SetAside(t.Context(), []models.Delivery{d})
		require.NoError(t, err)
		require.Equal(t, models.Canceled, s.Reload(t, d).Status)
	})
}
