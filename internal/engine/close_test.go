package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/internal/handoff"
)

func TestClose_WhatWaitsIsStartedBeforeTheEngineCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup(func(o *engine.Options) { o.Desk = handoff.NewDesk(1<<20, time.Now) })
		require.True(t, e.Admit(t.Context(), "acme", 1+10+20*256))
		e.Queue(work(1))
		e.Queue(work(10)) // it is not time for them yet
		synctest.Wait()
		require.Equal(t, []int{1}, o.written())
		e.Queue(work(20 * 256))
		began := time.Now()
		e.Close()
		require.LessOrEqual(t, time.Since(began), 250*time.Millisecond, "only those already begun wait for their first attempts")
		total := 0
		for _, n := range o.written() {
			total += n
		}
		require.Equal(t, 1+10+20*256, total)
		require.Equal(t, len(o.written()), c.starts())
	})
}

func TestClose_AnEngineThatIsClosedStartsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup()
		require.True(t, e.Admit(t.Context(), "acme", 2))
		e.Queue(work(1))
		synctest.Wait()
		e.Queue(work(1)) // planned
		e.Failed("wh_1", 1, 2)
		synctest.Wait()
		e.Failed("wh_1", 1, 2) // planned
		e.Close()
		starts, signals := c.starts(), c.signaled()
		require.Equal(t, 2, starts)

		require.True(t, own(e, "of a request that was cut off"))
		require.True(t, e.Admit(t.Context(), "acme", 5000))
		e.Queue(work(5000))
		time.Sleep(time.Minute)
		require.Equal(t, starts, c.starts())
		require.Equal(t, signals, c.signaled())
		require.Len(t, o.written(), 2)
	})
}

func TestClose_AnEngineClosesInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup(func(o *engine.Options) { o.GroupMax = 2 })
		o.takes = 100 * time.Millisecond
		require.True(t, e.Admit(t.Context(), "acme", 600))
		e.Queue(work(600))
		began := time.Now()
		e.Close()
		require.Equal(t, 5*time.Second, time.Since(began))
		require.NotZero(t, c.starts())
		require.Less(t, len(o.written()), 300, "the rest is the reconciler's")
	})
}
