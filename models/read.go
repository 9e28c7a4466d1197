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
	// readFor bounds what one caller of an API may read. It is longer than any page that an index serves, and shorter
	// than clients wait.
	readFor = 5 * time.Second
	// readShare: one readShare-th of a process's connections is reserved for Read, so that heavy lists take none from
	// accepting and recording.
	readShare = 5
)

// ErrSlow is returned by Read if fn was not done in time, or found a table locked.
var ErrSlow = errors.New("models: the read took too long")

// Read runs fn, which reads for a caller of an API, with a Store that has separate connections and a deadline. It is
// for lists, counts and everything else that may examine many rows. On SQLite only the deadline is separate. fn is run
// again if a restarting server has ended its connection.
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

// Readers returns how many Reads can run at once.
func (s *Store) Readers() int { return s.reader.Pool().MaxOpenConnections }

// droppedTries is how often Read runs fn again, and a transaction begins again, because the server had ended a connection: each
// idle connection has to find that out by itself, and few calls read.
const droppedTries = 5

// isDropped reports whether the server has ended the connection, as in a restart. A new one may work.
func isDropped(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "57P01" || pg.Code == "57P02") || errors.Is(err, io.ErrUnexpectedEOF)
}

// isTimedOut reports whether PostgreSQL ended a statement at its statement_timeout.
func isTimedOut(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "57014"
}

// statementTimeout returns the statement_timeout of the read connections, in milliseconds.
func statementTimeout(readFor time.Duration) int64 { return max(1, (readFor * 9 / 10).Milliseconds()) }
