// Package cli is the command line: it parses, wires with internal/app, runs, and says how it went. The all-in-one
// build adds its `dev` command to it from outside.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	temporallog "go.temporal.io/sdk/log"

	"github.com/posthorn/posthorn/internal/config"
)

// commands are what every build has.
type commands struct {
	Serve       ServeCommand       `cmd:"" help:"API and worker in one process, on Postgres and an external Temporal."`
	API         APICommand         `cmd:"" name:"api" help:"The API alone."`
	Worker      WorkerCommand      `cmd:"" help:"A worker alone."`
	Migrate     MigrateCommand     `cmd:"" help:"Bring the database schema up to date."`
	Listen      ListenCommand      `cmd:"" help:"A sample receiver: verifies signatures, prints what arrives, can misbehave."`
	Bench       BenchCommand       `cmd:"" help:"Measure a running Posthorn: load generator, receiver, and a report."`
	Keyset      KeysetCommand      `cmd:"" help:"Encryption keysets: make one, or add a key to one."`
	Healthcheck HealthcheckCommand `cmd:"" help:"Ask a running Posthorn whether it is ready; for container health checks."`
	Version     kong.VersionFlag   `help:"Print the version."`
}

// Environment is what a command gets besides its flags.
type Environment struct {
	Version string
	Out     io.Writer
}

// gcPercent is GOGC where the environment does not set it. What a process keeps is small, and nearly all it allocates goes
// with the request or the POST: collecting half as often costs some 20 MiB and saves 5 % of the CPU.
const gcPercent = 200

// Run runs the command line and exits. dev, if not nil, is the all-in-one build's own command: a pointer to a
// struct with kong's tags and a method Run(context.Context, Environment) error.
func Run(version string, dev any) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	options := []kong.Option{
		kong.Name("posthorn"), kong.Description("Webhook delivery on Temporal."), kong.UsageOnError(), config.IgnoreEmptyVariables(),
		kong.Vars{"version": version}, kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(Environment{Version: version, Out: os.Stdout}),
	}
	if dev != nil {
		options = append(options, kong.DynamicCommand("dev", "Everything in one process: Temporal, its Web UI, SQLite, API and worker.", "", dev))
	}
	parsed := kong.Parse(&commands{}, options...)
	err := parsed.Run()
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "posthorn:", err)
		os.Exit(1)
	}
}

// Logger makes the logger a configuration asks for.
func Logger(c config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// dial makes the Temporal client the standard TEMPORAL_ variables and profile ask for. It connects when it is first
// used.
func dial(c config.Config, log *slog.Logger) (client.Client, string, error) {
	o, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, "", fmt.Errorf("temporal: %w", err)
	}
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	o.Logger = TemporalLogger(log)
	if o.Interceptors, err = Tracing(c); err != nil {
		return nil, "", err
	}
	t, err := client.NewLazyClient(o)
	return t, o.Namespace, err
}

// TemporalLogger makes Temporal's SDK log through slog, what is of interest only: it reports every POST that is to
// be retried as a failed activity.
func TemporalLogger(log *slog.Logger) temporallog.Logger {
	return temporallog.NewStructuredLogger(slog.New(quiet{log.Handler()}))
}

// quiet drops what the SDK says below the level of a warning.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}
