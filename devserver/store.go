package devserver

import (
	"context"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
)

// store names the two databases of a server: workflows, and the list of them that can be searched. In SQLite they are
// the same.
type store struct {
	main, visibility *config.SQL
}

// openStore makes sure that the databases exist and have the server's schema.
func openStore(ctx context.Context, o Options, logger log.Logger) (store, error) {
	switch {
	case o.PostgresURL != "":
		return openPostgres(ctx, o.PostgresURL, logger)
	case o.DatabaseFile != "":
		return openSQLite(ctx, o.DatabaseFile)
	default:
		return inMemory(), nil
	}
}
