//go:build unix

package config

import (
	"math"
	"syscall"
)

// descriptors returns the process's limit of open files. Go has raised the soft limit to the hard one at the start of
// the process.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64 // an unknown limit counts as none
	}
	return uint64(limit.Cur) //nolint:unconvert // FreeBSD has an int64 here
}
