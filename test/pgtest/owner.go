package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner is the user a cluster belongs to; the zero owner is ourselves.
type owner struct {
	other    bool
	uid, gid int
}

// findOwner returns ourselves, or, for root, whom PostgreSQL refuses, the user postgres or else nobody.
func findOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return owner{}, fmt.Errorf("user %s: %w", name, err)
		}
		return owner{other: true, uid: uid, gid: gid}, nil
	}
	return owner{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// tempDir creates a temporary directory of the owner's.
func (o owner) tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "posthorn-pgtest-")
	if err != nil {
		return "", fmt.Errorf("create cluster directory: %w", err)
	}
	return dir, o.chown(dir)
}

// writeFile creates a file that only the owner can read.
func (o owner) writeFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return o.chown(path)
}

func (o owner) chown(path string) error {
	if !o.other {
		return nil
	}
	if err := os.Chown(path, o.uid, o.gid); err != nil {
		return fmt.Errorf("hand over %s: %w", path, err)
	}
	return nil
}

// attributes make a process run as the owner.
func (o owner) attributes() *syscall.SysProcAttr {
	if !o.other {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(o.uid), Gid: uint32(o.gid)}} //nolint:gosec // Ids of this system's users fit.
}
