package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lockName is the file in the data directory that the process using it has locked. It holds that process's id.
const lockName = "lock"

// errLocked is returned by tryLock if another open file holds the lock.
var errLocked = errors.New("locked by another process")

// lockData makes the data directory and locks it for this process. Two processes on one directory would fight over one
// Temporal database. The kernel releases the lock when the process ends in any way. The file stays.
func lockData(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // the directory is the value of --data
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // in it
	if err != nil {
		return nil, err
	}
	err = tryLock(file)
	if err == nil {
		err = writePID(file)
	}
	if err == nil {
		return func() { _ = file.Close() }, nil
	}
	defer func() { _ = file.Close() }()
	if absolute, absErr := filepath.Abs(dir); absErr == nil {
		dir = absolute
	}
	if errors.Is(err, errLocked) {
		return nil, fmt.Errorf("another posthorn dev (%s) runs on the data directory %s: stop it, or choose another directory with --data", readPID(file), dir)
	}
	return nil, fmt.Errorf("lock the data directory %s: %w", dir, err)
}

func writePID(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// readPID returns the id of the process in a lock file. The process may not have written it yet.
func readPID(file *os.File) string {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 32))
	if err != nil {
		return "pid unknown"
	}
	if _, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
		return "pid unknown"
	}
	return "pid " + strings.TrimSpace(string(text))
}
