package models_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
)

// entries returns the matching entries of the audit log, newest first.
func (s *database) entries(t *testing.T, f models.AuditFilter) []models.AuditEntry {
	t.Helper()
	rows, _, err := s.AuditLog(t.Context(), f, models.Page{Limit: 1000})
	require.NoError(t, err)
	return rows
}

func actions(rows []models.AuditEntry) []models.AuditAction {
	var all []models.AuditAction
	for _, r := range rows {
		all = append(all, r.Action)
	}
	return all
}

var errUndone = errors.New("undone")

// An entry is written in the transaction of its change, and disappears if that rolls back.
func TestAuditLog_AnEntryOfTheAuditLogSharesTheFateOfItsChange(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		before := len(s.entries(t, models.AuditFilter{}))
		err := s.Tx(t.Context(), func(tx *models.Store) error {
			require.NoError(t, tx.CreateAPIKey(t.Context(), &models.APIKey{ID: "key_1", Tenant: tenant, Role: models.RoleRead, Hash: []byte("h")}))
			rows, _, err := tx.AuditLog(t.Context(), models.AuditFilter{}, models.Page{Limit: 100})
			require.NoError(t, err)
			require.Len(t, rows, before+1)
			return errUndone
		})
		require.ErrorIs(t, err, errUndone)
		require.Len(t, s.entries(t, models.AuditFilter{}), before)
	})
}

func TestAuditLog_IsFilteredAndPaged(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		acme, globex := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		var webhooks []models.Webhook
		start := s.Now()
		for range 5 {
			s.Clock.Advance(time.Second)
			webhooks = append(webhooks, s.Webhook(t, acme))
		}
		s.Webhook(t, globex)
		_, _, err := s.SetWebhookStatus(t.Context(), acme, webhooks[2].ID, models.StatusChange{To: models.WebhookDisabled, Reason: "test"})
		require.NoError(t, err)

		require.Equal(t, []models.AuditAction{models.AuditWebhookDisabled, models.AuditWebhookCreated},
			actions(s.entries(t, models.AuditFilter{Tenant: acme, TargetID: webhooks[2].ID})))
		require.Len(t, s.entries(t, models.AuditFilter{Tenant: acme, Action: models.AuditWebhookCreated}), 5)
		require.Len(t, s.entries(t, models.AuditFilter{Action: models.AuditWebhookCreated}), 6)
		require.Len(t, s.entries(t, models.AuditFilter{TenantSlug: "globex"}), 2)
		require.Empty(t, s.entries(t, models.AuditFilter{ActorID: "key_1"}))
		require.Len(t, s.entries(t, models.AuditFilter{ActorKinds: []string{models.ActorSystem}, TenantSlug: "globex"}), 2)

		// Since is inclusive, Until exclusive, and both are exact below a millisecond.
		second := start.Add(2 * time.Second)
		window := func(since, until time.Time) int {
			return len(s.entries(t, models.AuditFilter{Tenant: acme, Action: models.AuditWebhookCreated, Since: since, Until: until}))
		}
		require.Equal(t, 1, window(second, second.Add(time.Millisecond)))
		require.Equal(t, 0, window(second.Add(time.Nanosecond), second.Add(time.Millisecond)))
		require.Equal(t, 1, window(second, second.Add(time.Nanosecond)))
		require.Equal(t, 5, window(time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)))
		require.Equal(t, 0, window(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), time.Time{}))

		var paged []models.AuditEntry
		for _, f := range []models.AuditFilter{{}, {Tenant: acme, Action: models.AuditWebhookCreated}, {TenantSlug: "globex", TargetID: "nothing"},
			{Action: models.AuditWebhookCreated, TargetID: webhooks[2].ID}, {ActorKinds: []string{models.ActorSystem}}, {Tenant: acme}} {
			for _, looking := range []*models.Store{s.Looking(2), s.Store} { // also if a page looks at few entries
				paged = nil
				for page := (models.Page{Limit: 2}); ; {
					rows, next, err := looking.AuditLog(t.Context(), f, page)
					require.NoError(t, err)
					paged = append(paged, rows...)
					if next == "" {
						break
					}
					page.After = next
				}
				require.ElementsMatch(t, s.entries(t, f), paged)
			}
		}
		require.Equal(t, s.entries(t, models.AuditFilter{Tenant: acme}), paged)
		for i := 1; i < len(paged); i++ {
			require.Less(t, paged[i].ID, paged[i-1].ID)
			require.False(t, paged[i].At.After(paged[i-1].At))
		}
		_, _, err = s.AuditLog(t.Context(), models.AuditFilter{}, models.Page{Limit: 2, After: "garbage"})
		require.ErrorIs(t, err, models.ErrBadCursor)
	})
}

// A tenant that gets the name of a deleted one sees nothing of it, and admins see both.
func TestAuditLog_OfADeletedTenantStaysItsOwn(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		first := s.Tenant(t, "acme")
		s.Webhook(t, first)
		require.NoError(t, s.DeleteTenant(t.Context(), first))
		s.runJobs(t)
		second := s.Tenant(t, "acme")
		require.Equal(t, []models.AuditAction{models.AuditTenantCreated}, actions(s.entries(t, models.AuditFilter{Tenant: second})))
		require.Equal(t, []models.AuditAction{models.AuditTenantCreated, models.AuditTenantDeleted, models.AuditWebhookCreated, models.AuditTenantCreated},
			actions(s.entries(t, models.AuditFilter{TenantSlug: "acme"})))
	})
}

// Only their own retention deletes entries, in pages.
func TestAuditLog_ExpiresByItself(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		for range 6 {
			s.Webhook(t, tenant)
		}
		s.Clock.Advance(400 * 24 * time.Hour)
		late := s.Webhook(t, tenant)
		s.expire(t, 100)
		require.Len(t, s.entries(t, models.AuditFilter{}), 8, "the retention of deliveries is not theirs")

		run := s.Expire(s.Now().Add(-retention), 3)
		run.AuditBefore(s.Now().Add(-300 * 24 * time.Hour))
		var steps []int64
		for {
			n, more, err := run.Step(t.Context())
			require.NoError(t, err)
			if n > 0 {
				steps = append(steps, n)
			}
			if !more {
				break
			}
		}
		require.Equal(t, []int64{3, 3, 1}, steps)
		left := s.entries(t, models.AuditFilter{})
		require.Len(t, left, 1)
		require.Equal(t, late.ID, left[0].TargetID)
	})
}

func TestAuditLog_NoEntryOfTheAuditLogCanBeChangedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.Tenant(t, "acme")
	require.ErrorContains(t, s.DB().Exec("UPDATE audit_log SET action = 'nothing'").Error, "append-only")
}

// Automatic changes have Posthorn as their actor.
func TestAuditLog_AutomaticDeactivationIsLogged(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		changed, err := s.DeactivateWebhook(t.Context(), w.ID, 10, "the receiver answered 410 Gone")
		require.NoError(t, err)
		require.True(t, changed)
		changed, err = s.DeactivateWebhook(t.Context(), w.ID, 10, "the receiver answered 410 Gone")
		require.NoError(t, err)
		require.False(t, changed)
		rows := s.entries(t, models.AuditFilter{Action: models.AuditWebhookDeactivated})
		require.Len(t, rows, 1)
		require.Equal(t, "system", rows[0].ActorKind)
		require.Equal(t, "posthorn", rows[0].ActorName)
		require.Equal(t, map[string]any{"from": "active", "to": "deactivated"}, rows[0].Changes["status"])
		require.Equal(t, map[string]any{"from": nil, "to": "the receiver answered 410 Gone"}, rows[0].Changes["status_reason"])
	})
}

// Also where a call leads to it: deactivating is what Posthorn does.
func TestAuditLog_WhatIsAutomaticIsPosthorns(t *testing.T) {
	t.Parallel()
	store, err := models.Open(t.Context(), modelstest.SQLite(t), models.Options{Actor: func(context.Context) models.AuditActor {
		return models.AuditActor{Kind: models.ActorKey, ID: "key_1", Name: "ci", Address: "192.0.2.7", RequestID: "call-7"}
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	s := &database{Store: store, Clock: newClock()}
	w := s.Webhook(t, s.Tenant(t, "acme"))
	_, err = s.DeactivateWebhook(t.Context(), w.ID, 10, "its key has been revoked")
	require.NoError(t, err)
	by := func(action models.AuditAction) models.AuditActor {
		e := s.entries(t, models.AuditFilter{Action: action})[0]
		return models.AuditActor{Kind: e.ActorKind, ID: e.ActorID, Name: e.ActorName, Address: e.Address, RequestID: e.RequestID}
	}
	require.Equal(t, models.AuditActor{Kind: "key", ID: "key_1", Name: "ci", Address: "192.0.2.7", RequestID: "call-7"}, by(models.AuditWebhookCreated))
	require.Equal(t, models.AuditActor{Kind: "system", Name: "posthorn", RequestID: "call-7"}, by(models.AuditWebhookDeactivated))
}

// The changes of one entry have a limited size, whatever was changed.
func TestAuditLog_TheChangesOfAnEntryAreBounded(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		long := strings.Repeat("ä", 100_000)
		many := make([]string, 1000)
		for i := range many {
			many[i] = long
		}
		note := &models.AuditNote{Changes: models.AuditChanges{"name": models.FromTo("", long), "event_types": models.FromTo(nil, many), "raw": long}}
		_, err := s.UpdateWebhook(models.WithAuditNote(t.Context(), note), tenant, w.ID, func(w *models.Webhook) error {
			w.Name = "changed"
			return nil
		})
		require.NoError(t, err)
		e := s.entries(t, models.AuditFilter{Action: models.AuditWebhookUpdated})[0]
		require.Equal(t, models.AuditChanges{"name": "changed", "event_types": "changed", "raw": "changed"}, e.Changes)
		var size int
		require.NoError(t, s.DB().Raw("SELECT length(changes) FROM audit_log WHERE id = ?", e.ID).Scan(&size).Error)
		require.Less(t, size, 8<<10)
	})
}

func TestAuditLog_URLsStandWithoutTheirQuery(t *testing.T) {
	t.Parallel()
	require.Equal(t, "https://a.example/p", models.AuditURL("https://user:pass@a.example/p?token=1#x"))
	require.Empty(t, models.AuditURL("https://%zz"))
}

// A list is planned for its values, also after many that were for values that many rows have.
func TestAuditLog_AListIsPlannedForItsValuesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	s.patiently(t, map[string]any{"now": s.Now()}, `INSERT INTO audit_log (id, at, tenant, tenant_slug, actor_kind, actor_id, actor_name, action, target_kind, target_id, changes, request_id, address)
		SELECT 'aud_' || lpad(to_hex(n), 36, '0'), CAST(@now AS timestamptz), 't', 't', 'key', CASE WHEN n = 7 THEN 'key_rare' ELSE 'key_' || abs(hashint4(n)) % 3 END, '', 'webhook.updated',
		'webhook', 'wh_1', '{}', '', '' FROM generate_series(1, 20000) n`)
	s.patiently(t, nil, "VACUUM ANALYZE audit_log")
	require.NoError(t, s.Read(t.Context(), func(_ context.Context, reader *models.Store) error {
		reading := &database{Store: reader, URL: s.URL, Clock: s.Clock}
		for i := range 13 {
			f := models.AuditFilter{ActorID: "key_" + strconv.Itoa(i%3)}
			if i == 12 {
				f.ActorID = "key_rare"
			}
			r := reading.countingOf(t, func(ctx context.Context, tx *models.Store) error {
				_, _, err := tx.AuditLog(ctx, f, models.Page{Limit: 50})
				return err
			}, "audit_log")
			require.LessOrEqual(t, r.Rows, int64(400), f.ActorID)
		}
		return nil
	}))
}

// No list reads the whole audit log.
func TestAuditLog_UsesIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	s.patiently(t, map[string]any{"now": s.Now()}, `INSERT INTO audit_log (id, at, tenant, tenant_slug, actor_kind, actor_id, actor_name, action, target_kind, target_id, changes, request_id, address)
		SELECT 'aud_' || lpad(to_hex(n), 36, '0'), CAST(@now AS timestamptz), 't' || n % 50, 't' || n % 50, 'key', 'key_' || n % 500, '', CASE WHEN n % 200 = 0 THEN 'webhook.deleted' ELSE 'webhook.updated' END,
		'webhook', 'wh_' || n % 1000, '{}', '', '' FROM generate_series(1, 20000) n`)
	s.patiently(t, nil, "VACUUM ANALYZE audit_log")
	for name, f := range map[string]models.AuditFilter{
		"all": {}, "tenant": {Tenant: tenant}, "slug": {TenantSlug: "t7"}, "action": {Action: models.AuditWebhookDeleted},
		"actor": {ActorID: "key_7"}, "target": {TargetID: "wh_7"}, "until": {Until: s.Now().Add(-time.Hour)}, "tenant and action": {TenantSlug: "t7", Action: models.AuditWebhookUpdated},
	} {
		r := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
			_, _, err := tx.AuditLog(ctx, f, models.Page{Limit: 50})
			return err
		}, "audit_log")
		require.Zero(t, r.Scans, name)
		require.LessOrEqual(t, r.Rows, int64(100), name)
	}
	// What never meets is looked for among a bounded number of entries.
	const most = 200
	few := &database{Store: s.Looking(most), URL: s.URL, Clock: s.Clock}
	for name, f := range map[string]models.AuditFilter{
		"tenant and action": {TenantSlug: "t7", Action: models.AuditWebhookDeleted}, "action and actor": {Action: models.AuditWebhookUpdated, ActorID: "key_none"},
		"kind": {ActorKinds: []string{"none"}}, "all": {TenantSlug: "t7", Action: models.AuditWebhookUpdated, ActorID: "key_7", TargetID: "wh_8"},
		"earlier tenant": {Tenant: "t7", Action: models.AuditTenantCreated},
	} {
		r := few.countingOf(t, func(ctx context.Context, tx *models.Store) error {
			rows, _, err := tx.AuditLog(ctx, f, models.Page{Limit: 50})
			require.Empty(t, rows, name)
			return err
		}, "audit_log")
		require.Zero(t, r.Scans, name)
		require.LessOrEqual(t, r.Rows, int64(6*most), name)
	}
}
