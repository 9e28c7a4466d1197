package worker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// watched is an installation with a process that accepts, and a reconciler that has watched it for long enough.
func watched(t *testing.T, options ...servicetest.Option) (b *bundle, process int64) {
	t.Helper()
	b = setup(t, options...)
	b.WatchClock(b.Clock.Now)
	require.NoError(t, b.Env.Store.Beat(t.Context()))
	process = b.Env.Store.ProcessID()
	require.NotZero(t, process)
	for range 4 {
		b.Clock.Advance(2 * time.Second)
		require.NoError(t, b.Env.Store.Beat(t.Context()))
		require.Empty(t, b.look())
	}
	b.Webhook(tenant, "https://receiver.example/hook")
	return b, process
}

// silent keeps the process silent for as long as the others wait, and runs the reconciler meanwhile.
func (b *bundle) silent() (launched []models.Dispatch) {
	b.t.Helper()
	for range 7 {
		b.Clock.Advance(time.Second)
		launched = append(launched, b.look()...)
	}
	return launched
}

// What a killed process held is dispatched again within seconds, whatever of it was in memory alone: deliveries that waited
// for a shared dispatch, and dispatches that had not been started.
func TestReconcileProcesses_WhatAKilledProcessHeldIsDispatchedAgainWithinSeconds(t *testing.T) {
	t.Parallel()
	b, process := watched(t)
	own, _ := b.publish()
	running, id := b.publish()
	b.engine.running[id] = true
	b.Env.Engine.SetBusy(true)
	for range 3 {
		b.Publish(tenant, eventType, `{}`)
	}
	waits := b.Env.Engine.Queued()[0].Delivery
	require.Equal(t, process, waits.Process)

	fresh := b.silent()
	require.Len(t, fresh, 1)
	require.Len(t, fresh[0].Deliveries, 4)
	require.InDelta(t, 4, b.catches(), 0)
	require.Equal(t, fresh[0].ID, b.read(own).DispatchID)
	require.Equal(t, fresh[0].ID, b.read(waits).DispatchID)
	require.Equal(t, running.Generation, b.read(running).Generation, "it is being driven")
	require.Equal(t, 1, b.engine.questions[id], "and asked after once")
	require.Empty(t, b.silent())
}

func TestReconcileProcesses_ALiveProcessKeepsWhatItHolds(t *testing.T) {
	t.Parallel()
	b, process := watched(t)
	b.publish()
	b.Env.Engine.SetBusy(true)
	b.Publish(tenant, eventType, `{}`)
	for range 20 {
		b.Clock.Advance(time.Second)
		require.NoError(t, b.Env.Store.Beat(t.Context()))
		require.Empty(t, b.look())
	}
	require.Equal(t, process, b.Env.Store.ProcessID())
	require.Empty(t, b.engine.questions, "nothing is asked of Temporal")
}

// Right after an outage of the database all processes have been silent, and none is gone.
func TestReconcileProcesses_AfterAnOutageOfTheDatabaseNobodyIsGone(t *testing.T) {
	t.Parallel()
	b, process := watched(t)
	b.publish()
	b.Clock.Advance(30 * time.Second) // in which no process could check or report anything
	for range 3 {
		require.Empty(t, b.look())
		b.Clock.Advance(2 * time.Second)
		require.NoError(t, b.Env.Store.Beat(t.Context()))
	}
	require.Equal(t, process, b.Env.Store.ProcessID())
}

func TestReconcileProcesses_AWalkThatFailedIsMadeAgainAtTheNextLook(t *testing.T) {
	t.Parallel()
	b, _ := watched(t)
	b.publish()
	b.engine.silent = errors.New("unavailable")
	for range 7 {
		b.Clock.Advance(time.Second)
		_ = b.Reconcile(t.Context())
	}
	require.Zero(t, b.catches())
	b.engine.silent = nil
	require.Len(t, b.look(), 1)
	require.Empty(t, b.look())
}

func TestReconcileProcesses_ThePlacesOfAKilledProcessAreFreeWithinSeconds(t *testing.T) {
	t.Parallel()
	b, _ := watched(t)
	w := b.Webhook(tenant, "https://receiver.example/limited")
	take := func(holder string) int {
		n, err := b.Env.Store.Lease(t.Context(), w.ID, holder, 1, 1, time.Hour)
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 1, take(b.Env.Store.LeaseHolder()))
	require.Zero(t, take("another"))
	b.silent()
	require.Equal(t, 1, take("another"))
}

// A process that has been declared gone may still commit what it was accepting. It starts none of that, so that others take
// it over within seconds, too.
func TestReconcileProcesses_WhatAGoneProcessStillAcceptsIsDispatchedAgainWithinSeconds(t *testing.T) {
	t.Parallel()
	b, process := watched(t)
	for range 6 {
		b.Clock.Advance(time.Second)
		require.Empty(t, b.look())
	}
	late, id := b.publish()
	require.Equal(t, process, b.Env.Store.ProcessID())
	var launched []models.Dispatch
	for range 15 {
		b.Clock.Advance(time.Second)
		launched = append(launched, b.look()...)
	}
	require.Len(t, launched, 1)
	require.Equal(t, launched[0].ID, b.read(late).DispatchID)
	require.Equal(t, 1, b.engine.questions[id])
}

// direct accepts an event whose first attempt the process makes while no dispatch drives it.
func (b *bundle) direct(process int64) models.Delivery {
	b.t.Helper()
	b.Env.Engine.SetDirect(process)
	id := b.Publish(tenant, eventType, `{}`)
	b.Env.Engine.SetDirect(0)
	rows := b.Deliveries(tenant, id)
	require.Len(b.t, rows, 1)
	require.Empty(b.t, rows[0].DispatchID)
	return rows[0]
}

// A process is killed while it makes first attempts that no dispatch drives, or before it has handed over what they left.
func TestReconcileProcesses_WhatAKilledProcessPOSTedWithoutADispatchIsDispatched(t *testing.T) {
	t.Parallel()
	b, process := watched(t, func(_ *sender.Config, o *service.Options) { o.Retries = true })
	unrecorded, failed, received := b.direct(process), b.direct(process), b.direct(process)
	record := func(d models.Delivery, status models.DeliveryStatus, dispatch string) {
		now := b.Clock.Now()
		r := &models.Record{Generation: d.Generation, Status: status, DispatchID: dispatch, Attempt: models.Attempt{Tenant: tenant,
			ID: models.NewID(models.PrefixAttempt), DeliveryID: d.ID, WebhookID: d.WebhookID, StartedAt: now, StatusCode: 200}}
		if status == models.Pending {
			r.NextAttemptAt = now.Add(20 * time.Second)
		}
		_, err := b.Env.Store.Record(t.Context(), []*models.Record{r}, nil)
		require.NoError(t, err)
	}
	record(failed, models.Pending, "dsp_x")
	record(received, models.Delivered, "")

	fresh := b.silent()
	require.Len(t, fresh, 1)
	require.Len(t, fresh[0].Deliveries, 1)
	require.Equal(t, fresh[0].ID, b.read(unrecorded).DispatchID)
	require.Equal(t, "dsp_x", b.read(failed).DispatchID, "it is not due yet")
	b.engine.running[fresh[0].ID] = true
	launched := map[int]models.Dispatch{}
	for second := range 40 {
		b.Clock.Advance(time.Second)
		for _, d := range b.look() {
			launched[second] = d
			b.engine.running[d.ID] = true
		}
	}
	require.Len(t, launched, 1, "once, soon after it was due, and not a minute later")
	for second, d := range launched {
		require.Equal(t, d.ID, b.read(failed).DispatchID)
		require.Less(t, second, 30)
	}
	require.Equal(t, models.Delivered, b.read(received).Status)
	require.InDelta(t, 2, b.catches(), 0)
}

func TestReconcileProcesses_WhatALiveProcessPOSTsIsLeftAlone(t *testing.T) {
	t.Parallel()
	b, process := watched(t, func(_ *sender.Config, o *service.Options) { o.Retries = true })
	b.direct(process)
	for range 50 {
		b.Clock.Advance(time.Second)
		require.NoError(t, b.Env.Store.Beat(t.Context()))
		require.Empty(t, b.look())
	}
}
