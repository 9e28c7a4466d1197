package models_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/posthorn/posthorn/models"
)

// A statement that is sent into a network that has gone ends in seconds, and not in a quarter of an hour.
func TestSocket_ConnectionsToPostgresBoundWhatIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	conn, err := models.DialPostgres(t.Context(), l.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var millis int
	require.NoError(t, raw.Control(func(fd uintptr) {
		millis, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}))
	require.NoError(t, err)
	require.Equal(t, 15_000, millis)
}

// A socket with which a reader waits already is looked at without waiting for that reader.
func TestSocket_ASocketIsQuietUntilSomethingComesOrItEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	for name, c := range map[string]struct {
		do     func(net.Conn) error
		reader bool
	}{
		"something came":                   {do: func(other net.Conn) error { _, err := other.Write([]byte{1}); return err }},
		"it has ended":                     {do: net.Conn.Close},
		"it has ended, and a reader waits": {do: net.Conn.Close, reader: true},
	} {
		conn, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		other, err := l.Accept()
		require.NoError(t, err)
		read := make(chan error, 1)
		if c.reader {
			go func() { _, err := conn.Read(make([]byte, 1)); read <- err }()
		}
		require.True(t, models.HasNothing(conn.(*net.TCPConn)), name)
		require.NoError(t, c.do(other))
		if c.reader {
			require.Error(t, <-read)
		}
		require.Eventually(t, func() bool { return !models.HasNothing(conn.(*net.TCPConn)) }, 10*time.Second, time.Millisecond, name)
		_ = other.Close()
		_ = conn.Close()
	}
}
