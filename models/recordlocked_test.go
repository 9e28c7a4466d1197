package models_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// A lock of another transaction keeps only its own rows from being recorded: they come back marked, the rest is stored.
func TestRecordLocked_ALockedRowHoldsUpItsOwnRecordOnlyOnPostgres(t *testing.T) {
	t.Parallel()
	for name, lock := range map[string]func(mine models.Delivery) (query, id string){
		"the delivery": func(d models.Delivery) (string, string) {
			return "SELECT 1 FROM deliveries WHERE id = ? FOR UPDATE", d.ID
		},
		"the webhook's count": func(d models.Delivery) (string, string) {
			return "SELECT 1 FROM webhook_health WHERE webhook_id = ? FOR UPDATE", d.WebhookID
		},
		"the dispatch": func(d models.Delivery) (string, string) {
			return "SELECT 1 FROM dispatches WHERE id = ? FOR UPDATE", d.DispatchID
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := postgres(t)
			mine := s.Publish(t, s.Tenant(t, "locked"), s.Webhook(t, "locked"))[0]
			others := s.Publish(t, s.Tenant(t, "other"), s.Webhook(t, "other"))[0]
			query, id := lock(mine)
			tx := s.Open(t).DB().Begin()
			require.NoError(t, tx.Exec(query, id).Error)
			defer tx.Rollback()

			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			group := []*models.Record{s.Attempted(mine, models.Failed), s.Attempted(others, models.Delivered)}
			results, err := s.Record(ctx, group, []string{mine.DispatchID, others.DispatchID})
			require.NoError(t, err)
			require.Equal(t, models.Delivered, s.Reload(t, others).Status)
			require.True(t, results[1].Applied)
			require.False(t, results[1].Locked)
			if name == "the dispatch" { // the record needs no lock on it: the entry is swept later
				require.Equal(t, models.Failed, s.Reload(t, mine).Status)
				return
			}
			require.True(t, results[0].Locked)
			require.Equal(t, models.Pending, s.Reload(t, mine).Status)
			_, err = s.Dispatch(t.Context(), mine.DispatchID)
			require.NoError(t, err, "it is not finished")

			require.NoError(t, tx.Rollback().Error)
			results, err = s.Record(ctx, group[:1], []string{mine.DispatchID})
			require.NoError(t, err)
			require.True(t, results[0].Applied)
			require.Equal(t, int64(1), results[0].Failed)
			attempts, err := s.Attempts(t.Context(), mine.Tenant, mine.ID)
			require.NoError(t, err)
			require.Len(t, attempts, 1)
		})
	}
}

// A failure counts in the epoch in which its POST began, and in no other.
func TestRecordLocked_AFailureCountsInItsOwnEpoch(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		attempt := func() *models.Record { return s.Attempted(s.Publish(t, w.Tenant, w)[0], models.Failed) }
		enable := models.StatusChange{To: models.WebhookActive, Reset: true}

		late := []*models.Record{attempt(), attempt()}
		_, _, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, enable)
		require.NoError(t, err)
		s.MustRecord(t, late[0])
		require.Zero(t, s.health(t, w).Failed, "its POST began before the webhook was enabled")
		results := s.MustRecord(t, attempt(), late[1], attempt())
		require.Equal(t, int64(2), s.health(t, w).Failed)
		for _, r := range results {
			require.Equal(t, int64(0), r.Before)
			require.Equal(t, int64(2), r.Failed)
		}

		under := attempt()
		_, err = s.DeactivateWebhook(t.Context(), w.ID, 3000, "gone")
		require.NoError(t, err)
		s.MustRecord(t, under)
		require.Equal(t, int64(2), s.health(t, w).Failed, "it was under way when the webhook was deactivated")
		require.NotNil(t, s.health(t, w).LastFailureAt)

		own := attempt()
		own.Uncounted = true
		own.Status, own.NextAttemptAt = models.Pending, s.Now()
		s.MustRecord(t, own)
		require.Equal(t, int64(2), s.health(t, w).Failed)
	})
}

// A success that is recorded during a judgement counts, because the verdict uses the count under its lock.
func TestRecordLocked_ASuccessDuringAJudgementCountsOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	s.fail(t, w, 10)
	saved := s.Publish(t, w.Tenant, w)[0]

	tx := s.Open(t).DB().Begin() // the recorder of another process has the count, and is about to bring it back
	require.NoError(t, tx.Exec("UPDATE webhook_health SET failed = 0 WHERE webhook_id = ?", w.ID).Error)
	judged := make(chan error, 1)
	go func() {
		_, err := s.JudgeWebhook(t.Context(), w.ID, 10)
		judged <- err
	}()
	require.Eventually(t, func() bool {
		var waiting int64
		require.NoError(t, s.DB().Raw("SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting).Error)
		return waiting > 0
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, tx.Commit().Error)
	require.NoError(t, <-judged)
	now, err := s.Store.Webhook(t.Context(), w.Tenant, w.ID)
	require.NoError(t, err)
	require.Equal(t, models.WebhookActive, now.Status)
	require.Equal(t, models.Pending, s.Reload(t, saved).Status)
}

// Checking a webhook between its marks costs nothing: no check raises the tenant's version.
func TestRecordLocked_ALookBetweenTheMarksChangesNothing(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.fail(t, w, 5)
		s.judge(t, w, 10)
		s.fail(t, w, 2)
		version := s.Version(t, w.Tenant)
		for range 3 {
			s.judge(t, w, 10)
		}
		require.Equal(t, version, s.Version(t, w.Tenant))
		require.Len(t, s.notifications(t, w), 1)
		s.fail(t, w, 2)
		s.judge(t, w, 10)
		require.Len(t, s.notifications(t, w), 2)
		require.Equal(t, version, s.Version(t, w.Tenant), "a warning changes nothing that is sent")
	})
}
