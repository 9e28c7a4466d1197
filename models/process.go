package models

import (
	"context"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Process is a running Posthorn process, as the others see it. The work in its memory carries its id in the database,
// so that others can take it over when the process is gone.
type Process struct {
	ID        int64
	Kind      string // api, worker, serve or dev
	Host      string
	StartedAt time.Time
	SeenAt    time.Time  // when it last reported that it runs
	GoneAt    *time.Time // since when it counts as gone; nil while it runs
	WalkedAt  *time.Time // when a worker last started to take over what it held
}

const (
	// SilentFor is how long a process may be silent before it counts as gone.
	SilentFor = 5 * time.Second
	// walkAgain is how long after one walk over a gone process's work the next may start. A walk skips locked rows,
	// and a process that was only suspended may commit something when it continues.
	walkAgain = 10 * time.Second
	// goneAtOnce is how many gone processes one walk covers.
	goneAtOnce = 100
)

// Conditions on processes.
const (
	// isSilent takes the time before which a process that still runs was last seen.
	isSilent = "gone_at IS NULL AND seen_at < ?"
	// isUnclaimed takes the time after which no worker has begun to take over what a gone process held.
	isUnclaimed = "gone_at IS NOT NULL AND (walked_at IS NULL OR walked_at < ?)"
)

// dbNow is the current time in a statement. Times that processes compare with each other are the database's, even if a
// process's clock is wrong.
func (s *Store) dbNow() clause.Expr {
	if s.postgres && s.clock.follows() {
		return gorm.Expr("clock_timestamp()")
	}
	return gorm.Expr("?", s.now())
}

// dbAgo is a time before dbNow.
func (s *Store) dbAgo(d time.Duration) clause.Expr {
	if s.postgres && s.clock.follows() {
		return gorm.Expr("clock_timestamp() - make_interval(secs => ?)", d.Seconds())
	}
	return gorm.Expr("?", s.now().Add(-d))
}

// newProcessID returns an id that no other process has: the time in milliseconds, and 22 random bits.
func newProcessID(now time.Time) int64 { return now.UnixMilli()<<22 | rand.Int64N(1<<22) } //nolint:gosec // distinguishes processes, not a secret

// register adds a process. If it replaces this process's earlier id, that one is gone from now on.
func (s *Store) register(ctx context.Context, kind, host string, replaces int64) (id int64, err error) {
	id = newProcessID(s.now())
	return id, s.Tx(ctx, func(tx *Store) error {
		db := tx.db.WithContext(ctx)
		if err := tx.resign(ctx, replaces); err != nil {
			return err
		}
		if !tx.postgres { // SQLite has one process, so all earlier ones have ended
			err := db.Exec("UPDATE processes SET gone_at = ? WHERE gone_at IS NULL AND id NOT IN ?", tx.now(), tx.ids()).Error
			if err != nil {
				return err
			}
		}
		return db.Exec("INSERT INTO processes (id, kind, host, started_at, seen_at) VALUES (?, ?, ?, ?, ?)",
			id, kind, host, tx.dbNow(), tx.dbNow()).Error
	})
}

// resign declares a process gone at its own request. If others have already done so, they check again what it held.
func (s *Store) resign(ctx context.Context, id int64) error {
	return s.db.WithContext(ctx).Exec("UPDATE processes SET gone_at = ?, walked_at = NULL WHERE id = ?", s.dbNow(), id).Error
}

// touch records that processes run, and returns those that others do not presume gone.
func (s *Store) touch(ctx context.Context, ids []int64) (run []int64, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	err = s.db.WithContext(ctx).Raw("UPDATE processes SET seen_at = ? WHERE id IN ? AND gone_at IS NULL RETURNING id", s.dbNow(), ids).Scan(&run).Error
	return run, err
}

// Runs reports whether a process is known to run: it has not been silent, nor been declared gone.
func (s *Store) Runs(ctx context.Context, id int64) (runs bool, err error) {
	err = s.db.WithContext(ctx).Raw("SELECT count(*) > 0 FROM processes WHERE id = ? AND gone_at IS NULL AND seen_at >= ?",
		id, s.dbAgo(SilentFor)).Scan(&runs).Error
	return runs, err
}

// DeclareGone declares the processes gone that have been silent for SilentFor, and returns them. The caller must have
// watched them for as long: after an outage of the database all of them have been silent.
func (s *Store) DeclareGone(ctx context.Context) (gone []Process, err error) {
	err = s.db.WithContext(ctx).Raw("UPDATE processes SET gone_at = ? WHERE "+isSilent+" RETURNING *",
		s.dbNow(), s.dbAgo(SilentFor)).Scan(&gone).Error
	return gone, err
}

// ClaimGone returns the gone processes whose work must be taken over now. No other worker gets them for a while.
func (s *Store) ClaimGone(ctx context.Context) (gone []Process, err error) {
	lock := ""
	if s.postgres {
		lock = " FOR UPDATE SKIP LOCKED"
	}
	err = s.db.WithContext(ctx).Raw(`UPDATE processes SET walked_at = ? WHERE id IN (SELECT id FROM processes
		WHERE `+isUnclaimed+` ORDER BY id LIMIT ?`+lock+`) RETURNING *`,
		s.dbNow(), s.dbAgo(walkAgain), goneAtOnce).Scan(&gone).Error
	return gone, err
}

// KeepGone renews the claim on gone processes: a walk over millions of rows takes longer than the others wait.
func (s *Store) KeepGone(ctx context.Context, ids []int64) error {
	return s.db.WithContext(ctx).Exec("UPDATE processes SET walked_at = ? WHERE id IN ?", s.dbNow(), ids).Error
}

// ReleaseGone lets the work of gone processes be claimed again at once.
func (s *Store) ReleaseGone(ctx context.Context, ids []int64) error {
	return s.db.WithContext(ctx).Exec("UPDATE processes SET walked_at = NULL WHERE id IN ?", ids).Error
}

// ForgetGone removes processes that have been gone for longer than a time. Deliveries that nobody has taken over by
// then are overdue, and found as such.
func (s *Store) ForgetGone(ctx context.Context, after time.Duration) error {
	return s.db.WithContext(ctx).Exec("DELETE FROM processes WHERE gone_at < ?", s.dbAgo(after)).Error
}
