//go:build linux

package chaos

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/freeport"
)

// stage is one whole Posthorn, running.
type stage struct {
	dir       string // of logs and data
	adminKey  string
	postgres  *postgres
	temporal  *process
	posthorns []*process // api-1, api-2, worker-1, worker-2
	addrs     map[string]string
	links     []*link
	receivers *receivers
	ledger    *ledger
	api       *client
}

// serveCommand runs an API that has a worker.
const serveCommand = "serve"

// replicas is how many processes of each role there are.
const replicas = 2

// Names of processes, and of ends of links.
const (
	temporalName = "temporal"
	postgresName = "postgres"
	receiverName = "receiver"
)

// newStage starts everything. close must be called, even after an error.
func newStage(ctx context.Context, o *Options) (s *stage, err error) {
	s = &stage{adminKey: "chaos-" + rand.Text(), addrs: map[string]string{}, ledger: newLedger()}
	if s.dir, err = os.MkdirTemp("", "posthorn-chaos-"); err != nil {
		return s, err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil { //nolint:gosec // PostgreSQL's user passes through it.
		return s, err
	}
	if s.postgres, err = newPostgres(ctx, o.PostgresBin, filepath.Join(s.dir, "postgres"), s.log("postgres")); err != nil {
		return s, err
	}
	if err := s.postgres.create(ctx, ourDatabase); err != nil {
		return s, err
	}
	if err := s.startTemporal(ctx, o); err != nil {
		return s, err
	}
	if s.receivers, err = newReceivers(ctx, s.ledger); err != nil {
		return s, err
	}
	if err := s.startPosthorn(ctx, o); err != nil {
		return s, err
	}
	if err := s.ready(ctx); err != nil {
		return s, err
	}
	return s, s.populate(ctx)
}

func (s *stage) log(name string) string { return filepath.Join(s.dir, name+".log") }

// link opens a proxy between two ends.
func (s *stage) link(ctx context.Context, from, to, target string) (addr string, err error) {
	l, err := newLink(ctx, from, to, target)
	if err != nil {
		return "", err
	}
	s.links = append(s.links, l)
	return l.addr(), nil
}

// historyShards are enough for one machine.
const historyShards = "4"

func (s *stage) startTemporal(ctx context.Context, o *Options) error {
	database, err := s.link(ctx, temporalName, postgresName, s.postgres.addr)
	if err != nil {
		return err
	}
	addr, err := freeport.Addr(ctx, nil)
	if err != nil {
		return err
	}
	s.addrs[temporalName] = addr
	s.temporal = &process{name: temporalName, path: filepath.Join(o.Bin, "temporal"), log: s.log(temporalName), env: cleanEnv(),
		args: []string{"-addr", addr, "-shards", historyShards, "-retention", "1h", "-postgres", s.postgres.url(database, temporalDatabase)}}
	s.temporal.start(ctx)
	up := func(ctx context.Context) error {
		return until(ctx, upWithin, func(ctx context.Context) error { return dial(ctx, addr) })
	}
	if err := up(ctx); err != nil || !o.AsyncTemporal {
		return err
	}
	// The databases exist now. Only connections made after this have the setting.
	s.postgres.asyncTemporal = true
	if err := s.withoutTemporal(ctx, func(ctx context.Context) error {
		return s.postgres.eachTemporal(ctx, func(conn *pgx.Conn, database string) error {
			return s.postgres.commitTemporal(ctx, conn, database)
		})
	}); err != nil {
		return err
	}
	return up(ctx)
}

func (s *stage) startPosthorn(ctx context.Context, o *Options) error {
	path := filepath.Join(o.Bin, "posthorn-lean")
	keyset, err := exec.CommandContext(ctx, path, "keyset", "new").Output()
	if err != nil {
		return fmt.Errorf("make a keyset: %w", err)
	}
	env := append(cleanEnv(), "POSTHORN_ENCRYPTION_KEYSET="+strings.TrimSpace(string(keyset)), "POSTHORN_ADMIN_KEY="+s.adminKey,
		"POSTHORN_ALLOW_HTTP=true", "POSTHORN_ALLOW_NETWORKS=127.0.0.0/8",
		"HOME="+s.dir) // this directory has no configuration of a Temporal client
	api := apiRole
	if o.Workflows != "" {
		env = append(env, "POSTHORN_WORKFLOWS="+o.Workflows)
		api = serveCommand
	}
	migrate := exec.CommandContext(ctx, path, "migrate")
	migrate.Env = append(slices.Clone(env), "POSTHORN_DATABASE_URL="+s.postgres.url(s.postgres.addr, ourDatabase))
	if out, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate: %w: %s", err, out)
	}
	var apis []string
	for _, role := range []string{apiRole, workerRole} {
		for i := range replicas {
			name, command := fmt.Sprintf("%s-%d", role, i+1), role
			if role == apiRole {
				command = api
			}
			if err := s.startRole(ctx, name, command, path, env); err != nil {
				return err
			}
			if role == apiRole {
				apis = append(apis, "http://"+s.addrs[name])
			}
		}
	}
	s.api = newClient(s.adminKey, apis)
	return nil
}

func (s *stage) startRole(ctx context.Context, name, command, path string, env []string) error {
	database, err := s.link(ctx, name, postgresName, s.postgres.addr)
	if err != nil {
		return err
	}
	temporal, err := s.link(ctx, name, temporalName, s.addrs[temporalName])
	if err != nil {
		return err
	}
	addr, err := freeport.Addr(ctx, nil)
	if err != nil {
		return err
	}
	s.addrs[name] = addr
	p := &process{name: name, path: path, args: []string{command, "--addr", addr}, log: s.log(name), env: append(slices.Clone(env),
		"POSTHORN_DATABASE_URL="+s.postgres.url(database, ourDatabase), "TEMPORAL_ADDRESS="+temporal, "POSTHORN_FAULT_CLOCK="+s.clock(name))}
	s.posthorns = append(s.posthorns, p)
	p.start(ctx)
	return nil
}

// clock returns the file that says how far a process's clock is ahead.
func (s *stage) clock(name string) string { return filepath.Join(s.dir, name+".clock") }

// process finds a process by its name.
func (s *stage) process(name string) *process {
	switch name {
	case temporalName:
		return s.temporal
	case postgresName:
		return &s.postgres.process
	}
	for _, p := range s.posthorns {
		if p.name == name {
			return p
		}
	}
	panic("chaos: no process " + name)
}

// between finds the links of one end, by its name or its role, to another.
func (s *stage) between(from, to string) (found []*link) {
	for _, l := range s.links {
		if l.to == to && (l.from == from || strings.HasPrefix(l.from, from+"-")) {
			found = append(found, l)
		}
	}
	return found
}

// ready waits until every process reports that it is ready.
func (s *stage) ready(ctx context.Context) error {
	return until(ctx, upWithin, func(ctx context.Context) error {
		for _, p := range s.posthorns {
			if err := s.isReady(ctx, p.name); err != nil {
				return err
			}
		}
		return nil
	})
}

const readyTimeout = 5 * time.Second

func (s *stage) isReady(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addrs[name]+"/readyz", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready", name)
	}
	return nil
}

// close ends everything in reverse order, and removes the data. The logs stay if keep is set.
func (s *stage) close(keep bool) error {
	for _, p := range slices.Backward(s.posthorns) {
		p.close()
	}
	if s.temporal != nil {
		s.temporal.close()
	}
	var err error
	if s.postgres != nil {
		s.postgres.close()
		err = s.postgres.unmount()
	}
	for _, l := range s.links {
		l.close()
	}
	if s.receivers != nil {
		s.receivers.close()
	}
	if s.dir == "" || keep {
		return err
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// cleanEnv returns the environment without the variables that configure a Posthorn or a Temporal client.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(pair string) bool {
		return strings.HasPrefix(pair, "POSTHORN_") || strings.HasPrefix(pair, "TEMPORAL_") || strings.HasPrefix(pair, "OTEL_") || strings.HasPrefix(pair, "PG")
	})
}

func dial(ctx context.Context, addr string) error {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// lookEvery is the time between two checks while waiting for something.
const lookEvery = 100 * time.Millisecond

// until waits until check returns nil. The error is the last one of check.
func until(ctx context.Context, most time.Duration, check func(context.Context) error) error {
	within, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var last error
	for {
		err := check(within)
		if err == nil {
			return nil
		}
		if last == nil || within.Err() == nil { // a timeout does not say what was wrong
			last = err
		}
		if !sleep(within, lookEvery) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("waited for %s: %w", most, last)
		}
	}
}
