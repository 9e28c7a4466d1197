//go:build !linux

package chaos

import (
	"context"
	"errors"
)

// Run makes the faults and returns all lines of the run. It needs Linux: faults are made with its signals and mounts.
func Run(context.Context, Options) ([]Line, error) {
	return nil, errors.New("posthorn chaos runs on Linux only")
}
