package cores

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFollow_IsQuietAfterSomeLooksInARow(t *testing.T) {
	t.Parallel()
	var l load
	late := false
	look := func(times int, used float64) (changes int) {
		for range times {
			if l.look(used, late) {
				changes++
			}
		}
		return changes
	}
	require.Zero(t, look(quietFor-1, 0.1))
	require.Zero(t, look(1, 0.5), "one busy look begins the row again")
	require.Zero(t, look(quietFor-1, 0.1))
	require.False(t, l.quiet)
	require.Equal(t, 1, look(1, 0.1))
	require.True(t, l.quiet)
	require.Zero(t, look(100, 0.6), "what made it quiet need not last")
	require.Equal(t, 1, look(1, 0.9), "one look is enough to end it")
	require.False(t, l.quiet)
	require.Zero(t, look(100, 1.8))
	require.Equal(t, 1, look(quietFor, 0.1))
	late = true
	require.Equal(t, 1, look(1, 0.1), "it waits for a core")
	require.Zero(t, look(100, 0.1))
	require.False(t, l.quiet)
}

func TestFollow_GivesAQuietProcessOneCore(t *testing.T) { // not parallel: GOMAXPROCS belongs to the process
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	all := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(2)
	t.Cleanup(runtime.SetDefaultGOMAXPROCS)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go Follow(ctx)
		time.Sleep((quietFor + 1) * every)
		synctest.Wait()
		require.Equal(t, 1, runtime.GOMAXPROCS(0))
		cancel()
		synctest.Wait()
		require.Equal(t, all, runtime.GOMAXPROCS(0), "in the end it has all")
	})
}

func TestFollow_LeavesWhatTheEnvironmentSays(t *testing.T) {
	t.Setenv("GOMAXPROCS", "2")
	runtime.GOMAXPROCS(2)
	t.Cleanup(runtime.SetDefaultGOMAXPROCS)
	synctest.Test(t, func(t *testing.T) {
		Follow(t.Context()) // returns at once
		require.Equal(t, 2, runtime.GOMAXPROCS(0))
	})
}
