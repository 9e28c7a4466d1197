package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/posthorn/posthorn/internal/engine"
)

// frontend is the part of a Temporal server that a start needs, on a network in memory. The client is the SDK's own,
// because its behaviour in an outage matters.
type frontend struct {
	workflowservice.UnimplementedWorkflowServiceServer

	mu       sync.Mutex
	listener *bufconn.Listener // nil while it is down
	server   *grpc.Server
	refuse   func(context.Context) error // answers starts, if it is set
	asked    int                         // starts
	started  int
}

func (f *frontend) GetSystemInfo(context.Context, *workflowservice.GetSystemInfoRequest) (*workflowservice.GetSystemInfoResponse, error) {
	return &workflowservice.GetSystemInfoResponse{}, nil
}

func (f *frontend) StartWorkflowExecution(ctx context.Context, _ *workflowservice.StartWorkflowExecutionRequest) (*workflowservice.StartWorkflowExecutionResponse, error) {
	f.mu.Lock()
	f.asked++
	refuse := f.refuse
	if refuse == nil {
		f.started++
	}
	f.mu.Unlock()
	if refuse != nil {
		return nil, refuse(ctx)
	}
	return &workflowservice.StartWorkflowExecutionResponse{RunId: "run"}, nil
}

func (f *frontend) answer(refuse func(context.Context) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuse = refuse
}

// counts returns how many starts have come, and how many were made.
func (f *frontend) counts() (asked, started int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked, f.started
}

func (f *frontend) up() {
	listener, server := bufconn.Listen(1<<20), grpc.NewServer()
	workflowservice.RegisterWorkflowServiceServer(server, f)
	go func() { _ = server.Serve(listener) }()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listener, f.server = listener, server
}

func (f *frontend) down() {
	f.mu.Lock()
	server := f.server
	f.listener = nil
	f.mu.Unlock()
	server.Stop()
}

func (f *frontend) dial(ctx context.Context, _ string) (net.Conn, error) {
	f.mu.Lock()
	listener := f.listener
	f.mu.Unlock()
	if listener == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	}
	return listener.DialContext(ctx)
}

// connect returns a running frontend, and a client of it.
func connect(t *testing.T) (*frontend, client.Client) {
	t.Helper()
	f := &frontend{}
	f.up()
	t.Cleanup(f.down)
	c, err := client.NewLazyClient(client.Options{HostPort: "passthrough:///temporal", Logger: slog.New(slog.DiscardHandler),
		ConnectionOptions: client.ConnectionOptions{DialOptions: []grpc.DialOption{grpc.WithContextDialer(f.dial)}}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return f, c
}

// silent lets a start wait for as long as the client does.
func silent(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func unavailable(context.Context) error {
	return status.Error(codes.Unavailable, "no hosts are available")
}

// outages are the ways in which a running Temporal goes away.
var outages = []struct {
	name        string
	begins, end func(*frontend)
}{
	{"it is down", (*frontend).down, (*frontend).up},
	{"it is silent", func(f *frontend) { f.answer(silent) }, func(f *frontend) { f.answer(nil) }},
	{"it says so", func(f *frontend) { f.answer(unavailable) }, func(f *frontend) { f.answer(nil) }},
}

func TestTemporalAway_ATemporalThatWasThereAndIsAwayIsFoundOut(t *testing.T) {
	t.Parallel()
	for _, outage := range outages {
		t.Run(outage.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, c := connect(t)
				e, _, o := setup(func(o *engine.Options) { o.Client = c })
				require.True(t, own(e, "while it is there"))
				synctest.Wait()
				_, started := f.counts()
				require.Equal(t, 1, started)

				time.Sleep(time.Second)
				outage.begins(f)
				for i := range slots {
					require.True(t, own(e, fmt.Sprint(i)))
				}
				time.Sleep(5*time.Second + 10*time.Millisecond) // the SDK's time for a call
				publishes := func() {
					t.Helper()
					began := time.Now()
					for range 2 { // each as many as may wait
						require.True(t, e.Admit(t.Context(), "acme", 1000))
						e.Queue(work(1000))
					}
					require.True(t, own(e, "left to the reconciler"))
					require.Zero(t, time.Since(began), "nobody waits")
				}
				publishes()
				synctest.Wait()
				for range 60 { // and while it is asked, now and then, whether it is back
					time.Sleep(500 * time.Millisecond)
					require.True(t, own(e, "asks, or does not wait for who does"))
					synctest.Wait()
					publishes()
				}
				require.Empty(t, o.written())

				outage.end(f)
				time.Sleep(time.Minute)
				require.True(t, own(e, "it is back"))
				synctest.Wait()
				_, started = f.counts()
				require.Equal(t, 2+64, started, "beside what is tried again, which is bounded")
				e.Close()
			})
		})
	}
}

func TestTemporalAway_WhileTemporalIsAwayOneCallAtATimeAsksForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := connect(t)
		e, _, _ := setup(func(o *engine.Options) { o.Client = c })
		f.answer(silent)
		require.True(t, own(e, "finds out"))
		time.Sleep(5 * time.Second)
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			require.True(t, own(e, "asks, or does not wait for who does"))
			synctest.Wait()
		}
		asked, _ := f.counts()
		require.Equal(t, 1+60/6, asked, "five seconds each, and one between them")
		e.Close()
	})
}

func TestTemporalAway_AnAnswerToAnyOfThemTellsThatTemporalIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, c := connect(t)
		e, _, _ := setup(func(o *engine.Options) { o.Client = c })
		f.answer(silent)
		require.True(t, own(e, "stuck"))
		time.Sleep(5*time.Second - 10*time.Millisecond)
		f.answer(func(context.Context) error {
			time.Sleep(20 * time.Millisecond)
			return status.Error(codes.AlreadyExists, "it runs")
		})
		require.True(t, own(e, "late, and answered"))
		time.Sleep(30 * time.Millisecond)
		f.answer(nil)
		require.True(t, own(e, "at once"))
		synctest.Wait()
		_, started := f.counts()
		require.Equal(t, 1, started)
		e.Close()
	})
}
