package harness

import (
	"testing"
	"time"
)

// Patience is how long a test waits for an expected change. It does not measure speed: a loaded machine may take long,
// and a test fails only if the change never happens.
const Patience = 2 * time.Minute

const lookEvery = 20 * time.Millisecond

// Until waits until check returns nil. When Patience is over, it fails the test with check's last error.
func Until(tb testing.TB, check func() error) {
	tb.Helper()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	deadline := time.After(Patience)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-tb.Context().Done():
			tb.Fatalf("the test has ended while it waited: %v", err)
		case <-deadline:
			tb.Fatalf("waited for %s: %v", Patience, err)
		}
	}
}
