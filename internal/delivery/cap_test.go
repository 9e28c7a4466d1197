package delivery_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/delivery"
)

func TestCap_BoundsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := delivery.NewCap()
		var leave []func()
		for range delivery.DefaultInFlight {
			out, ok := enter(t.Context(), all, "wh_a")
			require.True(t, ok)
			leave = append(leave, out)
		}
		started := time.Now()
		_, ok := enter(t.Context(), all, "wh_a")
		require.False(t, ok)
		require.Equal(t, delivery.CapWait, time.Since(started))

		other, ok := enter(t.Context(), all, "wh_b")
		require.True(t, ok, "a full webhook is in nobody's way")
		require.Equal(t, 2, all.Open())
		other()

		entered := make(chan func(), 1)
		go func() {
			if out, ok := enter(t.Context(), all, "wh_a"); ok {
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
		require.Zero(t, all.Open())
	})
}

func TestCap_ForgetsWhoGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := delivery.NewCap()
		for range delivery.DefaultInFlight {
			_, ok := enter(t.Context(), all, "wh_a")
			require.True(t, ok)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan bool)
		go func() {
			_, ok := enter(ctx, all, "wh_a")
			gaveUp <- !ok
		}()
		synctest.Wait()
		cancel()
		require.True(t, <-gaveUp)
		require.Equal(t, delivery.DefaultInFlight, all.Users("wh_a"))
	})
}

// How many more find room depends on how long the latest POSTs took.
func TestCap_ARoomIsWaitedForUnlessTheReceiverIsSlow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		took time.Duration // of the POST that has ended
		most int           // at once, with the 16 in flight
	}{
		"no POST has ended": {0, 128},
		"fast":              {10 * time.Millisecond, 16 + 400},
		"slow":              {30 * time.Millisecond, 16},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				all := delivery.NewCap()
				all.Ask("wh_a", 1) // it is not forgotten
				if c.took > 0 {
					leave, ok := enter(t.Context(), all, "wh_a")
					require.True(t, ok)
					time.Sleep(c.took)
					leave()
				}
				left := c.most - all.Users("wh_a")
				require.True(t, all.Room("wh_a", left))
				require.False(t, all.Room("wh_a", left+1))
			})
		})
	}
	require.True(t, delivery.NewCap().Room("wh_a", delivery.DefaultInFlight))
	require.False(t, delivery.NewCap().Room("wh_a", delivery.DefaultInFlight+1))
}

// enter asks for one ticket and uses it.
func enter(ctx context.Context, c *delivery.Cap, webhookID string) (leave func(), ok bool) {
	return c.Ask(webhookID, 1)[0].Enter(ctx)
}
