package models

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// atOnce runs a transaction whose statements are sent together with its commit, in one round trip. Nothing of it can be decided by
// an answer. So its statements fail if something is not as they expect: then isUndone is true for the error, and the caller does
// the same in the careful way, with questions first. Outside of Linux it takes two round trips.
//
// If the connection ends meanwhile, it is unknown whether the transaction has been committed.
func (s *Store) atOnce(ctx context.Context, fn func(tx *Store) error) error {
	return s.tx(ctx, func(error) bool { return false }, func(tx *Store) error {
		if p, ok := tx.db.Statement.ConnPool.(*pipe); ok {
			p.atOnce = true
		}
		return fn(tx)
	})
}

// canDoAtOnce reports whether atOnce saves anything.
func (s *Store) canDoAtOnce() bool { return s.server != nil && !s.server.pooled() && !s.inTx }

// demand makes a statement, which returns a row for each row of v that it finds or stores, fail if it is not so for one.
func demand(statement string) string { return ", made AS (" + statement + ") " + demandAll }

// demandAll ends a statement whose common table "made" has a row for each row of v, or else is to fail. It names no value, because
// PostgreSQL writes to its log what fails.
const demandAll = "SELECT 1 / CAST((SELECT count(*) FROM made) = (SELECT count(*) FROM v) AS integer)"

// isUndone reports whether the server has undone a transaction because something was not as expected. Any other error is one of
// the careful way too.
func isUndone(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"22012", "23505", "40001", "40P01", lockNotAvailable}, pg.Code) // PostgreSQL manual, appendix A
}

// carefulFor is how long what a tenant sends is stored in the careful way after some of it could not be stored at once. Trying in
// vain costs more than that.
const carefulFor = time.Minute

// carefulMost is the most tenants that are remembered.
const carefulMost = 10_000

// careful remembers the tenants whose transactions are made in the careful way.
type careful struct {
	mu    sync.Mutex
	since map[string]time.Time
	pause time.Duration // carefulFor; tests have others
}

func newCareful() *careful { return &careful{since: map[string]time.Time{}, pause: carefulFor} }

// note adds tenants.
func (c *careful) note(now time.Time, tenants []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tenant := range tenants {
		if len(c.since) >= carefulMost {
			clear(c.since)
		}
		c.since[tenant] = now
	}
}

// with reports whether a tenant was added a moment ago.
func (c *careful) with(now time.Time, tenant string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, ok := c.since[tenant]
	if !ok {
		return false
	}
	if ago := now.Sub(since); ago >= 0 && ago < c.pause {
		return true
	}
	delete(c.since, tenant)
	return false
}

// culprits returns the tenants of those that could not be stored at once, by what the careful way found.
func culprits[T any](group []T, tenant func(T) string, found func(i int) bool) (tenants []string) {
	for i, one := range group {
		if found(i) {
			tenants = append(tenants, tenant(one))
		}
	}
	return tenants
}
