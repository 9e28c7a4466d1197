package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthorn/posthorn/internal/engine"
)

// A tenant's batches go to the database while its own deliveries take a twenty-fifth of the room in memory. They come
// back until it has twice as much, so that those in the database go before new ones.
func TestPacing_BatchesWaitInTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := setup() // with room for 1000
		require.Equal(t, 40, e.LaterPage())
		require.False(t, e.Later("acme"))
		require.True(t, e.Admit(t.Context(), "acme", 40))
		require.False(t, e.Later("acme"))
		require.True(t, e.AdmitLater("acme", 1))
		require.True(t, e.Later("acme"))
		require.False(t, e.Later("globex"), "another tenant's do not")
		require.True(t, e.AdmitLater("acme", 39))
		require.False(t, e.AdmitLater("acme", 1), "it has twice as much")
		e.Withdraw("acme", 1)
		require.True(t, e.AdmitLater("acme", 1))
		e.Withdraw("acme", 80)
		require.False(t, e.Later("acme"))
		e.Close()
		require.False(t, e.AdmitLater("acme", 1))
		require.Zero(t, e.LaterPage())
	})
}

// A tenant that fills its room with other events gets a page of its batches every second. The batches of a tenant that
// has nothing waiting come back as long as there is any room; those of others leave a quarter of it.
func TestPacing_NoBatchWaitsForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := setup()
		require.True(t, e.Admit(t.Context(), "acme", 750), "all that one tenant may have")
		for range 3 {
			require.True(t, e.AdmitLater("acme", 40))
			require.False(t, e.AdmitLater("acme", 40))
			e.Withdraw("acme", 40) // they were sent
			time.Sleep(time.Second)
		}
		require.True(t, e.AdmitLater("globex", 40))
		require.False(t, e.AdmitLater("globex", 40), "a quarter is for others")
		require.True(t, e.AdmitLater("initech", 40))
		require.True(t, e.Admit(t.Context(), "umbrella", 170))
		require.Zero(t, e.LaterPage(), "there is no room at all")
		require.False(t, e.AdmitLater("hooli", 1))
		e.Close()
	})
}

// However small shared dispatches are, pages fit into their room.
func TestPacing_PagesFitIntoTheRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, most := range []int{2, 3, 4, 256} {
			e, _, _ := setup(func(o *engine.Options) { o.GroupMax, o.MaxWaiting = most, 0 })
			require.True(t, e.Admit(t.Context(), "acme", 400*most*3/4))
			page := e.LaterPage()
			require.Positive(t, page)
			require.True(t, e.AdmitLater("globex", page))
			require.True(t, e.AdmitLater("acme", page))
			e.Close()
		}
	})
}

// While Temporal is away nothing comes back: it would wait in vain. New batches are left to the reconciler, like
// everything else.
func TestPacing_NoBatchComesBackWhileTemporalIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, c, _ := setup()
		require.True(t, e.Admit(t.Context(), "acme", 700))
		require.True(t, e.Later("acme"))
		require.True(t, e.AdmitLater("globex", 1))
		c.fail(status.Error(codes.Unavailable, "away"))
		e.Queue(work(1))
		time.Sleep(100 * time.Millisecond)
		require.False(t, e.Later("acme"))
		require.False(t, e.AdmitLater("globex", 1))
		e.Close()
	})
}

// Where nothing shares a workflow, nothing waits for a shared one.
func TestPacing_WithoutSharingNoBatchWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := setup(func(o *engine.Options) { o.GroupMax = 1 })
		require.True(t, e.Admit(t.Context(), "acme", 700))
		require.False(t, e.Later("acme"))
		e.Close()
	})
}
