package worker

import (
	"context"
	"log/slog"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"github.com/posthorn/posthorn/internal/panics"
)

// catching turns a panic of an activity, local or not, into an error that is counted and logged. Temporal retries it
// like any other. The SDK would catch it too, but put its text into the history, which must contain no data.
type catching struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (*catching) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	c := &catchingActivity{}
	c.Next = next
	return c
}

type catchingActivity struct {
	interceptor.ActivityInboundInterceptorBase
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (c *catchingActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (result any, err error) {
	defer func() {
		if v := recover(); v != nil {
			panics.Note(slog.Default(), "an activity", v, "activity", activity.GetInfo(ctx).ActivityType.Name)
			err = &panics.Error{Where: "an activity"}
		}
	}()
	return c.Next.ExecuteActivity(ctx, in)
}
