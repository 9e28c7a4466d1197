package models

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/gorm"
)

// planner has settings for SSDs: random reads cost little more than sequential ones. The default assumes spinning
// disks, and scans a whole young table although an index would find the rows. Bitmap scans are off because, for a
// tenant that has not been analysed yet, the planner reads and sorts ten thousand rows instead of walking the index in
// the list's order. Statements are short, and compiling one costs more than it saves: for a table that has not been analysed
// yet, the planner expects so many rows that a page waited a second for its compilation.
const planner = "SET random_page_cost = 1.1; SET enable_bitmapscan = off; SET jit = off"

// waitForLocks bounds the wait for a row that another transaction has locked. Transactions are short: a row that is
// locked for longer belongs to a page of a large change, or is locked by hand, and other work need not wait for it.
const waitForLocks = "SET lock_timeout = 250"

// session is the setup of a new connection.
const session = planner + "; " + waitForLocks

// readSession is session for the connections that Read uses. They only read, and no statement takes longer than its
// caller waits. PostgreSQL ends it a little earlier, because a caller that goes away costs the connection. Each statement is
// planned for its values: a plan for any value walks the whole list for a value that few rows have.
const readSession = session + "; SET plan_cache_mode = force_custom_plan; SET default_transaction_read_only = on; SET statement_timeout = "

// dialFor is how long opening a connection may take if the URL does not say (connect_timeout). If the server is gone,
// TCP would wait two minutes for an answer.
const dialFor = 5 * time.Second

// keepAlive detects within 11 s that the other end of an idle connection has silently gone. Without it each connection
// of a full pool would cost one caller all of its time.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

func postgresConfig(databaseURL string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, errors.New("the database URL cannot be parsed") // err repeats some of it
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = dialFor
	}
	config.DialFunc = (&net.Dialer{KeepAliveConfig: keepAlive, Control: boundUnacknowledged}).DialContext
	return config, nil
}

// server is one PostgreSQL, as seen by the pools of a Store.
type server struct {
	config *pgx.ConnConfig
	// schema increases whenever a statement turns out to be prepared for an outdated schema.
	schema atomic.Int64
}

// pooled reports whether a pooler may give every transaction another session (pgbouncer in transaction mode). The URL
// says so by switching off named statements with default_query_exec_mode. Then no state is kept in a session.
func (p *server) pooled() bool {
	return p.config.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement
}

// pool makes a pool whose connections return times in UTC, as they are stored, wherever the process runs.
func (p *server) pool(settings string) *sql.DB {
	return stdlib.OpenDB(*p.config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID,
			Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}})
		conn.PgConn().CustomData()[schemaKey] = p.schema.Load()
		if p.pooled() || settings == "" {
			return nil
		}
		_, err := conn.Exec(ctx, settings)
		return err
	}), stdlib.OptionResetSession(p.renew))
}

const schemaKey = "posthorn.schema"

// renew drops the prepared statements of a connection if the schema has changed since.
func (p *server) renew(ctx context.Context, conn *pgx.Conn) error {
	now, data := p.schema.Load(), conn.PgConn().CustomData()
	if data[schemaKey] == now {
		return nil
	}
	if err := conn.DeallocateAll(ctx); err != nil {
		return err
	}
	data[schemaKey] = now
	return nil
}

// isStale reports whether a statement was prepared for an outdated schema. A migration causes this in processes that
// run at the same time. All connections then prepare their statements again.
func (p *server) isStale(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	stale := pg.Code == "0A000" && strings.Contains(pg.Message, "cached plan must not change result type") ||
		pg.Code == "08P01" && strings.Contains(pg.Message, "result formats") // our cached description of it
	if stale {
		p.schema.Add(1)
	}
	return stale
}

// conns is a pool that repeats a statement, outside of a transaction, if the schema has changed under it.
type conns struct {
	*sql.DB

	server *server
}

var (
	_ gorm.ConnPool         = conns{}
	_ gorm.ConnPoolBeginner = conns{}
	_ gorm.GetDBConnector   = conns{}
)

// GetDBConn returns the pool itself to GORM.
func (c conns) GetDBConn() (*sql.DB, error) { return c.DB, nil }

// BeginTx begins a transaction. If a session cannot keep settings, the transaction makes them. Then it cannot queue statements
// either.
func (c conns) BeginTx(ctx context.Context, o *sql.TxOptions) (gorm.ConnPool, error) {
	if !c.server.pooled() && o == nil {
		return newPipe(ctx, c.DB)
	}
	tx, err := c.DB.BeginTx(ctx, o)
	if err != nil || !c.server.pooled() {
		return tx, err
	}
	if _, err := tx.ExecContext(ctx, strings.ReplaceAll(session, "SET ", "SET LOCAL ")); err != nil {
		_ = tx.Rollback()
		return nil, err
	}
	return tx, nil
}

// ExecContext runs a statement.
func (c conns) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := c.DB.ExecContext(ctx, query, args...)
	if c.server.isStale(err) {
		return c.DB.ExecContext(ctx, query, args...)
	}
	return result, err
}

// QueryContext runs a query.
func (c conns) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	rows, err := c.DB.QueryContext(ctx, query, args...)
	if c.server.isStale(err) {
		return c.DB.QueryContext(ctx, query, args...)
	}
	return rows, err
}

// QueryRowContext runs a query of one row.
func (c conns) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	row := c.DB.QueryRowContext(ctx, query, args...)
	if c.server.isStale(row.Err()) {
		return c.DB.QueryRowContext(ctx, query, args...)
	}
	return row
}
