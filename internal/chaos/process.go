//go:build linux

package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a program that is started again whenever it ends, as an orchestrator does.
type process struct {
	name  string
	path  string
	args  []string
	env   []string
	log   string // file
	attr  syscall.SysProcAttr
	tree  bool // signals also go to its children
	ended sync.WaitGroup
	stop  context.CancelFunc

	mu      sync.Mutex
	pid     int           // 0 = it is down
	down    chan struct{} // closed when it goes down
	held    chan struct{} // closed when it may be started; nil = it may
	restart time.Duration // the wait before it is started again, once
}

// restartAfter is the wait before a process that ended is started again, unless a fault says otherwise.
const restartAfter = time.Second

// start begins to run the program, until close.
func (p *process) start(ctx context.Context) {
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	p.restart = restartAfter
	p.ended.Go(func() {
		for ctx.Err() == nil {
			if !p.allowed(ctx) {
				return
			}
			if err := p.once(ctx); err != nil {
				_ = p.note(err.Error())
			}
			p.mu.Lock()
			wait := p.restart
			p.restart = restartAfter
			p.mu.Unlock()
			sleep(ctx, wait)
		}
	})
}

// allowed waits while the process is held.
func (p *process) allowed(ctx context.Context) bool {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	if held == nil {
		return true
	}
	select {
	case <-held:
		return true
	case <-ctx.Done():
		return false
	}
}

// once runs the program once.
func (p *process) once(ctx context.Context) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.path, p.args...) //nolint:noctx // It is ended by signals.
	cmd.Env, cmd.Stdout, cmd.Stderr = p.env, log, log
	attr := p.attr
	attr.Setpgid = true // an interrupt is for the runner, which then stops everything
	attr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr = &attr
	if err := cmd.Start(); err != nil {
		return err
	}
	down := make(chan struct{})
	p.mu.Lock()
	p.pid, p.down = cmd.Process.Pid, down
	p.mu.Unlock()
	if ctx.Err() != nil { // close came between
		_ = cmd.Process.Kill()
	}
	err = cmd.Wait()
	p.mu.Lock()
	p.pid = 0
	p.mu.Unlock()
	close(down)
	_ = p.note(fmt.Sprintf("ended: %v", err))
	return nil
}

// note writes a line into the process's own log.
func (p *process) note(text string) error {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(log, "chaos %s: %s\n", time.Now().UTC().Format(time.RFC3339Nano), text)
	return errors.Join(err, log.Close())
}

// signal sends a signal to the process and, with tree, to its children. A process that is down gets none.
func (p *process) signal(s syscall.Signal) {
	p.mu.Lock()
	pid := p.pid
	p.mu.Unlock()
	if pid == 0 {
		return
	}
	_ = p.note(s.String())
	targets := []int{pid}
	if p.tree { // looked up now: when a process has ended, its children have another parent
		targets = append(targets, descendants(pid)...)
	}
	for _, target := range targets {
		_ = syscall.Kill(target, s)
	}
}

// kill ends the process as kill -9 does. The process is started again after a while.
func (p *process) kill(again time.Duration) {
	p.again(again)
	if p.tree {
		p.signal(syscall.SIGSTOP) // so that it makes no children meanwhile
	}
	p.signal(syscall.SIGKILL)
}

func (p *process) again(after time.Duration) {
	p.mu.Lock()
	p.restart = after
	p.mu.Unlock()
}

// endWithin is how long a process may take to end after a signal.
const endWithin = 90 * time.Second

// end sends one signal, to the process alone, and waits until it has ended.
func (p *process) end(ctx context.Context, s syscall.Signal) error {
	p.mu.Lock()
	pid, down := p.pid, p.down
	p.mu.Unlock()
	if pid == 0 {
		return nil
	}
	_ = p.note(s.String())
	_ = syscall.Kill(pid, s)
	select {
	case <-down:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(endWithin):
		return fmt.Errorf("%s was sent %s and had not ended after %s", p.name, s, endWithin)
	}
}

// hold prevents the process from being started, until release.
func (p *process) hold() (release func()) {
	held := make(chan struct{})
	p.mu.Lock()
	p.held = held
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.held = nil
		p.mu.Unlock()
		close(held)
	}
}

// close ends the process for good.
func (p *process) close() {
	if p.stop == nil {
		return
	}
	p.stop()
	p.kill(0)
	p.ended.Wait()
}

// descendants returns the children of a process, and their children.
func descendants(pid int) (all []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	children := map[int][]int{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// pid (name) state ppid …; the name may have anything in it.
		_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		parent, _ := strconv.Atoi(fields[1])
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		children[parent] = append(children[parent], child)
	}
	for next := []int{pid}; len(next) > 0; next = next[1:] {
		all = append(all, children[next[0]]...)
		next = append(next, children[next[0]]...)
	}
	return all
}

// sleep waits; false = ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
