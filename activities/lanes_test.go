package activities_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/activities"
)

func TestLanesBoundWhatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := activities.NewLanes()
		var leave []func()
		for range activities.DefaultInFlight {
			out, ok := lanes.Enter(t.Context(), "wh_a")
			require.True(t, ok)
			leave = append(leave, out)
		}
		started := time.Now()
		_, ok := lanes.Enter(t.Context(), "wh_a")
		require.False(t, ok)
		require.Equal(t, activities.LaneWait, time.Since(started))

		other, ok := lanes.Enter(t.Context(), "wh_b")
		require.True(t, ok, "a full webhook is in nobody's way")
		require.Equal(t, 2, lanes.Open())
		other()

		entered := make(chan func(), 1)
		go func() {
			if out, ok := lanes.Enter(t.Context(), "wh_a"); ok {
				entered <- out
			}
		}()
		synctest.Wait()
		leave[0]()
		leave[0]() // a second call does nothing
		(<-entered)()
		for _, out := range leave[1:] {
			out()
		}
		require.Zero(t, lanes.Open())
	})
}

func TestLanesForgetWhoGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := activities.NewLanes()
		for range activities.DefaultInFlight {
			_, ok := lanes.Enter(t.Context(), "wh_a")
			require.True(t, ok)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan bool)
		go func() {
			_, ok := lanes.Enter(ctx, "wh_a")
			gaveUp <- !ok
		}()
		synctest.Wait()
		cancel()
		require.True(t, <-gaveUp)
		require.Equal(t, activities.DefaultInFlight, lanes.Users("wh_a"))
	})
}

func TestEveryCallsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		stop := activities.Every(activities.BeatEvery, func() { calls++ })
		time.Sleep(3*activities.BeatEvery + time.Second) // of the bubble's time
		stop()
		require.Equal(t, 3, calls)
	})
}
