// Package freeport finds addresses on this machine for processes that are started for a test or a run, and that return
// to the same address after they were killed. It imports nothing of Posthorn.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Ports below those that the system assigns by itself (from 32768 on Linux, 49152 elsewhere): nothing else takes one
// while the process that listens on it is down.
const (
	firstPort = 20_000
	lastPort  = 32_000
	portTries = 1000
)

// Addr returns a loopback address that is currently free and for which taken returns false; nil = none is taken.
func Addr(ctx context.Context, taken func(addr string) bool) (string, error) {
	for range portTries {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort)) //nolint:gosec // Nobody guesses it.
		if taken != nil && taken(addr) {
			continue
		}
		if l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port is free")
}
