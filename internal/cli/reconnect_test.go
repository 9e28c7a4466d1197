package cli

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const workflowService = "/temporal.api.workflowservice.v1.WorkflowService/"

// A worker's calls, and starts of workflows, reach Temporal within half a second of its return. Other calls are left to
// their callers.
func TestReconnect_CallsAreRepeated(t *testing.T) {
	t.Parallel()
	tests := []struct {
		method string
		code   codes.Code
		after  time.Duration // 0: it is not made again
	}{
		{"PollWorkflowTaskQueue", codes.Unavailable, 30 * time.Second},
		{"PollActivityTaskQueue", codes.Unavailable, 30 * time.Second},
		{"RespondActivityTaskFailed", codes.Unavailable, 30 * time.Second},
		{"RespondWorkflowTaskCompleted", codes.Unavailable, 30 * time.Second},
		{"PollWorkflowTaskQueue", codes.ResourceExhausted, 0},
		{"RespondActivityTaskCompleted", codes.NotFound, 0},
		{"StartWorkflowExecution", codes.Unavailable, 30 * time.Second},
		{"StartWorkflowExecution", codes.AlreadyExists, 0},
		{"SignalWorkflowExecution", codes.Unavailable, 0},
		{"PollWorkflowExecutionUpdate", codes.Unavailable, 0},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.code.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				call := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
					if time.Since(began) < 30*time.Second {
						return status.Error(test.code, "away")
					}
					return nil
				}
				err := again(t.Context(), workflowService+test.method, nil, nil, nil, call)
				require.InDelta(t, test.after, time.Since(began), float64(workAgain))
				if test.after == 0 {
					require.Equal(t, test.code, status.Code(err))
				} else {
					require.NoError(t, err)
				}
				began = time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				err = again(ctx, workflowService+test.method, nil, nil, nil, call)
				require.Equal(t, test.code, status.Code(err))
				require.LessOrEqual(t, time.Since(began), 5*time.Second)
			})
		})
	}
}
