package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// posterFunc is a service.Poster.
type posterFunc func(ctx context.Context, r sender.Request) sender.Result

func (f posterFunc) Post(ctx context.Context, r sender.Request) sender.Result { return f(ctx, r) }

// waiting publishes an event whose delivery has not been attempted.
func (b *bundle) waiting() (models.Dispatch, workflows.Leftover) {
	b.t.Helper()
	d := b.publish()
	row := b.delivery(d)
	return d, workflows.Leftover{Tenant: tenant, Delivery: row.ID, Webhook: row.WebhookID, Number: 1, Remaining: 11}
}

// asked requires that an activity asks Temporal to call it again without an attempt.
func asked(t *testing.T, err error) *temporal.ApplicationError {
	t.Helper()
	var again *temporal.ApplicationError
	require.ErrorAs(t, err, &again)
	require.Equal(t, activities.NoPlace, again.Type())
	require.False(t, again.NonRetryable())
	require.Equal(t, temporal.ApplicationErrorCategoryBenign, again.Category())
	require.GreaterOrEqual(t, again.NextRetryDelay(), 100*time.Millisecond)
	return again
}

func TestBatch_ThatIsPutOffAsksAsARetry(t *testing.T) {
	t.Parallel()
	b := setup(t, servicetest.WithPoster(posterFunc(func(context.Context, sender.Request) sender.Result {
		return sender.Result{Outcome: sender.Local}
	})))
	b.hook("/a")
	d, l := b.waiting()
	_, err := run[workflows.Round](b, workflows.AttemptMany, b.AttemptMany, workflows.AttemptManyInput{DispatchID: d.ID, Deliveries: []workflows.Leftover{l}})
	asked(t, err)
}

func TestBatch_WhatWaitsForASlotAsksAsARetry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one := 1
	w := b.hook("/a", func(c *service.WebhookChange) { c.MaxInFlight = &one })
	leave, _, err := b.Courier.Limits.Enter(t.Context(), w.ID, one)
	require.NoError(t, err)
	d, l := b.waiting()
	outcome, err := b.attempt(d.ID, l)
	require.NoError(t, err, "the workflow hears of it once")
	require.Equal(t, workflows.ForSlot, outcome.Left.Kind)
	b.Clock.Advance(outcome.Left.Wait)
	_, err = b.attempt(d.ID, *outcome.Left)
	again := asked(t, err)
	require.Equal(t, "waits for one of 1 places in flight", again.Message())

	leave()
	b.Clock.Advance(again.NextRetryDelay())
	outcome, err = b.attempt(d.ID, *outcome.Left)
	require.NoError(t, err)
	require.Equal(t, workflows.Delivered, outcome.Status)
}

// A delivery that waits for both limits of its webhook also asks as a Temporal retry (A9).
func TestBatch_WhatWaitsForItsPaceAndAPlaceAsksAsARetry(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, rate := 1, 0.1
	b.hook("/a", func(c *service.WebhookChange) { c.MaxInFlight, c.RateLimit = &one, &rate })
	require.Equal(t, workflows.Round{Summary: "Received", Delivered: 1}, b.first(b.publish().ID))
	d := b.publish()
	left := b.first(d.ID).Waiting
	require.Len(t, left, 1)
	require.Equal(t, workflows.ForSlot, left[0].Kind)
	require.InDelta(t, 10*time.Second, left[0].Wait, float64(2*time.Second))
	row := b.delivery(d)
	require.Zero(t, row.Attempts)
	require.WithinDuration(t, left[0].Due, *row.NextAttemptAt, time.Millisecond)

	b.Clock.Advance(left[0].Wait + time.Second)
	other := b.publish()
	require.Equal(t, workflows.Round{Summary: "Received", Delivered: 1}, b.first(other.ID), "another takes the time")
	_, err := b.attempt(d.ID, left[0])
	again := asked(t, err)
	b.Clock.Advance(again.NextRetryDelay() + time.Second)
	outcome, err := b.attempt(d.ID, left[0])
	require.NoError(t, err)
	require.Equal(t, workflows.Delivered, outcome.Status)
	require.Equal(t, 3, b.receiver.got("/a"))
}

// The workflows and their activities agree on which deliveries are attempted together.
func TestBatch_TheBoundsOfABatchAtARateAgree(t *testing.T) {
	t.Parallel()
	require.Equal(t, workflows.PacedMost, delivery.PacedMost)
	require.Equal(t, workflows.PacedFor, delivery.PacedFor)
}
