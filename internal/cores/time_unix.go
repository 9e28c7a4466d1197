//go:build unix

package cores

import (
	"syscall"
	"time"
)

// processorTime returns what the process has used in all its threads.
func processorTime() (used time.Duration, ok bool) {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0, false
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), true
}
