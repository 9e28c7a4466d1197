//go:build !unix

package config

import "math"

// descriptors returns that the number of open files is unlimited.
func descriptors() uint64 { return math.MaxUint64 }
