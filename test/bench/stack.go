package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/bench"
	"github.com/posthorn/posthorn/test/pgtest"
	"github.com/posthorn/posthorn/workflows"
)

// mode is an arrangement of processes to measure.
type mode struct {
	name, about string
	loads       []load
	start       func(*stack, context.Context) error // nil = there is no Posthorn, and bare is all that is measured
	mass        func(*stage, context.Context) error // brings up what works, for mass; nil = it is not measured with that
	pages       bool                                // it is measured with console
}

var modes = []mode{
	{"serve", "PostgreSQL, Temporal and `posthorn serve`, a process each", append(all(), everyday()...), (*stack).serve, (*stage).serve, true},
	{"retries", "the same with `POSTHORN_WORKFLOWS=retries`", append(plain("latency", "saturate", "fanout", "noisy"), everyday()...),
		(*stack).serveRetries, nil, false},
	{"temporal", "PostgreSQL and Temporal alone, with workflows that do nothing", nil, nil, nil, false},
	{"workers-1", "PostgreSQL, Temporal, `posthorn api` and one `posthorn worker`", plain("latency", "saturate", "fanout"), workers(1), (*stage).worker, false},
	{"workers-2", "the same with two workers", plain("saturate", "fanout", "limits"), workers(2), nil, false},
	{"workers-4", "the same with four workers", plain("saturate", "fanout", "limits"), workers(4), nil, false},
	{"growth", "`serve` again, with ever more to look through", growth(), (*stack).serve, nil, false},
	{"price", "`serve` again, with tags, with channels, and without statistics, of which the database then stores nothing", price(), (*stack).serve, nil, false},
	{"dev", "`posthorn dev`: everything in one process, on SQLite", plain("latency", "saturate", "fanout", "noisy", "batch"), (*stack).dev, nil, false},
}

// adminKey guards an installation that lives for minutes, on the loopback interface.
const adminKey = "phk_for_the_benchmark_only_0123456789"

// stack is one arrangement, running.
type stack struct {
	*settings
	dir       string // of logs and data
	url       string // of the API
	metrics   []string
	database  string   // the cluster's URL; "" where there is none
	databases []string // the names of ours and of the engine's
	processes []bench.Process
	running   []*program
}

// newStack returns a stack in which nothing runs yet.
func (s *settings) newStack(name string) (*stack, error) {
	dir, err := os.MkdirTemp("", "posthorn-bench-")
	if err != nil {
		return nil, err
	}
	if s.keep {
		fmt.Fprintln(os.Stderr, name+": logs in", dir)
	}
	return &stack{settings: s, dir: dir}, nil
}

// clean removes what the stack has written, unless it is kept.
func (st *stack) clean() {
	if !st.keep {
		_ = os.RemoveAll(st.dir)
	}
}

// program is a started program.
type program struct {
	name string
	cmd  *exec.Cmd
	log  string // file
	done chan struct{}
}

// stopTimeout is how long a program may take to end when it is asked to.
const stopTimeout = 30 * time.Second

// run starts a program that runs until the stack is stopped, and measures it.
func (st *stack) run(name string, env []string, path string, args ...string) (*program, error) {
	p := &program{name: name, log: filepath.Join(st.dir, name+".log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()                         // the program has its own handle
	p.cmd = exec.Command(filepath.Join(st.bin, path), args...) //nolint:noctx // Stopped by stop, in an order.
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Ctrl-C is for us, who then stop everything.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	st.running = append(st.running, p)
	st.processes = append(st.processes, bench.Process{Name: name, PID: p.cmd.Process.Pid})
	return p, nil
}

// stop ends the programs, the last first.
func (st *stack) stop() {
	for _, p := range slices.Backward(st.running) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(stopTimeout):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
	}
}

// logs returns the ends of the programs' logs, for an error.
func (st *stack) logs() error {
	var all []error
	for _, p := range st.running {
		text, err := os.ReadFile(p.log)
		if err != nil {
			all = append(all, err)
			continue
		}
		const most = 2 << 10
		text = text[max(0, len(text)-most):]
		all = append(all, fmt.Errorf("%s said: %s", p.name, bytes.TrimSpace(text)))
	}
	return errors.Join(all...)
}

// cluster makes two databases on the cluster: ours, and the engine's.
func (st *stack) cluster(ctx context.Context) (ours, engines string, err error) {
	if st.postgres == "" {
		return "", "", fmt.Errorf("%s is not set: run this through test/pgtest/cmd/pgtest, as make bench does", pgtest.EnvURL)
	}
	st.database = st.postgres
	conn, err := pgx.Connect(ctx, st.postgres)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	var lockFile string
	if err := conn.QueryRow(ctx, `SELECT pg_read_file('postmaster.pid')`).Scan(&lockFile); err != nil {
		return "", "", err
	}
	firstLine, _, _ := strings.Cut(lockFile, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(firstLine))
	if err != nil {
		return "", "", err
	}
	st.processes = append(st.processes, bench.Process{Name: "postgres", PID: pid})
	name := "bench_" + strings.ToLower(rand.Text()[:8])
	st.databases = []string{name, name + "_temporal"}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` TEMPLATE template0`); err != nil {
		return "", "", err
	}
	return withDatabase(st.postgres, name), withDatabase(st.postgres, name+"_temporal"), nil
}

// withoutStatistics makes the database throw away what Posthorn counts: there is no setting for that. The statement that
// stores it is still made, with nothing to do.
func (st *stack) withoutStatistics(ctx context.Context) error {
	return st.exec(ctx, `CREATE FUNCTION bench_nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
		`CREATE TRIGGER bench_nothing BEFORE INSERT ON stat_deltas FOR EACH ROW EXECUTE FUNCTION bench_nothing()`)
}

func (st *stack) withStatistics(ctx context.Context) error {
	return st.exec(ctx, `DROP FUNCTION bench_nothing CASCADE`)
}

// exec runs statements in Posthorn's database.
func (st *stack) exec(ctx context.Context, statements ...string) error {
	conn, err := pgx.Connect(ctx, withDatabase(st.postgres, st.databases[0]))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func withDatabase(cluster, name string) string {
	u, err := url.Parse(cluster)
	if err != nil {
		panic(err) // it has been connected to
	}
	u.Path = "/" + name
	return u.String()
}

// shards of Temporal's history: what `dev` has, and enough for one machine.
const shards = 4

// engine starts Temporal on PostgreSQL.
func (st *stack) engine(ctx context.Context, database string) (address string, err error) {
	if address, err = freeAddress(ctx); err != nil {
		return "", err
	}
	args := []string{"-postgres", database, "-addr", address, "-shards", strconv.Itoa(shards)}
	for name, kind := range workflows.SearchAttributes() {
		args = append(args, "-search-attribute", name+"="+kind.String())
	}
	p, err := st.run("temporal", nil, "temporal", args...)
	if err != nil {
		return "", err
	}
	return address, await(ctx, p, func() bool {
		text, err := os.ReadFile(p.log)
		return err == nil && bytes.Contains(text, []byte("ready "))
	})
}

// posthorn prepares PostgreSQL and Temporal, and returns the environment that Posthorn's processes share.
func (st *stack) posthorn(ctx context.Context) ([]string, error) {
	ours, engines, err := st.cluster(ctx)
	if err != nil {
		return nil, err
	}
	address, err := st.engine(ctx, engines)
	if err != nil {
		return nil, err
	}
	lean := filepath.Join(st.bin, "posthorn-lean")
	keyset, err := exec.CommandContext(ctx, lean, "keyset", "new").Output()
	if err != nil {
		return nil, fmt.Errorf("keyset: %w", err)
	}
	env := []string{"POSTHORN_DATABASE_URL=" + ours, "POSTHORN_ENCRYPTION_KEYSET=" + strings.TrimSpace(string(keyset)), "POSTHORN_ADMIN_KEY=" + adminKey,
		"POSTHORN_ALLOW_HTTP=true", "POSTHORN_ALLOW_NETWORKS=127.0.0.0/8", "TEMPORAL_ADDRESS=" + address}
	migrate := exec.CommandContext(ctx, lean, "migrate")
	migrate.Env = append(os.Environ(), env...)
	if out, err := migrate.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("migrate: %w: %s", err, out)
	}
	return env, nil
}

// role starts one process of Posthorn and waits until it is ready.
func (st *stack) role(ctx context.Context, name, role string, env []string) error {
	address, err := freeAddress(ctx)
	if err != nil {
		return err
	}
	return st.roleAt(ctx, name, role, address, env)
}

func (st *stack) roleAt(ctx context.Context, name, role, address string, env []string) error {
	p, err := st.run(name, append(slices.Clone(env), "POSTHORN_ADDR="+address), "posthorn-lean", role)
	if err != nil {
		return err
	}
	return st.ready(ctx, p, "http://"+address)
}

// ready waits for a process of Posthorn. Events are published to the first process.
func (st *stack) ready(ctx context.Context, p *program, base string) error {
	if st.url == "" {
		st.url = base
	}
	st.metrics = append(st.metrics, base+"/metrics")
	return await(ctx, p, func() bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/readyz", nil)
		if err != nil {
			return false
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (st *stack) serve(ctx context.Context) error {
	env, err := st.posthorn(ctx)
	if err != nil {
		return err
	}
	return st.role(ctx, "posthorn", "serve", env)
}

func (st *stack) serveRetries(ctx context.Context) error {
	env, err := st.posthorn(ctx)
	if err != nil {
		return err
	}
	return st.role(ctx, "posthorn", "serve", append(env, "POSTHORN_WORKFLOWS=retries"))
}

func workers(n int) func(*stack, context.Context) error {
	return func(st *stack, ctx context.Context) error {
		env, err := st.posthorn(ctx)
		if err != nil {
			return err
		}
		if err := st.role(ctx, "api", "api", env); err != nil {
			return err
		}
		for i := range n {
			if err := st.role(ctx, "worker "+strconv.Itoa(i+1), "worker", env); err != nil {
				return err
			}
		}
		return nil
	}
}

func (st *stack) dev(ctx context.Context) error {
	var at [3]string
	for i := range at {
		var err error
		if at[i], err = freeAddress(ctx); err != nil {
			return err
		}
	}
	p, err := st.run("posthorn dev", nil, "posthorn", "dev", "--addr", at[0], "--ui-addr", at[1], "--temporal-addr", at[2],
		"--data", filepath.Join(st.dir, "data"), "--admin-key", adminKey)
	if err != nil {
		return err
	}
	return st.ready(ctx, p, "http://"+at[0])
}

// readyTimeout limits the start of one process. Temporal makes two schemas, which takes a while on a busy machine.
const readyTimeout = 3 * time.Minute

// await waits until a program is ready.
func await(ctx context.Context, p *program, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !ready() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.name, ctx.Err())
		case <-ticker.C:
		}
	}
	return nil
}

func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}
