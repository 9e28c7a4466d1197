package harness

import (
	"sync"
	"testing"

	"github.com/posthorn/posthorn/internal/freeport"
)

var (
	portsMu sync.Mutex
	ports   = map[string]bool{} // addresses given to a test of this process
)

// FreeAddr returns a loopback address that is free now and that no other test of this process gets.
func FreeAddr(tb testing.TB) string {
	tb.Helper()
	portsMu.Lock()
	defer portsMu.Unlock()
	addr, err := freeport.Addr(tb.Context(), func(addr string) bool { return ports[addr] })
	if err != nil {
		tb.Fatal(err)
	}
	ports[addr] = true
	return addr
}
