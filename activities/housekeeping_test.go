package activities_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

func TestHousekeeping_ReleasePageKeepsToTheRate(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := &activities.Housekeeping{Service: b.Service, Store: b.Store, Now: b.Clock.Now}
	w := b.hook("/a")
	_, err := b.Service.Disable(t.Context(), tenant, w.ID, "", "test")
	require.NoError(t, err)
	for range 5 {
		b.Publish(tenant, eventType, payload)
	}
	_, err = b.Service.Enable(t.Context(), tenant, w.ID, "test")
	require.NoError(t, err)
	r, err := b.Service.Recover(t.Context(), tenant, w.ID, service.RecoveryRequest{Rate: 2.5})
	require.NoError(t, err)

	// Pages of two, with the pause that makes them 2.5 a second. Then one check finds nothing, and a last one finds the
	// deliveries held meanwhile.
	for _, released := range []int64{2, 4, 5, 5} {
		p, err := h.ReleasePage(t.Context(), r.ID)
		require.NoError(t, err)
		require.Equal(t, workflows.Progress{Tenant: tenant, Webhook: w.ID, Host: sender.Host(w.URL), Status: "running", Running: true, Released: released, Total: 5, Pause: 800 * time.Millisecond}, p)
	}
	p, err := h.ReleasePage(t.Context(), r.ID)
	require.NoError(t, err)
	require.Equal(t, workflows.Progress{Tenant: tenant, Webhook: w.ID, Host: sender.Host(w.URL), Status: "completed", Released: 5, Total: 5, Pause: 800 * time.Millisecond}, p)

	delivered := 0
	for _, d := range b.Engine.Dispatches() {
		delivered += b.first(d.ID).Delivered
	}
	require.Equal(t, 5, delivered)
	require.Equal(t, 5, b.receiver.got("/a"))
}

func TestHousekeeping_ReleasePageEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *bundle, r models.Recovery) error
		status string
	}{
		"canceled": {func(b *bundle, r models.Recovery) error {
			_, err := b.Service.CancelRecovery(t.Context(), tenant, r.ID)
			return err
		}, "canceled"},
		"the webhook is paused": {func(b *bundle, r models.Recovery) error {
			_, err := b.Service.Pause(t.Context(), tenant, r.WebhookID, "test")
			return err
		}, "stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			h := &activities.Housekeeping{Service: b.Service, Store: b.Store, Now: b.Clock.Now}
			w := b.hook("/a")
			r, err := b.Service.Recover(t.Context(), tenant, w.ID, service.RecoveryRequest{})
			require.NoError(t, err)
			require.NoError(t, c.change(b, r))
			p, err := h.ReleasePage(t.Context(), r.ID)
			require.NoError(t, err)
			require.Equal(t, workflows.Progress{Tenant: tenant, Webhook: w.ID, Host: sender.Host(w.URL), Status: c.status}, p)
		})
	}

	t.Run("there is no such recovery", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		h := &activities.Housekeeping{Service: b.Service, Store: b.Store, Now: b.Clock.Now}
		p, err := h.ReleasePage(t.Context(), "rec_missing")
		require.NoError(t, err)
		require.Equal(t, workflows.Progress{Status: "canceled"}, p)
	})
}

func TestHousekeeping_RemoveExpiredKeepsWhatIsOwed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := &activities.Housekeeping{Service: b.Service, Store: b.Store, Retention: 24 * time.Hour, Now: b.Clock.Now}
	b.hook("/good")
	b.hook("/failing")
	b.receiver.answer("/failing", http.StatusInternalServerError)
	d := b.publish()
	left := b.first(d.ID).Waiting[0]
	pendingEvent := b.read(left.Delivery).EventID
	b.receiver.answer("/failing", http.StatusOK)
	done := b.publish()
	require.Equal(t, 2, b.first(done.ID).Delivered)

	remove := func() int64 {
		removed, err := run[int64](b, workflows.RemoveExpired, h.RemoveExpired)
		require.NoError(t, err)
		return removed
	}
	require.Zero(t, remove(), "nothing is old enough")

	b.Clock.Advance(25 * time.Hour)
	// Of the first event: the received delivery with its attempt. Of the second: all, and the event.
	require.Equal(t, int64(2+5), remove())
	require.Zero(t, remove())
	require.Equal(t, models.Pending, b.read(left.Delivery).Status)
	_, err := b.Store.Event(t.Context(), tenant, pendingEvent)
	require.NoError(t, err)
	attempts, err := b.Store.Attempts(t.Context(), tenant, left.Delivery)
	require.NoError(t, err)
	require.Len(t, attempts, 1)
	_, err = b.Store.Delivery(t.Context(), tenant, done.Deliveries[0].ID)
	require.ErrorIs(t, err, models.ErrNotFound)
}

func TestHousekeeping_RemoveExpiredRemovesOldEntriesOfTheAuditLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	h := &activities.Housekeeping{Service: b.Service, Store: b.Store, Retention: 24 * time.Hour, AuditRetention: 400 * 24 * time.Hour, Now: b.Clock.Now}
	b.hook("/good")
	entries := func() int {
		rows, _, err := b.Store.AuditLog(t.Context(), models.AuditFilter{}, models.Page{Limit: 100})
		require.NoError(t, err)
		return len(rows)
	}
	before := entries()
	require.NotZero(t, before)
	b.Clock.Advance(399 * 24 * time.Hour)
	_, err := run[int64](b, workflows.RemoveExpired, h.RemoveExpired)
	require.NoError(t, err)
	require.Equal(t, before, entries())
	b.Clock.Advance(2 * 24 * time.Hour)
	_, err = run[int64](b, workflows.RemoveExpired, h.RemoveExpired)
	require.NoError(t, err)
	require.Zero(t, entries())
}
