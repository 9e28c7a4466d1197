package models

import (
	"errors"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unacknowledgedFor is how long what was sent to PostgreSQL may go without an acknowledgement before the connection counts as
// dead. Keep-alives are not sent meanwhile, and Linux would try for a quarter of an hour.
const unacknowledgedFor = 15 * time.Second

// boundUnacknowledged sets TCP_USER_TIMEOUT on a connection by TCP.
func boundUnacknowledged(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil // a socket in the file system
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledgedFor.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}

// hasNothing reports whether a socket is open and nothing has come: it looks without waiting, and leaves what it sees. It does not
// wait for another reader either: pgx may have left one that waits for the next answer.
func hasNothing(c syscall.Conn) (nothing bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Control(func(fd uintptr) {
		_, _, peeked := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		nothing = errors.Is(peeked, unix.EAGAIN)
	})
	return err == nil && nothing
}
