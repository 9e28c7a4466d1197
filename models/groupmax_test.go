package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// If the operator sets small dispatches, or a workflow for every event, this also applies to repeated dispatches.
func TestGroupMax_RedispatchKeepsToTheGroup(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.undispatched(t, 5, w)
		s.Clock.Advance(2 * time.Minute)
		small, err := models.Open(t.Context(), s.URL, models.Options{Now: s.Clock.Now, GroupMax: 2})
		require.NoError(t, err)
		defer func() { require.NoError(t, small.Close()) }()

		fresh, err := redispatch(t.Context(), small, nil, s.Now().Add(-time.Minute), 1000)
		require.NoError(t, err)
		var sizes []int
		for _, p := range fresh {
			sizes = append(sizes, len(p.Deliveries))
		}
		require.Equal(t, []int{2, 2, 1}, sizes)
	})
}
