//go:build !unix

package cores

import "time"

func processorTime() (used time.Duration, ok bool) { return 0, false }
