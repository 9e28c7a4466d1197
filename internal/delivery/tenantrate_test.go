package delivery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/service"
)

// The rate of a tenant is kept to by all of its webhooks together. What is over it waits, and has not failed.
func TestTenantRate_TheRateOfATenant(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rate := 0.1
	_, err := b.Env.Service.UpdateTenant(t.Context(), tenant, service.TenantChange{RateLimit: &rate})
	require.NoError(t, err)
	b.hook("/a")
	b.hook("/b")
	d := b.publish()
	round := b.first(d.ID)
	require.Equal(t, 1, round.Delivered)
	require.Len(t, round.Waiting, 1)
	left := round.Waiting[0]
	require.Equal(t, delivery.ForSlot, left.Kind)
	row := b.read(left.Delivery)
	require.Zero(t, row.Attempts)
	require.Equal(t, 1, b.receiver.got("/a")+b.receiver.got("/b"))

	require.Greater(t, left.Wait, 8*time.Second)
	require.LessOrEqual(t, left.Wait, 10*time.Second)

	b.due(left)
	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.Equal(t, delivery.Delivered, outcome.End)
	require.Equal(t, 2, b.receiver.got("/a")+b.receiver.got("/b"))

	none := 0.0
	_, err = b.Env.Service.UpdateTenant(t.Context(), tenant, service.TenantChange{RateLimit: &none})
	require.NoError(t, err)
	require.Equal(t, 2, b.first(b.publish().ID).Delivered, "it is lifted at once")
}
