package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestSystemSettings_AreKeptByTenantAndSystem(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant, other := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		read := func(tenant, system string) string {
			row, err := s.SystemSettings(t.Context(), tenant, system)
			if err != nil {
				require.ErrorIs(t, err, models.ErrNotFound)
				return "none"
			}
			return row.Settings
		}
		require.Equal(t, "none", read(tenant, "im4"))
		for _, settings := range []string{`{"a":1}`, `{"a":2}`} {
			require.NoError(t, s.PutSystemSettings(t.Context(), tenant, "im4", settings))
			require.Equal(t, settings, read(tenant, "im4"))
		}
		require.NoError(t, s.PutSystemSettings(t.Context(), other, "im4", `{}`))
		require.Equal(t, "none", read(tenant, "phrase"))
		require.NoError(t, s.DeleteSystemSettings(t.Context(), tenant, "im4"))
		require.Equal(t, "none", read(tenant, "im4"))
		require.Equal(t, `{}`, read(other, "im4"))
		require.NoError(t, s.DeleteTenant(t.Context(), other))
		require.ErrorIs(t, s.PutSystemSettings(t.Context(), other, "im4", `{}`), models.ErrNotFound)
		s.runJobs(t)
		require.Equal(t, "none", read(other, "im4"))
	})
}
