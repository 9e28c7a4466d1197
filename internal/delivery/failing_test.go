package delivery

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A webhook that only fails is slowed down, whatever waits for it. The first success ends that, and no other webhook is
// slowed down.
func TestFailingWebhook_IsSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f failing
		posts := func(webhook string, n int) time.Duration {
			began := time.Now()
			for range n {
				require.NoError(t, f.wait(t.Context(), webhook))
				f.note(webhook, false)
			}
			return time.Since(began)
		}
		require.Zero(t, posts("dead", failingFrom), "it may be a moment's trouble")
		require.InDelta(t, 2, posts("dead", 2*failingPace).Seconds(), 0.2)
		require.NoError(t, f.wait(t.Context(), "healthy"))
		f.note("dead", true)
		require.Zero(t, posts("dead", failingFrom))

		for range 3 * failingPace { // one in ten fails: it is not failing
			f.note("often", false)
			f.note("often", true)
		}
		require.Zero(t, posts("often", 1))
		require.NotContains(t, f.streaks, "healthy")
	})
}
