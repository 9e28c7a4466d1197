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

// A tenant's batches go to the database while it has a twenty-fifth of the room in memory, or all tenants half of it.
// They come back until it has twice as much, so that those in the database go before new ones.
func TestPacing_BatchesWaitInTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := setup() // with room for 1000
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

		require.True(t, e.AdmitLater("globex", 500), "a page of a tenant that has nothing waiting is never too large")
		require.True(t, e.Later("small"), "half the room is taken")
		require.True(t, e.AdmitLater("initech", 170))
		require.False(t, e.AdmitLater("umbrella", 1), "a quarter is for what comes event by event")
		require.True(t, e.Admit(t.Context(), "umbrella", 1))
		e.Withdraw("acme", 80)
		e.Withdraw("globex", 500)
		e.Withdraw("initech", 170)
		require.False(t, e.Later("acme"))
		e.Close()
		require.False(t, e.AdmitLater("acme", 1))
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
