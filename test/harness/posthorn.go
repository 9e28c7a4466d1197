package harness

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	temporallog "go.temporal.io/sdk/log"

	"github.com/posthorn/posthorn/workflows"
)

// Installation is the shared part of the processes of one Posthorn.
type Installation struct {
	Programs *Programs
	AdminKey string
	// TemporalAddr is the address of Temporal.
	TemporalAddr string
	// Env configures every process of the installation, as "NAME=value".
	Env []string

	data string // of dev; "" = production
}

// NewInstallation returns a production installation on this database and Temporal. Like every installation in these
// tests it may send to receivers on this machine over plain http, unless its Env says otherwise. Its schema is not
// migrated yet.
func NewInstallation(tb testing.TB, programs *Programs, databaseURL string, temporal *Temporal, env ...string) *Installation {
	tb.Helper()
	keyset, err := exec.CommandContext(tb.Context(), programs.Lean, "keyset", "new").Output()
	if err != nil {
		tb.Fatalf("make a keyset: %v", err)
	}
	i := &Installation{Programs: programs, AdminKey: "admin-" + rand.Text(), TemporalAddr: temporal.Addr}
	i.Env = append([]string{
		"POSTHORN_DATABASE_URL=" + databaseURL,
		"POSTHORN_ENCRYPTION_KEYSET=" + strings.TrimSpace(string(keyset)),
		"POSTHORN_ADMIN_KEY=" + i.AdminKey,
		"POSTHORN_TASK_QUEUE=" + rand.Text(),
		"POSTHORN_ALLOW_HTTP=true",
		"POSTHORN_ALLOW_NETWORKS=127.0.0.0/8",
		"TEMPORAL_ADDRESS=" + temporal.Addr,
	}, env...)
	return i
}

// NewDev returns an installation of `posthorn dev`, in its own directory.
func NewDev(tb testing.TB, programs *Programs, env ...string) *Installation {
	tb.Helper()
	i := &Installation{Programs: programs, AdminKey: "admin-" + rand.Text(), TemporalAddr: FreeAddr(tb), data: filepath.Join(tb.TempDir(), "data")}
	i.Env = append([]string{"POSTHORN_ADMIN_KEY=" + i.AdminKey}, env...)
	return i
}

// DeliverID returns the workflow id of an event's own dispatch.
func (i *Installation) DeliverID(eventID string) string { return i.queues().DeliverID(eventID) }

// WatchID returns the workflow id of a webhook's health.
func (i *Installation) WatchID(webhookID string) string { return i.queues().WatchID(webhookID) }

func (i *Installation) queues() workflows.Queues {
	return workflows.NewQueues(cmp.Or(i.Setting("POSTHORN_TASK_QUEUE"), workflows.DefaultPrefix))
}

// IsDev reports whether the installation is a `posthorn dev`.
func (i *Installation) IsDev() bool { return i.data != "" }

// Setting returns a variable of the installation's environment.
func (i *Installation) Setting(name string) string {
	for _, pair := range slices.Backward(i.Env) {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// Keyset returns the installation's encryption keyset.
func (i *Installation) Keyset(tb testing.TB) string {
	tb.Helper()
	if !i.IsDev() {
		return i.Setting("POSTHORN_ENCRYPTION_KEYSET")
	}
	text, err := os.ReadFile(filepath.Join(i.data, "keyset"))
	if err != nil {
		tb.Fatalf("read the keyset: %v", err)
	}
	return strings.TrimSpace(string(text))
}

// Migrate brings the schema up to date.
func (i *Installation) Migrate(tb testing.TB) {
	tb.Helper()
	c := exec.CommandContext(tb.Context(), i.Programs.Lean, "migrate")
	c.Env = append(cleanEnv(), i.Env...)
	if out, err := c.CombinedOutput(); err != nil {
		tb.Fatalf("migrate: %v\n%s", err, out)
	}
}

// Server is a process of an installation: dev, serve, api or worker.
type Server struct {
	*Process
	API
}

// Start starts a process of the installation and waits until it is ready. env goes before the installation's.
func (i *Installation) Start(tb testing.TB, command string, env ...string) *Server {
	tb.Helper()
	s := i.Launch(tb, command, env...)
	s.AwaitReady(tb)
	return s
}

// Launch starts a process of the installation and does not wait for it.
func (i *Installation) Launch(tb testing.TB, command string, env ...string) *Server {
	tb.Helper()
	c := Command{Name: "posthorn " + command, Path: i.Programs.Lean, Args: []string{command, "--addr", FreeAddr(tb)}}
	c.Env = append(slices.Clone(i.Env), env...)
	if i.IsDev() {
		c.Path = i.Programs.Posthorn
		c.Args = append(c.Args, "--temporal-addr", i.TemporalAddr, "--ui-addr", FreeAddr(tb), "--data", i.data)
	}
	return &Server{Start(tb, c), API{URL: "http://" + c.Args[2], Key: i.AdminKey}}
}

// Again starts the process once more, as it was started before. Variables in env take precedence. The process must have
// ended.
func (s *Server) Again(tb testing.TB, env ...string) *Server {
	tb.Helper()
	c := s.Command
	c.Env = append(slices.Clone(c.Env), env...)
	again := &Server{Start(s.owner, c), s.API}
	again.AwaitReady(tb)
	return again
}

// AwaitReady waits until the process reports that it is ready.
func (s *Server) AwaitReady(tb testing.TB) {
	tb.Helper()
	Until(tb, func() error {
		if err := s.err(); err != nil {
			tb.Fatal(err)
		}
		return s.Ready(tb.Context())
	})
}

// Temporal is a Temporal server on Postgres, in a separate process.
type Temporal struct {
	*Process
	Addr string
}

// NewTemporal starts a Temporal server that keeps everything in the database at postgresURL and its sibling.
func NewTemporal(tb testing.TB, programs *Programs, postgresURL string) *Temporal {
	tb.Helper()
	addr := FreeAddr(tb)
	t := &Temporal{Start(tb, Command{Name: "temporal", Path: programs.Temporal, Args: []string{"-addr", addr, "-postgres", postgresURL}}), addr}
	t.AwaitReady(tb)
	return t
}

// Again starts the server once more on the same store and address. The server must have ended.
func (t *Temporal) Again(tb testing.TB) *Temporal {
	tb.Helper()
	again := &Temporal{Start(t.owner, t.Command), t.Addr}
	again.AwaitReady(tb)
	return again
}

// AwaitReady waits until the server reports that it is ready.
func (t *Temporal) AwaitReady(tb testing.TB) {
	tb.Helper()
	Until(tb, func() error {
		if err := t.err(); err != nil {
			tb.Fatal(err)
		}
		if !strings.HasPrefix(t.Out(), "ready ") {
			return fmt.Errorf("Temporal is not ready at %s", t.Addr)
		}
		return nil
	})
}

// DialTemporal connects to an installation's Temporal, to look at its workflows.
func DialTemporal(tb testing.TB, addr string) client.Client {
	tb.Helper()
	c, err := client.Dial(client.Options{HostPort: addr, Logger: silence{}})
	if err != nil {
		tb.Fatalf("connect to Temporal: %v", err)
	}
	tb.Cleanup(c.Close)
	return c
}

// silence drops the SDK's messages from the tests' output.
type silence struct{}

var _ temporallog.Logger = silence{}

func (silence) Debug(string, ...any) {}
func (silence) Info(string, ...any)  {}
func (silence) Warn(string, ...any)  {}
func (silence) Error(string, ...any) {}

// Sibling returns the URL of another database of the same cluster, named after the first.
func Sibling(tb testing.TB, databaseURL, suffix string) string {
	tb.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		tb.Fatalf("database URL: %v", err)
	}
	u.Path += "_" + suffix
	return u.String()
}
