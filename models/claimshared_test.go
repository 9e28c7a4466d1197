package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The first attempts of a shared dispatch have not been made, because its worker died or has much to do. The reconciler
// checks its workflow, like that of any other dispatch.
func TestClaimShared_ASlowSharedDispatchKeepsItsDeliveries(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme, globex := s.Webhook(t, s.Tenant(t, "acme")), s.Webhook(t, s.Tenant(t, "globex"))
		shared := append(s.undispatched(t, 2, acme), s.undispatched(t, 1, globex)...)
		lost := s.undispatched(t, 1, acme)[0]
		p, err := s.CreateSharedDispatch(t.Context(), keysOf(shared...))
		require.NoError(t, err)
		s.Clock.Advance(2 * time.Minute)
		require.Empty(t, s.overdue(t), "it is not known whose they are")

		fresh := s.redispatch(t)
		require.Len(t, fresh, 1)
		require.Equal(t, keysOf(lost), fresh[0].Deliveries)
		for _, d := range shared {
			after := s.Reload(t, d)
			require.Equal(t, p.ID, after.DispatchID)
			require.Equal(t, d.Generation, after.Generation, "its workflow may go on")
		}
		require.Equal(t, []string{p.ID}, s.overdue(t))
		require.Empty(t, s.redispatch(t), "as long as it is alive")

		require.ElementsMatch(t, keysOf(shared...), s.redispatch(t, p.ID)[0].Deliveries)
	})
}
