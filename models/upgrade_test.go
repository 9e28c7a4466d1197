package models_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// While processes of an earlier build run beside new ones, their changes are visible: their webhooks get the tenant's
// version, and their tenants a slug.
func TestUpgrade_WhatAnEarlierBuildWritesIsSeenOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	for _, id := range []string{"first", "second"} {
		require.NoError(t, s.DB().Exec(`INSERT INTO tenants (id, name, admin_emails, version, created_at, updated_at)
			VALUES (?, '', '[]', 0, now(), now())`, id).Error)
		found, err := s.TenantBySlug(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, id, found.ID)
	}
	w := s.Webhook(t, "first")
	before := s.Version(t, "first")
	require.NoError(t, s.DB().Exec(`UPDATE tenants SET version = version + 1 WHERE id = 'first'`).Error)
	require.NoError(t, s.DB().Exec(`UPDATE webhooks SET status = 'paused' WHERE id = ?`, w.ID).Error)
	changed, err := s.Store.Webhook(t.Context(), "first", w.ID)
	require.NoError(t, err)
	require.Equal(t, before+1, changed.Version)
}

// A 410 to a POST that began before the webhook was enabled does not count.
func TestUpgrade_A410OfAnEarlierEpochChangesNothing(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		began := s.health(t, w).Epoch
		_, _, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookActive, Reset: true})
		require.NoError(t, err)
		changed, err := s.DeactivateInEpoch(t.Context(), w.ID, 3000, "the receiver answered 410 Gone", began)
		require.NoError(t, err)
		require.False(t, changed)
		changed, err = s.DeactivateInEpoch(t.Context(), w.ID, 3000, "the receiver answered 410 Gone", s.health(t, w).Epoch)
		require.NoError(t, err)
		require.True(t, changed)
		require.Len(t, s.notifications(t, w), 1)
	})
}

// A record whose rows were found locked does not let its next group wait for them.
func TestUpgrade_ACautiousGroupWaitsForNoLockOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	mine := s.Publish(t, s.Tenant(t, "locked"), s.Webhook(t, "locked"))[0]
	others := s.Publish(t, s.Tenant(t, "other"), s.Webhook(t, "other"))[0]
	tx := s.Open(t).DB().Begin()
	require.NoError(t, tx.Exec("SELECT 1 FROM deliveries WHERE id = ? FOR UPDATE", mine.ID).Error)
	defer tx.Rollback()
	again := s.Attempted(mine, models.Failed)
	again.Cautious = true
	own := s.Open(t)
	require.NoError(t, own.DB().Exec("SET lock_timeout = 0").Error) // a wait would be for ever
	results, err := own.Record(t.Context(), []*models.Record{again, s.Attempted(others, models.Delivered)}, nil)
	require.NoError(t, err)
	require.True(t, results[0].Locked)
	require.True(t, results[1].Applied)
}

// Rows that a job will still reach are not set aside one by one, and rows that it has skipped are.
func TestUpgrade_SetAsideLeavesToAJobWhatItWillComeTo(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.backlog(t, w, jobRows+5, "")
		_, _, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)
		var rest []models.Delivery
		require.NoError(t, s.DB().Find(&rest, "status = 'pending'").Error)
		require.Len(t, rest, 5)
		left, err := s.SetAside(t.Context(), rest)
		require.NoError(t, err)
		require.Empty(t, left)
		require.Equal(t, 5, s.statuses(t, w)["pending"])
		require.NoError(t, s.DB().Exec("DELETE FROM jobs").Error)
		_, err = s.SetAside(t.Context(), rest)
		require.NoError(t, err)
		require.Equal(t, map[string]int{"held webhook paused": jobRows + 5}, s.statuses(t, w))
	})
}
