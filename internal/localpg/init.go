package localpg

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// DataDir is the server's data directory within a cluster's directory.
func DataDir(dir string) string { return filepath.Join(dir, "data") }

// Initialise creates the data directory in dir with initdb. bin is the directory of the programs, and user the
// superuser, who logs in with the password.
func Initialise(ctx context.Context, bin, dir string, owner Owner, user, password string) error {
	passwordFile := filepath.Join(dir, "password")
	if err := owner.WriteFile(passwordFile, password); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"),
		"--pgdata", DataDir(dir), "--username", user, "--pwfile", passwordFile, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--no-locale", "--no-sync")
	cmd.Dir = dir
	cmd.SysProcAttr = owner.Attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, LastLines(out))
	}
	return nil
}

// LastLines returns the end of a program's output, to show what went wrong.
func LastLines(out []byte) []byte {
	const most = 2 << 10
	out = bytes.TrimSpace(out)
	return out[max(0, len(out)-most):]
}
