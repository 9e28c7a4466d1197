package delivery_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// For each delivery that was not delivered, a dispatch says its webhook, how it ended and why (C4).
func TestBatchEnds_ABatchSaysWhatEndedHowAndWhy(t *testing.T) {
	t.Parallel()
	b := setup(t)
	name, none := "Orders", 0
	w := b.hook("/a", func(c *service.WebhookChange) { c.Name, c.Retry = &name, &models.Retry{Max: &none} })
	host := b.receiver.url[len("http://"):]
	b.receiver.answer("/a", http.StatusServiceUnavailable)
	first := func(id string) delivery.Ended {
		batch, err := b.First(t.Context(), delivery.FirstInput{DispatchID: id})
		require.NoError(t, err)
		require.Len(t, batch.Ended, 1)
		return batch.Ended[0]
	}
	d := b.publish()
	want := delivery.Ended{Status: delivery.Failed, Reason: "503 Service Unavailable", Tenant: tenant, Delivery: d.Deliveries[0].ID, EventType: eventType,
		Webhook: w.ID, Name: "Orders", Host: host, Attempts: 1}
	require.Equal(t, want, first(d.ID))

	held, canceled, elsewhere, erased := b.publish(), b.publish(), b.publish(), b.publish()
	_, err := b.Env.Service.PauseDelivery(t.Context(), tenant, held.Deliveries[0].ID)
	require.NoError(t, err)
	_, err = b.Env.Service.CancelDelivery(t.Context(), tenant, canceled.Deliveries[0].ID, "ops")
	require.NoError(t, err)
	_, err = b.Env.Service.RetryDelivery(t.Context(), tenant, elsewhere.Deliveries[0].ID)
	require.NoError(t, err)
	require.NoError(t, b.Env.Store.EraseEvent(t.Context(), tenant, b.delivery(erased).EventID))
	for _, c := range []struct {
		d              models.Dispatch
		status, reason string
	}{
		{held, delivery.Held, "the delivery was paused by hand"},
		{canceled, delivery.Canceled, "canceled by ops"},
		{elsewhere, delivery.Superseded, "another workflow drives it: it was retried, resumed, recovered or taken over"},
		{erased, delivery.Canceled, "payload erased"},
	} {
		e := first(c.d.ID)
		require.Equal(t, c.status, e.Status)
		require.Equal(t, c.reason, e.Reason)
		require.Equal(t, c.d.Deliveries[0].ID, e.Delivery)
		require.Equal(t, w.ID, e.Webhook)
	}

	paused := b.publish()
	_, err = b.Env.Service.Pause(t.Context(), tenant, w.ID, "ops")
	require.NoError(t, err)
	e := first(paused.ID)
	require.Equal(t, "held: webhook paused", e.Status+": "+e.Reason)
	_, err = b.Env.Service.Resume(t.Context(), tenant, w.ID, "ops")
	require.NoError(t, err)
	gone := b.publish()
	_, err = b.Env.Service.DeleteWebhook(t.Context(), tenant, w.ID)
	require.NoError(t, err)
	e = first(gone.ID)
	require.Equal(t, "canceled: webhook deleted", e.Status+": "+e.Reason)
}

// However many deliveries end, a batch lists a few one by one and counts all.
func TestBatchEnds_ABatchTellsOfAFew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.paused(64)
	batch, err := b.First(t.Context(), delivery.FirstInput{DispatchID: d.ID})
	require.NoError(t, err)
	require.Equal(t, 64, batch.Held)
	require.Len(t, batch.Ended, 40)
}
