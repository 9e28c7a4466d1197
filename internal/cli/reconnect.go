package cli

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/posthorn/posthorn/internal/pause"
)

// These times say how soon a worker finds Temporal again after an outage. The SDK's own waits grow to 10 s, separately
// for the connection and for each poll, and a due retry waits for a poll. The start of a workflow whose shard is away would
// sleep through the shard's return, and the engine starts nothing else meanwhile.
const (
	reconnectFirst = 100 * time.Millisecond
	reconnectMost  = time.Second
	connectFor     = 5 * time.Second
	workAgain      = 500 * time.Millisecond
)

// reconnecting returns the options of a Temporal client whose workers find Temporal soon after an outage.
func reconnecting() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: connectFor,
			Backoff: backoff.Config{BaseDelay: reconnectFirst, Multiplier: 2, Jitter: 0.2, MaxDelay: reconnectMost}}),
		grpc.WithChainUnaryInterceptor(again),
	}
}

// again repeats a worker's call, or the start of a workflow, while Temporal is not available, as long as the caller waits.
// The SDK would wait longer after each failure.
func again(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, call grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	for {
		err := call(ctx, method, request, reply, conn, opts...)
		if status.Code(err) != codes.Unavailable || !isRepeated(method) {
			return err
		}
		if pause.For(ctx, workAgain) != nil {
			return err
		}
	}
}

// isRepeated reports whether a method asks for work, reports its result, or starts a workflow.
func isRepeated(method string) bool {
	_, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return name == "StartWorkflowExecution" || strings.HasPrefix(name, "Poll") && strings.HasSuffix(name, "TaskQueue") || strings.HasPrefix(name, "Respond")
}
