package delivery_test

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/models"
)

// A workflow that starts during its first attempts gets their result, and makes none again.
func TestAhead_TheWorkflowGetsTheSameResult(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/good")
	bad := b.hook("/bad")
	b.receiver.answer("/bad", http.StatusInternalServerError)
	d := b.publish()
	made, err := b.Ahead(t.Context(), d.ID, b.work(d))
	require.NoError(t, err)
	require.Equal(t, 1, made.Delivered)
	require.Len(t, made.Waiting, 1)
	require.Equal(t, bad.ID, made.Waiting[0].Webhook)
	require.False(t, b.finished(d.ID), "one is left")
	require.Equal(t, plain(made), b.first(d.ID))

	again := b.first(d.ID) // after a crash; the database knows
	require.Equal(t, 1, again.Delivered)
	require.Len(t, again.Waiting, 1)
	require.Equal(t, 2, again.Waiting[0].Number)
	require.Equal(t, 1, b.receiver.got("/good"))
	require.Equal(t, 1, b.receiver.got("/bad"))
}

// The workflow of a slow receiver asks for its first attempts while they are made. It waits for them.
func TestAhead_TheWorkflowWaitsForAttemptsInFlight(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	posted, answer := make(chan struct{}), make(chan struct{})
	b.receiver.handle("/a", func(w http.ResponseWriter, _ *http.Request) {
		close(posted)
		<-answer
		w.WriteHeader(http.StatusNoContent)
	})
	d := b.publish()
	work := b.work(d)
	made, asked := make(chan delivery.Batch, 1), make(chan delivery.Batch, 1)
	go func() {
		batch, _ := b.Ahead(t.Context(), d.ID, work)
		made <- batch
	}()
	<-posted
	go func() {
		batch, _ := b.First(t.Context(), delivery.FirstInput{DispatchID: d.ID, Size: 1})
		asked <- batch
	}()
	close(answer)
	require.Equal(t, 1, (<-made).Delivered)
	require.Equal(t, 1, (<-asked).Delivered)
	require.Equal(t, 1, b.receiver.got("/a"))
}

// What is not known to have been made is not taken for made.
func TestAhead_AttemptsThatFailLeaveNoResult(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d := b.publish()
	work := b.work(d)
	ctx, cancel := context.WithCancel(t.Context())
	b.receiver.handle("/a", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice that the caller is gone
		cancel()
		<-r.Context().Done() // an answer might be recorded still
	})
	_, err := b.Ahead(ctx, d.ID, work)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, b.Remembered())
	b.receiver.answer("/a", http.StatusNoContent)
	require.Equal(t, 1, b.first(d.ID).Delivered)
}

func TestAhead_TheLastRecordRemovesTheDispatch(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	b.hook("/b")
	d := b.publish()
	made, err := b.Ahead(t.Context(), d.ID, b.work(d))
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{Delivered: 2}, made)
	require.True(t, b.finished(d.ID))
	for _, key := range d.Deliveries {
		require.Equal(t, d.ID, b.read(key.ID).DispatchID, "its workflow shows it")
	}
}

// While another process may be making first attempts, none that has not been made is made here.
func TestAhead_WhatAnotherProcessMakesIsLeftToIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d := b.publish()
	in := delivery.FirstInput{DispatchID: d.ID, Elsewhere: true}
	_, err := b.First(t.Context(), in)
	require.ErrorContains(t, err, "another process")
	require.Zero(t, b.receiver.got("/a"))
	require.Equal(t, 1, b.first(d.ID).Delivered, "it was killed")
	batch, err := b.First(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, delivery.Batch{}, plain(batch), "there is nothing left to do")
	require.Equal(t, 1, b.receiver.got("/a"))
}

func TestAhead_AFewResultsAreRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	var all []models.Dispatch
	for range 260 {
		d := b.publish()
		_, err := b.Ahead(t.Context(), d.ID, b.work(d))
		require.NoError(t, err)
		all = append(all, d)
	}
	require.Equal(t, 256, b.Remembered())
	require.Equal(t, 1, b.first(all[4].ID).Delivered)
	require.Equal(t, 255, b.Remembered(), "each is given once")
	require.Zero(t, b.first(all[4].ID).Delivered)
	require.Zero(t, b.first(all[3].ID).Delivered, "it is forgotten")
}
