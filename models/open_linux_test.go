package models_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestOpen_IdleConnectionsAreAskedWhetherTheyAreAlive(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	config, err := models.PostgresConfig("postgres://127.0.0.1/posthorn")
	require.NoError(t, err)
	conn, err := config.DialFunc(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	option := map[int]int{syscall.TCP_KEEPIDLE: 5, syscall.TCP_KEEPINTVL: 2, syscall.TCP_KEEPCNT: 3}
	require.NoError(t, raw.Control(func(fd uintptr) {
		for name, want := range option {
			got, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, name)
			if err != nil || got != want {
				t.Errorf("option %d is %d, want %d (%v)", name, got, want, err)
			}
		}
	}))
}
