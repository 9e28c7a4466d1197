package models

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"time"
)

type idempotencyKey struct {
	tenant, key, answer string
	hash                []byte
	at                  *time.Time
	index               int
}

var keyColumns = []column[idempotencyKey]{
	{"tenant", "text", func(k *idempotencyKey) any { return k.tenant }},
	{"key", "text", func(k *idempotencyKey) any { return k.key }},
	{"body_hash", "bytea", func(k *idempotencyKey) any { return k.hash }},
	{"answer", "text", func(k *idempotencyKey) any { return k.answer }},
	{"created_at", "timestamptz", func(k *idempotencyKey) any { return k.at }},
}

// keyStatement stores idempotency keys. Existing ones stay.
const keyStatement = `INSERT INTO idempotency_keys (tenant, key, body_hash, answer, created_at)
	SELECT tenant, key, body_hash, answer, created_at FROM v WHERE true ON CONFLICT (tenant, key) DO NOTHING`

// claimKeys stores the new idempotency keys, and settles the requests whose keys are not new.
func (a *acceptor) claimKeys(ctx context.Context) error {
	if !slices.ContainsFunc(a.group, func(request *Acceptance) bool { return request.Key != "" }) {
		return nil
	}
	if err := a.refuseStale(ctx); err != nil {
		return err
	}
	now := timeOf(a.now())
	leaders := map[string]idempotencyKey{}
	for i, request := range a.group {
		if request.Key == "" || !a.open(i) {
			continue
		}
		id := request.Tenant + "\x00" + request.Key
		if leader, ok := leaders[id]; ok {
			a.first[i] = leader.index
			continue
		}
		leaders[id] = idempotencyKey{request.Tenant, request.Key, request.Answer, request.BodyHash, now, i}
	}
	if len(leaders) == 0 {
		return nil
	}
	keys := make([]idempotencyKey, 0, len(leaders))
	for _, id := range slices.Sorted(maps.Keys(leaders)) { // always in the same order, so that no two groups can deadlock
		keys = append(keys, leaders[id])
	}
	fresh := map[string]bool{}
	err := bulk(ctx, a.Store, keys, keyColumns, keyStatement+" RETURNING tenant, key", func(rows *sql.Rows) error {
		var tenant, key string
		err := rows.Scan(&tenant, &key)
		fresh[tenant+"\x00"+key] = true
		return err
	})
	if err != nil || len(fresh) == len(leaders) {
		return err
	}
	return bulk(ctx, a.Store, keys, keyColumns, `SELECT k.tenant, k.key, k.body_hash, k.answer FROM idempotency_keys k
		JOIN v ON v.tenant = k.tenant AND v.key = k.key`, func(rows *sql.Rows) error {
		var seen idempotencyKey
		if err := rows.Scan(&seen.tenant, &seen.key, &seen.hash, &seen.answer); err != nil {
			return err
		}
		id := seen.tenant + "\x00" + seen.key
		if fresh[id] {
			return nil
		}
		i := leaders[id].index
		if !bytes.Equal(seen.hash, a.group[i].BodyHash) {
			a.results[i].Err = ErrKeyReused
		} else {
			a.results[i] = Accepted{Replayed: true, Answer: seen.answer}
		}
		return nil
	})
}

// dropKeys removes the idempotency keys of requests that were refused as duplicates: only a success is repeated.
func (a *acceptor) dropKeys(ctx context.Context) error {
	var keys []idempotencyKey
	for i, request := range a.group {
		if request.Key != "" && a.first[i] == i && isDuplicate(a.results[i].Err) {
			keys = append(keys, idempotencyKey{tenant: request.Tenant, key: request.Key})
		}
	}
	return bulk(ctx, a.Store, keys, keyColumns[:2], `DELETE FROM idempotency_keys WHERE (tenant, key) IN (SELECT tenant, key FROM v)`, nil)
}

func isDuplicate(err error) bool {
	return errors.Is(err, ErrDuplicateEvent) || errors.Is(err, ErrDuplicateExternal)
}

// ForgetKeys removes up to limit idempotency keys older than before.
func (s *Store) ForgetKeys(ctx context.Context, before time.Time, limit int) (int64, error) {
	result := s.db.WithContext(ctx).Exec(`DELETE FROM idempotency_keys WHERE (tenant, key) IN (
		SELECT tenant, key FROM idempotency_keys WHERE created_at < ? LIMIT ?)`, before.UTC(), limit)
	return result.RowsAffected, result.Error
}
