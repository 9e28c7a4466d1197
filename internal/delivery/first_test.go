package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func TestFirstAttempts_ReadTheOutbox(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	b.hook("/b")
	d := b.publish()

	require.Equal(t, delivery.Batch{Delivered: 2}, b.first(d.ID))
	require.Equal(t, 1, b.receiver.got("/a"))
	require.Equal(t, 1, b.receiver.got("/b"))
	for _, key := range d.Deliveries {
		row := b.read(key.ID)
		require.Equal(t, models.Delivered, row.Status)
		require.NotNil(t, row.FinishedAt)
	}
	require.True(t, b.finished(d.ID))
	require.Empty(t, b.failed.list())

	require.Zero(t, b.first(d.ID), "nothing is left of it")
	require.Equal(t, 1, b.receiver.got("/a"))
}

func TestFirstAttempts_TakeWhatLiesOnTheDesk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d := b.publish()
	// The outbox has no dispatch with this name, so the deliveries can only come from the desk.
	done := b.Desk.Put("on-the-desk", b.work(d))

	require.Equal(t, delivery.Batch{Delivered: 1}, b.first("on-the-desk"))
	<-done
	require.Equal(t, 1, b.receiver.got("/a"))
	require.Equal(t, "on-the-desk", b.delivery(d).DispatchID)
	require.Zero(t, b.first("on-the-desk"))
	require.Equal(t, 1, b.receiver.got("/a"))
}

func TestFirstAttempts_NineAreDeliveredAndTheTenthIsLeftOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 9 {
		b.hook(fmt.Sprintf("/%d", i))
	}
	failing := b.hook("/failing")
	b.receiver.answer("/failing", http.StatusInternalServerError)
	d := b.publish()

	round := b.first(d.ID)
	require.Equal(t, 9, round.Delivered)
	require.Empty(t, round.OverCap)
	require.Len(t, round.Waiting, 1)
	left := round.Waiting[0]
	stored := b.read(left.Delivery)
	policy, timeout := b.Env.Service.Effective(&failing)
	wait := policy.Delay(left.Delivery, 1, 0)
	require.InDelta(t, wait, left.Wait, float64(time.Second))
	require.LessOrEqual(t, left.Wait, wait)
	require.Equal(t, delivery.Leftover{Tenant: tenant, Delivery: left.Delivery, EventType: eventType, Webhook: failing.ID, Host: b.receiver.url[len("http://"):],
		Number: 2, Remaining: policy.Max, Wait: left.Wait, Timeout: timeout, Last: "500 Internal Server Error"}, left)
	require.Equal(t, models.Pending, stored.Status)
	require.Equal(t, d.ID, stored.DispatchID)
	require.Equal(t, []string{failing.ID}, b.failed.list())
	require.False(t, b.finished(d.ID))

	attempts, err := b.Env.Store.Attempts(t.Context(), tenant, left.Delivery)
	require.NoError(t, err)
	require.Len(t, attempts, 1)
	require.WithinDuration(t, attempts[0].StartedAt.Add(time.Duration(attempts[0].DurationMS)*time.Millisecond+wait), *stored.NextAttemptAt, 2*time.Millisecond)
}

func TestFirstAttempts_RunAgainTheySendOnlyWhatIsPendingAndDue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/good")
	b.hook("/failing")
	b.receiver.answer("/failing", http.StatusBadGateway)
	d := b.publish()
	left := b.first(d.ID).Waiting[0]

	again := b.first(d.ID)
	require.Equal(t, 1, again.Delivered, "before")
	require.Len(t, again.Waiting, 1)
	require.Equal(t, 2, again.Waiting[0].Number)
	require.Positive(t, again.Waiting[0].Wait, "what was promised is kept")
	require.Equal(t, 1, b.receiver.got("/failing"))

	b.due(left)
	require.Equal(t, 3, b.first(d.ID).Waiting[0].Number)
	require.Equal(t, 2, b.receiver.got("/failing"))
	require.Equal(t, 1, b.receiver.got("/good"))
}

func TestFirstAttempts_NoRetriesMeansOneAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a", retries(0))
	b.receiver.answer("/a", http.StatusInternalServerError)
	d := b.publish()

	require.Equal(t, delivery.Batch{Failed: 1}, b.first(d.ID))
	row := b.delivery(d)
	require.Equal(t, models.Failed, row.Status)
	require.Nil(t, row.NextAttemptAt)
	require.Equal(t, 1, row.Attempts)
	require.True(t, b.finished(d.ID))
}

// pend makes a delivery pending in spite of its webhook's status, as a change that crossed the webhook's would.
func (b *bundle) pend(d models.Dispatch) models.Dispatch {
	b.t.Helper()
	_, fresh, err := b.Env.Store.ChangeDelivery(b.t.Context(), tenant, d.Deliveries[0].ID, func(d *models.Delivery, _ models.WebhookStatus) error {
		d.Release(b.Env.Store.Now())
		return nil
	})
	require.NoError(b.t, err)
	return *fresh
}

func TestFirstAttempts_AWebhookThatIsNotActiveWhenItIsTimeToSend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *bundle, w models.Webhook) error
		status models.DeliveryStatus
		reason string
	}{
		"paused": {func(b *bundle, w models.Webhook) error {
			_, err := b.Env.Service.Pause(t.Context(), tenant, w.ID, "test")
			return err
		}, models.Held, "webhook paused"},
		"disabled": {func(b *bundle, w models.Webhook) error {
			_, err := b.Env.Service.Disable(t.Context(), tenant, w.ID, "", "test")
			return err
		}, models.Held, "webhook disabled"},
		"deactivated": {func(b *bundle, w models.Webhook) error { return b.Env.Service.Gone(t.Context(), &w) },
			models.Held, "webhook deactivated"},
		"deleted": {func(b *bundle, w models.Webhook) error {
			_, err := b.Env.Service.DeleteWebhook(t.Context(), tenant, w.ID)
			return err
		}, models.Canceled, "webhook deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.hook("/a")
			d := b.publish()
			require.NoError(t, c.change(b, w))
			d = b.pend(d)

			stoppedOne(t, b.first(d.ID))
			require.Zero(t, b.receiver.got("/a"))
			row := b.delivery(d)
			require.Equal(t, c.status, row.Status)
			require.Equal(t, c.reason, row.StatusReason)
		})
	}
}

func TestFirstAttempts_AnOldViewOfAWebhookHoldsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	d := b.publish()
	_, err := b.Env.Service.Pause(t.Context(), tenant, w.ID, "test")
	require.NoError(t, err)
	_, err = b.Env.Service.Receiver(t.Context(), tenant, w.ID) // this process remembers it as paused
	require.NoError(t, err)
	// Another process resumes it, and this one does not know yet.
	_, _, err = b.Env.Store.SetWebhookStatus(t.Context(), tenant, w.ID, models.StatusChange{To: models.WebhookActive})
	require.NoError(t, err)
	d = b.pend(d)

	waiting := b.first(d.ID).Waiting
	require.Len(t, waiting, 1, "the database knows better")
	require.InDelta(t, time.Second, waiting[0].Wait, float64(100*time.Millisecond))
	require.Equal(t, models.Pending, b.delivery(d).Status)

	b.Clock.Advance(waiting[0].Wait + time.Second)
	require.Equal(t, delivery.Batch{Delivered: 1}, b.first(d.ID))
}

// A webhook that another process created within the last second is not treated as deleted.
func TestFirstAttempts_AnOldViewWithoutAWebhookCancelsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	old := b.publish() // this process has a view of the tenant
	require.Equal(t, delivery.Batch{Delivered: 1}, b.first(old.ID))

	other, url := b.Another(), b.receiver.url+"/b"
	_, _, err := other.CreateWebhook(t.Context(), tenant, service.WebhookChange{URL: &url, By: "test"})
	require.NoError(t, err)
	_, err = other.Publish(t.Context(), tenant, service.PublishRequest{Events: []service.EventInput{{Type: eventType, Data: []byte(payload)}}})
	require.NoError(t, err)
	d := b.Engine.Dispatches()[1]

	require.Equal(t, delivery.Batch{Delivered: 2}, b.first(d.ID))
	require.Equal(t, 1, b.receiver.got("/b"))
}

func TestFirstAttempts_OverTheCapIsLeftToTheFairLane(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	b.Engine.SetBusy(true)
	b.Publish(tenant, eventType, payload)
	queued := b.Engine.Queued()
	d, err := b.Env.Store.CreateSharedDispatch(t.Context(), []models.DeliveryKey{{Tenant: tenant, ID: queued[0].Delivery.ID}})
	require.NoError(t, err)
	leave := b.fill(w.ID)

	round := b.first(d.ID)
	require.Len(t, round.OverCap, 1)
	over := round.OverCap[0]
	require.Equal(t, delivery.Batch{OverCap: round.OverCap}, round)
	require.Equal(t, 1, over.Number)
	require.Equal(t, 11, over.Remaining)
	require.Zero(t, b.receiver.got("/a"))
	_, err = b.Env.Store.ClaimShared(t.Context())
	require.NoError(t, err)
	require.Equal(t, d.ID, b.read(over.Delivery).DispatchID, "the reconciler finds out whom to ask")

	leave()
	in := delivery.ManyInput{DispatchID: d.ID, Deliveries: round.OverCap}
	round, err = b.Many(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Delivered: 1}, round)
	require.Zero(t, b.Cap.Open())

	round, err = b.Many(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Delivered: 1}, round, "run again it finds nothing pending, and says how it ended")
	require.Equal(t, 1, b.receiver.got("/a"))
}

func stoppedOne(t *testing.T, r delivery.Batch) {
	t.Helper()
	require.Equal(t, 1, r.Stopped())
}

func TestFirstAttempts_WhatChangesWhileItWaitsForItsTurnIsNotSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *bundle, id string) error
		want   func(t *testing.T, r delivery.Batch)
	}{
		"canceled": {func(b *bundle, id string) error {
			_, err := b.Env.Service.CancelDelivery(t.Context(), tenant, id, "test")
			return err
		}, stoppedOne},
		"attempted by a twin": {func(b *bundle, id string) error {
			d := b.read(id)
			_, err := b.Env.Store.Record(t.Context(), []*models.Record{{Status: models.Pending, NextAttemptAt: b.Clock.Now().Add(time.Minute),
				Attempt: models.Attempt{Tenant: tenant, ID: models.NewID(models.PrefixAttempt), DeliveryID: id, WebhookID: d.WebhookID,
					StartedAt: b.Clock.Now(), StatusCode: http.StatusInternalServerError}}}, nil)
			return err
		}, func(t *testing.T, r delivery.Batch) {
			t.Helper()
			require.Len(t, r.Waiting, 1)
			require.Equal(t, 2, r.Waiting[0].Number)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const many = delivery.ManyAtOnce
			posting, release := make(chan struct{}, many+1), make(chan struct{})
			b := setup(t, servicetest.WithPoster(posterFunc(func(context.Context, sender.Request) sender.Result {
				posting <- struct{}{}
				<-release
				return sender.Result{StartedAt: time.Now(), Outcome: sender.Received, StatusCode: http.StatusNoContent}
			})))
			w := b.hook("/a")
			b.Engine.SetBusy(true)
			for range many + 1 {
				b.Publish(tenant, eventType, payload)
			}
			var over []delivery.Leftover
			var keys []models.DeliveryKey
			for _, q := range b.Engine.Queued() {
				over = append(over, delivery.Leftover{Tenant: tenant, Delivery: q.Delivery.ID, Webhook: w.ID})
				keys = append(keys, models.DeliveryKey{Tenant: tenant, ID: q.Delivery.ID})
			}
			d, err := b.Env.Store.CreateSharedDispatch(t.Context(), keys)
			require.NoError(t, err)
			ended := make(chan delivery.Batch, 1)
			go func() {
				round, _ := b.Many(b.t.Context(), delivery.ManyInput{DispatchID: d.ID, Deliveries: over})
				ended <- round
			}()
			for range many {
				<-posting
			}
			require.NoError(t, c.change(b, b.unattempted(keys)))
			b.Clock.Advance(2 * time.Second) // what was read is not fresh any more
			close(release)
			round := <-ended
			c.want(t, round)
			require.Equal(t, many, round.Delivered)
			require.Empty(t, posting)
		})
	}
}

// posterFunc is a service.Poster.
type posterFunc func(ctx context.Context, r sender.Request) sender.Result

func (f posterFunc) Post(ctx context.Context, r sender.Request) sender.Result { return f(ctx, r) }

func TestFirstAttempts_APOSTThatWasCutOffIsNoReception(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("the worker is stopping")
	b := setup(t, servicetest.WithPoster(posterFunc(func(context.Context, sender.Request) sender.Result {
		cancel(stopping)
		return sender.Result{Aborted: true, Error: "canceled"}
	})))
	b.hook("/a")
	d := b.publish()

	_, err := b.First(ctx, delivery.FirstInput{DispatchID: d.ID})
	require.ErrorIs(t, err, stopping)
	row := b.delivery(d)
	require.Equal(t, models.Pending, row.Status)
	require.Zero(t, row.Attempts)
	require.Zero(t, row.Failures)
	require.Zero(t, b.Cap.Open())
}
