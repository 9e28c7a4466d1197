//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/cli"
)

// lockingDirectory makes this test binary a process that locks a data directory and waits to be killed.
const lockingDirectory = "POSTHORN_TEST_LOCK_DIRECTORY"

func TestMain(m *testing.M) {
	dir := os.Getenv(lockingDirectory)
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := lockData(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("locked")
	select {}
}

// locker starts a process that holds the lock of a data directory.
func locker(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	process := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	process.Env = append(os.Environ(), lockingDirectory+"="+dir)
	out, err := process.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", line)
	return process
}

func TestDataLock_ASecondDevOnTheSameDataRefuses(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first := locker(t, dir)
	second := &DevCommand{Data: dir}
	err := second.Run(t.Context(), cli.Environment{})
	require.ErrorContains(t, err, "pid "+strconv.Itoa(first.Process.Pid)+")")
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "--data")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "a process that is refused makes nothing in the directory")

	release, err := lockData(filepath.Join(t.TempDir(), "another"))
	require.NoError(t, err)
	release()
}

func TestDataLock_ALockEndsWithItsProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := locker(t, dir)
	require.NoError(t, first.Process.Kill())
	require.Error(t, first.Wait())
	release, err := lockData(dir)
	require.NoError(t, err, "it was killed")
	_, err = lockData(dir)
	require.ErrorContains(t, err, "pid "+strconv.Itoa(os.Getpid())+")")
	release()
	release, err = lockData(dir)
	require.NoError(t, err)
	release()
}
