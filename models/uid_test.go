package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// A webhook's uid is its own within the tenant, until it is deleted.
func TestUIDs_WebhookUIDs(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		create := func(tenant, uid string) (models.Webhook, error) {
			w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, UID: uid, Metadata: map[string]string{"a": "b"}}
			return w, s.CreateWebhook(t.Context(), &w)
		}
		s.Tenant(t, "acme")
		s.Tenant(t, "globex")
		for range 2 { // without a uid there is nothing to be unique
			_, err := create("acme", "")
			require.NoError(t, err)
		}
		first, err := create("acme", "shop")
		require.NoError(t, err)
		_, err = create("acme", "shop")
		require.ErrorIs(t, err, models.ErrUIDTaken)
		_, err = create("globex", "shop")
		require.NoError(t, err)

		id, err := s.WebhookByUID(t.Context(), "acme", "shop")
		require.NoError(t, err)
		require.Equal(t, first.ID, id)
		_, err = s.WebhookByUID(t.Context(), "acme", "")
		require.ErrorIs(t, err, models.ErrNotFound)

		second, err := create("acme", "other")
		require.NoError(t, err)
		rename := func(w *models.Webhook) error { w.UID = "shop"; return nil }
		_, err = s.UpdateWebhook(t.Context(), "acme", second.ID, rename)
		require.ErrorIs(t, err, models.ErrUIDTaken)
		_, err = s.DeleteWebhook(t.Context(), "acme", first.ID)
		require.NoError(t, err)
		_, err = s.UpdateWebhook(t.Context(), "acme", second.ID, rename)
		require.NoError(t, err)
		read, err := s.Store.Webhook(t.Context(), "acme", second.ID)
		require.NoError(t, err)
		require.Equal(t, "shop", read.UID)
		require.Equal(t, map[string]string{"a": "b"}, read.Metadata)
	})
}

// No two tenants have a name in common, whether it is an id or a uid.
func TestUIDs_TenantUIDs(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		name := func(id, uid string) error {
			_, err := s.UpdateTenant(t.Context(), id, func(t *models.Tenant) error { t.UID = uid; return nil })
			return err
		}
		require.NoError(t, name(acme, "crm"))
		require.ErrorIs(t, name(globex, "crm"), models.ErrUIDTaken)
		require.ErrorIs(t, name(globex, "acme"), models.ErrUIDTaken)
		require.NoError(t, name(globex, "globex"), "its own id")
		_, err := s.PutTenant(t.Context(), &models.Tenant{Slug: "crm"})
		require.ErrorIs(t, err, models.ErrUIDTaken)
		_, err = s.PutTenant(t.Context(), &models.Tenant{Slug: "acme", Name: "New", UID: "new"})
		require.NoError(t, err)
		for _, taken := range []string{"crm", "acme", "globex"} {
			_, err = s.PutTenant(t.Context(), &models.Tenant{Slug: "initech", UID: taken})
			require.ErrorIs(t, err, models.ErrUIDTaken, taken)
		}
		created, err := s.PutTenant(t.Context(), &models.Tenant{Slug: "initech", UID: "erp"})
		require.NoError(t, err)
		require.True(t, created)
		require.ErrorIs(t, name(globex, "erp"), models.ErrUIDTaken)
		found, err := s.TenantByUID(t.Context(), "crm")
		require.NoError(t, err)
		require.Equal(t, "New", found.Name)
		require.Equal(t, "crm", found.UID, "putting a tenant leaves its uid")
		require.NoError(t, s.DeleteTenant(t.Context(), acme))
		require.NoError(t, name(globex, "crm"))
		_, err = s.TenantByUID(t.Context(), "acme")
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

// Of a tenant that is being made and another that takes its name as a uid at the same time, one is refused.
func TestUIDs_ANameIsGivenOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme, other := s.Tenant(t, "acme"), s.Open(t)
		for i := range 10 {
			slug := string(rune('a' + i))
			done := make(chan error)
			go func() {
				_, err := other.PutTenant(t.Context(), &models.Tenant{Slug: slug})
				done <- err
			}()
			_, named := s.UpdateTenant(t.Context(), acme, func(t *models.Tenant) error { t.UID = slug; return nil })
			made := <-done
			require.NotEqual(t, named == nil, made == nil, "%v, %v", named, made)
		}
	})
}
