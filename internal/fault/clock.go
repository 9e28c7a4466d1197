//go:build faults

package fault

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clockFile names a file that contains a duration, by which this process's clock is ahead. Without the variable or the
// file the clock is right.
var clockFile = os.Getenv("POSTHORN_FAULT_CLOCK")

// readEvery is the time between two reads of the file.
const readEvery = 50 * time.Millisecond

var (
	ahead  atomic.Int64
	follow = sync.OnceFunc(func() {
		if clockFile == "" {
			return
		}
		read()
		go func() {
			for range time.Tick(readEvery) {
				read()
			}
		}()
	})
)

// read applies the file's content. A file that cannot be read, or is half written, changes nothing.
func read() {
	text, err := os.ReadFile(clockFile)
	if err != nil {
		return
	}
	if d, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
		ahead.Store(int64(d))
	}
}

// Now returns the process's time, including steps. Like a clock that has been set, it has no monotonic reading.
func Now() time.Time {
	follow()
	return time.Now().Round(0).Add(time.Duration(ahead.Load()))
}
