package worker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// watched is an installation with a process that accepts, and a reconciler that has watched it for long enough.
func watched(t *testing.T) (b *bundle, process int64) {
	t.Helper()
	b = setup(t)
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

// silent lets the process be silent for as long as the others wait, and looks meanwhile.
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
func TestWhatAKilledProcessHeldIsDispatchedAgainWithinSeconds(t *testing.T) {
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

func TestALiveProcessKeepsWhatItHolds(t *testing.T) {
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
func TestAfterAnOutageOfTheDatabaseNobodyIsGone(t *testing.T) {
	t.Parallel()
	b, process := watched(t)
	b.publish()
	b.Clock.Advance(30 * time.Second) // in which nobody could look, nor say anything
	for range 3 {
		require.Empty(t, b.look())
		b.Clock.Advance(2 * time.Second)
		require.NoError(t, b.Env.Store.Beat(t.Context()))
	}
	require.Equal(t, process, b.Env.Store.ProcessID())
}

func TestAWalkThatFailedIsMadeAgainAtTheNextLook(t *testing.T) {
	t.Parallel()
	b, _ := watched(t)
	b.publish()
	b.engine.silent = errors.New("unavailable")
	for range 7 {
		b.Clock.Advance(time.Second)
		_ = b.Look(t.Context())
	}
	require.Zero(t, b.catches())
	b.engine.silent = nil
	require.Len(t, b.look(), 1)
	require.Empty(t, b.look())
}

func TestThePlacesOfAKilledProcessAreFreeWithinSeconds(t *testing.T) {
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
func TestWhatAGoneProcessStillAcceptsIsDispatchedAgainWithinSeconds(t *testing.T) {
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
