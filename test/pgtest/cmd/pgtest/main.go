// Command pgtest runs another command with a private PostgreSQL at its side:
//
//	go run ./test/pgtest/cmd/pgtest -- go test ./...
//
// The command finds the cluster's URL in POSTHORN_TEST_DATABASE_URL. If that is set already, pgtest only runs the
// command. It installs the distribution's PostgreSQL package if there is none, and ends with the command's exit code.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/posthorn/posthorn/test/pgtest"
)

func main() {
	code, err := run(context.Background(), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (code int, err error) {
	var options pgtest.Options
	flags := flag.NewFlagSet("pgtest", flag.ContinueOnError)
	flags.BoolVar(&options.Fast, "fast", false, "switch fsync off: for tests, not for benchmarks")
	flags.Func("c", "server `setting` as name=value, any number of times", func(s string) error {
		if !strings.Contains(s, "=") {
			return errors.New("want name=value")
		}
		options.Settings = append(options.Settings, s)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return 2, nil // flags has said why
	}
	if flags.NArg() == 0 {
		return 2, errors.New("usage: pgtest [-fast] [-c name=value]… -- command [argument]…")
	}

	// From here on an interrupt ends the command, not us: the cluster has to be cleared away. The terminal sends it to
	// the command as well; SIGTERM comes to us alone and is passed on.
	interrupts, terminate := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	signal.Notify(terminate, syscall.SIGTERM)

	cmd := exec.CommandContext(ctx, flags.Arg(0), flags.Args()[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if os.Getenv(pgtest.EnvURL) == "" {
		if err := pgtest.Install(ctx, os.Stderr); err != nil {
			return 1, err
		}
		cluster, err := pgtest.Start(ctx, options)
		if err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, cluster.Stop()) }()
		cmd.Env = append(os.Environ(), pgtest.EnvURL+"="+cluster.URL())
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	done := make(chan struct{})
	go func() {
		select {
		case s := <-terminate:
			_ = cmd.Process.Signal(s)
		case <-done:
		}
	}()
	err = cmd.Wait()
	close(done)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(exit.ExitCode(), 1), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}
