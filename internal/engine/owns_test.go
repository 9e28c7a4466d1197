package engine_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/posthorn/posthorn/internal/engine"
	"github.com/posthorn/posthorn/models"
)

// A suspended process does not start dispatches that others have taken over meanwhile.
func TestOwnership_WhatOthersHaveTakenOverIsNotStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, o := setup(func(o *engine.Options) { o.Owns = func(process int64) bool { return process == 2 } })
		held := work(10)
		for i := range held {
			held[i].Delivery.Process = int64(1 + i%2)
		}
		require.True(t, e.Admit(t.Context(), "acme", len(held)))
		e.Queue(held)
		time.Sleep(time.Second)
		require.Equal(t, []int{5}, o.written())

		require.Zero(t, e.LaunchWait(t.Context(), models.Dispatch{ID: "dsp_old", Process: 1}))
		before := c.starts()
		require.Equal(t, 1, e.LaunchWait(t.Context(), models.Dispatch{ID: "dsp_new", Process: 2}))
		require.Equal(t, before+1, c.starts())
		e.Close()
	})
}

// After an outage of Temporal, the dispatches given up meanwhile are left to others at once. A call that failed while
// others were answered is not an outage.
func TestOwnership_AfterAnOutageOfTemporalWhatWasGivenUpIsLeftToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var let atomic.Int32
		e, c, _ := setup(func(o *engine.Options) { o.LetGo = func() { let.Add(1) } })
		start := func(id string) {
			t.Helper()
			require.True(t, own(e, id))
			synctest.Wait()
		}
		for range 10 {
			start("while it is there")
			time.Sleep(1100 * time.Millisecond)
		}
		c.fail(serviceerror.NewUnavailable("restarting"))
		start("given up")
		c.fail(nil)
		time.Sleep(1100 * time.Millisecond)
		start("back after a moment")
		require.Zero(t, let.Load())

		c.fail(serviceerror.NewUnavailable("restarting"))
		for range 5 {
			time.Sleep(1100 * time.Millisecond)
			start("given up")
		}
		require.Zero(t, let.Load(), "it is away still")
		c.fail(nil)
		time.Sleep(1100 * time.Millisecond)
		require.EqualValues(t, 1, let.Load(), "it is back, though nothing is started that would find out")
		start("as ever")
		require.EqualValues(t, 1, let.Load())
		time.Sleep(10 * time.Second)
		start("nothing was given up since")
		require.EqualValues(t, 1, let.Load())
		e.Close()
	})
}

// A dispatch that could not be written because the database was away is left to others as soon as the database is back.
func TestOwnership_WhatCouldNotBeWrittenIsLeftToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var let atomic.Int32
		e, _, o := setup(func(o *engine.Options) { o.LetGo = func() { let.Add(1) } })
		o.fail(errors.New("the database is away"))
		require.True(t, e.Admit(t.Context(), "acme", 1))
		e.Queue(work(1))
		time.Sleep(time.Second)
		require.EqualValues(t, 1, let.Load())
		e.Close()
	})
}

// A dispatch whose start failed while others succeeded is tried again after a moment, until it is started or taken
// over.
func TestOwnership_WhatWasGivenUpIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		e, c, o := setup(func(o *engine.Options) { o.Owns = func(int64) bool { return !lost.Load() } })
		c.fail(serviceerror.NewUnavailable("one shard"))
		require.Zero(t, e.LaunchWait(t.Context(), models.Dispatch{ID: "dsp_1"}))
		time.Sleep(3 * time.Second)
		require.Zero(t, c.starts())
		c.fail(nil)
		time.Sleep(5 * time.Second)
		require.Equal(t, 1, c.starts())
		time.Sleep(time.Minute)
		require.Equal(t, 1, c.starts(), "once it is started")

		c.fail(serviceerror.NewUnavailable("one shard"))
		require.Zero(t, e.LaunchWait(t.Context(), models.Dispatch{ID: "dsp_2"}, models.Dispatch{ID: "dsp_3"}))
		o.mu.Lock()
		o.gone = map[string]bool{"dsp_2": true}
		o.mu.Unlock()
		c.fail(nil)
		time.Sleep(5 * time.Second)
		require.Equal(t, 2, c.starts(), "not what has been dispatched otherwise")

		c.fail(serviceerror.NewUnavailable("one shard"))
		require.Zero(t, e.LaunchWait(t.Context(), models.Dispatch{ID: "dsp_4"}))
		lost.Store(true)
		c.fail(nil)
		time.Sleep(5 * time.Second)
		require.Equal(t, 2, c.starts(), "not what others have taken over")
		require.Empty(t, o.moved)
		e.Close()
	})
}
