package models_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// fail records n failed receptions of a webhook, each with its own delivery.
func (s *database) fail(tb testing.TB, w models.Webhook, n int) {
	tb.Helper()
	for range n {
		s.MustRecord(tb, s.Attempted(s.Publish(tb, w.Tenant, w)[0], models.Failed))
	}
}

// notifications returns the webhook's notifications that have not gone out.
func (s *database) notifications(tb testing.TB, w models.Webhook) []models.Notification {
	tb.Helper()
	ids, err := s.UnsentNotifications(tb.Context(), w.ID)
	require.NoError(tb, err)
	var all []models.Notification
	for _, id := range ids {
		n, err := s.Notification(tb.Context(), id)
		require.NoError(tb, err)
		all = append(all, n)
	}
	return all
}

func (s *database) judge(tb testing.TB, w models.Webhook, threshold int64) models.Webhook {
	tb.Helper()
	now, err := s.JudgeWebhook(tb.Context(), w.ID, threshold)
	require.NoError(tb, err)
	return now
}

func TestHealth_AFailingWebhookIsWarnedOfTwiceAndThenDeactivated(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		const threshold = 10
		w := s.Webhook(t, s.Tenant(t, "acme"))
		due := s.Publish(t, w.Tenant, w)[0]
		told := 0
		for failed := int64(1); failed <= threshold; failed++ {
			s.fail(t, w, 1)
			at := s.Now()
			for range 2 { // the second check finds nothing new
				now := s.judge(t, w, threshold)
				require.Equal(t, failed == threshold, now.Status == models.WebhookDeactivated, "at %d", failed)
			}
			all := s.notifications(t, w)
			switch failed {
			case 5, 9, 10:
				told++
				n := all[told-1]
				require.Equal(t, w.Tenant, n.Tenant)
				require.Equal(t, map[int64]models.NotificationKind{5: models.NotifyWarning, 9: models.NotifyWarning, 10: models.NotifyDeactivated}[failed], n.Kind)
				reason := map[int64]string{5: "5 of 10 failed receptions", 9: "9 of 10 failed receptions", 10: "10 receptions failed"}[failed]
				require.Equal(t, models.NotificationDetail{Failed: failed, Threshold: threshold, Mark: map[int64]int{5: 50, 9: 90}[failed],
					Reason: reason, LastFailureAt: &at, LastStatus: 500, LastError: "the receiver answered 500"}, n.Detail)
			}
			require.Len(t, all, told, "at %d", failed)
		}
		now, err := s.Store.Webhook(t.Context(), w.Tenant, w.ID)
		require.NoError(t, err)
		require.Equal(t, "10 receptions failed", now.StatusReason)
		require.Equal(t, models.Held, s.Reload(t, due).Status)
		require.Equal(t, "webhook deactivated", s.Reload(t, due).StatusReason)
	})
}

func TestHealth_ACountThatJumpsOverBothMarksIsWarnedOfOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.fail(t, w, 19)
		s.judge(t, w, 20)
		s.judge(t, w, 20)
		all := s.notifications(t, w)
		require.Len(t, all, 1)
		require.Equal(t, 90, all[0].Detail.Mark)
	})
}

func TestHealth_AWebhookThatFailsAnewIsWarnedOfAnew(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		for round := 1; round <= 2; round++ {
			s.fail(t, w, 5)
			s.judge(t, w, 10)
			require.Len(t, s.notifications(t, w), round)
			s.MustRecord(t, s.Attempted(s.Publish(t, w.Tenant, w)[0], models.Delivered))
			require.Zero(t, s.judge(t, w, 10).Health.Failed)
		}
	})
}

func TestHealth_AWebhookBelowEveryMarkIsLeftAlone(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.fail(t, w, 4)
		version := s.Version(t, w.Tenant)
		require.Equal(t, models.WebhookActive, s.judge(t, w, 10).Status)
		require.Equal(t, version, s.Version(t, w.Tenant), "nothing has changed")
		require.Empty(t, s.notifications(t, w))

		_, err := s.JudgeWebhook(t.Context(), "wh_none", 10)
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

func TestHealth_OfManyJudgesAtOnceOneActs(t *testing.T) {
	for _, tt := range []struct {
		name   string
		failed int
		want   models.WebhookStatus
	}{
		{"warns", 9, models.WebhookActive},
		{"deactivates", 10, models.WebhookDeactivated},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stores(t, func(t *testing.T, s *database) {
				w := s.Webhook(t, s.Tenant(t, "acme"))
				s.fail(t, w, tt.failed)
				other := s.Open(t)
				var wg sync.WaitGroup
				for i := range 8 {
					store := []*models.Store{s.Store, other}[i%2]
					wg.Go(func() {
						now, err := store.JudgeWebhook(t.Context(), w.ID, 10)
						if err != nil || now.Status != tt.want {
							t.Errorf("status %q, error %v", now.Status, err)
						}
					})
				}
				wg.Wait()
				require.Len(t, s.notifications(t, w), 1)
			})
		})
	}
}

func TestHealth_EnablingResetsTheCountAndRaisesTheEpoch(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.fail(t, w, 10)
		s.judge(t, w, 10)
		now, changed, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookActive, Reset: true, By: "key_1"})
		require.NoError(t, err)
		require.True(t, changed)
		require.Equal(t, models.WebhookActive, now.Status)
		require.Empty(t, now.StatusReason)
		require.Equal(t, "key_1", now.UpdatedBy)
		require.Equal(t, int64(2), now.Health.Epoch, "deactivated, and enabled")
		require.Zero(t, now.Health.Failed)
		require.Zero(t, now.Health.Warned)
		require.NotNil(t, now.Health.LastFailureAt, "stays on record")
		require.Equal(t, now.Health, s.health(t, w))
		require.Equal(t, models.WebhookActive, s.judge(t, w, 10).Status, "a late look finds nothing to do")

		_, changed, err = s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookActive})
		require.NoError(t, err)
		require.False(t, changed)
		require.Equal(t, int64(2), s.health(t, w).Epoch)

		s.fail(t, w, 3)
		now, changed, err = s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookActive, Reset: true})
		require.NoError(t, err)
		require.False(t, changed, "it was active")
		require.Zero(t, now.Health.Failed)
		require.Equal(t, int64(3), s.health(t, w).Epoch, "reset all the same")
	})
}

func TestHealth_APauseKeepsTheCount(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.fail(t, w, 3)
		for _, to := range []models.WebhookStatus{models.WebhookPaused, models.WebhookActive} {
			_, changed, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: to})
			require.NoError(t, err)
			require.True(t, changed)
		}
		require.Equal(t, int64(3), s.health(t, w).Failed)
		require.Zero(t, s.health(t, w).Epoch)
	})
}

func TestHealth_AStatusChangesOnlyFromWhereItMay(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		now, changed, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID,
			models.StatusChange{To: models.WebhookDisabled, From: []models.WebhookStatus{models.WebhookPaused}})
		require.NoError(t, err)
		require.False(t, changed)
		require.Equal(t, models.WebhookActive, now.Status)
		_, _, err = s.SetWebhookStatus(t.Context(), "other", w.ID, models.StatusChange{To: models.WebhookDisabled})
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

func TestHealth_AWebhookThatIsGoneIsDeactivatedOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		due := s.Publish(t, w.Tenant, w)[0]
		changes := make(chan bool, 4)
		var wg sync.WaitGroup
		for range cap(changes) {
			wg.Go(func() {
				changed, err := s.DeactivateWebhook(t.Context(), w.ID, 3000, "the receiver answered 410 Gone")
				if err != nil {
					t.Error(err)
				}
				changes <- changed
			})
		}
		wg.Wait()
		close(changes)
		n := 0
		for changed := range changes {
			if changed {
				n++
			}
		}
		require.Equal(t, 1, n)
		all := s.notifications(t, w)
		require.Len(t, all, 1)
		require.Equal(t, models.NotifyDeactivated, all[0].Kind)
		require.Equal(t, "the receiver answered 410 Gone", all[0].Detail.Reason)
		require.Equal(t, models.Held, s.Reload(t, due).Status)

		_, err := s.DeactivateWebhook(t.Context(), "wh_none", 3000, "gone")
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

func TestHealth_NeedHealthCheckFindsWhatWasMissed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		need := func() []string {
			ids, _, err := s.NeedHealthCheck(t.Context(), 10, "", 100)
			require.NoError(t, err)
			return ids
		}
		well, warn, over := s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, tenant)
		s.fail(t, well, 4)
		s.fail(t, warn, 5)
		s.fail(t, over, 12)
		require.ElementsMatch(t, []string{warn.ID, over.ID}, need())

		s.judge(t, warn, 10)
		s.judge(t, over, 10)
		require.Empty(t, need(), "done, and the notifications may be on their way")
		s.Clock.Advance(2 * time.Minute)
		require.ElementsMatch(t, []string{warn.ID, over.ID}, need(), "not gone out")
		for _, w := range []models.Webhook{warn, over} {
			for _, n := range s.notifications(t, w) {
				require.NoError(t, s.NotificationEnded(t.Context(), &n, models.NoticeSent, ""))
				sent, err := s.Notification(t.Context(), n.ID)
				require.NoError(t, err)
				require.Equal(t, s.Now(), *sent.SentAt)
			}
		}
		require.Empty(t, need())
		ids, _, err := s.NeedHealthCheck(t.Context(), 2, "", 1)
		require.NoError(t, err)
		require.Len(t, ids, 1, "bounded")
		_, err = s.Notification(t.Context(), "ntf_none")
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

func TestHealth_MarkAt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ threshold, percent, want int64 }{{3000, 50, 1500}, {3000, 90, 2700}, {3, 50, 2}, {1, 50, 1}, {1, 90, 1}} {
		require.Equal(t, tt.want, models.MarkAt(tt.threshold, int(tt.percent)))
	}
}

// The webhook shows the result of its notification, and an earlier notification's result does not replace a later
// one's.
func TestHealth_AWebhookSaysWhatHasBecomeOfItsNotifications(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		require.Nil(t, s.health(t, w).LastNotice)
		s.fail(t, w, 10)
		_, err := s.JudgeWebhook(t.Context(), w.ID, 10)
		require.NoError(t, err)
		n := s.notifications(t, w)[0]
		require.NoError(t, s.NotificationTried(t.Context(), &n, "later"))
		require.Len(t, s.notifications(t, w), 1, "it is tried again")
		require.Equal(t, &models.Notice{ID: n.ID, Kind: models.NotifyDeactivated, At: s.Now(), Result: models.NoticeFailed, Detail: "later"},
			s.health(t, w).LastNotice)

		require.NoError(t, s.NotificationEnded(t.Context(), &n, models.NoticeSkipped, "nobody"))
		require.Empty(t, s.notifications(t, w))
		ended, err := s.Notification(t.Context(), n.ID)
		require.NoError(t, err)
		require.Equal(t, models.NoticeSkipped, ended.Result)
		require.NotNil(t, ended.SentAt)
		earlier := models.Notification{ID: "ntf_0", WebhookID: w.ID, Kind: models.NotifyWarning}
		require.NoError(t, s.NotificationEnded(t.Context(), &earlier, models.NoticeSent, ""))

		_, _, err = s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookActive, Reset: true})
		require.NoError(t, err)
		listed, _, err := s.Webhooks(t.Context(), w.Tenant, models.WebhookFilter{}, models.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, listed, 1)
		for _, notice := range []*models.Notice{s.health(t, w).LastNotice, listed[0].Health.LastNotice} {
			require.Equal(t, models.NoticeSkipped, notice.Result)
			require.Equal(t, "nobody", notice.Detail)
		}
	})
}

// An event that is only held counts as reaching no webhook, and an event that is being fanned out counts as reaching
// one.
func TestHealth_IsGoingOut(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		d := s.Publish(t, w.Tenant, w)[0]
		is := func() bool {
			is, err := s.IsGoingOut(t.Context(), w.Tenant, d.EventID)
			require.NoError(t, err)
			return is
		}
		for status, want := range map[models.DeliveryStatus]bool{models.Pending: true, models.Delivered: true, models.Failed: true,
			models.Held: false, models.Canceled: false} {
			require.NoError(t, s.DB().Exec("UPDATE deliveries SET status = ? WHERE id = ?", status, d.ID).Error)
			require.Equal(t, want, is(), status)
		}
		event, _ := s.fanOut(t, s.Tenant(t, "wide"), 3)
		require.Empty(t, s.owed(t, "wide", event))
		fanning, err := s.IsGoingOut(t.Context(), "wide", event)
		require.NoError(t, err)
		require.True(t, fanning)
	})
}
