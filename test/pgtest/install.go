package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/localpg"
)

// installers are the known package managers, with the commands that install a package.
var installers = []struct {
	program string
	// update refreshes the lists. It is empty if install does that by itself.
	update, install []string
	server, bouncer string // the packages
}{
	{"apt-get", []string{"apt-get", "update", "-q"}, []string{"apt-get", "install", "-q", "-y", "--no-install-recommends"}, "postgresql", "pgbouncer"},
	{"apk", nil, []string{"apk", "add", "--no-cache"}, "postgresql postgresql-contrib", "pgbouncer"},
	{"dnf", nil, []string{"dnf", "install", "-y"}, "postgresql-server", "pgbouncer"},
}

// Install makes sure that a PostgreSQL server and pgbouncer are installed. It installs missing ones from the
// distribution's packages, through sudo unless we are root, and reports to w.
func Install(ctx context.Context, w io.Writer) error {
	_, noServer := localpg.FindBinaries()
	_, noBouncer := findBouncer()
	if noServer == nil && noBouncer == nil {
		return nil
	}
	for _, i := range installers {
		if _, err := exec.LookPath(i.program); err != nil {
			continue
		}
		command := slices.Clone(i.install)
		if noServer != nil {
			command = append(command, strings.Fields(i.server)...)
		}
		if noBouncer != nil {
			command = append(command, i.bouncer)
		}
		for _, command := range [][]string{i.update, command} {
			if len(command) == 0 {
				continue
			}
			if err := runAsRoot(ctx, w, command); err != nil {
				return fmt.Errorf("install PostgreSQL and pgbouncer: %w", err)
			}
		}
		_, noServer = localpg.FindBinaries()
		_, noBouncer = findBouncer()
		break
	}
	return errors.Join(noServer, noBouncer)
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
