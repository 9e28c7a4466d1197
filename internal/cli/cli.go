// Package cli is the command line. It parses, wires with internal/app, runs, and reports the result. The all-in-one
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
	temporallog "go.temporal.io/sdk/log"

	"github.com/posthorn/posthorn/internal/config"
)

// commands are the commands of every build.
type commands struct {
	Serve         ServeCommand         `cmd:"" help:"API and worker in one process, on Postgres and an external Temporal."`
	API           APICommand           `cmd:"" name:"api" help:"Only the API."`
	Worker        WorkerCommand        `cmd:"" help:"Only a worker."`
	Migrate       MigrateCommand       `cmd:"" help:"Bring the database schema up to date."`
	Listen        ListenCommand        `cmd:"" help:"A sample receiver: verifies signatures, prints what arrives, can misbehave."`
	Bench         BenchCommand         `cmd:"" help:"Measure a running Posthorn: load generator, receiver, and a report."`
	Chaos         ChaosCommand         `cmd:"" help:"The fault ledger: break a whole Posthorn in every way, and count what is lost. See make chaos."`
	Keyset        KeysetCommand        `cmd:"" help:"Encryption keysets: create one, or replace its key step by step while processes run."`
	TemporalStore TemporalStoreCommand `cmd:"" help:"Temporal's own database: make it lean, or restore it."`
	Events        EventsCommand        `cmd:"" help:"Publish, list and read events of a running Posthorn."`
	Webhooks      WebhooksCommand      `cmd:"" help:"Webhooks of a running Posthorn: list, create, pause, test, recover …"`
	Deliveries    DeliveriesCommand    `cmd:"" help:"Deliveries of a running Posthorn: list, retry, cancel, and the timeline of each."`
	Recoveries    RecoveriesCommand    `cmd:"" help:"Recoveries of a running Posthorn: list, get, cancel."`
	Stats         StatsCommand         `cmd:"" help:"Statistics of a running Posthorn: what happened, hour by hour."`
	Tenants       TenantsCommand       `cmd:"" help:"Tenants of a running Posthorn."`
	EventTypes    EventTypesCommand    `cmd:"" help:"Event types of a running Posthorn."`
	Import        ImportCommand        `cmd:"" help:"Import from another webhook service into a running Posthorn."`
	Completion    CompletionCommand    `cmd:"" help:"Print the completion script for bash, zsh or fish."`
	Complete      CompleteCommand      `cmd:"" hidden:"" help:"Print the completions of the last word."`
	Healthcheck   HealthcheckCommand   `cmd:"" help:"Ask a running Posthorn whether it is ready; for container health checks."`
	Version       kong.VersionFlag     `help:"Print the version."`
}

// Environment holds what a command gets in addition to its flags.
type Environment struct {
	Version string
	Out     io.Writer // results
	Err     io.Writer // progress and hints; nil = none
}

// gcPercent is GOGC unless the environment sets it. A process keeps little memory, and nearly all of its allocations
// end with the request or the POST. Collecting half as often costs some 20 MiB and saves 5 % of the CPU.
const gcPercent = 200

// Run runs the command line and exits. dev, if not nil, is the additional command of the all-in-one build: a pointer to
// a struct with kong's tags and a method Run(context.Context, Environment) error.
func Run(version string, dev any) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	signaled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(signaled, func() {
		stop() // once it has begun to stop, a second signal ends the process at once
		cancel()
	})
	parser := newParser(dev, kong.Vars{"version": version}, kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(Environment{Version: version, Out: os.Stdout, Err: os.Stderr}))
	parsed, err := parser.Parse(os.Args[1:])
	if err != nil {
		stop()
		os.Exit(usageError(os.Stderr, err))
	}
	err = parsed.Run()
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "posthorn:", err)
		os.Exit(exitCode(err))
	}
}

func newParser(dev any, options ...kong.Option) *kong.Kong {
	options = append(options, kong.Name("posthorn"), kong.Description("Webhook delivery on Temporal."), config.IgnoreEmptyVariables())
	if dev != nil {
		options = append(options, kong.DynamicCommand("dev", "Everything in one process: Temporal, its Web UI, SQLite, API and worker.", "", dev))
	}
	parser, err := kong.New(&commands{}, options...)
	if err != nil {
		panic(err) // the commands are part of the program
	}
	return parser
}

// usageError prints the mistake in a command line and how to get its help. It returns the exit code.
func usageError(out io.Writer, err error) int {
	command := "posthorn"
	if wrong, ok := errors.AsType[*kong.ParseError](err); ok {
		if selected := wrong.Context.Selected(); selected != nil {
			command = selected.FullPath()
		}
	}
	_, _ = fmt.Fprintf(out, "posthorn: %v\nSee \"%s --help\".\n", err, command)
	return exitCode(err)
}

// exitCode returns the exit code of an error: its own, or 1.
func exitCode(err error) int {
	var coder kong.ExitCoder
	if errors.As(err, &coder) {
		return coder.ExitCode()
	}
	return 1
}

// Logger returns the logger that a configuration asks for.
func Logger(c config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, o))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, o))
}

// temporalLogger makes Temporal's SDK log through slog, warnings and errors only: below that level, the SDK reports
// every POST that will be retried as a failed activity.
func temporalLogger(log *slog.Logger) temporallog.Logger {
	return temporallog.NewStructuredLogger(slog.New(quiet{log.Handler()}))
}

// quiet drops the SDK's messages below the level of a warning.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}
