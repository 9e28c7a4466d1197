package delivery_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// A retry that is due within a second is called at once and waits for its time itself: Temporal's timers of less than a
// second take one. It is made when it is due, neither before nor a second later.
func TestShortWait_IsKeptHere(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a", func(c *service.WebhookChange) { c.Retry = &models.Retry{Initial: 200 * time.Millisecond} })
	b.receiver.answer("/a", http.StatusInternalServerError)
	d := b.publish()
	left := b.first(d.ID).Waiting[0]
	require.Zero(t, left.Wait, "Temporal does not wait for it")
	due := *b.read(left.Delivery).NextAttemptAt

	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.True(t, outcome.Attempted)
	require.Zero(t, outcome.Left.Wait)
	due2 := *b.read(left.Delivery).NextAttemptAt
	batch, err := b.Many(t.Context(), delivery.ManyInput{DispatchID: d.ID, Deliveries: []delivery.Leftover{*outcome.Left}})
	require.NoError(t, err)
	require.Len(t, batch.Waiting, 1)
	attempts, err := b.Env.Store.Attempts(t.Context(), tenant, left.Delivery)
	require.NoError(t, err)
	require.Len(t, attempts, 3)
	for i, at := range []time.Time{due, due2} {
		require.False(t, attempts[i+1].StartedAt.Before(at.Truncate(time.Millisecond)), "%s before %s", attempts[i+1].StartedAt, at)
	}
}

// A longer wait is Temporal's.
func TestShortWait_ALongWaitIsLeftToTemporal(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a", func(c *service.WebhookChange) { c.Retry = &models.Retry{Initial: 3 * time.Second} })
	b.receiver.answer("/a", http.StatusInternalServerError)
	d := b.publish()
	left := b.first(d.ID).Waiting[0]
	require.Greater(t, left.Wait, time.Second)
	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.False(t, outcome.Attempted, "it is too early")
	require.Equal(t, 1, b.receiver.got("/a"))
}
