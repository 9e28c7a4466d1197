package models_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// The rest of a large act follows in pages. The count uses the deliveries' effective statuses.
func TestBacklog_IsOfTheEffectiveStatus(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		active, paused, deleted := s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, tenant)
		s.undispatched(t, 2, deleted)
		s.Clock.Advance(time.Second)
		s.undispatched(t, 3, paused)
		s.Clock.Advance(time.Second)
		oldest := s.Now()
		s.undispatched(t, 4, active)
		held := append(s.undispatched(t, 1, active), s.undispatched(t, 1, deleted)...)
		for _, d := range held {
			require.NoError(t, s.HoldDelivery(t.Context(), &d, models.WebhookPaused))
		}
		s.Clock.Advance(time.Second)
		for _, statement := range []string{
			`UPDATE webhooks SET status = 'paused' WHERE id = '` + paused.ID + `'`,
			`UPDATE webhooks SET deleted_at = updated_at WHERE id = '` + deleted.ID + `'`,
		} {
			require.NoError(t, s.DB().Exec(statement).Error)
		}
		b, top, err := s.Backlog(t.Context(), 5)
		require.NoError(t, err)
		require.Equal(t, models.Backlog{Pending: 4, Held: 3 + 1}, b)
		require.Equal(t, []models.WebhookBacklog{{WebhookID: active.ID, Pending: 4}}, top)
		due, err := s.OldestDue(t.Context())
		require.NoError(t, err)
		require.Equal(t, &oldest, due)

		require.NoError(t, s.DB().Exec(`UPDATE webhooks SET status = 'paused'`).Error)
		due, err = s.OldestDue(t.Context())
		require.NoError(t, err)
		require.Nil(t, due)
	})
}

func TestBacklog_TheLongestQueuesAreNamed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		var want []models.WebhookBacklog
		for _, n := range []int{2, 5, 1, 4, 3} {
			w := s.Webhook(t, tenant)
			s.undispatched(t, n, w)
			want = append(want, models.WebhookBacklog{WebhookID: w.ID, Pending: int64(n)})
		}
		_, top, err := s.Backlog(t.Context(), 3)
		require.NoError(t, err)
		require.Equal(t, []models.WebhookBacklog{want[1], want[3], want[4]}, top)
	})
}

// Counting more deliveries takes more statements, and no statement reads more than a page.
func TestBacklog_IsCountedInPagesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	few, many := s.Webhook(t, s.Tenant(t, "acme")), s.Webhook(t, "acme")
	s.undispatched(t, 3, few)
	s.overdueCrowd(t, many, 25_000)
	batch := s.later(t, "acme", 3, few)
	s.mustAccept(t, batch)
	s.patiently(t, nil, `UPDATE deliveries SET status = 'held', status_reason = 'paused', next_attempt_at = NULL WHERE id LIKE 'dlv_1____'`, "VACUUM ANALYZE")
	watched, n := s.counted(t)
	b, top, err := watched.Backlog(t.Context(), 5)
	require.NoError(t, err)
	require.Equal(t, models.Backlog{Pending: 15_003, Held: 10_000, Batches: 1, OldestBatch: &batch.Batches[0].CreatedAt}, b)
	require.Equal(t, []models.WebhookBacklog{{WebhookID: many.ID, Pending: 15_000}, {WebhookID: few.ID, Pending: 3}}, top)
	require.Equal(t, 2+2+1, *n, "the second page of the held is empty; batches take one")
	got := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
		_, _, err := tx.Backlog(ctx, 5)
		return err
	}, "deliveries")
	require.Zero(t, got.Scans)
}

func TestBacklog_WebhooksOfDeletedTenantsAreNotCounted(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Webhook(t, s.Tenant(t, "acme"))
		gone := s.Webhook(t, "acme")
		s.Webhook(t, s.Tenant(t, "globex"))
		_, err := s.DeleteWebhook(t.Context(), "acme", gone.ID)
		require.NoError(t, err)
		require.NoError(t, s.DB().Exec(`UPDATE tenants SET deleted_at = updated_at WHERE id = 'globex'`).Error)
		counts, err := s.WebhookCounts(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[models.WebhookStatus]int64{models.WebhookActive: 1}, counts)
	})
}
