package devserver_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/posthorn/posthorn/devserver"
)

// assertion is the parameter of EventuallyWithT's condition.
type assertion = assert.CollectT

// silence is a logger for clients whose connections are cut on purpose.
type silence struct{}

func (silence) Debug(string, ...any) {}
func (silence) Info(string, ...any)  {}
func (silence) Warn(string, ...any)  {}
func (silence) Error(string, ...any) {}

// execute runs one statement on a SQLite file.
func execute(t *testing.T, file, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.ExecContext(t.Context(), statement)
	require.NoError(t, err)
}

// bare starts a server with nothing set, and connects to it.
func bare(t *testing.T) (context.Context, client.Client) {
	t.Helper()
	ctx := bounded(t)
	s, err := devserver.Start(ctx, devserver.Options{})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	return ctx, connect(t, s.FrontendAddr())
}
