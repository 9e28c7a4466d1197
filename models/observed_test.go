package models

import (
	"context"
	"database/sql"
	"strings"

	"gorm.io/gorm"
)

// Observed records the statements that a Store has sent to the database.
type Observed struct {
	Transactions int
	Statements   []string
	Rows         map[string]int64 // that statements have changed, by the first words: "DELETE FROM events"
}

// Observe returns a handle on the same database that notes its statements.
func (s *Store) Observe() (*Store, *Observed) {
	o := &Observed{Rows: map[string]int64{}}
	db := s.db.Session(&gorm.Session{NewDB: true})
	pool := observedPool{db.ConnPool, o}
	db.ConnPool = pool // the session's own copy; its statement is not
	db.Statement = &gorm.Statement{DB: db, ConnPool: pool, Context: s.db.Statement.Context}
	observed := *s
	observed.db = db
	return &observed, o
}

// Most returns the largest number of rows that one kind of statement has changed since Reset.
func (o *Observed) Most() (most int64) {
	for _, n := range o.Rows {
		most = max(most, n)
	}
	return most
}

// Reset forgets everything.
func (o *Observed) Reset() { *o = Observed{Rows: map[string]int64{}} }

func (o *Observed) note(statement string, result sql.Result) {
	o.Statements = append(o.Statements, statement)
	if result == nil {
		return
	}
	if i := strings.Index(statement, "DELETE FROM"); i >= 0 {
		statement = statement[i:]
	}
	words := strings.Fields(statement)
	n, _ := result.RowsAffected()
	o.Rows[strings.Join(words[:min(3, len(words))], " ")] += n
}

type observedPool struct {
	gorm.ConnPool
	o *Observed
}

// BeginTx implements gorm.ConnPoolBeginner.
func (p observedPool) BeginTx(ctx context.Context, opts *sql.TxOptions) (gorm.ConnPool, error) {
	p.o.Transactions++
	tx, err := begin(ctx, p.ConnPool, opts)
	if err != nil {
		return nil, err
	}
	return &observedTx{observedPool{tx, p.o}, tx.(gorm.TxCommitter)}, nil
}

// ExecContext implements gorm.ConnPool.
func (p observedPool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := p.ConnPool.ExecContext(ctx, query, args...)
	p.o.note(query, result)
	return result, err
}

// QueryContext implements gorm.ConnPool.
func (p observedPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	p.o.note(query, nil)
	return p.ConnPool.QueryContext(ctx, query, args...)
}

// begin begins a transaction on any pool.
func begin(ctx context.Context, pool gorm.ConnPool, o *sql.TxOptions) (gorm.ConnPool, error) {
	if p, ok := pool.(gorm.ConnPoolBeginner); ok {
		return p.BeginTx(ctx, o)
	}
	return pool.(gorm.TxBeginner).BeginTx(ctx, o)
}

type observedTx struct {
	observedPool
	gorm.TxCommitter
}
