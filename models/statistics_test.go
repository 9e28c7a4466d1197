package models_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestStatistics_FollowGrowthOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.crowd(t)
	s.patiently(t, nil, `INSERT INTO dispatches (id, deliveries, created_at, checked_at)
		SELECT 'p' || n, '[]', now(), now() FROM generate_series(1, 1500) n`)
	// PostgreSQL counts a connection's work a moment later.
	var outgrown []string
	follow := func() (err error) {
		outgrown, err = s.FollowGrowth(t.Context())
		return err
	}
	require.Eventually(t, func() bool { return follow() == nil && slices.Contains(outgrown, "dispatches") }, 30*time.Second, 100*time.Millisecond)
	require.Eventually(t, func() bool { return follow() == nil && len(outgrown) == 0 }, 30*time.Second, 100*time.Millisecond)
}

// A backlog that has come up since PostgreSQL last counted makes no statement slower: pending rows were none then.
func TestStatistics_PlansForABacklogThatNobodyHasCountedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.crowd(t)[0]
	s.patiently(t, nil, `UPDATE deliveries SET status = 'delivered', next_attempt_at = NULL WHERE status = 'pending'`, "VACUUM ANALYZE")
	require.NoError(t, s.DB().Exec(`UPDATE deliveries SET status = 'pending', next_attempt_at = created_at WHERE status = 'delivered'`).Error)

	rows, _, err := s.Deliveries(t.Context(), w.Tenant, models.DeliveryFilter{WebhookID: w.ID, Status: models.Pending}, models.Page{Limit: 40})
	require.NoError(t, err)
	require.Len(t, rows, 40)
	for name, query := range map[string]func(ctx context.Context, tx *models.Store) error{
		"record": func(ctx context.Context, tx *models.Store) error {
			var group []*models.Record
			for _, d := range rows {
				group = append(group, s.Attempted(d, models.Delivered))
			}
			_, err := tx.Record(ctx, group, nil)
			return err
		},
		"record at once": func(ctx context.Context, tx *models.Store) error {
			var group []*models.Record
			for _, d := range rows {
				group = append(group, s.Attempted(d, models.Delivered))
			}
			return tx.RecordAtOnce(ctx, group, nil)
		},
		"record what was changed": func(ctx context.Context, tx *models.Store) error {
			var group []*models.Record
			for _, d := range rows {
				d.Generation--
				group = append(group, s.Attempted(d, models.Delivered))
			}
			_, err := tx.Record(ctx, group, nil)
			return err
		},
		"put one aside": func(ctx context.Context, tx *models.Store) error {
			return tx.HoldDelivery(ctx, &rows[0], models.WebhookPaused)
		},
		"cancel one": func(ctx context.Context, tx *models.Store) error {
			return tx.CancelDelivery(ctx, &rows[0], "not wanted")
		},
		"postpone": func(ctx context.Context, tx *models.Store) error {
			var late []models.Postponed
			for _, d := range rows {
				late = append(late, models.Postponed{Delivery: d, DispatchID: "p", At: s.Now()})
			}
			return tx.Postpone(ctx, late)
		},
		"claim": func(ctx context.Context, tx *models.Store) error { return tx.Claim(ctx, "p", rows) },
		"read": func(ctx context.Context, tx *models.Store) error {
			_, err := tx.DeliveriesByID(ctx, keysOf(rows...))
			return err
		},
		"events": func(ctx context.Context, tx *models.Store) error {
			var keys []models.DeliveryKey
			for _, d := range rows {
				keys = append(keys, models.DeliveryKey{Tenant: d.Tenant, ID: d.EventID})
			}
			events, err := tx.EventsByID(ctx, keys)
			require.Len(t, events, len(rows))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.counting(t, query)
			require.Zero(t, got.Scans, "read from end to end")
			require.LessOrEqual(t, got.Rows, int64(6*len(rows)), "rows read, versions that were rolled back among them")
		})
	}
}

// For PostgreSQL's statistics, a tenant that was created since the last count has almost no rows. Its lists are still
// read in order, and not sorted from all rows.
func TestStatistics_ListsOfATenantThatNobodyHasCountedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.crowd(t)
	fresh := s.Tenant(t, "fresh")
	w := s.Webhook(t, fresh)
	s.patiently(t, map[string]any{"tenant": fresh, "webhook": w.ID, "start": s.Now().Add(-2 * time.Hour)},
		`INSERT INTO events (tenant, id, type, data, attributes, created_at)
			SELECT @tenant, 'evt_00' || to_hex(1000000 + n), 'order.created', '{}', 'null', CAST(@start AS timestamptz) + n * interval '1 second'
			FROM generate_series(0, 4999) n`,
		`INSERT INTO deliveries (tenant, id, event_id, event_type, webhook_id, status, status_reason, attempts, failures, generation,
				dispatch_id, next_attempt_at, created_at, finished_at)
			SELECT tenant, 'dlv_' || right(id, -4), id, type, @webhook, 'delivered', '', 1, 0, 0, '', NULL, created_at, created_at
			FROM events WHERE tenant = @tenant`)
	page := models.Page{Limit: 50}
	for name, query := range map[string]func(ctx context.Context, tx *models.Store) error{
		"events": func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Events(ctx, fresh, models.EventFilter{}, page)
			return err
		},
		"deliveries": func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Deliveries(ctx, fresh, models.DeliveryFilter{}, page)
			return err
		},
		"deliveries of a webhook": func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Deliveries(ctx, fresh, models.DeliveryFilter{WebhookID: w.ID}, page)
			return err
		},
		"received": func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Deliveries(ctx, fresh, models.DeliveryFilter{WebhookID: w.ID, Status: models.Delivered}, page)
			return err
		},
		"held": func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Deliveries(ctx, fresh, models.DeliveryFilter{WebhookID: w.ID, Status: models.Held}, page)
			return err
		},
		"failed": func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Deliveries(ctx, fresh, models.DeliveryFilter{Status: models.Failed}, page)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.counting(t, query)
			t.Logf("%+v", got)
			require.Zero(t, got.Scans, "read from end to end")
			require.LessOrEqual(t, got.Rows, int64(2*page.Limit), "rows read")
		})
	}
}
