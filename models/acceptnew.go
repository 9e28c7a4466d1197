package models

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// triesNew reports whether acceptNew is worth a try.
func (s *Store) triesNew(group []*Acceptance) bool {
	now := s.now()
	return s.canDoAtOnce() && !slices.ContainsFunc(group, func(r *Acceptance) bool {
		return r.holds() || s.acceptCarefully.with(now, r.Tenant)
	})
}

// acceptNew stores a group in which everything is new, in one round trip. It fails, and stores nothing, if an id, an external id or
// an idempotency key exists, or if a tenant has changed since the events were matched.
func (s *Store) acceptNew(ctx context.Context, group []*Acceptance) ([]Accepted, error) {
	results := make([]Accepted, len(group))
	return results, s.atOnce(ctx, func(tx *Store) error {
		a := acceptor{Store: tx, group: group, results: results, first: make([]int, len(group)), isNew: true}
		return a.store(ctx)
	})
}

// store queues everything that an acceptor without conflicts stores.
func (a *acceptor) store(ctx context.Context) error {
	for i := range a.first {
		a.first[i] = i
	}
	for _, step := range []func(context.Context) error{a.demandVersions, a.insertKeys, a.insertNewEvents, a.insertLabels, a.insertRest, a.insertFanOuts, a.insertBatches} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tenantVersion is the version of a tenant's webhooks, or of the shared event types: tenant "".
type tenantVersion struct {
	tenant  string
	version int64
}

var versionColumns = []column[tenantVersion]{
	{"tenant", "text", func(v *tenantVersion) any { return v.tenant }},
	{"version", "bigint", func(v *tenantVersion) any { return v.version }},
}

// demandVersions fails if any tenant has changed.
func (a *acceptor) demandVersions(ctx context.Context) error {
	var versions []tenantVersion
	for _, r := range a.group {
		versions = append(versions, tenantVersion{r.Tenant, r.Version})
		if r.SharedVersion != 0 {
			versions = append(versions, tenantVersion{"", r.SharedVersion})
		}
	}
	slices.SortFunc(versions, func(x, y tenantVersion) int {
		return cmp.Or(strings.Compare(x.tenant, y.tenant), cmp.Compare(x.version, y.version))
	})
	return later(ctx, a.Store, slices.Compact(versions), versionColumns, demand(`SELECT 1 FROM v JOIN tenants t ON t.id = v.tenant AND t.version = v.version AND t.deleted_at IS NULL
		UNION ALL SELECT 1 FROM v JOIN shared_catalog c ON v.tenant = '' AND c.version = v.version`), nil)
}

// insertKeys stores the idempotency keys.
func (a *acceptor) insertKeys(ctx context.Context) error {
	now := timeOf(a.now())
	keys := gatherOpen(a, func(r *Acceptance) []idempotencyKey {
		if r.Key == "" {
			return nil
		}
		return []idempotencyKey{{tenant: r.Tenant, key: r.Key, answer: r.Answer, hash: r.BodyHash, at: now}}
	})
	slices.SortFunc(keys, func(x, y idempotencyKey) int {
		return cmp.Or(strings.Compare(x.tenant, y.tenant), strings.Compare(x.key, y.key))
	})
	return later(ctx, a.Store, keys, keyColumns, demand(keyStatement+" RETURNING 1"), nil)
}

// insertNewEvents stores the events, and their external ids.
func (a *acceptor) insertNewEvents(ctx context.Context) error {
	events := gatherOpen(a, func(r *Acceptance) []Event { return r.Events })
	sortEvents(events)
	if err := a.insert(ctx, events, nil); err != nil {
		return err
	}
	var externals []eventLabel
	for i := range events {
		if events[i].ExternalID != "" {
			externals = append(externals, events[i].externalLabel())
		}
	}
	sortLabels(externals)
	return later(ctx, a.Store, externals, labelColumns, demand(labelStatement+" RETURNING 1"), nil)
}
