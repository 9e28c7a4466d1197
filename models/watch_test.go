package models

import (
	"context"
	"database/sql"

	"gorm.io/gorm"
)

// Watch reports every statement to a test: its text and its number of parameters.
func (s *Store) Watch(told func(statement string, parameters int)) {
	pool := &watchedPool{watched{s.db.ConnPool, told}}
	s.db.ConnPool, s.db.Statement.ConnPool = pool, pool
}

type watched struct {
	gorm.ConnPool
	told func(string, int)
}

func (w *watched) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	w.told(query, len(args))
	return w.ConnPool.ExecContext(ctx, query, args...)
}

func (w *watched) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	w.told(query, len(args))
	return w.ConnPool.QueryContext(ctx, query, args...)
}

func (w *watched) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	w.told(query, len(args))
	return w.ConnPool.QueryRowContext(ctx, query, args...)
}

type watchedPool struct{ watched }

func (p *watchedPool) GetDBConn() (*sql.DB, error) {
	if pool, ok := p.ConnPool.(*sql.DB); ok {
		return pool, nil
	}
	return p.ConnPool.(gorm.GetDBConnector).GetDBConn()
}

func (p *watchedPool) BeginTx(ctx context.Context, o *sql.TxOptions) (gorm.ConnPool, error) {
	tx, err := begin(ctx, p.ConnPool, o)
	if err != nil {
		return nil, err
	}
	return &watchedTx{watched{tx, p.told}, tx.(gorm.TxCommitter)}, nil
}

type watchedTx struct {
	watched
	gorm.TxCommitter
}
