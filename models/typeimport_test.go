package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// An import is one transaction: it creates, updates and removes, and a dry run says the same and changes nothing.
func TestTypeImport_ImportTypes(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		require.NoError(t, s.PutEventTypes(t.Context(), []models.EventType{{Name: "a"}, {Name: "b"}, {Name: "c"}}))
		require.NoError(t, s.PutEventTypes(t.Context(), []models.EventType{{Tenant: tenant, Name: "own"}}))
		types := func() []models.EventType {
			return []models.EventType{{Name: "a"}, {Name: "b", Description: "new"}, {Name: "d"}}
		}
		want := models.TypeChanges{Created: []string{"d"}, Updated: []string{"b"}, Deleted: []string{"c"}, Unchanged: 1}
		names := func() []string {
			all, err := s.EventTypeNames(t.Context(), tenant)
			require.NoError(t, err)
			return all
		}
		before := names()
		got, err := s.ImportTypes(t.Context(), types(), []string{"c", "own", "none"}, true)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, before, names())
		b, err := s.EventType(t.Context(), "", "b")
		require.NoError(t, err)
		require.Empty(t, b.Description)

		got, err = s.ImportTypes(t.Context(), types(), []string{"c", "own", "none"}, false)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, []string{"a", "b", "d", "own"}, names(), "a tenant's own type is not shared")
		got, err = s.ImportTypes(t.Context(), types(), []string{"c"}, false)
		require.NoError(t, err)
		require.Equal(t, models.TypeChanges{Unchanged: 3}, got)
	})
}

// A webhook names a type by its name: not by a wildcard, and not once it is deleted.
func TestTypeImport_NamedTypes(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		for tenant, types := range map[string][]string{"acme": {"order.created", "user.*"}, "other": {"user.created"}} {
			w := s.Webhook(t, s.Tenant(t, tenant))
			_, err := s.UpdateWebhook(t.Context(), w.Tenant, w.ID, func(is *models.Webhook) error { is.EventTypes = types; return nil })
			require.NoError(t, err)
		}
		named, err := s.NamedTypes(t.Context(), []string{"user.deleted", "user.created", "order.created", "order.lost"})
		require.NoError(t, err)
		require.Equal(t, []string{"order.created", "user.created"}, named)
	})
}
