package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/models"
)

// dispatches returns n dispatches of a tenant, with one delivery each.
func dispatches(tenant string, n int) []models.Dispatch {
	all := make([]models.Dispatch, n)
	for i := range all {
		all[i] = models.Dispatch{ID: fmt.Sprintf("%s/%d", tenant, i), Deliveries: []models.DeliveryKey{{Tenant: tenant, ID: fmt.Sprint("dlv_", i)}}}
	}
	return all
}

func TestLaunch_ThousandsThatAreLaunchedHaveNoGoroutineEach(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		c.takes = 10 * time.Millisecond
		before := runtime.NumGoroutine()
		e.Launch(dispatches("acme", 3000)...)
		synctest.Wait()
		require.Less(t, runtime.NumGoroutine()-before, 1000, "other tests run as well")
		time.Sleep(time.Minute)
		require.Equal(t, 3000, c.starts())
		require.Equal(t, slots, c.most)
		e.Close()
	})
}

func TestLaunch_WhoWaitsForLaunchesHasThemStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		c.takes = 10 * time.Millisecond
		began := time.Now()
		e.LaunchWait(t.Context(), dispatches("acme", 400)...)
		require.Equal(t, 400, c.starts())
		require.Equal(t, time.Second, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began = time.Now()
		e.LaunchWait(ctx, dispatches("another", 400)...)
		require.Equal(t, 100*time.Millisecond, time.Since(began))
		started := c.starts()
		require.LessOrEqual(t, started, 440)
		time.Sleep(time.Minute)
		require.LessOrEqual(t, c.starts(), started+slots, "what nobody waits for any more is the reconciler's")

		c.fail(context.DeadlineExceeded)
		began = time.Now()
		e.LaunchWait(t.Context(), dispatches("third", 400)...)
		require.Less(t, time.Since(began), time.Second, "while Temporal is away it is not kept waiting")
		e.Close()
	})
}

func TestLaunch_ThatWaitedForLongIsNotStartedIfItWasReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup()
		c.takes = 2 * time.Second
		o.gone = map[string]bool{"acme/1": true, "acme/30": true}
		e.Launch(dispatches("acme", 32)...)
		time.Sleep(time.Minute)
		require.Equal(t, 31, c.starts(), "the one that waited for 14 s")
		e.Close()
	})
}

func TestLaunch_TenantsTakeTurnsToBeLaunched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		c.takes = 10 * time.Millisecond
		e.Launch(dispatches("huge", 3000)...)
		synctest.Wait()
		began := time.Now()
		e.LaunchWait(t.Context(), dispatches("small", 1)...)
		require.LessOrEqual(t, time.Since(began), 30*time.Millisecond)
		e.Close()
	})
}

func TestLaunch_WhatIsLaunchedBeyondTheBoundIsTheReconcilers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		c.takes = time.Millisecond
		e.LaunchWait(t.Context(), dispatches("acme", 12_000)...)
		require.LessOrEqual(t, c.starts(), 10_000+slots)
		require.GreaterOrEqual(t, c.starts(), 10_000)
		e.Close()
	})
}

func TestLaunch_OnTheMainQueueTenantsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup(func(o *engine.Options) { o.Threshold = threshold })
		mixed := models.Dispatch{ID: "dsp_1", Deliveries: []models.DeliveryKey{{Tenant: "acme"}, {Tenant: "another"}}}
		e.LaunchWait(t.Context(), mixed)
		e.LaunchWait(t.Context(), dispatches("acme", 1)...)
		e.StartRecovery("rec_1")
		e.Failed("wh_1", 0, 1)
		synctest.Wait()
		var keys []string
		for _, o := range c.started {
			keys = append(keys, o.Priority.FairnessKey)
			require.LessOrEqual(t, len(o.Priority.FairnessKey), 64)
		}
		require.Equal(t, []string{"*shared", "acme", "*recovery"}, keys)
		require.Equal(t, "*health", c.signalOptions[0].Priority.FairnessKey)
		e.Close()
	})
}
