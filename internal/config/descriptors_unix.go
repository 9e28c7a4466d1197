//go:build unix

package config

import (
	"math"
	"syscall"
)

// descriptors returns the process's limit of open files. Go has raised the soft limit to the hard one when the process
// started.
func descriptors() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxUint64 // what cannot be asked does not bound
	}
	return uint64(limit.Cur) //nolint:unconvert // FreeBSD has an int64 here
}
