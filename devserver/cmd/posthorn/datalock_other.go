//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package main

import "os"

// tryLock does nothing. Without flock, nothing keeps two processes from using one data directory.
func tryLock(*os.File) error { return nil }
