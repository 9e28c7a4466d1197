package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // registers the driver "sqlite", which needs no cgo

	"github.com/posthorn/posthorn/internal/fault"
	"github.com/posthorn/posthorn/internal/pause"
)

// The errors of queries that a caller is expected to distinguish. Any other error is an outage or a bug.
var (
	ErrNotFound = errors.New("models: not found")
	ErrConflict = errors.New("models: already exists")
	// ErrUIDTaken: another object of its kind has the uid as its uid or id.
	ErrUIDTaken = errors.New("models: the uid is taken")
)

// Store is a handle on the database. It is safe for concurrent use.
type Store struct {
	db              *gorm.DB
	reader          *Store // the Store for Read
	readFor         time.Duration
	server          *server // nil on SQLite
	postgres        bool
	inTx            bool // the handle that Tx passes to its function
	clock           *clock
	groupMax        int
	looked          int // see lookedMost
	limits          tenantLimits
	changes         *inTurn       // the queues of tenants' changes
	traffic         *atomic.Int64 // when an event was last accepted or an attempt recorded, in nanoseconds since 1970
	acceptCarefully *careful      // the tenants for which acceptNew is not tried
	recordCarefully *careful      // likewise recordPlain
	presence        *presence     // this process's row in processes
	posting         *presence     // the same for first attempts outside of workflows; nil = it makes none
	log             *auditing
}

// Options configures Open. The zero value is usable.
type Options struct {
	// MaxConns bounds the connections to PostgreSQL, including those for Read. Default 20.
	MaxConns int
	// ReadFor bounds a Read. Default 5 s.
	ReadFor time.Duration
	// GroupMax is the most deliveries of several events that are dispatched together again. Default, and most,
	// MaxDispatch.
	GroupMax int
	// MaxWebhooks and MaxKeys are the limits of a tenant that has none of its own. Default DefaultMaxWebhooks and
	// DefaultMaxKeys.
	MaxWebhooks, MaxKeys int64
	// FirstAttempts says that this process makes first attempts outside of workflows: see PostingID.
	FirstAttempts bool
	// Now is the process's clock. Default: time.Now, corrected on PostgreSQL by how far the database's clock is ahead.
	// A given one is corrected only with Correct.
	Now func() time.Time
	// Actor returns the actor of a context's changes, for the audit log. Default: Posthorn itself.
	Actor func(context.Context) AuditActor
	// Correct makes the Store follow the database's clock although Now is given: for tests with a wrong clock.
	Correct bool
}

// Open connects to "postgres://…" or "sqlite:<path>". It does not migrate.
func Open(ctx context.Context, databaseURL string, o Options) (*Store, error) {
	if o.MaxConns == 0 {
		o.MaxConns = 20
	}
	realClock := o.Now == nil
	if realClock {
		o.Now, o.Correct = fault.Now, true
	}
	if o.GroupMax == 0 {
		o.GroupMax = MaxDispatch
	}
	if o.ReadFor == 0 {
		o.ReadFor = readFor
	}
	s := &Store{clock: &clock{process: o.Now}, groupMax: min(o.GroupMax, MaxDispatch), looked: lookedMost, limits: o.tenantLimits(), changes: &inTurn{}, traffic: &atomic.Int64{}, acceptCarefully: newCareful(), recordCarefully: newCareful(),
		presence: newPresence(), readFor: o.ReadFor, log: &auditing{actor: o.Actor}}
	if o.FirstAttempts {
		s.posting = newPresence()
	}
	pool, err := s.connect(ctx, databaseURL, o)
	if err != nil {
		return nil, fmt.Errorf("models: open: %w", err)
	}
	if err := pool.PingContext(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("models: open: %w", err)
	}
	if s.postgres && o.Correct {
		if err := s.clock.follow(ctx, pool, realClock); err != nil {
			_ = s.Close()
			return nil, fmt.Errorf("models: open: %w", err)
		}
	}
	return s, nil
}

// connect opens the pools, and returns the main one.
func (s *Store) connect(ctx context.Context, databaseURL string, o Options) (pool *sql.DB, err error) {
	switch {
	case strings.HasPrefix(databaseURL, "sqlite:"):
		if pool, err = sqlitePool(ctx, strings.TrimPrefix(databaseURL, "sqlite:")); err != nil {
			return nil, err
		}
		bound(pool, min(o.MaxConns, 8))
		s.reader = s
		s.db, err = s.orm(sqlite.Dialector{Conn: pool})
		return pool, err
	case strings.HasPrefix(databaseURL, "postgres://"), strings.HasPrefix(databaseURL, "postgresql://"):
		config, err := postgresConfig(databaseURL)
		if err != nil {
			return nil, err
		}
		s.postgres, s.server = true, &server{config: config}
		reads := max(1, o.MaxConns/readShare)
		pool = bound(s.server.pool(session), max(1, o.MaxConns-reads))
		if s.db, err = s.orm(postgresOn(conns{pool, s.server})); err != nil {
			return nil, err
		}
		reading := bound(s.server.pool(readSession+strconv.FormatInt(statementTimeout(s.readFor), 10)), reads)
		reader := new(Store)
		*reader = *s
		reader.reader = reader
		if reader.db, err = s.orm(postgresOn(conns{reading, s.server})); err != nil {
			return nil, err
		}
		s.reader = reader
		return pool, nil
	default:
		return nil, errors.New("the database URL must begin with postgres:// or sqlite:<path>")
	}
}

// bound limits the connections of a pool.
func bound(pool *sql.DB, most int) *sql.DB {
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(most)
	pool.SetConnMaxLifetime(30 * time.Minute)
	return pool
}

func (s *Store) orm(dialector gorm.Dialector) (*gorm.DB, error) {
	return gorm.Open(dialector, &gorm.Config{
		// Errors are returned, and logged where they are handled. GORM would also log the statements, with their data.
		Logger:                 logger.Discard,
		SkipDefaultTransaction: true,
		PrepareStmt:            false, // pgx caches prepared statements by itself
		NowFunc:                s.now,
		DisableAutomaticPing:   true,
	})
}

// connectFor is how long to wait for a new SQLite file that others are opening too.
const connectFor = 15 * time.Second

// sqlitePool makes a pool with one connection. SQLite does not queue connections that switch a new file to WAL at the
// same time, however long their busy timeout: all except one are refused, and try again.
func sqlitePool(ctx context.Context, path string) (*sql.DB, error) {
	pool, err := sql.Open("sqlite", sqliteDSN(path))
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		err := pool.PingContext(ctx)
		if err == nil {
			return pool, nil
		}
		if !isBusy(err) || time.Since(began) > connectFor || ctx.Err() != nil {
			_ = pool.Close()
			return nil, err
		}
		_ = pause.For(ctx, rand.N(txWait)) //nolint:gosec // spreads waits, not a secret
	}
}

// isBusy reports whether SQLite refused because another connection has the file.
func isBusy(err error) bool {
	var lite interface{ Code() int }
	return errors.As(err, &lite) && lite.Code()&0xff == 5
}

// sqliteDSN sets the pragmas that Posthorn's promises need: synchronous=FULL so that a commit survives a power cut,
// and immediate transactions so that two writers wait for each other instead of failing half-way.
func sqliteDSN(path string) string {
	q := url.Values{}
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "busy_timeout(15000)")
	q.Add("_pragma", "foreign_keys(ON)")
	q.Set("_txlock", "immediate")
	q.Set("_time_format", "sqlite")
	q.Set("_timezone", "UTC")
	// Escaped, because the name is a URI: a "#" or "?" in a directory's name would end it, and another file would be
	// opened.
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}

// Close ends all connections.
func (s *Store) Close() error {
	s.clock.close()
	var errs []error
	for _, db := range []*gorm.DB{s.db, s.reader.db} {
		pool, err := db.DB()
		if err == nil {
			err = pool.Close() // SQLite has one pool for both, and closing it twice is allowed
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	pool, err := s.db.DB()
	if err != nil {
		return err
	}
	return pool.PingContext(ctx)
}

// Pool returns the connection pool's figures.
func (s *Store) Pool() sql.DBStats {
	pool, err := s.db.DB()
	if err != nil {
		return sql.DBStats{}
	}
	return pool.Stats()
}

// Pools returns the figures of the connection pools by name, for the metrics: "main", and on PostgreSQL also "reads".
func (s *Store) Pools() map[string]sql.DBStats {
	all := map[string]sql.DBStats{"main": s.Pool()}
	if s.postgres {
		all["reads"] = s.reader.Pool()
	}
	return all
}

const (
	// txTries is how often a transaction is run before the caller gets the database's refusal to commit it.
	txTries = 5
	// txWait is the longest wait before the second run; it grows with every further one. The wait is random, so that
	// the loser of a deadlock does not meet the winner again too early.
	txWait = 20 * time.Millisecond
)

// Tx runs fn in one transaction: everything that fn does through the given Store commits together or not at all. Tx
// runs fn again from its beginning if PostgreSQL gives the transaction up (a deadlock, a serialization failure, a row
// that stays locked), or if a migration has changed a table under it. Within fn another Tx is part of the same
// transaction.
func (s *Store) Tx(ctx context.Context, fn func(tx *Store) error) error {
	return s.tx(ctx, isWorthAnother, fn)
}

// tx runs fn in a transaction, and repeats it while again returns true for its error.
func (s *Store) tx(ctx context.Context, again func(error) bool, fn func(tx *Store) error) error {
	return s.repeat(ctx, again, func() error {
		return s.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			inner := &Store{db: tx, postgres: s.postgres, server: s.server, inTx: true, clock: s.clock, groupMax: s.groupMax, looked: s.looked, limits: s.limits, traffic: s.traffic, acceptCarefully: s.acceptCarefully, recordCarefully: s.recordCarefully, presence: s.presence, posting: s.posting, log: s.log}
			err := fn(inner)
			if !s.inTx {
				return err
			}
			// A part of a transaction is undone by itself, so it sends its own statements, or none of them.
			if err == nil {
				err = inner.wait(ctx)
			}
			if err != nil {
				inner.unsend()
			}
			return err
		})
	})
}

// again runs a statement that is a transaction by itself, as Tx does.
func (s *Store) again(ctx context.Context, run func() error) error {
	return s.repeat(ctx, isWorthAnother, run)
}

func (s *Store) repeat(ctx context.Context, again func(error) bool, run func() error) error {
	for try := 1; ; try++ {
		err := run()
		if s.inTx || try == txTries || !again(err) && !s.isStale(err) {
			return err
		}
		if pause.For(ctx, rand.N(time.Duration(try)*txWait)) != nil { //nolint:gosec // spreads waits, not a secret
			return err
		}
	}
}

// lockNotAvailable is the SQLSTATE of a wait for a lock that took longer than lock_timeout.
const lockNotAvailable = "55P03"

// isGivenUp reports whether PostgreSQL ended a transaction that can succeed if it is run again: SQLSTATE 40001
// (serialization_failure) or 40P01 (deadlock_detected).
func isGivenUp(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// isStale reports whether the schema has changed under a transaction's statement. The transaction can then be run
// again.
func (s *Store) isStale(err error) bool { return s.server != nil && s.server.isStale(err) }

func isWorthAnother(err error) bool { return isGivenUp(err) || IsLocked(err) }

// IsLocked reports whether a statement gave up because another transaction kept a row locked.
func IsLocked(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == lockNotAvailable
}

// Now returns the store's time: UTC, in whole milliseconds, as everything is stored.
func (s *Store) Now() time.Time { return s.now() }

func (s *Store) now() time.Time { return s.clock.now().Truncate(time.Millisecond) }

// Clock returns the store's time with the process's full precision: for measurements, and for comparisons with stored
// times.
func (s *Store) Clock() time.Time { return s.clock.now() }

// LastTraffic returns when this process last accepted an event or recorded an attempt: background work steps back for
// it.
func (s *Store) LastTraffic() time.Time { return time.Unix(0, s.traffic.Load()) }

func (s *Store) noteTraffic() { s.traffic.Store(s.now().UnixNano()) }

// forUpdate locks the read rows until the transaction ends. SQLite has one writer at a time and needs no lock.
func (s *Store) forUpdate(db *gorm.DB) *gorm.DB {
	if !s.postgres {
		return db
	}
	return db.Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate})
}

// found turns GORM's error for no row into ErrNotFound and a unique violation into ErrConflict.
func found(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gorm.ErrRecordNotFound):
		return ErrNotFound
	case IsUniqueViolation(err):
		return ErrConflict
	default:
		return err
	}
}

// taken is found for a row with a uid, "" if it has none: if another row has its uid, the error is ErrUIDTaken.
func taken(err error, uid string) error {
	if uid != "" && IsUniqueViolation(err) {
		return ErrUIDTaken
	}
	return found(err)
}

// IsUniqueViolation reports whether an error is a duplicate key, on both databases.
func IsUniqueViolation(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == "23505"
	}
	var lite interface{ Code() int }
	return errors.As(err, &lite) && (lite.Code() == 2067 || lite.Code() == 1555)
}

// IsOutage reports whether an error comes from a database that is away, overloaded or restarting, so that another try
// may succeed.
func IsOutage(err error) bool {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, ErrNotFound), errors.Is(err, ErrConflict):
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if pg.Code == lockNotAvailable { // the database is well: only that row is not available
			return false
		}
		switch pg.Code[:2] {
		case "08", "40", "53", "55", "57", "58": // connection, rollback, resources, not in state, operator, system
			return true
		}
		return pg.Code == "25006" // read-only: a failover is in progress
	}
	var lite interface{ Code() int }
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case 5, 6, 9, 10, 13, 14: // busy, locked, interrupted by a deadline, I/O, full, cannot open
			return true
		}
		return false
	}
	return !errors.Is(err, gorm.ErrRecordNotFound)
}
