package delivery_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/handoff"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/slots"
	"github.com/posthorn/posthorn/models"
)

// accept publishes an event whose deliveries wait for no workflow, and returns them.
func (b *bundle) accept() []handoff.Work {
	b.t.Helper()
	b.Engine.SetBusy(true)
	before := len(b.Engine.Queued())
	b.Publish(tenant, eventType, payload)
	return b.Engine.Queued()[before:]
}

func (b *bundle) direct(work []handoff.Work) delivery.Batch {
	b.t.Helper()
	batch, err := b.Direct(b.t.Context(), "dsp_x", work, nil)
	require.NoError(b.t, err)
	return batch
}

func TestDirectAttempt_WhatIsReceivedDirectlyNamesNoDispatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	b.hook("/b")
	work := b.accept()
	require.Len(t, work, 2)
	require.True(t, b.AtOnce(t.Context(), work))
	require.Equal(t, delivery.Batch{Delivered: 2}, b.direct(work))
	for _, w := range work {
		row := b.read(w.Delivery.ID)
		require.Equal(t, models.Delivered, row.Status)
		require.Equal(t, 1, row.Attempts)
		require.Empty(t, row.DispatchID)
	}
	require.Equal(t, 1, b.receiver.got("/a"))
	require.Equal(t, 1, b.receiver.got("/b"))
}

// A received delivery is recorded with the dispatch that shows it, and is shown only if it was recorded as delivered.
func TestDirectAttempt_WhatIsReceivedNamesTheDispatchThatShowsIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good, bad := b.hook("/good"), b.hook("/bad")
	b.receiver.answer("/bad", http.StatusInternalServerError)
	attempt := func(before func(*models.Delivery)) (all map[string]models.Delivery, shown map[string]bool) {
		all, shown = map[string]models.Delivery{}, map[string]bool{} // by webhook
		work := b.accept()
		_, err := b.Direct(t.Context(), "dsp_x", work, func(d *models.Delivery) (string, func(bool)) {
			require.Equal(t, models.Pending, b.read(d.ID).Status, "it is not recorded yet")
			before(d)
			return "dsp_shown", func(delivered bool) {
				require.Equal(t, 1, b.read(d.ID).Attempts, "it is recorded")
				shown[d.WebhookID] = delivered
			}
		})
		require.NoError(t, err)
		for _, w := range work {
			all[w.Delivery.WebhookID] = b.read(w.Delivery.ID)
		}
		return all, shown
	}
	all, shown := attempt(func(*models.Delivery) {})
	require.Equal(t, map[string]bool{good.ID: true}, shown)
	require.Equal(t, "dsp_shown", all[good.ID].DispatchID)
	require.Equal(t, "dsp_x", all[bad.ID].DispatchID)

	all, shown = attempt(func(d *models.Delivery) {
		require.NoError(t, b.Env.Store.EraseEvent(t.Context(), tenant, d.EventID))
	})
	require.Equal(t, map[string]bool{good.ID: false}, shown)
	require.Equal(t, models.Canceled, all[good.ID].Status)
}

func TestDirectAttempt_WhatIsNotReceivedDirectlyNamesItsDispatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good, bad := b.hook("/good"), b.hook("/bad")
	final := b.hook("/final", retries(0))
	b.receiver.answer("/bad", http.StatusInternalServerError)
	b.receiver.answer("/final", http.StatusInternalServerError)
	work := b.accept()
	batch := b.direct(work)
	require.Equal(t, 1, batch.Delivered)
	require.Equal(t, 1, batch.Failed)
	require.Len(t, batch.Waiting, 1)
	require.Equal(t, bad.ID, batch.Waiting[0].Webhook)
	require.Equal(t, 2, batch.Waiting[0].Number)
	require.Equal(t, "500 Internal Server Error", batch.Waiting[0].Last)
	for _, w := range work {
		row := b.read(w.Delivery.ID)
		require.Equal(t, 1, row.Attempts)
		want := map[string]string{good.ID: "", bad.ID: "dsp_x", final.ID: "dsp_x"}[row.WebhookID]
		require.Equal(t, want, row.DispatchID)
	}

	// A workflow without knowledge of them finds them unchanged.
	_, err := b.Env.Store.HandOver(t.Context(), "dsp_x", []models.Delivery{work[0].Delivery, work[1].Delivery, work[2].Delivery}, nil)
	require.NoError(t, err)
	batch = b.first("dsp_x")
	require.Equal(t, 1, batch.Delivered)
	require.Equal(t, 1, batch.Failed)
	require.Zero(t, batch.Superseded)
	require.Len(t, batch.Waiting, 1)
	for _, path := range []string{"/good", "/bad", "/final"} {
		require.Equal(t, 1, b.receiver.got(path))
	}
}

// A delivery that would have to wait, or is likely to fail, is not attempted directly.
func TestDirectAttempt_OnlyWhatCanBeSentAtOnceIsSentDirectly(t *testing.T) {
	t.Parallel()
	rate, most, timeout := 5.0, 3, 16*time.Second
	for name, c := range map[string]struct {
		hook   func(*service.WebhookChange)
		change func(b *bundle, w models.Webhook)
		want   bool
	}{
		"healthy":           {nil, nil, true},
		"limited in rate":   {func(c *service.WebhookChange) { c.RateLimit = &rate }, nil, false},
		"limited in flight": {func(c *service.WebhookChange) { c.MaxInFlight = &most }, nil, false},
		"may take long":     {func(c *service.WebhookChange) { c.Timeout = &timeout }, nil, false},
		"paused": {nil, func(b *bundle, w models.Webhook) {
			_, err := b.Env.Service.Pause(b.t.Context(), tenant, w.ID, "test")
			require.NoError(b.t, err)
			b.Clock.Advance(2 * time.Second)
		}, false},
		"no room":     {nil, func(b *bundle, w models.Webhook) { b.Cap.Ask(w.ID, 1000) }, false},
		"room soon":   {nil, func(b *bundle, w models.Webhook) { b.t.Cleanup(b.fill(w.ID)) }, true},
		"failed last": {nil, func(b *bundle, _ models.Webhook) { b.receiver.answer("/a", 500); b.direct(b.accept()) }, false},
		"failed before": {nil, func(b *bundle, _ models.Webhook) {
			b.receiver.answer("/a", 500)
			b.direct(b.accept())
			b.receiver.answer("/a", 200)
			b.direct(b.accept())
		}, true},
		"no slot of the host": {nil, func(b *bundle, _ models.Webhook) { b.Posts = busy(b.t) }, false},
		"the breaker is open": {nil, func(b *bundle, _ models.Webhook) { b.Breaker = open{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.Slowest = 15 * time.Second
			w := b.hook("/a", func(change *service.WebhookChange) {
				if c.hook != nil {
					c.hook(change)
				}
			})
			if c.change != nil {
				c.change(b, w)
			}
			work := []handoff.Work{{Delivery: models.Delivery{Tenant: tenant, WebhookID: w.ID, EventType: eventType}}}
			require.Equal(t, c.want, b.AtOnce(t.Context(), work))
		})
	}
	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		w := b.hook("/a")
		work := make([]handoff.Work, delivery.DefaultInFlight+1)
		for i := range work {
			work[i] = handoff.Work{Delivery: models.Delivery{Tenant: tenant, WebhookID: w.ID, EventType: eventType}}
		}
		require.False(t, b.AtOnce(t.Context(), work), "it is not known whether the receiver is fast")
		require.True(t, b.AtOnce(t.Context(), work[1:]))
	})
}

// busy is POST slots that are all taken.
func busy(t *testing.T) *slots.Slots {
	t.Helper()
	s := slots.New(slots.Options{Capacity: 1})
	_, err := s.Acquire(t.Context(), "other", "")
	require.NoError(t, err)
	return s
}

// open is a breaker that is open.
type open struct{}

func (open) Observe(string, string, bool) {}

func (open) Open() bool { return true }

// A delivery that was held, canceled or taken over since is fenced off like any other.
func TestDirectAttempt_OfWhatHasChangedChangesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	work := b.accept()
	b.receiver.handle("/a", func(w http.ResponseWriter, r *http.Request) {
		if _, err := b.Env.Service.CancelDelivery(context.WithoutCancel(r.Context()), tenant, work[0].Delivery.ID, "test"); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	require.Equal(t, 1, b.direct(work).Canceled)
	row := b.read(work[0].Delivery.ID)
	require.Equal(t, models.Canceled, row.Status)
	require.Equal(t, 1, row.Attempts)
}
