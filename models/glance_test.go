package models_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestGlance_WhatIsWaiting(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant, other := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		w, second, foreign := s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, other)
		s.Publish(t, tenant, w, second)
		held := s.Publish(t, tenant, w)[0]
		failed := s.Publish(t, tenant, w)[0]
		s.Publish(t, other, foreign)
		require.NoError(t, s.HoldDelivery(t.Context(), &held, models.WebhookPaused))
		s.attempt(t, failed, models.Failed)

		all, err := s.Waiting(t.Context(), "", "")
		require.NoError(t, err)
		require.Equal(t, models.Waiting{Pending: 3, Held: 1}, all)
		one, err := s.Waiting(t.Context(), tenant, w.ID)
		require.NoError(t, err)
		require.Equal(t, models.Waiting{Pending: 1, Held: 1}, one)
		none, err := s.Waiting(t.Context(), other, w.ID)
		require.NoError(t, err)
		require.Equal(t, models.Waiting{}, none, "it is another tenant's")
	})
}

func TestGlance_LastAttempts(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		twice, once, never := s.Publish(t, tenant, w)[0], s.Publish(t, tenant, w)[0], s.Publish(t, tenant, w)[0]
		s.attempt(t, twice, models.Pending)
		second := s.attempt(t, twice, models.Pending)
		received := s.attempt(t, once, models.Delivered)
		last, err := s.LastAttempts(t.Context(), []models.Delivery{s.Reload(t, twice), s.Reload(t, once), s.Reload(t, never)})
		require.NoError(t, err)
		require.Len(t, last, 2)
		require.Equal(t, []any{second, 2, 500}, []any{last[twice.ID].ID, last[twice.ID].Number, last[twice.ID].StatusCode})
		require.Equal(t, []any{received, ""}, []any{last[once.ID].ID, last[once.ID].Error})
		none, err := s.LastAttempts(t.Context(), nil)
		require.NoError(t, err)
		require.Empty(t, none)
	})
}

func TestGlance_CountsSince(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant, other := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		w, foreign := s.Webhook(t, tenant), s.Webhook(t, other)
		since := s.Now()
		s.attempt(t, s.Publish(t, tenant, w)[0], models.Pending)
		s.attempt(t, s.Publish(t, tenant, w)[0], models.Delivered)
		s.attempt(t, s.Publish(t, other, foreign)[0], models.Delivered)
		_, _, err := s.MergeStats(t.Context(), models.DeliveryKey{})
		require.NoError(t, err)
		rows, err := s.CountsSince(t.Context(), []models.Webhook{w}, since)
		require.NoError(t, err)
		sum := models.Counts{}
		for i := range rows {
			require.Equal(t, w.ID, rows[i].WebhookID)
			sum.Add(&rows[i].Counts)
		}
		require.Equal(t, []int64{1, 1, 2}, []int64{sum.Delivered, sum.FailedAttempts, sum.Attempts})
		later, err := s.CountsSince(t.Context(), []models.Webhook{w}, s.Now().Add(time.Hour))
		require.NoError(t, err)
		require.Empty(t, later)
	})
}

func TestGlance_FailingWebhooksAndTheirNotices(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		well, fails := s.Webhook(t, tenant), s.Webhook(t, tenant)
		for _, d := range s.Publish(t, tenant, well, fails) {
			status := models.Delivered
			if d.WebhookID == fails.ID {
				status = models.Pending
			}
			s.attempt(t, d, status)
		}
		rows, next, err := s.Webhooks(t.Context(), tenant, models.WebhookFilter{Failing: true}, models.Page{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, next)
		require.Len(t, rows, 1)
		require.Equal(t, fails.ID, rows[0].ID)

		_, err = s.JudgeWebhook(t.Context(), fails.ID, 1)
		require.NoError(t, err)
		notices, err := s.Notifications(t.Context(), tenant, fails.ID)
		require.NoError(t, err)
		require.Len(t, notices, 1)
		require.Empty(t, notices[0].Result)
		notices[0].Detail.Told = []string{"ops@acme.example"}
		require.NoError(t, s.NotificationEnded(t.Context(), &notices[0], models.NoticeSent, "one address was refused"))
		notices, err = s.Notifications(t.Context(), tenant, fails.ID)
		require.NoError(t, err)
		n := notices[0]
		require.Equal(t, []any{models.NotifyDeactivated, models.NoticeSent, []string{"ops@acme.example"}, "one address was refused"}, []any{n.Kind, n.Result, n.Detail.Told, n.Detail.Missed})
		require.NotNil(t, n.SentAt)
		foreign, err := s.Notifications(t.Context(), s.Tenant(t, "globex"), fails.ID)
		require.NoError(t, err)
		require.Empty(t, foreign)
	})
}

func TestGlance_TenantsAreFoundByTheBeginningOfTheirName(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		for _, slug := range []string{"acme", "acme_2", "acmex2", "globex"} {
			s.Tenant(t, slug)
		}
		list := func(text string) func(models.Page) ([]string, string, error) {
			return func(p models.Page) ([]string, string, error) {
				rows, next, err := s.TenantsLike(t.Context(), text, p)
				return idsOf(rows, next, err, func(t models.Tenant) string { return t.Slug })
			}
		}
		require.ElementsMatch(t, []string{"acme", "acme_2", "acmex2"}, pages(t, 3, list("acme")))
		require.Equal(t, []string{"acme_2"}, pages(t, 1, list("acme_")), "an underscore is itself")
		require.Empty(t, pages(t, 0, list("%")))
	})
}

// Inactive webhooks are found without reading the many active ones, and running recoveries without the many ended ones.
func TestGlance_WhatIsLookedForFirstUsesIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	w, stopped := s.Webhook(t, tenant), s.Webhook(t, tenant)
	s.patiently(t, map[string]any{"tenant": tenant, "webhook": w.ID, "stopped": stopped.ID},
		`INSERT INTO webhooks SELECT (jsonb_populate_record(w, jsonb_build_object('id', 'wh_many' || n))).* FROM webhooks w, generate_series(1, 5000) n WHERE w.id = @webhook`,
		`UPDATE webhooks SET status = 'deactivated' WHERE id = @stopped`,
		`INSERT INTO recoveries (id, tenant, webhook_id, status, statuses, reason, until, rate, sweep, position, total, released, created_at)
			SELECT 'rec_' || lpad(n::text, 8, '0'), @tenant, @webhook, CASE WHEN n = 7 THEN 'running' ELSE 'completed' END, '[]', '', now(), 0, false, '', 0, 0, now()
			FROM generate_series(1, 5000) n`)
	s.patiently(t, nil, "VACUUM ANALYZE")
	for _, of := range []string{"", tenant} {
		got := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
			webhooks, _, err := tx.Webhooks(ctx, of, models.WebhookFilter{Status: models.WebhookDeactivated}, models.Page{Limit: 8})
			require.NoError(t, err)
			require.Len(t, webhooks, 1)
			require.Equal(t, stopped.ID, webhooks[0].ID)
			recoveries, _, err := tx.Recoveries(ctx, of, models.RecoveryFilter{Running: true}, models.Page{Limit: 8})
			require.Len(t, recoveries, 1)
			return err
		}, "webhooks", "recoveries")
		require.Zero(t, got.Scans, of)
		require.LessOrEqual(t, got.Rows, int64(10), of)
	}
}
