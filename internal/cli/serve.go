package cli

import (
	"context"
	"fmt"
	stdlog "log"
	"log/slog"

	"github.com/posthorn/posthorn/internal/app"
	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/cores"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
)

// processHelp is the help of the commands that need a database and Temporal.
const processHelp = `Required: --database-url (POSTHORN_DATABASE_URL) and --encryption-keyset (POSTHORN_ENCRYPTION_KEYSET).

Temporal is configured like Temporal's own tools: TEMPORAL_ADDRESS (default localhost:7233), TEMPORAL_NAMESPACE (default "default"), TEMPORAL_API_KEY, the TEMPORAL_TLS variables, and Temporal's configuration file.`

// ServeCommand is `posthorn serve`.
type ServeCommand struct {
	config.Config `embed:""`
}

// Help adds to the command's help.
func (*ServeCommand) Help() string { return processHelp }

// Run serves the API and runs the worker.
func (c *ServeCommand) Run(ctx context.Context, env Environment) error {
	return run(ctx, env, c.Config, app.Options{API: true, Worker: true})
}

// APICommand is `posthorn api`.
type APICommand struct {
	config.Config `embed:""`
}

// Help adds to the command's help.
func (*APICommand) Help() string { return processHelp }

// Run serves the API.
func (c *APICommand) Run(ctx context.Context, env Environment) error {
	return run(ctx, env, c.Config, app.Options{API: true})
}

// WorkerCommand is `posthorn worker`. At its address it answers /healthz, /readyz and /metrics only.
type WorkerCommand struct {
	config.Config `embed:""`
}

// Help adds to the command's help.
func (*WorkerCommand) Help() string { return processHelp }

// Run runs the worker.
func (c *WorkerCommand) Run(ctx context.Context, env Environment) error {
	return run(ctx, env, c.Config, app.Options{Worker: true})
}

func run(ctx context.Context, env Environment, c config.Config, o app.Options) error {
	if err := c.Require(config.DatabaseURL, config.EncryptionKeyset); err != nil {
		return fmt.Errorf("%w\nSee \"posthorn %s --help\"; \"posthorn keyset new\" prints a keyset", err, commandOf(o))
	}
	log := Logger(c)
	slog.SetDefault(log)
	stdlog.SetOutput(sender.Quiet(stdlog.Writer()))
	stopTracing, err := StartTracing(ctx, c, env.Version)
	if err != nil {
		return err
	}
	defer stopTracing()
	temporal, err := dial(c, log)
	if err != nil {
		return err
	}
	defer temporal.Close()
	o.Temporal, o.Namespace, o.TemporalAddress = temporal.Client, temporal.namespace, temporal.address
	o.Config, o.Version, o.Log = c, env.Version, log
	a, err := app.New(ctx, o)
	if err != nil {
		return err
	}
	defer a.Close()
	go cores.Follow(ctx)
	return a.Run(ctx)
}

// commandOf returns the command that starts such a process.
func commandOf(o app.Options) string {
	switch {
	case o.API && o.Worker:
		return "serve"
	case o.API:
		return "api"
	}
	return "worker"
}

// MigrateCommand is `posthorn migrate`.
type MigrateCommand struct {
	DatabaseURL config.Secret `name:"database-url" env:"POSTHORN_DATABASE_URL" required:"" help:"Database: postgres://… or sqlite:<path>."`
}

// Run migrates.
func (c *MigrateCommand) Run(ctx context.Context, env Environment) error {
	store, err := models.Open(ctx, c.DatabaseURL.Reveal(), models.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	if err := store.Migrate(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Out, "the schema is up to date")
	return err
}
