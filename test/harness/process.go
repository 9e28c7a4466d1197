package harness

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Command says how to start a process. It can be used any number of times.
type Command struct {
	Name string // for the tests' log
	Path string
	Args []string
	Env  []string // in addition to the test's own, without variables that configure Posthorn or Temporal
}

// Process is a process under test. It ends at the latest with the test that first started it.
type Process struct {
	Command
	owner   testing.TB
	cmd     *exec.Cmd
	out     output // standard output
	log     output // standard error
	ended   chan struct{}
	failure error // how it ended; read after ended
}

// stopPatience is how long a process may take to stop after a request.
const stopPatience = 90 * time.Second

// Start starts a process.
func Start(tb testing.TB, c Command) *Process {
	tb.Helper()
	p := &Process{Command: c, owner: tb, ended: make(chan struct{})}
	p.cmd = exec.Command(c.Path, c.Args...) //nolint:noctx // It ends with its test, by Kill.
	p.cmd.Env = append(cleanEnv(), c.Env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for the tests, which then stop it
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("start %s: %v", c.Name, err)
	}
	undertaker().watch(p.cmd.Process.Pid)
	go func() {
		p.failure = p.cmd.Wait()
		undertaker().forget(p.cmd.Process.Pid)
		close(p.ended)
	}()
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			p.report()
		}
	})
	return p
}

// report shows the output of the process: its end in the test's log, and all of it with `go test -artifacts`.
func (p *Process) report() {
	p.owner.Logf("the end of what %s wrote:\n%s%s", p.Name, tail(p.out.String()), tail(p.log.String()))
	path := filepath.Join(p.owner.ArtifactDir(), fmt.Sprintf("%s-%d.log", strings.ReplaceAll(p.Name, " ", "-"), p.cmd.Process.Pid))
	if err := os.WriteFile(path, []byte(p.out.String()+p.log.String()), 0o600); err != nil {
		p.owner.Log(err)
	}
}

// cleanEnv returns the environment without the variables that configure the programs under test.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "POSTHORN_") || strings.HasPrefix(pair, "TEMPORAL_") || strings.HasPrefix(pair, "OTEL_")
	})
}

// Kill ends the process as kill -9 does. It does nothing to a process that has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// Suspend stops the process in place: its connections stay, and nothing is answered. Resume or Kill ends that.
func (p *Process) Suspend(tb testing.TB) { p.signal(tb, syscall.SIGSTOP) }

// Resume lets a suspended process continue.
func (p *Process) Resume(tb testing.TB) { p.signal(tb, syscall.SIGCONT) }

func (p *Process) signal(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		tb.Fatalf("%s: %v", p.Name, err)
	}
}

// Terminate asks the process to end, and does not wait.
func (p *Process) Terminate(tb testing.TB) { p.signal(tb, syscall.SIGTERM) }

// Stop asks the process to end, waits until it has, and fails the test unless it says that all is well.
func (p *Process) Stop(tb testing.TB) {
	tb.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
		if p.failure != nil {
			tb.Fatalf("%s was asked to stop and failed: %v", p.Name, p.failure)
		}
	case <-time.After(stopPatience):
		tb.Fatalf("%s was asked to stop and does not", p.Name)
	}
}

// AwaitEnd waits until the process has ended by itself.
func (p *Process) AwaitEnd(tb testing.TB) error {
	tb.Helper()
	select {
	case <-p.ended:
		return p.failure
	case <-time.After(Patience):
		tb.Fatalf("%s has not ended", p.Name)
		return nil
	}
}

// err tells how the process ended, nil while it runs.
func (p *Process) err() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended: %w", p.Name, p.failure)
	default:
		return nil
	}
}

// Out returns the process's standard output so far.
func (p *Process) Out() string { return p.out.String() }

// Log returns the process's standard error so far.
func (p *Process) Log() string { return p.log.String() }

// output keeps the output of a process.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// tail returns the end of a text, long enough to see the cause of a failure.
func tail(text string) string {
	const most = 2 << 10
	return text[max(0, len(text)-most):]
}
