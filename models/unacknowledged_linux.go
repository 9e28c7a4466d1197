package models

import (
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
