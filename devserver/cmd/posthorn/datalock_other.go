//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package main

import "os"

// tryLock does nothing: where there is no flock, two processes on one data directory are not kept apart.
func tryLock(*os.File) error { return nil }
