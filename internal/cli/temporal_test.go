package cli

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/posthorn/posthorn/internal/config"
)

// encodings tells how the requests that reach a server are compressed.
type encodings struct{ seen chan string }

func (encodings) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (encodings) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (encodings) HandleConn(context.Context, stats.ConnStats)                       {}
func (e encodings) HandleRPC(_ context.Context, s stats.RPCStats) {
	if h, ok := s.(*stats.InHeader); ok {
		e.seen <- h.Compression
	}
}

func TestTemporal_CallsOfTemporalAreNotCompressed(t *testing.T) {
	t.Parallel()
	e := encodings{make(chan string, 100)}
	server := grpc.NewServer(grpc.StatsHandler(e), grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return status.Error(codes.InvalidArgument, "no") }))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	o := client.Options{HostPort: listener.Addr().String()}
	require.NoError(t, PrepareTemporal(&o, config.Config{}, slog.New(slog.DiscardHandler)))
	_, err = client.DialContext(t.Context(), o)
	require.Error(t, err)
	require.Empty(t, <-e.seen)
}
