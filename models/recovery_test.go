package models_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// Recover runs a recovery to its end and returns the released deliveries, page by page.
func (s *database) Recover(tb testing.TB, r models.Recovery) (models.Recovery, [][]models.DeliveryKey) {
	tb.Helper()
	require.NoError(tb, s.CreateRecovery(tb.Context(), &r))
	var pages [][]models.DeliveryKey
	for range 1000 {
		now, fresh, err := s.ReleasePage(tb.Context(), r.ID, time.Time{})
		require.NoError(tb, err)
		for _, p := range fresh {
			pages = append(pages, p.Deliveries)
		}
		if now.Status != models.RecoveryRunning {
			return now, pages
		}
	}
	require.Fail(tb, "the recovery does not end")
	return r, nil
}

// held publishes n events that are held for a paused webhook.
func (s *database) held(tb testing.TB, w models.Webhook, n int) []models.Delivery {
	tb.Helper()
	a := &models.Acceptance{Tenant: w.Tenant, Version: s.Version(tb, w.Tenant)}
	for range n {
		s.Add(a, idAt(models.PrefixEvent, s.Now()), w)
	}
	a.Dispatches = nil
	for i := range a.Deliveries {
		d := &a.Deliveries[i]
		d.Status, d.StatusReason, d.NextAttemptAt, d.DispatchID = models.Held, models.HeldReason(models.WebhookPaused), nil, ""
	}
	s.mustAccept(tb, a)
	return a.Deliveries
}

var heldAndFailed = []models.DeliveryStatus{models.Held, models.Failed}

func TestRecovery_PagesUntilNothingIsLeft(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		all := s.held(t, w, 600)
		all = append(all, s.deliveryOf(t, w, models.Failed))
		for _, status := range []models.DeliveryStatus{models.Delivered, models.Canceled, models.Pending} {
			s.deliveryOf(t, w, status)
		}
		s.held(t, s.Webhook(t, "acme"), 3)
		s.Clock.Advance(time.Minute)

		r, pages := s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed})
		require.Equal(t, models.RecoveryDone, r.Status)
		require.Equal(t, int64(601), r.Total)
		require.Equal(t, int64(601), r.Released)
		require.Equal(t, s.Now(), *r.FinishedAt)
		stored, err := s.Recovery(t.Context(), "acme", r.ID)
		require.NoError(t, err)
		require.Equal(t, r, stored)

		released := map[models.DeliveryKey]bool{}
		for i, page := range pages {
			require.Len(t, page, []int{256, 256, 89}[i])
			for _, key := range page {
				require.False(t, released[key])
				released[key] = true
			}
		}
		for _, key := range keysOf(all...) {
			require.True(t, released[key])
		}
		after := s.Reload(t, all[600])
		require.Equal(t, models.Pending, after.Status)
		require.Zero(t, after.Failures, "from the first step of its schedule")
		require.Equal(t, s.Now(), *after.NextAttemptAt)
		require.Empty(t, s.Reload(t, all[0]).StatusReason)
		_, err = s.Dispatch(t.Context(), after.DispatchID)
		require.NoError(t, err, "driven")
	})
}

// deliveryOf is deliveryIn for a given webhook.
func (s *database) deliveryOf(tb testing.TB, w models.Webhook, status models.DeliveryStatus) models.Delivery {
	tb.Helper()
	d := s.Publish(tb, w.Tenant, w)[0]
	switch status {
	case models.Delivered, models.Failed:
		s.MustRecord(tb, s.Attempted(d, status))
	case models.Held:
		require.NoError(tb, s.HoldDelivery(tb.Context(), &d, models.WebhookPaused))
	case models.Canceled:
		require.NoError(tb, s.CancelDelivery(tb.Context(), &d, "not wanted"))
	}
	return s.Reload(tb, d)
}

func TestRecovery_TakesOnlyWhatItIsFor(t *testing.T) {
	type narrow func(s *database, r *models.Recovery)
	hours := func(n int) time.Duration { return time.Duration(n) * time.Hour }
	cases := []struct {
		name   string
		narrow narrow
		want   []string
	}{
		{"all", func(*database, *models.Recovery) {}, []string{"failed-0", "failed-1", "failed-2", "held-0", "held-1", "held-2"}},
		{"held", func(_ *database, r *models.Recovery) { r.Statuses = heldAndFailed[:1] }, []string{"held-0", "held-1", "held-2"}},
		{"failed", func(_ *database, r *models.Recovery) { r.Statuses = heldAndFailed[1:] }, []string{"failed-0", "failed-1", "failed-2"}},
		{"since, inclusive", func(s *database, r *models.Recovery) {
			since := s.Now().Add(-hours(2))
			r.Since = &since
		}, []string{"failed-1", "failed-2", "held-1", "held-2"}},
		{"until, exclusive", func(s *database, r *models.Recovery) { r.Until = s.Now().Add(-hours(2)) }, []string{"failed-0", "held-0"}},
		{"in between", func(s *database, r *models.Recovery) {
			since := s.Now().Add(-hours(2))
			r.Since, r.Until = &since, s.Now().Add(-hours(1))
		}, []string{"failed-1", "held-1"}},
		{"the reason", func(_ *database, r *models.Recovery) { r.Reason = models.HeldReason(models.WebhookDeactivated) }, []string{"held-2"}},
	}
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		for _, tt := range cases {
			t.Run(tt.name, func(t *testing.T) {
				w := s.Webhook(t, "acme")
				names := map[string]string{}
				for i := range 3 {
					held := s.Publish(t, "acme", w)[0]
					require.NoError(t, s.HoldDelivery(t.Context(), &held, []models.WebhookStatus{
						models.WebhookPaused, models.WebhookDisabled, models.WebhookDeactivated}[i]))
					names[held.ID] = fmt.Sprintf("held-%d", i)
					names[s.deliveryOf(t, w, models.Failed).ID] = fmt.Sprintf("failed-%d", i)
					s.Clock.Advance(hours(1))
				}
				r := models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed}
				tt.narrow(s, &r)
				_, pages := s.Recover(t, r)
				var got []string
				for _, page := range pages {
					for _, key := range page {
						got = append(got, names[key.ID])
					}
				}
				require.ElementsMatch(t, tt.want, got)
			})
		}
	})
}

// A delivery that fails again during the recovery is not taken twice, and one that was held at the last moment is not
// left out.
func TestRecovery_SweepsUpWhatWasHeldMeanwhile(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		failing, _ := s.deliveryOf(t, w, models.Failed), s.held(t, w, 1)
		late := models.IDBefore(models.PrefixDelivery, s.Now()) // committed after the recovery has passed its id
		s.Clock.Advance(time.Minute)
		r := models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed}
		require.NoError(t, s.CreateRecovery(t.Context(), &r))
		now, _, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
		require.NoError(t, err)
		require.Equal(t, int64(2), now.Released)
		require.False(t, now.Sweep)

		s.MustRecord(t, s.Attempted(s.Reload(t, failing), models.Failed))
		a := s.Acceptance(t, "acme", w)
		d := &a.Deliveries[0]
		d.ID, d.Status, d.StatusReason, d.NextAttemptAt, a.Dispatches = late, models.Held, models.HeldReason(models.WebhookPaused), nil, nil
		s.mustAccept(t, a)
		s.Clock.Advance(time.Second)
		recent := s.held(t, w, 1)[0] // made after the recovery

		now, _, err = s.ReleasePage(t.Context(), r.ID, time.Time{})
		require.NoError(t, err)
		require.True(t, now.Sweep)
		require.Equal(t, models.RecoveryRunning, now.Status)
		_, fresh, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
		require.NoError(t, err)
		require.ElementsMatch(t, keysOf(*d, recent), fresh[0].Deliveries)
		now, _, err = s.ReleasePage(t.Context(), r.ID, time.Time{})
		require.NoError(t, err)
		require.Equal(t, models.RecoveryDone, now.Status)
		require.Equal(t, models.Failed, s.Reload(t, failing).Status)
	})
}

func TestRecovery_AReleasePageIsASecondsWorth(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]int{0: models.MaxDispatch, 0.2: 1, 1: 1, 12.9: 12, 256: 256, 10_000: models.MaxDispatch} {
		r := models.Recovery{Rate: rate}
		require.Equal(t, want, r.PageSize(), "at %v a second", rate)
	}
}

func TestRecovery_AtARateReleasesSmallPages(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.held(t, w, 5)
		s.Clock.Advance(time.Minute)
		_, pages := s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed, Rate: 2})
		require.Len(t, pages, 3)
		require.Len(t, pages[0], 2)
		require.Len(t, pages[2], 1)
	})
}

func TestRecovery_ACanceledRecoveryReleasesNoMore(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		all := s.held(t, w, 3)
		s.Clock.Advance(time.Minute)
		r := models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed, Rate: 1}
		require.NoError(t, s.CreateRecovery(t.Context(), &r))
		running, _, err := s.RunningRecoveries(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []string{r.ID}, running)
		_, fresh, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
		require.NoError(t, err)
		require.Len(t, fresh[0].Deliveries, 1)

		canceled, err := s.CancelRecovery(t.Context(), "acme", r.ID)
		require.NoError(t, err)
		require.Equal(t, models.RecoveryCanceled, canceled.Status)
		require.Equal(t, int64(1), canceled.Released)
		s.Clock.Advance(time.Minute)
		again, err := s.CancelRecovery(t.Context(), "acme", r.ID)
		require.NoError(t, err)
		require.Equal(t, canceled, again)
		now, fresh, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
		require.NoError(t, err)
		require.Equal(t, models.RecoveryCanceled, now.Status)
		require.Empty(t, fresh)
		held := 0
		for _, d := range all {
			if s.Reload(t, d).Status == models.Held {
				held++
			}
		}
		require.Equal(t, 2, held)
		running, _, err = s.RunningRecoveries(t.Context(), "", 10)
		require.NoError(t, err)
		require.Empty(t, running)
	})
}

func TestRecovery_StopsWhenItsWebhookIsNotActive(t *testing.T) {
	for name, leave := range map[string]func(t *testing.T, s *database, w models.Webhook){
		"paused": func(t *testing.T, s *database, w models.Webhook) {
			_, _, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
			require.NoError(t, err)
		},
		"deleted": func(t *testing.T, s *database, w models.Webhook) {
			_, err := s.DeleteWebhook(t.Context(), w.Tenant, w.ID)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			stores(t, func(t *testing.T, s *database) {
				w := s.Webhook(t, s.Tenant(t, "acme"))
				s.deliveryOf(t, w, models.Failed)
				s.Clock.Advance(time.Minute)
				r := models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed}
				require.NoError(t, s.CreateRecovery(t.Context(), &r))
				leave(t, s, w)
				now, fresh, err := s.ReleasePage(t.Context(), r.ID, time.Time{})
				require.NoError(t, err)
				require.Equal(t, models.RecoveryStopped, now.Status)
				require.Empty(t, fresh)
			})
		})
	}
}

func TestRecovery_IsOfAWebhookOfItsTenant(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.Tenant(t, "globex")
		d := s.held(t, w, 1)[0]
		for _, r := range []models.Recovery{
			{Tenant: "globex", WebhookID: w.ID, Statuses: heldAndFailed},
			{Tenant: "acme", WebhookID: "wh_none", Statuses: heldAndFailed},
			{Tenant: "nobody", WebhookID: w.ID, Statuses: heldAndFailed},
		} {
			require.ErrorIs(t, s.CreateRecovery(t.Context(), &r), models.ErrNotFound)
		}
		require.Zero(t, s.Count(t, "recoveries"))
		require.Equal(t, d, s.Reload(t, d))
		_, _, err := s.ReleasePage(t.Context(), "rec_none", time.Time{})
		require.ErrorIs(t, err, models.ErrNotFound)
	})
}

// An event with an erased payload cannot be sent.
func TestRecovery_LeavesWhatHasBeenErased(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		erased, kept := s.deliveryOf(t, w, models.Failed), s.deliveryOf(t, w, models.Failed)
		require.NoError(t, s.EraseEvent(t.Context(), "acme", erased.EventID))
		require.Equal(t, "payload erased", s.Reload(t, erased).StatusReason)
		s.Clock.Advance(time.Minute)
		r, pages := s.Recover(t, models.Recovery{Tenant: "acme", WebhookID: w.ID, Statuses: heldAndFailed})
		require.Equal(t, int64(2), r.Total)
		require.Equal(t, int64(1), r.Released)
		require.Equal(t, int64(1), r.Skipped)
		require.Equal(t, [][]models.DeliveryKey{keysOf(kept)}, pages)
		require.Equal(t, models.Failed, s.Reload(t, erased).Status)
	})
}

// A delivery that a pause held, and that has since been canceled or retried, is not released like the rest of the
// pause.
func TestRecovery_WhatIsToStayHeldIsNotRecovered(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		set := func(w models.Webhook, to models.WebhookStatus) {
			t.Helper()
			_, changed, err := s.SetWebhookStatus(t.Context(), tenant, w.ID, models.StatusChange{To: to})
			require.NoError(t, err)
			require.True(t, changed)
		}
		disabled, canceled := s.Webhook(t, tenant), s.Webhook(t, tenant)
		waits, left := s.Publish(t, tenant, disabled)[0], s.Publish(t, tenant, canceled)[0]
		for _, w := range []models.Webhook{disabled, canceled} {
			set(w, models.WebhookPaused)
		}
		set(disabled, models.WebhookDisabled)
		set(disabled, models.WebhookActive)
		set(canceled, models.WebhookActive)
		r := models.Recovery{Tenant: tenant, WebhookID: canceled.ID, Statuses: []models.DeliveryStatus{models.Held}, Rate: 1}
		require.NoError(t, s.CreateRecovery(t.Context(), &r))
		ended, err := s.CancelRecovery(t.Context(), tenant, r.ID)
		require.NoError(t, err)
		require.Equal(t, models.RecoveryCanceled, ended.Status)
		require.NotNil(t, ended.FinishedAt)

		s.Clock.Advance(time.Hour)
		ids, _, err := s.RunningRecoveries(t.Context(), "", 10)
		require.NoError(t, err)
		require.Empty(t, ids)
		require.Equal(t, "webhook disabled", s.Reload(t, waits).StatusReason)
		require.Equal(t, "recovery canceled", s.Reload(t, left).StatusReason)
		for _, w := range []models.Webhook{disabled, canceled} {
			_, pages := s.Recover(t, models.Recovery{Tenant: tenant, WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Held}})
			require.Len(t, pages, 1, "when it is asked for")
		}
	})
}
