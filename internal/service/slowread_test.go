package service_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
)

// A list that takes too long is refused for now, and is not an internal error.
func TestSlowRead_IsRefused(t *testing.T) {
	t.Parallel()
	store, err := models.Open(t.Context(), modelstest.SQLite(t), models.Options{ReadFor: time.Nanosecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	s := service.New(service.Options{Store: store})
	_, _, err = s.PutTenant(t.Context(), models.Tenant{ID: "acme"})
	require.NoError(t, err)
	page := models.Page{Limit: 1}
	for name, read := range map[string]func() error{
		"tenants":  func() error { _, _, err := s.Tenants(t.Context(), page); return err },
		"webhooks": func() error { _, _, err := s.Webhooks(t.Context(), "acme", models.WebhookFilter{}, page); return err },
		"events":   func() error { _, _, _, err := s.Events(t.Context(), "acme", service.EventSearch{}, page); return err },
		"event":    func() error { _, err := s.Event(t.Context(), "acme", "evt_1"); return err },
		"deliveries": func() error {
			_, _, err := s.Deliveries(t.Context(), "acme", models.DeliveryFilter{}, page)
			return err
		},
		"delivery": func() error { _, err := s.Delivery(t.Context(), "acme", "dlv_1"); return err },
		"calls":    func() error { _, _, err := s.Calls(t.Context(), "acme", models.CallFilter{}, 1, 0); return err },
		"keys":     func() error { _, _, err := s.Keys(t.Context(), "acme", models.Page{Limit: 1}); return err },
		"types":    func() error { _, _, err := s.EventTypes(t.Context(), "acme", models.Page{Limit: 1}); return err },
	} {
		var refused *service.Error
		require.ErrorAs(t, read(), &refused, name)
		require.Equal(t, service.Unavailable, refused.Code, name)
		require.Contains(t, refused.Detail, "takes too long", name)
	}
}
