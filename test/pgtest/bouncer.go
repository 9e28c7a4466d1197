package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/localpg"
)

var errNoBouncer = errors.New("no pgbouncer found; `make test` installs it, or install your distribution's pgbouncer")

// findBouncer returns the path of pgbouncer, which distributions keep out of users' PATH.
func findBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errNoBouncer
}

// bouncerScript runs pgbouncer for as long as standard input stays open.
const bouncerScript = `"$@" </dev/null &
server=$!
read -r _
kill "$server"
wait "$server"`

// Bouncer starts a pgbouncer in transaction mode before the server of a database, and returns the database's URL
// through it. It ends with tb. Several clients share each of its few connections. So state that one client keeps in a
// session soon appears in another's.
func Bouncer(tb testing.TB, databaseURL string) string {
	tb.Helper()
	path, err := findBouncer()
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	through, err := startBouncer(tb, path, databaseURL)
	if err != nil {
		tb.Fatalf("pgtest: pgbouncer: %v", err)
	}
	return through
}

func startBouncer(tb testing.TB, path, databaseURL string) (string, error) {
	tb.Helper()
	target, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return "", err
	}
	owner, err := localpg.FindOwner() // pgbouncer does not run as root either
	if err != nil {
		return "", err
	}
	dir, err := owner.TempDir("posthorn-pgbouncer-")
	if err != nil {
		return "", err
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	port, err := freePort(tb.Context())
	if err != nil {
		return "", err
	}
	config := filepath.Join(dir, "pgbouncer.ini")
	if err := owner.WriteFile(config, fmt.Sprintf(`[databases]
%s = host=%s port=%d user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 6
max_client_conn = 300
`, target.Database, target.Host, target.Port, target.User, target.Password, port)); err != nil {
		return "", err
	}
	var log strings.Builder
	guard := exec.Command("sh", "-c", bouncerScript, "guard", path, config) //nolint:noctx // it ends with its input
	guard.Dir, guard.Stderr, guard.SysProcAttr = dir, &log, owner.Attributes()
	alive, err := guard.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := guard.Start(); err != nil {
		return "", err
	}
	stop := func() string {
		_ = alive.Close()
		_ = guard.Wait()
		return log.String()
	}
	through := (&url.URL{Scheme: "postgres", User: url.User(target.User), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path: "/" + target.Database, RawQuery: "sslmode=disable&default_query_exec_mode=cache_describe"}).String()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, through)
		if err == nil {
			_ = conn.Close(ctx)
			tb.Cleanup(func() { stop() })
			return through, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %s", err, stop())
		}
	}
}
