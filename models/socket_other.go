//go:build !linux

package models

import "syscall"

// boundUnacknowledged leaves it to the system how long it sends again what is not acknowledged.
func boundUnacknowledged(string, string, syscall.RawConn) error { return nil }

// hasNothing cannot tell here whether the other end has closed a socket.
func hasNothing(syscall.Conn) bool { return false }
