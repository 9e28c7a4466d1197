package localpg

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// Owner is the user that owns a cluster. The zero Owner is the user of this process.
type Owner struct {
	other    bool
	uid, gid int
}

// FindOwner returns this process's user. PostgreSQL refuses to run as root: for root it returns the user postgres, or
// else nobody.
func FindOwner() (Owner, error) {
	if os.Geteuid() != 0 {
		return Owner{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return Owner{}, fmt.Errorf("user %s: %w", name, err)
		}
		return Owner{other: true, uid: uid, gid: gid}, nil
	}
	return Owner{}, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// TempDir creates a temporary directory for the owner. pattern is that of os.MkdirTemp.
func (o Owner) TempDir(pattern string) (string, error) {
	dir, err := os.MkdirTemp("", pattern)
	if err != nil {
		return "", fmt.Errorf("create cluster directory: %w", err)
	}
	return dir, o.Chown(dir)
}

// WriteFile creates a file that only the owner can read.
func (o Owner) WriteFile(path, content string) error {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return o.Chown(path)
}

// Chown gives a file or directory to the owner.
func (o Owner) Chown(path string) error {
	if !o.other {
		return nil
	}
	if err := os.Chown(path, o.uid, o.gid); err != nil {
		return fmt.Errorf("hand over %s: %w", path, err)
	}
	return nil
}
