package models

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// readFor bounds what one caller of an API may read: longer than any page takes that an index serves, and shorter
	// than clients wait.
	readFor = 5 * time.Second
	// readShare is the part of a process's connections that Read has to itself, so that heavy lists take none from what
	// accepts and records.
	readShare = 5
)

// ErrSlow is returned by Read if fn was not done in time, or found a table locked.
var ErrSlow = errors.New("models: the read took too long")

// Read runs fn, which reads for a caller of an API, with a Store that has connections of its own and a deadline. It is
// for lists, counts and whatever else may have to look at many rows. On SQLite only the deadline is its own. fn is run again if
// its connection has been ended by a server that was restarted.
func (s *Store) Read(ctx context.Context, fn func(ctx context.Context, s *Store) error) error {
	if s.inTx {
		return fn(ctx, s)
	}
	bounded, cancel := context.WithTimeout(ctx, s.readFor)
	defer cancel()
	err := fn(bounded, s.reader)
	for try := 1; isDropped(err) && try <= droppedTries && bounded.Err() == nil; try++ {
		err = fn(bounded, s.reader)
	}
	if err != nil && ctx.Err() == nil && (bounded.Err() != nil || isTimedOut(err) || IsLocked(err)) {
		return fmt.Errorf("%w: %w", ErrSlow, err)
	}
	return err
}

// Readers is how many Reads can run at once.
func (s *Store) Readers() int { return s.reader.Pool().MaxOpenConnections }

// droppedTries is how often Read runs fn again because the server had ended a connection: each of those that wait unused
// finds that out by itself, and few calls read.
const droppedTries = 5

// isDropped reports whether the server has ended the connection, as when it is restarted. A new one may work.
func isDropped(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "57P01" || pg.Code == "57P02") || errors.Is(err, io.ErrUnexpectedEOF)
}

// isTimedOut reports whether PostgreSQL ended a statement at its statement_timeout.
func isTimedOut(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "57014"
}

// statementTimeout is the statement_timeout of the connections for reading, in milliseconds.
func statementTimeout(readFor time.Duration) int64 { return max(1, (readFor * 9 / 10).Milliseconds()) }
