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
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	superuser = "posthorn"

	// startTimeout bounds one attempt to bring the server up, stopTimeout its way down.
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second

	// startAttempts allows for a free port that someone else takes before the server binds it.
	startAttempts = 3
)

// guardScript runs the server and ends it when its standard input does.
//
//go:embed guard.sh
var guardScript string

// Options choose how a cluster runs.
type Options struct {
	// Fast gives up durability over a crash of the machine (fsync, synchronous_commit and full_page_writes off).
	// A server killed on a machine that lives on loses nothing by it.
	Fast bool
	// Settings are further server settings as name=value; they win over this package's own.
	Settings []string
}

// Cluster is a running PostgreSQL server with a data directory of its own.
type Cluster struct {
	url   string
	guard *exec.Cmd
	alive io.Closer     // the guard's standard input: closing it stops the server
	ended chan struct{} // closed when the guard has ended, the server stopped and the directory gone
	err   error         // why the guard ended; read after ended
	log   bytes.Buffer  // what the server wrote; read after ended
}

// Start creates a cluster in a temporary directory and starts its server on a free port of the loopback interface. It
// returns when the server accepts connections; ctx bounds only the starting. The cluster lives until Stop or the end of
// this process, whichever comes first and however the process ends; then its directory is removed.
//
// PostgreSQL refuses to run as root, so root hands the cluster to the user postgres, or nobody.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	bin, err := findBinaries()
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

	owner, err := findOwner()
	if err != nil {
		return nil, err
	}
	dir, err := owner.tempDir()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	password := rand.Text()
	if err := initialise(ctx, bin, dir, owner, password); err != nil {
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
	args := append([]string{"-c", guardScript, "guard", dir, filepath.Join(bin, "postgres"), "-D", dataDir(dir)}, o.arguments(port)...)
	c.guard = exec.Command("sh", args...) //nolint:noctx // Not bound to ctx: the cluster outlives the call that starts it.
	c.guard.Dir = dir
	c.guard.Stderr = &c.log
	c.guard.SysProcAttr = owner.attributes()
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

// Stop ends the server at once and removes the cluster. It is called once, and returns an error if the server had ended
// by itself.
func (c *Cluster) Stop() error {
	select {
	case <-c.ended:
		return fmt.Errorf("postgres ended by itself: %w: %s", c.err, lastLines(c.log.Bytes()))
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

// awaitReady waits until the server answers.
func (c *Cluster) awaitReady(ctx context.Context) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := pgx.Connect(ctx, c.url)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-c.ended:
			return fmt.Errorf("start postgres: %w: %s", c.err, lastLines(c.log.Bytes()))
		case <-ctx.Done():
			return fmt.Errorf("start postgres: %w (last: %w)", ctx.Err(), err)
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

// initialise runs initdb in dir.
func initialise(ctx context.Context, bin, dir string, owner owner, password string) error {
	passwordFile := filepath.Join(dir, "password")
	if err := owner.writeFile(passwordFile, password); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"),
		"--pgdata", dataDir(dir), "--username", superuser, "--pwfile", passwordFile, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--no-locale", "--no-sync")
	cmd.Dir = dir
	cmd.SysProcAttr = owner.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, lastLines(out))
	}
	return nil
}

func dataDir(dir string) string { return filepath.Join(dir, "data") }

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// lastLines returns the end of a program's output, enough to see what went wrong.
func lastLines(out []byte) []byte {
	const most = 2 << 10
	out = bytes.TrimSpace(out)
	return out[max(0, len(out)-most):]
}
