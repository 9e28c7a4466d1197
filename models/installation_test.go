package models_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// Processes that start at once agree on whose database it is, and another database is another installation (A11).
func TestInstallation_ADatabaseIsOneInstallation(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ids := make([]string, 8)
		var wg sync.WaitGroup
		for i := range ids {
			wg.Go(func() {
				var err error
				if ids[i], err = s.InstallationID(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.True(t, models.HasIDForm(models.PrefixInstallation, ids[0]))
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
	})
}

// If the workflow id of a dispatch is taken, its remaining deliveries go into another dispatch at once.
func TestInstallation_ADispatchIsPutIntoAnother(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		pair := s.Publish(t, w.Tenant, w, w)
		left, done := pair[0], pair[1]
		s.MustRecord(t, s.Attempted(done, models.Delivered))
		fresh, err := s.Redispatch(t.Context(), left.DispatchID)
		require.NoError(t, err)
		require.Len(t, fresh, 1)
		require.NotEqual(t, left.DispatchID, fresh[0].ID)
		require.Equal(t, keysOf(left), fresh[0].Deliveries)
		require.Equal(t, fresh[0].ID, s.Reload(t, left).DispatchID)
		_, err = s.Dispatch(t.Context(), left.DispatchID)
		require.ErrorIs(t, err, models.ErrNotFound)
		require.Equal(t, models.Delivered, s.Reload(t, done).Status)

		again, err := s.Redispatch(t.Context(), left.DispatchID)
		require.NoError(t, err)
		require.Empty(t, again, "once")
	})
}
