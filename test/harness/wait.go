package harness

import (
	"testing"
	"time"
)

// Patience is how long a test waits for something that is to happen. It is no measure of speed: a loaded machine may
// take long, and only what never happens fails.
const Patience = 2 * time.Minute

const lookEvery = 20 * time.Millisecond

// Until waits until check finds nothing wrong. It fails the test with what was wrong last when patience is at an end.
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
