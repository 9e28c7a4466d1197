//go:build linux

package chaos

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// disk holds PostgreSQL's data. It can be full.
type disk interface {
	fill() error
	free() error
	// about returns for the report how the disk is made full.
	about() string
}

// mountedDisk is a small file system in memory, for this run only.
type mountedDisk struct{ dir string }

// diskSize is more than a part of a run stores. Memory is used only for what is stored.
const diskSize = "8g"

// mountDisk mounts one at dir. It needs the right to mount.
func mountDisk(dir string) (*mountedDisk, error) {
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+diskSize); err != nil {
		return nil, fmt.Errorf("mount a file system: %w", err)
	}
	return &mountedDisk{dir}, nil
}

func (d *mountedDisk) about() string {
	return "a small file system of the run's own (tmpfs), made as small as what is on it"
}

const fillTries = 20

// fill makes the file system as small as its contents. Writing continues meanwhile, so this may take several tries.
func (d *mountedDisk) fill() error {
	var err error
	for range fillTries {
		var s syscall.Statfs_t
		if err = syscall.Statfs(d.dir, &s); err != nil {
			return err
		}
		used := (s.Blocks - s.Bfree) * uint64(s.Bsize) //nolint:gosec // A block's size is positive.
		if err = d.resize(fmt.Sprint(used)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("fill the disk: %w", err)
}

func (d *mountedDisk) free() error { return d.resize(diskSize) }

func (d *mountedDisk) resize(size string) error {
	return syscall.Mount("tmpfs", d.dir, "tmpfs", syscall.MS_REMOUNT, "size="+size)
}

// unmountTries allow for processes that have just been killed.
const unmountTries = 50

func (d *mountedDisk) unmount() error {
	var err error
	for range unmountTries {
		if err = syscall.Unmount(d.dir, 0); !errors.Is(err, syscall.EBUSY) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// limitedDisk is the substitute where mounting is not allowed: no process of the server may make a file larger.
type limitedDisk struct{ server *process }

// writable is the file size up to which writing still works. It is less than the size of a log segment or of a used
// table.
const writable = 64 << 10

func (d *limitedDisk) about() string {
	return "a limit of file size (RLIMIT_FSIZE) on PostgreSQL's processes, as mounting is not allowed here"
}

func (d *limitedDisk) fill() error { return d.limit(writable) }
func (d *limitedDisk) free() error { return d.limit(unix.RLIM_INFINITY) }

func (d *limitedDisk) limit(bytes uint64) error {
	d.server.mu.Lock()
	pid := d.server.pid
	d.server.mu.Unlock()
	if pid == 0 {
		return nil // a newly started process has no limit
	}
	for _, target := range append([]int{pid}, descendants(pid)...) {
		limit := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
		if err := unix.Prlimit(target, unix.RLIMIT_FSIZE, &limit, nil); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("limit the size of files: %w", err)
		}
	}
	return nil
}
