package models_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// reads counts a transaction's reads of the growing tables: full scans, and rows.
type reads struct {
	Scans int64
	Rows  int64
}

// counting runs a query in a transaction that is rolled back, and returns its reads. It uses PostgreSQL's statistics of
// the running transaction, so it covers the real statements with their real parameters.
func (s *database) counting(t *testing.T, query func(ctx context.Context, tx *models.Store) error) (r reads) {
	t.Helper()
	return s.countingOf(t, query, "events", "deliveries", "attempts")
}

// countingOf is counting for some tables.
func (s *database) countingOf(t *testing.T, query func(ctx context.Context, tx *models.Store) error, tables ...string) (r reads) {
	t.Helper()
	read := func(tx *models.Store) (r reads, err error) {
		err = tx.DB().Raw(`SELECT COALESCE(sum(seq_scan), 0) AS scans, COALESCE(sum(seq_tup_read + COALESCE(idx_tup_fetch, 0)), 0) AS rows
			FROM pg_stat_xact_user_tables WHERE relname IN ?`, tables).Scan(&r).Error
		return r, err
	}
	err := s.Tx(t.Context(), func(tx *models.Store) error {
		before, err := read(tx)
		require.NoError(t, err)
		require.NoError(t, query(t.Context(), tx))
		after, err := read(tx)
		require.NoError(t, err)
		r = reads{after.Scans - before.Scans, after.Rows - before.Rows}
		return context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	return r
}

// crowd fills the tables: 20 webhooks of 4 tenants with 1,500 deliveries each, of which most were delivered, one in 15
// has failed, one in 30 is held since long ago and one in 100 is pending.
func (s *database) crowd(t *testing.T) (webhooks []models.Webhook) {
	t.Helper()
	for i := range 20 {
		tenant := fmt.Sprintf("tenant-%d", i%4)
		if i < 4 {
			s.Tenant(t, tenant)
		}
		webhooks = append(webhooks, s.Webhook(t, tenant))
	}
	for _, w := range webhooks {
		s.patiently(t, map[string]any{"tenant": w.Tenant, "webhook": w.ID, "start": s.Now().Add(-1500 * time.Minute)},
			`INSERT INTO events (tenant, id, type, data, attributes, created_at)
				SELECT @tenant, 'evt_00' || to_hex(1000000 + n) || @webhook, 'order.created', '{}', 'null', CAST(@start AS timestamptz) + n * interval '1 minute'
				FROM generate_series(0, 1499) n`,
			`INSERT INTO deliveries (tenant, id, event_id, event_type, webhook_id, status, status_reason, attempts, failures, generation,
					dispatch_id, next_attempt_at, created_at, finished_at)
				SELECT tenant, 'dlv_' || right(id, -4), id, type, @webhook, status, '', 1, 0, 0, '',
					CASE WHEN status = 'pending' THEN created_at END, created_at, CASE WHEN status IN ('delivered', 'failed') THEN created_at END
				FROM (SELECT *, CASE WHEN n % 100 = 0 THEN 'pending' WHEN n % 30 = 1 THEN 'held' WHEN n % 15 = 2 THEN 'failed' ELSE 'delivered' END AS status
					FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM events WHERE id LIKE '%' || @webhook) numbered) e`,
			`INSERT INTO attempts (tenant, id, delivery_id, webhook_id, number, started_at, duration_ms, status_code, error,
					request_headers, response_headers, response_body)
				SELECT tenant, 'att_' || right(id, -4), id, webhook_id, 1, created_at, 1, 200, '', '{}', '{}', ''
				FROM deliveries WHERE webhook_id = @webhook`)
	}
	s.patiently(t, nil, "VACUUM ANALYZE")
	return webhooks
}

// No query of the running service scans a whole growing table, or reads many more rows than it needs.
func TestPlans_QueriesUseIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	webhooks := s.crowd(t)
	w := webhooks[7]
	page := models.Page{Limit: 50}
	sample, _, err := s.Deliveries(t.Context(), w.Tenant, models.DeliveryFilter{WebhookID: w.ID, Status: models.Pending}, page)
	require.NoError(t, err)
	d := sample[3]
	before := s.Now().Add(-time.Minute)
	const perWebhook, perTenant, pending, open = 1500, 5 * 1500, 300, 2700 + 300
	calls := func(f models.CallFilter) func(context.Context, *models.Store) error {
		return func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Calls(ctx, w.Tenant, f, 50, 0)
			return err
		}
	}

	for _, tt := range []struct {
		name  string
		most  int64 // rows read
		query func(ctx context.Context, tx *models.Store) error
	}{
		{"overdue", 50, func(ctx context.Context, tx *models.Store) error {
			page, err := tx.Overdue(ctx, before, models.Mark{At: before.Add(-10 * time.Hour)}, 50)
			require.NotEmpty(t, page.Deliveries)
			return err
		}},
		{"dispatch again", 6 * 50, func(ctx context.Context, tx *models.Store) error {
			fresh, err := redispatch(ctx, tx, []string{"dead"}, before, 50)
			require.NotEmpty(t, fresh)
			return err
		}},
		{"backlog", 3*pending + open, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Backlog(ctx, 20)
			return err
		}},
		{"what is waiting", pending + open, func(ctx context.Context, tx *models.Store) error {
			w, err := tx.Waiting(ctx, "", "")
			require.NotZero(t, w.Held)
			return err
		}},
		{"what is waiting for a webhook", perWebhook / 5, func(ctx context.Context, tx *models.Store) error {
			waiting, err := tx.Waiting(ctx, w.Tenant, w.ID)
			require.NotZero(t, waiting.Pending)
			return err
		}},
		{"last attempts", 4 * 10, func(ctx context.Context, tx *models.Store) error {
			last, err := tx.LastAttempts(ctx, sample[:10])
			require.Len(t, last, 10)
			return err
		}},
		{"oldest due", 1, func(ctx context.Context, tx *models.Store) error {
			_, err := tx.OldestDue(ctx)
			return err
		}},
		{"accept", 20, func(ctx context.Context, tx *models.Store) error {
			results, err := tx.Accept(ctx, []*models.Acceptance{s.Acceptance(t, w.Tenant, w)})
			require.NoError(t, results[0].Err)
			return err
		}},
		{"record", 20, func(ctx context.Context, tx *models.Store) error {
			results, err := tx.Record(ctx, []*models.Record{s.Attempted(d, models.Delivered)}, []string{"done"})
			require.True(t, results[0].Applied)
			return err
		}},
		{"accept at once", 20, func(ctx context.Context, tx *models.Store) error {
			a := s.Acceptance(t, w.Tenant, w)
			a.Version = s.Version(t, w.Tenant)
			return tx.AcceptAtOnce(ctx, []*models.Acceptance{a})
		}},
		{"record at once", 20, func(ctx context.Context, tx *models.Store) error {
			return tx.RecordAtOnce(ctx, []*models.Record{s.Attempted(d, models.Delivered)}, []string{"done"})
		}},
		{"record what was changed", 20, func(ctx context.Context, tx *models.Store) error {
			stale := d
			stale.Generation--
			_, err := tx.Record(ctx, []*models.Record{s.Attempted(stale, models.Delivered)}, nil)
			return err
		}},
		{"change a delivery", 10, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.ChangeDelivery(ctx, d.Tenant, d.ID, func(*models.Delivery, models.WebhookStatus) error { return nil })
			return err
		}},
		{"put one delivery aside", 5, func(ctx context.Context, tx *models.Store) error {
			return tx.HoldDelivery(ctx, &d, models.WebhookPaused)
		}},
		{"cancel one delivery", 5, func(ctx context.Context, tx *models.Store) error { return tx.CancelDelivery(ctx, &d, "not wanted") }},
		{"claim", 20, func(ctx context.Context, tx *models.Store) error { return tx.Claim(ctx, "p", sample[:10]) }},
		{"finish a dispatch", 20, func(ctx context.Context, tx *models.Store) error {
			p, err := tx.CreateSharedDispatch(ctx, keysOf(sample[:10]...))
			require.NoError(t, err)
			return tx.FinishDispatch(ctx, p.ID)
		}},
		{"timeline", 5, func(ctx context.Context, tx *models.Store) error {
			if _, err := tx.Delivery(ctx, d.Tenant, d.ID); err != nil {
				return err
			}
			attempts, err := tx.Attempts(ctx, d.Tenant, d.ID)
			require.Len(t, attempts, 1)
			return err
		}},
		{"pause a webhook", perWebhook / 3, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.SetWebhookStatus(ctx, w.Tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
			return err
		}},
		{"delete a webhook", perWebhook / 3, func(ctx context.Context, tx *models.Store) error {
			_, err := tx.DeleteWebhook(ctx, w.Tenant, w.ID)
			return err
		}},
		{"erase", 20, func(ctx context.Context, tx *models.Store) error { return tx.EraseEvent(ctx, d.Tenant, d.EventID) }},
		{"recover", perWebhook, func(ctx context.Context, tx *models.Store) error {
			r := models.Recovery{Tenant: w.Tenant, WebhookID: w.ID, Statuses: heldAndFailed}
			if err := tx.CreateRecovery(ctx, &r); err != nil {
				return err
			}
			_, fresh, err := tx.ReleasePage(ctx, r.ID, time.Time{})
			require.NotEmpty(t, fresh)
			return err
		}},
		{"deliveries of a tenant", 60, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Deliveries(ctx, w.Tenant, models.DeliveryFilter{}, page)
			require.Len(t, rows, 50)
			return err
		}},
		{"deliveries of a webhook", 6 * 60, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Deliveries(ctx, w.Tenant, models.DeliveryFilter{WebhookID: w.ID}, page)
			return err
		}},
		{"deliveries of a webhook that were canceled", open / 2, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Deliveries(ctx, w.Tenant, models.DeliveryFilter{WebhookID: w.ID, Status: models.Canceled}, page)
			require.Empty(t, rows)
			return err
		}},
		{"deliveries of a tenant that failed", perWebhook, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Deliveries(ctx, w.Tenant, models.DeliveryFilter{Status: models.Failed}, page)
			require.Len(t, rows, 50)
			return err
		}},
		{"deliveries of a tenant that were canceled", open / 2, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Deliveries(ctx, w.Tenant, models.DeliveryFilter{Status: models.Canceled}, page)
			require.Empty(t, rows)
			return err
		}},
		{"deliveries of a webhook in a status", 3 * 150, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Deliveries(ctx, w.Tenant, models.DeliveryFilter{WebhookID: w.ID, Status: models.Held}, page)
			return err
		}},
		{"deliveries of all tenants", 60, func(ctx context.Context, tx *models.Store) error {
			rows, next, err := tx.Deliveries(ctx, "", models.DeliveryFilter{}, page)
			require.Len(t, rows, 50)
			require.NotEmpty(t, next)
			return err
		}},
		{"deliveries of all tenants that failed", 6 * 60, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Deliveries(ctx, "", models.DeliveryFilter{Status: models.Failed}, page)
			require.Len(t, rows, 50)
			return err
		}},
		{"deliveries of a webhook of any tenant", 6 * 60, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Deliveries(ctx, "", models.DeliveryFilter{WebhookID: w.ID}, page)
			require.Len(t, rows, 50)
			return err
		}},
		{"deliveries of an event of any tenant", 10, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Deliveries(ctx, "", models.DeliveryFilter{EventID: d.EventID}, page)
			require.Len(t, rows, 1)
			return err
		}},
		{"recover what was delivered", 3*perWebhook + 2*2000, func(ctx context.Context, tx *models.Store) error {
			r := models.Recovery{Tenant: w.Tenant, WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Delivered}}
			if err := tx.CreateRecovery(ctx, &r); err != nil {
				return err
			}
			_, fresh, err := tx.ReleasePage(ctx, r.ID, time.Time{})
			require.NotEmpty(t, fresh)
			return err
		}},
		{"recover what was missed", 5 * 2000, func(ctx context.Context, tx *models.Store) error {
			r := models.Recovery{Tenant: w.Tenant, WebhookID: w.ID, Missed: true}
			if err := tx.CreateRecovery(ctx, &r); err != nil {
				return err
			}
			_, fresh, err := tx.ReleasePage(ctx, r.ID, time.Time{})
			require.NotEmpty(t, fresh)
			return err
		}},
		{"replay", 20, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Replay(ctx, w.Tenant, d.EventID, []string{w.ID})
			require.Len(t, rows, 1)
			return err
		}},
		{"deliveries of an event", 5, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.Deliveries(ctx, w.Tenant, models.DeliveryFilter{EventID: d.EventID}, page)
			require.Len(t, rows, 1)
			return err
		}},
		{"events of a tenant", 60, func(ctx context.Context, tx *models.Store) error {
			rows, next, err := tx.Events(ctx, w.Tenant, models.EventFilter{}, page)
			require.Len(t, rows, 50)
			require.NotEmpty(t, next)
			return err
		}},
		{"events since", 60, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Events(ctx, w.Tenant, models.EventFilter{Since: s.Now().Add(-time.Hour), Until: s.Now()}, page)
			return err
		}},
		{"retention of deliveries", 10 * 100, func(ctx context.Context, tx *models.Store) error {
			n, _, err := tx.Expire(s.Now().Add(-12*time.Hour), 100).Step(ctx)
			require.Equal(t, int64(300), n)
			return err
		}},
		{"retention with nothing to remove", 10, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.Expire(s.Now().Add(-48*time.Hour), 100).Step(ctx)
			return err
		}},
		{"sweep of keys", 5, func(ctx context.Context, tx *models.Store) error {
			_, err := tx.ForgetKeys(ctx, before, 100)
			return err
		}},
		{"webhooks' health", 5, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.NeedHealthCheck(ctx, 3000, "", 100)
			return err
		}},
		{"recoveries", 5, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.RunningRecoveries(ctx, "", 100)
			return err
		}},
		// The total of calls is exact, so its cost grows with the number of calls.
		{"calls of a tenant", perTenant + 4*60, calls(models.CallFilter{})},
		{"calls of a profile", perTenant + 4*60, calls(models.CallFilter{Profile: "standard"})},
		{"calls of a webhook", perTenant + 4*60, calls(models.CallFilter{WebhookID: w.ID})},
		{"calls with ids", 2 * 20, calls(models.CallFilter{IDs: []string{"att_" + d.ID[4:], "none"}})},
		{"calls of an event", 2 * 20, calls(models.CallFilter{EventID: d.EventID})},
		{"repeats of a call", 2 * 20, calls(models.CallFilter{ParentID: "att_" + d.ID[4:]})},
		{"calls with a status", perTenant + 4*60, calls(models.CallFilter{StatusCode: 500})},
		{"calls not received", perTenant + 4*60, calls(models.CallFilter{Received: new(false)})},
		{"calls of types", 3*perTenant + 4*60, calls(models.CallFilter{EventTypes: []string{"order.created"}})},
		{"attempts of a webhook", 6 * 60, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.ListAttempts(ctx, w.Tenant, models.AttemptFilter{WebhookID: w.ID}, page)
			return err
		}},
		{"attempts of a webhook, the other way", 6 * 60, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.ListAttempts(ctx, w.Tenant, models.AttemptFilter{WebhookID: w.ID}, models.Page{Limit: 50, Reverse: true})
			return err
		}},
		{"attempts of a webhook since a moment ago", 5, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.ListAttempts(ctx, w.Tenant, models.AttemptFilter{WebhookID: w.ID, Since: s.Now()}, page)
			return err
		}},
		{"what is pending of a webhook", 2 * 20, func(ctx context.Context, tx *models.Store) error {
			untried, tried, err := tx.CountPending(ctx, w.Tenant, w.ID, time.Unix(0, 0), s.Now(), 15)
			require.Equal(t, int64(15), untried+tried)
			return err
		}},
		{"attempts of an event", 2 * 20, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.ListAttempts(ctx, w.Tenant, models.AttemptFilter{EventID: d.EventID}, page)
			return err
		}},
		{"an attempt", 20, func(ctx context.Context, tx *models.Store) error {
			_, err := tx.ListedAttempt(ctx, w.Tenant, "att_"+d.ID[4:])
			return err
		}},
		{"latest calls", 5*perTenant + 4*60, calls(models.CallFilter{Latest: true})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.counting(t, tt.query)
			t.Logf("%+v", got)
			require.Zero(t, got.Scans, "read from end to end")
			require.LessOrEqual(t, got.Rows, tt.most, "rows read")
		})
	}
}

// The reads of a retention step do not grow with the number of earlier steps.
func TestPlans_RetentionIsNotQuadraticOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.crowd(t)
	const limit = 500
	var rows []int64
	for range 20 {
		var n int64
		got := s.counting(t, func(ctx context.Context, tx *models.Store) (err error) {
			n, _, err = tx.Expire(s.Now(), limit).Step(ctx)
			return err
		})
		require.Equal(t, int64(3*limit), n)
		rows = append(rows, got.Rows)
		_, _, err := s.Expire(s.Now(), limit).Step(t.Context()) // for good this time
		require.NoError(t, err)
	}
	require.LessOrEqual(t, rows[len(rows)-1], 2*rows[0]+limit, "%v", rows)
}
