package models_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// A tenant's own event types have a limit in number and in bytes. A refused call changes nothing.
func TestTypeLimits_EventTypesAreBounded(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		types := func(n, bytes int) []models.EventType {
			all := make([]models.EventType, n)
			for i := range all {
				all[i] = models.EventType{Tenant: tenant, Name: fmt.Sprintf("type.n%04d", i), Schema: strings.Repeat("s", bytes)}
			}
			return all
		}
		require.NoError(t, s.PutEventTypes(t.Context(), types(1000, 0)))
		version := s.Version(t, "acme")
		err := s.PutEventTypes(t.Context(), []models.EventType{{Tenant: tenant, Name: "more"}})
		require.Equal(t, &models.FullError{Kind: "event types", Limit: 1000}, err)
		require.NoError(t, s.PutEventTypes(t.Context(), types(4, 1<<20)), "others in the place of those")
		err = s.PutEventTypes(t.Context(), types(5, 1<<20))
		require.Equal(t, &models.FullError{Kind: "bytes of event types", Limit: 4 << 20}, err)
		require.Equal(t, version+1, s.Version(t, "acme"))
		schemas, err := s.Schemas(t.Context(), tenant)
		require.NoError(t, err)
		require.Len(t, schemas, 1000)
		require.Empty(t, schemas["type.n0004"])
		require.NoError(t, s.PutEventTypes(t.Context(), []models.EventType{{Name: "shared", Schema: strings.Repeat("s", 5<<20)}}), "shared ones have another bound")
	})
}
