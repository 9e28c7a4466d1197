package models

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/gorm"
)

// pipe is one transaction on PostgreSQL. Statements that are queued with later share one round trip: they are sent with
// the next statement, with a call of wait, or with COMMIT. BEGIN goes with the first of them. A round trip costs more
// processor time than most of our statements, on both sides.
type pipe struct {
	ctx    context.Context //nolint:containedctx // of the transaction, as in sql.Tx
	pool   *sql.DB
	conn   *sql.Conn
	queued []queued
	begun  bool
	ended  bool
	// atOnce says that all statements are sent with their commit, in one round trip, if that is possible.
	atOnce bool
	// broken is why the server does not have what was queued although it would go on: it has no BEGIN, or the answers were not
	// read to the end. Nothing more is sent.
	broken error
}

// queued is one statement that has not been sent yet. scan is called for each returned row; nil = none is expected.
type queued struct {
	text string
	args []any
	scan func(scanner) error
}

// scanner is a returned row.
type scanner interface{ Scan(into ...any) error }

var (
	_ gorm.ConnPool    = (*pipe)(nil)
	_ gorm.TxCommitter = (*pipe)(nil)
)

// rollbackFor limits a rollback. Its caller may be gone already.
const rollbackFor = 5 * time.Second

func newPipe(ctx context.Context, pool *sql.DB) (*pipe, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &pipe{ctx: ctx, pool: pool, conn: conn}, nil
}

// wait sends what is queued and reads the answers. The first statement that fails ends the transaction on the server,
// which runs nothing more of it. Nothing is sent for a caller that has given up.
func (p *pipe) wait(ctx context.Context) error {
	switch {
	case p.ended:
		return sql.ErrTxDone
	case ctx.Err() != nil:
		return ctx.Err()
	case p.ctx.Err() != nil:
		return p.ctx.Err()
	case p.broken != nil:
		return p.broken
	case p.begun && len(p.queued) == 0:
		return nil
	}
	var err error
	if p.begun {
		_, err = p.exchange(ctx)
	} else {
		p.queued = append([]queued{{text: "begin"}}, p.queued...)
		err = p.begin(ctx)
	}
	if err != nil && p.status() != inFailedTransaction {
		p.broken = err
	}
	return err
}

// begin sends the first statements. If the connection had ended before, another takes its place.
func (p *pipe) begin(ctx context.Context) error {
	first := p.queued
	for try := 0; ; try++ {
		answered, err := p.exchange(ctx)
		p.begun = answered > 0
		if err == nil || p.begun || try == droppedTries || ctx.Err() != nil || p.status() != lost {
			return err
		}
		fresh, err := p.pool.Conn(ctx)
		if err != nil {
			return err
		}
		_ = p.conn.Close()
		p.conn, p.queued = fresh, first
	}
}

// How PostgreSQL reports a session's status. Ours for one that has ended is lost.
const (
	inNoTransaction     = 'I'
	inFailedTransaction = 'E'
	lost                = 0
)

// status returns the status of the session after the last answer.
func (p *pipe) status() (status byte) {
	_ = p.conn.Raw(func(raw any) error {
		if conn := raw.(*stdlib.Conn).Conn(); !conn.IsClosed() {
			status = conn.PgConn().TxStatus()
		}
		return nil
	})
	return status
}

// exchange sends what is queued in one round trip. It returns how many statements were answered without an error.
func (p *pipe) exchange(ctx context.Context) (answered int, err error) {
	all := p.queued
	p.queued = nil
	batch := &pgx.Batch{}
	for _, q := range all {
		batch.Queue(q.text, q.args...)
	}
	err = p.conn.Raw(func(conn any) (err error) {
		answers := conn.(*stdlib.Conn).Conn().SendBatch(ctx, batch)
		defer func() {
			if closing := answers.Close(); err == nil {
				err = closing
			}
		}()
		for _, q := range all {
			if err := answer(answers, q); err != nil {
				return err
			}
			answered++
		}
		return nil
	})
	return answered, err
}

func answer(answers pgx.BatchResults, q queued) error {
	if q.scan == nil {
		tag, err := answers.Exec()
		if err == nil && q.text == commit && tag.String() == rolledBack {
			err = pgx.ErrTxCommitRollback // a statement had failed, and nobody minded
		}
		return err
	}
	rows, err := answers.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := q.scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

const (
	commit     = "commit"
	rolledBack = "ROLLBACK"
)

// Commit sends what is queued and commits, in one round trip. BEGIN is part of it only in commitAtOnce: if the connection were
// lost then, nobody could tell whether the transaction has been committed. Rows are read before, because reading them may fail.
func (p *pipe) Commit() error {
	if p.atOnce && !p.begun && !p.asks() && p.ctx.Err() == nil && isQuiet(p.conn) {
		return p.commitAtOnce()
	}
	if !p.begun || p.asks() {
		if err := p.wait(p.ctx); err != nil {
			return err
		}
	}
	p.queued = append(p.queued, queued{text: commit})
	if err := p.wait(p.ctx); err != nil {
		return err
	}
	return p.end()
}

// asks reports whether rows of what is queued are to be read.
func (p *pipe) asks() bool {
	return slices.ContainsFunc(p.queued, func(q queued) bool { return q.scan != nil })
}

// commitAtOnce sends what is queued without BEGIN and COMMIT. Statements that are sent together are one transaction, which the
// server commits after the last one. An open connection makes it unlikely that this cannot be confirmed.
func (p *pipe) commitAtOnce() error {
	if _, err := p.exchange(p.ctx); err != nil {
		return err
	}
	return p.end()
}

// Rollback undoes everything. A connection that cannot be brought back is closed.
func (p *pipe) Rollback() error {
	if p.ended {
		return sql.ErrTxDone
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), rollbackFor)
	defer cancel()
	var err error
	if status := p.status(); status != lost && status != inNoTransaction {
		_, err = p.conn.ExecContext(ctx, "rollback")
	}
	return errors.Join(err, p.end())
}

// end gives the connection back to the pool, which closes it, when it is next taken, if it is still in a transaction.
func (p *pipe) end() error {
	p.ended = true
	return p.conn.Close()
}

// PrepareContext implements gorm.ConnPool.
func (p *pipe) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	return p.conn.PrepareContext(ctx, query)
}

// ExecContext implements gorm.ConnPool.
func (p *pipe) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	return p.conn.ExecContext(ctx, query, args...)
}

// QueryContext implements gorm.ConnPool.
func (p *pipe) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	return p.conn.QueryContext(ctx, query, args...)
}

// QueryRowContext implements gorm.ConnPool.
func (p *pipe) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := p.wait(ctx); err != nil {
		return rowWith(ctx, err)
	}
	return p.conn.QueryRowContext(ctx, query, args...)
}

// rowWith returns a row that cannot be read because of err. Only a pool can make one.
func rowWith(ctx context.Context, err error) *sql.Row {
	pool := sql.OpenDB(unreachable{err})
	defer func() { _ = pool.Close() }()
	return pool.QueryRowContext(ctx, "")
}

// unreachable is a database to which nobody can connect.
type unreachable struct{ why error }

func (u unreachable) Connect(context.Context) (driver.Conn, error) { return nil, u.why }

func (u unreachable) Driver() driver.Driver { return nil }

// later is bulk for a statement whose answer the caller needs only after wait. Until then it may not have been sent. Where a
// transaction cannot queue (SQLite, behind a pooler) it is bulk itself.
func later[T any](ctx context.Context, s *Store, rows []T, columns []column[T], statement string, scan func(scanner) error) error {
	p, ok := s.db.Statement.ConnPool.(*pipe)
	if !ok || len(rows) == 0 {
		var scanRow func(*sql.Rows) error
		if scan != nil {
			scanRow = func(row *sql.Rows) error { return scan(row) }
		}
		return bulk(ctx, s, rows, columns, statement, scanRow)
	}
	head, args := valuesOf(s, rows, columns)
	p.queued = append(p.queued, queued{head + statement, args, scan})
	return nil
}

// unsend forgets what is queued.
func (s *Store) unsend() {
	if p, ok := s.db.Statement.ConnPool.(*pipe); ok {
		p.queued = nil
	}
}

// isQuiet reports whether a connection is open, and nothing has come from it that nobody waits for.
func isQuiet(conn *sql.Conn) (quiet bool) {
	_ = conn.Raw(func(raw any) error {
		under := raw.(*stdlib.Conn).Conn().PgConn().Conn()
		if encrypted, ok := under.(*tls.Conn); ok {
			under = encrypted.NetConn()
		}
		if c, ok := under.(syscall.Conn); ok {
			quiet = hasNothing(c)
		}
		return nil
	})
	return quiet
}

// wait returns when everything that was queued with later has been answered. What is queued after the last wait is
// sent with COMMIT.
func (s *Store) wait(ctx context.Context) error {
	if p, ok := s.db.Statement.ConnPool.(*pipe); ok {
		return p.wait(ctx)
	}
	return nil
}
