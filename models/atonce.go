package models

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// carefully is how long transactions of a kind are made in the careful way after one could not be made at once. So a tenant whose
// requests never can does not cost the others a second transaction for each of theirs.
const carefully = time.Second

// atOnce runs a transaction whose statements are sent together with its commit, in one round trip. So nothing of it can be
// decided by an answer: each statement fails if something is not as it expects. done is false without an error if the server has
// undone it for that, or if it was not tried: then the caller does the same in the careful way. until is when transactions of
// this kind are tried again, in nanoseconds since 1970.
//
// If the connection ends meanwhile, it is unknown whether the transaction has been committed.
func (s *Store) atOnce(ctx context.Context, until *atomic.Int64, fn func(tx *Store) error) (done bool, err error) {
	if s.server == nil || s.server.pooled() || s.inTx || s.now().UnixNano() < until.Load() {
		return false, nil
	}
	err = s.tx(ctx, never, func(tx *Store) error {
		if p, ok := tx.db.Statement.ConnPool.(*pipe); ok {
			p.atOnce = true
		}
		return fn(tx)
	})
	if isUndone(err) {
		until.Store(s.now().Add(carefully).UnixNano())
		return false, nil
	}
	return err == nil, err
}

func never(error) bool { return false }

// isUndone reports whether the server has refused a statement and undone its transaction. A session that it has ended is
// another case: that may happen after the commit.
func isUndone(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.SeverityUnlocalized == "ERROR" && !IsLocked(err)
}
