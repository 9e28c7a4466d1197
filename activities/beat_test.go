package activities_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

func TestHeartbeat_EveryCallsUntilItIsStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		stop := activities.Every(activities.BeatEvery, func() { calls++ })
		time.Sleep(3*activities.BeatEvery + time.Second) // of the bubble's time
		stop()
		require.Equal(t, 3, calls)
	})
}

// Temporal asks an activity to end while its POST is under way. The POST is finished and recorded.
func TestHeartbeat_APOSTUnderWayEndsThoughItsActivityIsCanceled(t *testing.T) {
	t.Parallel()
	var cancel context.CancelFunc
	b := setup(t, servicetest.WithPoster(posterFunc(func(ctx context.Context, _ sender.Request) sender.Result {
		cancel()
		return sender.Result{Outcome: sender.Received, StatusCode: http.StatusNoContent, StartedAt: time.Now(), Aborted: ctx.Err() != nil}
	})))
	b.hook("/a")
	d, l := b.waiting()
	outcome, err := run[workflows.Outcome](b, workflows.Attempt, func(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		ctx, cancel = context.WithCancel(ctx)
		return b.Deliveries.Attempt(ctx, in)
	}, workflows.AttemptInput{DispatchID: d.ID, Delivery: l})
	require.NoError(t, err)
	require.Equal(t, workflows.Delivered, outcome.Status)
	require.Equal(t, models.Delivered, b.delivery(d).Status)
}
