//go:build !faults

package fault

import "time"

// Point marks a step.
func Point(string) {}

// Now returns the process's time.
func Now() time.Time { return time.Now() }

// Ahead returns how far the process's clock has been stepped.
func Ahead() time.Duration { return 0 }
