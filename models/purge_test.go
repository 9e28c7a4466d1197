package models_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// tenantTables are the tables that have a column tenant, except the audit log: it keeps its entries of a deleted tenant.
func (s *database) tenantTables(t *testing.T) (tables []string) {
	t.Helper()
	query := `SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'tenant' ORDER BY 1`
	if !s.IsPostgres() {
		query = `SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'tenant' ORDER BY 1`
	}
	require.NoError(t, s.DB().Raw(query).Scan(&tables).Error)
	return slices.DeleteFunc(tables, func(table string) bool { return table == "audit_log" })
}

// of counts a tenant's rows in every table that has rows of it.
func (s *database) of(t *testing.T, tenant string) map[string]int {
	t.Helper()
	rows := map[string]int{}
	for _, table := range s.tenantTables(t) {
		var n int
		require.NoError(t, s.DB().Raw("SELECT count(*) FROM "+table+" WHERE tenant = ?", tenant).Scan(&n).Error)
		if n > 0 {
			rows[table] = n
		}
	}
	return rows
}

// much gives a tenant a number of events that were delivered at the second attempt, and as many webhooks. Every tenth
// webhook has been deleted, every hundredth has had a failure.
func (s *database) much(t *testing.T, tenant string, n int) {
	t.Helper()
	w := s.Webhook(t, tenant)
	a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant)}
	for i := range n {
		s.Add(a, fmt.Sprint("event-", i), w)
	}
	s.mustAccept(t, a)
	for _, status := range []models.DeliveryStatus{models.Pending, models.Delivered} {
		group := make([]*models.Record, n)
		for i, d := range a.Deliveries {
			group[i] = s.Attempted(d, status)
		}
		s.MustRecord(t, group...)
	}
	numbers := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", n)
	for _, statement := range []string{
		`INSERT INTO webhooks (id, tenant, profile, url, name, description, event_types, status, status_reason, headers, secrets,
			settings, retry, timeout_ms, max_in_flight, rate_limit, created_by, updated_by, created_at, updated_at, deleted_at)
			SELECT tenant || '/' || i, tenant, profile, url, name, description, event_types, status, status_reason, headers, secrets,
			settings, retry, timeout_ms, max_in_flight, rate_limit, created_by, updated_by, created_at, updated_at,
			CASE WHEN i % 10 = 0 THEN created_at END FROM n, webhooks WHERE id = @webhook`,
		`INSERT INTO webhook_health (webhook_id, failed, epoch, warned, last_status, last_error, last_failure_at)
			SELECT w.tenant || '/' || i, 0, 0, 0, 0, '', CASE WHEN i % 100 = 0 THEN w.created_at END FROM n, webhooks w WHERE w.id = @webhook`,
		`INSERT INTO idempotency_keys (tenant, key, body_hash, answer, created_at)
			SELECT tenant, 'key-' || i, secrets, '', created_at FROM n, webhooks WHERE id = @webhook`,
		`INSERT INTO jobs (id, kind, tenant, webhook_id, event_id, subject, reason, epoch, position, members, touched, errors, due_at, created_at)
			SELECT 'job_' || tenant || '/' || i, 'none', tenant, id, '', '', '', 0, '', secrets, 0, 0, @later, created_at FROM n, webhooks WHERE id = @webhook`,
		`INSERT INTO batches (tenant, id, created_at, events, members, position)
			SELECT tenant, 'bat_' || i, created_at, '[]', secrets, 0 FROM n, webhooks WHERE id = @webhook AND i <= 100`,
		`INSERT INTO stat_deltas (tenant, id, data) SELECT tenant, 'delta-' || i, substr(secrets, 1, 0) FROM n, webhooks WHERE id = @webhook`,
		`INSERT INTO stats (tenant, webhook_id, event_type, minute, span, data)
			SELECT tenant, id, 'type-' || i % 7, i, 1, secrets FROM n, webhooks WHERE id = @webhook`,
	} {
		err := s.DB().Exec(numbers+statement, map[string]any{"webhook": w.ID, "later": s.Now().Add(time.Hour)}).Error
		require.NoError(t, err)
	}
}

// Deleting costs the same, however much the tenant has.
func TestPurge_DeleteTenantDoesNotGrow(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		var seen []*models.Observed
		for _, n := range []int{10, 3000} {
			tenant := s.Tenant(t, fmt.Sprint("with-", n))
			s.much(t, tenant, n)
			store, o := s.Observe()
			require.NoError(t, store.DeleteTenant(t.Context(), tenant))
			require.LessOrEqual(t, len(o.Statements), 3)
			require.Equal(t, int64(1), o.Most(), "rows changed")
			seen = append(seen, o)
		}
		require.Equal(t, seen[0], seen[1])
	})
}

// No row is left of a deleted tenant, none of another is touched, and no transaction takes more than a page of rows.
func TestPurge_RemovesWhatADeletedTenantOwnsAndNothingElse(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		globex, acme := s.Tenant(t, "globex"), s.Tenant(t, "acme")
		_, d, _ := s.belongings(t, globex)
		s.mergeStats(t)
		s.MustRecord(t, s.Attempted(d, models.Failed)) // counted, and not merged
		require.NoError(t, s.DB().Exec(`INSERT INTO jobs (id, kind, tenant, webhook_id, event_id, subject, reason, epoch, position, members,
			touched, errors, due_at, created_at) SELECT 'job_1', 'none', tenant, id, '', '', '', 0, '', secrets, 0, 0, @later, created_at
			FROM webhooks WHERE tenant = @tenant`, map[string]any{"tenant": globex, "later": s.Now().Add(time.Hour)}).Error)
		s.mustAccept(t, s.later(t, globex, 1, models.Webhook{ID: d.WebhookID}))
		for _, tenant := range []string{globex, acme} {
			_, _, err := s.TryTenantPace(t.Context(), tenant, 1, time.Second)
			require.NoError(t, err)
			require.NoError(t, s.CreateTests(t.Context(), tenant, []models.TestPost{{WebhookID: d.WebhookID, EventType: "order.created", Status: models.Failed}}))
		}
		before := s.of(t, globex)
		for _, table := range s.tenantTables(t) {
			require.Positive(t, before[table], "the test has none of %s", table)
		}
		s.belongings(t, acme)
		s.much(t, acme, 2500)
		require.NoError(t, s.DeleteTenant(t.Context(), acme))
		require.ErrorIs(t, s.DeleteTenant(t.Context(), acme), models.ErrNotFound)

		again := s.Tenant(t, "acme")
		s.belongings(t, again)
		kept := s.of(t, again)
		counted := s.stat(t, models.StatFilter{})

		processes := []*models.Store{s.Store, s.Open(t)}
		judge, waited := map[string]bool{}, false
		for n := 0; ; n++ {
			store, o := processes[n%2].Observe()
			job, page, err := store.RunJob(t.Context())
			require.NoError(t, err)
			if job.ID == "" && waited {
				break
			}
			if job.ID == "" { // it checks once more for events that were being accepted
				waited = true
				s.Clock.Advance(time.Minute)
				continue
			}
			require.LessOrEqual(t, o.Most(), int64(1000), "%v", o.Rows)
			require.LessOrEqual(t, page.Rows, int64(1000))
			require.LessOrEqual(t, len(o.Statements), 40)
			for _, id := range page.Judge {
				judge[id] = true
			}
			require.Less(t, n, 100)
		}
		require.Len(t, judge, 25+2, "webhooks with failures, whose health workflows are to find them gone")
		require.Empty(t, s.of(t, acme))
		require.Equal(t, before, s.of(t, globex))
		require.Equal(t, kept, s.of(t, again))
		require.Equal(t, counted, s.stat(t, models.StatFilter{}), "what it did stays in the sums over all tenants")
		var health int
		require.NoError(t, s.DB().Raw(`SELECT count(*) FROM webhook_health h WHERE NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.id = h.webhook_id)`).Scan(&health).Error)
		require.Zero(t, health)
	})
}

// The reads of a page do not grow with the number of earlier pages.
func TestPurge_IsLinearOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	acme := s.Tenant(t, "acme")
	s.much(t, acme, 6000)
	s.much(t, s.Tenant(t, "globex"), 1000)
	s.patiently(t, nil, "VACUUM ANALYZE")
	require.NoError(t, s.DeleteTenant(t.Context(), acme))
	for done := false; !done; {
		got := s.counting(t, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.RunJob(ctx)
			return err
		})
		require.Zero(t, got.Scans, "read from end to end")
		require.LessOrEqual(t, got.Rows, int64(4*1000), "rows read")
		job, _, err := s.RunJob(t.Context())
		require.NoError(t, err)
		done = job.ID == "" // the second round is a minute later
	}
}

func TestPurge_ADeletedTenantIsNotFound(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		ctx := t.Context()
		tenant := s.Tenant(t, "acme")
		w, d, r := s.belongings(t, tenant)
		owed := s.Publish(t, tenant, w)[0]
		require.NoError(t, s.DeleteTenant(ctx, tenant))
		key := models.APIKey{ID: "key_2", Tenant: tenant, Hash: []byte("another")}
		for name, read := range map[string]func() error{
			"Tenant":            func() error { _, err := s.Store.Tenant(ctx, tenant); return err },
			"TenantBySlug":      func() error { _, err := s.TenantBySlug(ctx, "acme"); return err },
			"APIKeyByHash":      func() error { _, err := s.APIKeyByHash(ctx, []byte(tenant)); return err },
			"Webhook":           func() error { _, err := s.Store.Webhook(ctx, tenant, w.ID); return err },
			"WebhookByID":       func() error { _, err := s.WebhookByID(ctx, w.ID); return err },
			"AllWebhooks":       func() error { _, _, err := s.AllWebhooks(ctx, tenant); return err },
			"UpdateWebhook":     func() error { _, err := s.UpdateWebhook(ctx, tenant, w.ID, unchanged); return err },
			"JudgeWebhook":      func() error { _, err := s.JudgeWebhook(ctx, w.ID, 1); return err },
			"DeactivateWebhook": func() error { _, err := s.DeactivateWebhook(ctx, w.ID, 1, ""); return err },
			"CreateRecovery":    func() error { return s.CreateRecovery(ctx, &models.Recovery{Tenant: tenant, WebhookID: w.ID}) },
			"CreateAPIKey":      func() error { return s.CreateAPIKey(ctx, &key) },
			"CreateWebhook":     func() error { return s.CreateWebhook(ctx, &models.Webhook{ID: "wh_1", Tenant: tenant}) },
			"PutEventTypes":     func() error { return s.PutEventTypes(ctx, []models.EventType{{Tenant: tenant, Name: "x"}}) },
			"PutSystemSettings": func() error { return s.PutSystemSettings(ctx, tenant, "im4", "{}") },
			"NoteReplay":        func() error { return s.NoteReplay(ctx, tenant, "att_2") },
			"Accept": func() error {
				results, err := s.Accept(ctx, []*models.Acceptance{s.Acceptance(t, tenant, w)})
				require.NoError(t, err)
				return results[0].Err
			},
		} {
			require.ErrorIs(t, read(), models.ErrNotFound, name)
		}
		versions, err := s.TenantVersions(ctx, []string{tenant})
		require.NoError(t, err)
		require.NotContains(t, versions, tenant)
		tenants, _, err := s.Tenants(ctx, models.Page{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, tenants)
		released, fresh, err := s.ReleasePage(ctx, r.ID, time.Time{})
		require.NoError(t, err)
		require.Equal(t, models.RecoveryStopped, released.Status)
		require.Empty(t, fresh)
		left, err := s.SetAside(ctx, []models.Delivery{owed})
		require.NoError(t, err)
		require.Empty(t, left)
		require.Equal(t, models.Canceled, s.Reload(t, owed).Status)
		results := s.MustRecord(t, s.Attempted(d, models.Delivered))
		require.Len(t, results, 1, "what was under way is recorded, and goes with the rest")
		var tombstone struct{ Name, AdminEmails string }
		require.NoError(t, s.DB().Raw("SELECT name, admin_emails FROM tenants WHERE id = ?", tenant).Scan(&tombstone).Error)
		require.Empty(t, tombstone.Name, "what was said of people is gone")
		require.Equal(t, "[]", tombstone.AdminEmails)
	})
}

func TestPurge_ATenantIDIsNeverUsedTwice(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		seen := map[string]bool{}
		for range 4 {
			id := s.Tenant(t, "acme")
			require.False(t, seen[id])
			require.Equal(t, "acme", models.TenantSlug(id))
			require.Equal(t, len(seen) == 0, id == "acme")
			seen[id] = true
			stored, err := s.TenantBySlug(t.Context(), "acme")
			require.NoError(t, err)
			require.Equal(t, id, stored.ID)
			require.Equal(t, id, s.Tenant(t, "acme"), "replaced, not made again")
			s.Tenant(t, "acme.eu")
			tenants, next, err := s.Tenants(t.Context(), models.Page{Limit: 1})
			require.NoError(t, err)
			require.Equal(t, id, tenants[0].ID)
			tenants, next, err = s.Tenants(t.Context(), models.Page{Limit: 1, After: next})
			require.NoError(t, err)
			require.Equal(t, "acme.eu", tenants[0].Slug)
			require.Empty(t, next)
			require.NoError(t, s.DeleteTenant(t.Context(), id))
		}
	})
}
