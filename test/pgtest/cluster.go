package pgtest

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/localpg"
)

const (
	superuser = "posthorn"

	// startTimeout limits one attempt to start the server, stopTimeout its stop.
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second

	// startAttempts allows for a free port that another process takes before the server binds it.
	startAttempts = 3
)

// guardScript runs the server and ends it when its standard input does.
//
//go:embed guard.sh
var guardScript string

// Options choose how a cluster runs.
type Options struct {
	// Fast gives up durability over a crash of the machine (fsync and full_page_writes off). Over a crash of the
	// server, it gives up the commits of the last fraction of a second (synchronous_commit off). With the setting
	// synchronous_commit=on, a killed server loses nothing as long as the machine runs.
	Fast bool
	// Settings are further server settings as name=value. They override this package's own.
	Settings []string
}

// Cluster is a running PostgreSQL server with its own data directory.
type Cluster struct {
	url   string
	guard *exec.Cmd
	alive io.WriteCloser // the guard's standard input: closing it stops the server
	ended chan struct{}  // closed when the guard has ended, the server stopped and the directory gone
	err   error          // why the guard ended; read after ended
	log   bytes.Buffer   // what the server wrote; read after ended
}

// Start creates a cluster in a temporary directory and starts its server on a free port of the loopback interface. It
// returns when the server accepts connections; ctx limits only the start. The cluster lives until Stop or any end of
// this process, whichever comes first. Then its directory is removed.
//
// PostgreSQL refuses to run as root, so root hands the cluster to the user postgres, or nobody.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	bin, err := localpg.FindBinaries()
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		c, err := start(ctx, bin, o)
		if err == nil || attempt == startAttempts || ctx.Err() != nil {
			return c, err
		}
	}
}

func start(ctx context.Context, bin string, o Options) (_ *Cluster, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	owner, err := localpg.FindOwner()
	if err != nil {
		return nil, err
	}
	dir, err := owner.TempDir("posthorn-pgtest-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	password := rand.Text()
	if err := localpg.Initialise(ctx, bin, dir, owner, superuser, password); err != nil {
		return nil, err
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		url: (&url.URL{
			Scheme:   "postgres",
			User:     url.UserPassword(superuser, password),
			Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
			Path:     "/postgres",
			RawQuery: "sslmode=disable",
		}).String(),
		ended: make(chan struct{}),
	}
	args := append([]string{"-c", guardScript, "guard", dir, filepath.Join(bin, "postgres"), "-D", localpg.DataDir(dir)}, o.arguments(port)...)
	c.guard = exec.Command("sh", args...) //nolint:noctx // Not bound to ctx: the cluster outlives the call that starts it.
	c.guard.Dir = dir
	c.guard.Stderr = &c.log
	c.guard.SysProcAttr = owner.Attributes()
	// A process group of its own: Ctrl-C is for the tests, which then stop the server.
	c.guard.SysProcAttr.Setpgid = true
	if c.alive, err = c.guard.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	if err := c.guard.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	go func() {
		c.err = c.guard.Wait()
		close(c.ended)
	}()
	if err := c.awaitReady(ctx); err != nil {
		_ = c.Stop()
		return nil, err
	}
	return c, nil
}

// URL returns the URL of the cluster's maintenance database, with the rights of a superuser.
func (c *Cluster) URL() string { return c.url }

// Stop ends the server at once and removes the cluster. Call it once. It returns an error if the server had ended by
// itself.
func (c *Cluster) Stop() error {
	select {
	case <-c.ended:
		return fmt.Errorf("postgres ended by itself: %w: %s", c.err, localpg.LastLines(c.log.Bytes()))
	default:
	}
	if err := c.alive.Close(); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	select {
	case <-c.ended:
		return nil
	case <-time.After(stopTimeout):
		return errors.New("stop postgres: still running")
	}
}

// Kill ends the server as kill -9 does, and keeps its data for Restart. It returns when the server is down.
func (c *Cluster) Kill(ctx context.Context) error {
	if err := os.WriteFile(c.path(killedFile), nil, 0o600); err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(localpg.DataDir(c.guard.Dir), "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill postgres: %w", err)
	}
	return c.poll(ctx, "kill postgres", func() error {
		_, err := os.Stat(c.path(downFile))
		return err
	})
}

// Restart starts a server that Kill has ended. It returns when the server accepts connections.
func (c *Cluster) Restart(ctx context.Context) error {
	err := c.poll(ctx, "restart postgres", func() error {
		// The guard waits, even if a server has started, found processes of the previous one, and given up.
		if os.Remove(c.path(downFile)) == nil {
			if _, err := io.WriteString(c.alive, "start\n"); err != nil {
				return err
			}
		}
		return c.answers(ctx)
	})
	if err != nil {
		return err
	}
	return os.Remove(c.path(killedFile))
}

// The files in the cluster's directory through which we and the guard communicate.
const (
	killedFile = "killed"
	downFile   = "down"
)

func (c *Cluster) path(name string) string { return filepath.Join(c.guard.Dir, name) }

// awaitReady waits until the server answers.
func (c *Cluster) awaitReady(ctx context.Context) error {
	return c.poll(ctx, "start postgres", func() error { return c.answers(ctx) })
}

func (c *Cluster) answers(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, c.url)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// poll waits until check succeeds, the guard has ended, or ctx.
func (c *Cluster) poll(ctx context.Context, doing string, check func() error) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-c.ended:
			return fmt.Errorf("%s: %w: %s", doing, c.err, localpg.LastLines(c.log.Bytes()))
		case <-ctx.Done():
			return fmt.Errorf("%s: %w (last: %w)", doing, ctx.Err(), err)
		case <-retry.C:
		}
	}
}

// arguments returns the server's command line after the data directory.
func (o Options) arguments(port int) []string {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=", // the default directory need not exist or be ours
		"max_connections=300",      // packages are tested side by side
		"timezone=UTC",
		"deadlock_timeout=100ms", // before lock_timeout ends the wait: tests count the deadlocks
	}
	if o.Fast {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	var args []string
	for _, s := range append(settings, o.Settings...) {
		args = append(args, "-c", s)
	}
	return args
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
