package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// originalSet is the databases that copies are made of, by name, as far as this process knows that they are complete.
type originalSet struct {
	mu   sync.Mutex
	done map[string]bool
}

var originals = originalSet{done: map[string]bool{}}

// of returns the name of the database that is copied for a key. It builds the database if the cluster has none.
func (o *originalSet) of(ctx context.Context, admin, key string, build func(ctx context.Context, databaseURL string) error) (string, error) {
	name := nameOf(key)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done[name] {
		return name, nil
	}
	if err := buildOriginal(ctx, admin, name, build); err != nil {
		return "", err
	}
	o.done[name] = true
	return name, nil
}

// nameOf is the name of the database that is copied for a key.
func nameOf(key string) string {
	hash := sha256.Sum256([]byte(key))
	return "original_" + hex.EncodeToString(hash[:8])
}

// buildOriginal makes the database, unless another process has. Only a complete one is a template, to which nobody connects.
func buildOriginal(ctx context.Context, admin, name string, build func(ctx context.Context, databaseURL string) error) (err error) {
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }() // and with it the lock goes

	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", name); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	var complete bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1 AND datistemplate)", name).Scan(&complete); err != nil || complete {
		return err
	}
	if err := drop(ctx, admin, name); err != nil { // what a process has left that was killed meanwhile
		return err
	}
	if err := create(ctx, admin, name, "template0"); err != nil {
		return err
	}
	database, err := withDatabase(admin, name)
	if err != nil {
		return err
	}
	if err := build(ctx, database); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" IS_TEMPLATE true ALLOW_CONNECTIONS false")
	return err
}
