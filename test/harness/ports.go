package harness

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

// Ports below those that the system hands out by itself (from 32768 on Linux, 49152 elsewhere): nothing else takes
// them while a killed process is down.
const (
	firstPort = 20_000
	lastPort  = 32_000
)

var (
	portsMu sync.Mutex
	ports   = map[int]bool{} // given to a test of this process
)

// FreeAddr gives a loopback address to listen on that is free now and that no other test of this process is given.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort) //nolint:gosec // Nobody guesses it.
		if ports[port] {
			continue
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		ports[port] = true
		return addr
	}
	tb.Fatal("no port is free")
	return ""
}
