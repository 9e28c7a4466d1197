//go:build linux

package chaos

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

func newTestLink(t *testing.T, target string) *link {
	t.Helper()
	l, err := newLink(t.Context(), "client", "server", target)
	require.NoError(t, err)
	t.Cleanup(l.close)
	return l
}

func connect(t *testing.T, l *link) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
}

func requireComes(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func requireSilent(t *testing.T, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

func TestChaosProxy_PartitionDropsNothingForGood(t *testing.T) {
	t.Parallel()
	l := newTestLink(t, echo(t))
	conn := connect(t, l)
	send(t, conn, "before")
	requireComes(t, conn, "before")
	l.set(conditions{blocked: true})
	send(t, conn, "during")
	requireSilent(t, conn)
	fresh := connect(t, l)
	send(t, fresh, "fresh")
	requireSilent(t, fresh)
	l.set(conditions{})
	requireComes(t, conn, "during")
	requireComes(t, fresh, "fresh")
}

func TestChaosProxy_HalfOpenConnectionsAreResetInTheEnd(t *testing.T) {
	t.Parallel()
	for _, d := range []direction{toServer, toClient} {
		l := newTestLink(t, echo(t))
		conn := connect(t, l)
		send(t, conn, "before")
		requireComes(t, conn, "before")
		l.freeze(d)
		send(t, conn, "during")
		requireSilent(t, conn)
		fresh := connect(t, l)
		send(t, fresh, "fresh")
		requireComes(t, fresh, "fresh")
		l.thaw()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err := conn.Read(make([]byte, 1))
		require.ErrorContains(t, err, "reset")
		send(t, fresh, "again")
		requireComes(t, fresh, "again")
	}
}

func TestChaosProxy_EndsAreCarriedOver(t *testing.T) {
	t.Parallel()
	l := newTestLink(t, echo(t))
	conn := connect(t, l)
	send(t, conn, "last")
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	rest, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "last", string(rest))
}

func TestChaosProxy_NobodyListensBehindALink(t *testing.T) {
	t.Parallel()
	l := newTestLink(t, "127.0.0.1:1")
	conn, err := net.Dial("tcp", l.addr())
	if err == nil { // or it was reset before Dial looked
		_, err = io.ReadAll(conn)
	}
	require.ErrorContains(t, err, "reset")
}

func TestChaosProxy_Delay(t *testing.T) {
	t.Parallel()
	require.Zero(t, conditions{}.delay(1000))
	require.Equal(t, 1100*time.Millisecond, conditions{latency: 100 * time.Millisecond, rate: 1000}.delay(1000))
}
