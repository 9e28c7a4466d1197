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
	for name, c := range map[string]struct{ limit, places int }{
		"default":    {0, activities.DefaultInFlight},
		"one":        {1, 1},
		"its own":    {40, 40},
		"not below ": {-1, activities.DefaultInFlight},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				lanes := activities.NewLanes()
				var leave []func()
				for range c.places {
					out, ok := lanes.Enter(t.Context(), "whk_a", c.limit, true)
					require.True(t, ok)
					leave = append(leave, out)
				}
				started := time.Now()
				_, ok := lanes.Enter(t.Context(), "whk_a", c.limit, true)
				require.False(t, ok)
				require.Equal(t, activities.LaneWait, time.Since(started))

				other, ok := lanes.Enter(t.Context(), "whk_b", c.limit, true)
				require.True(t, ok, "a full webhook is in nobody's way")
				require.Equal(t, 2, lanes.Open())
				other()
				for _, out := range leave {
					out()
				}
				require.Zero(t, lanes.Open())
			})
		})
	}
}

func TestLanesLetInWhoWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := activities.NewLanes()
		leave, ok := lanes.Enter(t.Context(), "whk_a", 1, true)
		require.True(t, ok)
		entered := make(chan func(), 2)
		for _, hurry := range []bool{true, false} {
			go func() {
				if out, ok := lanes.Enter(t.Context(), "whk_a", 1, hurry); ok {
					entered <- out
				}
			}()
		}
		synctest.Wait()
		require.Equal(t, 3, lanes.Users("whk_a"))
		time.Sleep(10 * activities.LaneWait) // of the bubble's time
		require.Equal(t, 2, lanes.Users("whk_a"), "who was in a hurry has left")
		leave()
		(<-entered)()
		require.Zero(t, lanes.Open())
	})
}

func TestLanesForgetWhoGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := activities.NewLanes()
		leave, ok := lanes.Enter(t.Context(), "whk_a", 1, false)
		require.True(t, ok)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan bool)
		go func() {
			_, ok := lanes.Enter(ctx, "whk_a", 1, false)
			gaveUp <- !ok
		}()
		synctest.Wait()
		cancel()
		require.True(t, <-gaveUp)
		require.Equal(t, 1, lanes.Users("whk_a"))
		leave()
		require.Zero(t, lanes.Open())
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
