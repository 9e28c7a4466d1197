package models_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// catalogue makes event types of a system for a tenant.
func catalogue(tenant, system, title string, names ...string) (types []models.EventType) {
	for _, name := range names {
		types = append(types, models.EventType{Tenant: tenant, Name: name, System: system, Title: title})
	}
	return types
}

// owners returns the system and the title of each type that the tenant sees.
func (s *database) owners(t *testing.T, tenant string) map[string]string {
	t.Helper()
	types, err := s.EventTypes(t.Context(), tenant)
	require.NoError(t, err)
	all := map[string]string{}
	for _, e := range types {
		all[e.Name] = e.System + " " + e.Title
	}
	return all
}

func TestCatalog_Catalogues(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		s.Tenant(t, "globex")
		require.NoError(t, s.PutEventTypes(t.Context(), catalogue("", "", "shared", "a", "b")))
		first := catalogue(tenant, "first", "1", "a", "b")
		require.NoError(t, s.CompleteCatalog(t.Context(), first, nil))
		require.Equal(t, map[string]string{"a": "first 1", "b": "first 1"}, s.owners(t, tenant), "the system's own go before the shared ones")
		require.Equal(t, map[string]string{"a": " shared", "b": " shared"}, s.owners(t, "globex"))

		version := s.Version(t, tenant)
		require.NoError(t, s.CompleteCatalog(t.Context(), catalogue(tenant, "first", "2", "a", "b"), []string{"a"}))
		require.Equal(t, "first 1", s.owners(t, tenant)["a"], "what is there stays as it is")
		require.Equal(t, version, s.Version(t, tenant), "and nobody reads anything again")
		renewed := catalogue(tenant, "first", "2", "a", "b")
		require.NoError(t, s.LoadCatalog(t.Context(), renewed))
		require.Equal(t, "first 2", s.owners(t, tenant)["a"], "unless it is loaded again")
		require.False(t, renewed[1].UpdatedAt.IsZero())

		var taken *models.TypeTakenError
		require.ErrorAs(t, s.LoadCatalog(t.Context(), catalogue(tenant, "second", "1", "b", "c")), &taken)
		require.Equal(t, models.TypeTakenError{Name: "b", System: "first"}, *taken)
		require.Equal(t, map[string]string{"a": "first 2", "b": "first 2"}, s.owners(t, tenant), "all of it or nothing")

		require.NoError(t, s.CompleteCatalog(t.Context(), catalogue(tenant, "second", "1", "b", "c"), []string{"c"}))
		require.Equal(t, map[string]string{"a": "first 2", "b": "first 2", "c": "second 1"}, s.owners(t, tenant))

		// A webhook of the first system whose types or patterns match the name keeps it.
		w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: "first", Status: models.WebhookActive,
			EventTypes: []string{"b*"}, Settings: map[string]string{}}
		require.NoError(t, s.CreateWebhook(t.Context(), &w))
		require.ErrorAs(t, s.CompleteCatalog(t.Context(), catalogue(tenant, "second", "1", "b", "c"), []string{"b"}), &taken)
		require.Equal(t, "first 2", s.owners(t, tenant)["b"])
		_, err := s.DeleteWebhook(t.Context(), tenant, w.ID)
		require.NoError(t, err)
		require.NoError(t, s.CompleteCatalog(t.Context(), catalogue(tenant, "second", "1", "b", "c"), []string{"b"}))
		require.Equal(t, map[string]string{"a": "first 2", "b": "second 1", "c": "second 1"}, s.owners(t, tenant))

		require.ErrorIs(t, s.LoadCatalog(t.Context(), catalogue("nobody", "first", "1", "a")), models.ErrNotFound)
		require.ErrorIs(t, s.CompleteCatalog(t.Context(), catalogue("nobody", "first", "1", "a"), nil), models.ErrNotFound)
	})
}

// TestCatalog_TwoCataloguesAtOnce: of two catalogues with a common name, one is loaded and the other refused.
func TestCatalog_TwoCataloguesAtOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		results := make(chan error, 2)
		var wg sync.WaitGroup
		for _, system := range []string{"first", "second"} {
			wg.Go(func() { results <- s.LoadCatalog(t.Context(), catalogue(tenant, system, "1", "a", system)) })
		}
		wg.Wait()
		close(results)
		refused := 0
		for err := range results {
			if err != nil {
				_, taken := errors.AsType[*models.TypeTakenError](err)
				require.True(t, taken, err)
				refused++
			}
		}
		require.Equal(t, 1, refused)
		require.Len(t, s.owners(t, tenant), 2)
	})
}
