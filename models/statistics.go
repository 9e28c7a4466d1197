package models

import (
	"context"
	"strings"
)

// growing are the tables that grow with the events: their statistics decide the plans of what is done for each event.
var growing = []string{"events", "event_labels", "deliveries", "attempts", "dispatches", "stats", "stat_deltas", "idempotency_keys",
	"jobs", "batches", "tenants", "webhooks", "webhook_health"}

// FollowGrowth renews the statistics of tables that have changed by more rows than they were last known to have, and
// returns their names: of each table every 10 seconds at most, or when its size has doubled. PostgreSQL's autovacuum does so too,
// but a minute later. Until then a young or emptied table keeps plans that get ever slower as it grows. SQLite plans without
// statistics.
func (s *Store) FollowGrowth(ctx context.Context) ([]string, error) {
	if !s.postgres {
		return nil, nil
	}
	var outgrown []string
	err := s.db.WithContext(ctx).Raw(`SELECT relname FROM pg_class WHERE oid IN (SELECT to_regclass(t) FROM unnest(string_to_array(?, ',')) t)
		AND pg_stat_get_mod_since_analyze(oid) > 1000 + greatest(reltuples, 0)
		AND (pg_relation_size(oid) > 2 * relpages::bigint * current_setting('block_size')::bigint
			OR greatest(pg_stat_get_last_analyze_time(oid), pg_stat_get_last_autoanalyze_time(oid)) < clock_timestamp() - interval '10 seconds')
		ORDER BY relname`, strings.Join(growing, ",")).Scan(&outgrown).Error
	if err != nil {
		return nil, err
	}
	for _, table := range outgrown {
		// Another process may be at it already.
		if err := s.db.WithContext(ctx).Exec("ANALYZE (SKIP_LOCKED) " + table).Error; err != nil {
			return outgrown, err
		}
	}
	return outgrown, nil
}
