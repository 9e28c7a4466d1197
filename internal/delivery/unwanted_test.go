package delivery_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// wants changes the event types of a webhook.
func (b *bundle) wants(webhook string, types ...string) {
	b.t.Helper()
	_, err := b.Env.Service.UpdateWebhook(b.t.Context(), tenant, webhook, service.WebhookChange{EventTypes: &types})
	require.NoError(b.t, err)
}

func (b *bundle) isCanceled(id string) {
	b.t.Helper()
	d := b.read(id)
	require.Equal(b.t, models.Canceled, d.Status)
	require.Equal(b.t, models.ReasonUnwanted, d.StatusReason)
	require.NotNil(b.t, d.FinishedAt)
	require.Nil(b.t, d.NextAttemptAt)
}

// A waiting first attempt, one of several, and a retry are canceled when their webhook is no longer registered for
// their type. No POST is made.
func TestUnwanted_WhatIsNotWantedAnyMoreIsCanceled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.EventTypes("order.paid")
	hook := b.hook("/a")
	b.hook("/other")

	first := b.publish()
	b.wants(hook.ID, "order.paid")
	batch, err := b.First(t.Context(), delivery.FirstInput{DispatchID: first.ID})
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Delivered: 1, Canceled: 1}, plain(batch))
	require.Equal(t, models.ReasonUnwanted, batch.Ended[0].Reason)
	b.isCanceled(batch.Ended[0].Delivery)
	require.True(t, b.finished(first.ID))

	b.wants(hook.ID, "order.*")
	b.receiver.answer("/a", http.StatusInternalServerError)
	retried, many := b.publish(), b.publish()
	left, more := b.first(retried.ID).Waiting[0], b.first(many.ID).Waiting[0]
	b.wants(hook.ID, "order.paid")
	b.due(left)
	outcome, err := b.attempt(retried.ID, left)
	require.NoError(t, err)
	require.Equal(t, delivery.Canceled, outcome.End)
	b.isCanceled(left.Delivery)
	batch, err = b.Many(t.Context(), delivery.ManyInput{DispatchID: many.ID, Deliveries: []delivery.Leftover{more}})
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Canceled: 1}, plain(batch))
	b.isCanceled(more.Delivery)
	require.Equal(t, 2, b.receiver.got("/a"), "the first attempts of two")
}

// A webhook that is not active holds its due deliveries, wanted or not.
func TestUnwanted_WhatIsNotWantedByAnInactiveWebhookIsHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.EventTypes("order.paid")
	hook := b.hook("/a")
	d := b.publish()
	b.wants(hook.ID, "order.paid")
	_, err := b.Env.Service.Pause(t.Context(), tenant, hook.ID, "test")
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Held: 1}, b.first(d.ID))
}

// An unsubscription within the last second counts: the database decides, not the view.
func TestUnwanted_WhatIsWantedAgainIsSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.EventTypes("order.paid")
	hook := b.hook("/a")
	d := b.publish()
	b.wants(hook.ID, "order.paid")
	_, err := b.Env.Service.Receiver(t.Context(), tenant, hook.ID) // what is in memory now
	require.NoError(t, err)
	elsewhere := b.Another()
	types := []string{"order.*"}
	_, err = elsewhere.UpdateWebhook(t.Context(), tenant, hook.ID, service.WebhookChange{EventTypes: &types})
	require.NoError(t, err)
	batch := b.first(d.ID)
	require.Len(t, batch.Waiting, 1, "it waits for a moment")
	b.due(batch.Waiting[0])
	outcome, err := b.attempt(d.ID, batch.Waiting[0])
	require.NoError(t, err)
	require.Equal(t, delivery.Delivered, outcome.End)
	require.Equal(t, 1, b.receiver.got("/a"))
}

// A delivery of a type that the webhook does not want cannot be retried, and stays unchanged.
func TestUnwanted_WhatIsNotWantedCannotBeRetried(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.EventTypes("order.paid")
	hook := b.hook("/a")
	d := b.publish()
	b.first(d.ID)
	before := b.delivery(d)
	require.Equal(t, models.Delivered, before.Status)
	b.wants(hook.ID, "order.paid")
	for _, ask := range []func() error{
		func() error { _, err := b.Env.Service.RetryDelivery(t.Context(), tenant, before.ID); return err },
		func() error { _, err := b.Env.Service.ResumeDelivery(t.Context(), tenant, before.ID); return err },
	} {
		var refused *service.Error
		require.ErrorAs(t, ask(), &refused)
		require.Equal(t, service.Conflict, refused.Code)
		require.Contains(t, refused.Detail, "not registered")
	}
	require.Equal(t, before, b.delivery(d))
}
