package activities_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/activities"
)

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
