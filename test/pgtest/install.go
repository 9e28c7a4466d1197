package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/posthorn/posthorn/internal/localpg"
)

// installers are the package managers we know, with the commands that install a PostgreSQL server.
var installers = []struct {
	program  string
	commands [][]string
}{
	{"apt-get", [][]string{
		{"apt-get", "update", "-q"},
		{"apt-get", "install", "-q", "-y", "--no-install-recommends", "postgresql"},
	}},
	{"apk", [][]string{{"apk", "add", "--no-cache", "postgresql", "postgresql-contrib"}}},
	{"dnf", [][]string{{"dnf", "install", "-y", "postgresql-server"}}},
}

// Install makes sure that a PostgreSQL server is installed: if none is found it installs the distribution's package,
// through sudo unless we are root, and reports to w.
func Install(ctx context.Context, w io.Writer) error {
	if _, err := localpg.FindBinaries(); err == nil {
		return nil
	}
	for _, i := range installers {
		if _, err := exec.LookPath(i.program); err != nil {
			continue
		}
		for _, command := range i.commands {
			if err := runAsRoot(ctx, w, command); err != nil {
				return fmt.Errorf("install PostgreSQL: %w", err)
			}
		}
		_, err := localpg.FindBinaries()
		return err
	}
	return localpg.ErrNoBinaries
}

// runAsRoot runs a command of the package manager and asks no questions.
func runAsRoot(ctx context.Context, w io.Writer, command []string) error {
	if os.Geteuid() != 0 {
		if _, err := exec.LookPath("sudo"); err != nil {
			return errors.New("neither root nor sudo")
		}
		command = append([]string{"sudo", "--non-interactive"}, command...)
	}
	_, _ = fmt.Fprintln(w, "pgtest: running", command)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %w", command, err)
	}
	return nil
}
