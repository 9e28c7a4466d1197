package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/posthorn/posthorn/internal/config"
	"github.com/posthorn/posthorn/internal/temporalstore"
)

// TemporalStoreCommand is `posthorn temporal-store`.
type TemporalStoreCommand struct {
	Lean    TemporalStoreLeanCommand    `cmd:"" help:"Drop unused indexes of the visibility database, so that each start and end of a workflow writes to a few instead of some seventy. Safe while Temporal runs. Run it again after an upgrade of Temporal."`
	Restore TemporalStoreRestoreCommand `cmd:"" help:"Restore Temporal's own indexes of the visibility database."`
}

// visibility is the database that a command works on.
type visibility struct {
	Database config.Secret `name:"database" env:"TEMPORAL_VISIBILITY_DATABASE_URL" required:"" placeholder:"URL" help:"The PostgreSQL database of Temporal's visibility, usually called temporal_visibility."`
}

// run changes the database, and reports which indexes were rebuilt.
func (v *visibility) run(ctx context.Context, env Environment, change func(context.Context, *pgx.Conn) ([]string, error)) error {
	conn, err := pgx.Connect(ctx, v.Database.Reveal())
	if err != nil {
		return fmt.Errorf("the visibility database cannot be reached: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	names, err := change(ctx, conn)
	if len(names) > 0 {
		_, _ = fmt.Fprintln(env.Out, strings.Join(names, "\n"))
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Err, "%d indexes were restored.\n", len(names))
	return err
}

// TemporalStoreLeanCommand is `posthorn temporal-store lean`.
type TemporalStoreLeanCommand struct{ visibility }

// Run makes the database lean.
func (c *TemporalStoreLeanCommand) Run(ctx context.Context, env Environment) error {
	return c.run(ctx, env, temporalstore.Lean)
}

// TemporalStoreRestoreCommand is `posthorn temporal-store restore`.
type TemporalStoreRestoreCommand struct{ visibility }

// Run restores the database.
func (c *TemporalStoreRestoreCommand) Run(ctx context.Context, env Environment) error {
	return c.run(ctx, env, temporalstore.Restore)
}
