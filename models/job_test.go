package models_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// jobRows is how many rows a page changes at most.
const jobRows = 1000

// backlog stores n pending deliveries of a webhook, each with its own event, or all of one event.
func (s *database) backlog(tb testing.TB, w models.Webhook, n int, event string) {
	tb.Helper()
	for chunk := 0; chunk < n; chunk += 500 {
		a := &models.Acceptance{Tenant: w.Tenant, Version: s.Version(tb, w.Tenant)}
		now := s.Now()
		for i := range min(500, n-chunk) {
			id := event
			if event == "" || chunk+i == 0 {
				if id == "" {
					id = idAt(models.PrefixEvent, now)
				}
				a.Events = append(a.Events, models.Event{Tenant: w.Tenant, ID: id, Type: "order.created", Data: []byte(`{}`), CreatedAt: now})
			}
			a.Deliveries = append(a.Deliveries, models.Delivery{Tenant: w.Tenant, ID: idAt(models.PrefixDelivery, now), EventID: id, EventType: "order.created",
				WebhookID: w.ID, Status: models.Pending, CreatedAt: now, NextAttemptAt: &now})
		}
		results, err := s.Accept(tb.Context(), []*models.Acceptance{a})
		require.NoError(tb, err)
		require.NoError(tb, results[0].Err)
	}
}

// statuses counts the webhook's deliveries by status and reason.
func (s *database) statuses(tb testing.TB, w models.Webhook) map[string]int {
	tb.Helper()
	var rows []struct {
		Status, Reason string
		N              int
	}
	require.NoError(tb, s.DB().Raw(`SELECT status, status_reason AS reason, count(*) AS n FROM deliveries WHERE webhook_id = ? GROUP BY status, status_reason`,
		w.ID).Scan(&rows).Error)
	counts := map[string]int{}
	for _, r := range rows {
		counts[strings.TrimSuffix(r.Status+" "+r.Reason, " ")] = r.N
	}
	return counts
}

// runJobs makes pages until no job is left, and returns the rows that each page changed.
func (s *database) runJobs(tb testing.TB) (rows []int64) {
	tb.Helper()
	for {
		job, page, err := s.RunJob(tb.Context())
		require.NoError(tb, err)
		if job.ID == "" {
			return rows
		}
		require.LessOrEqual(tb, page.Rows, int64(jobRows), "a page is bounded")
		rows = append(rows, page.Rows)
		s.Clock.Advance(time.Second)
	}
}

// Every act that takes a webhook out of service changes its row and a page of its deliveries, and leaves the rest to a
// job.
func TestJobs_ALargeActChangesOnePageAndLeavesAJob(t *testing.T) {
	const n = 3*jobRows + 7
	pause := func(s *database, w models.Webhook) error {
		_, _, err := s.SetWebhookStatus(context.Background(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
		return err
	}
	for _, tt := range []struct {
		name string
		act  func(s *database, w models.Webhook) error
		want string
	}{
		{"pause", pause, "held webhook paused"},
		{"disable", func(s *database, w models.Webhook) error {
			_, _, err := s.SetWebhookStatus(context.Background(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookDisabled})
			return err
		}, "held webhook disabled"},
		{"pause, then disable", func(s *database, w models.Webhook) error {
			if err := pause(s, w); err != nil {
				return err
			}
			_, _, err := s.SetWebhookStatus(context.Background(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookDisabled})
			return err
		}, "held webhook disabled"},
		{"deactivate", func(s *database, w models.Webhook) error {
			_, err := s.DeactivateWebhook(context.Background(), w.ID, 3000, "the receiver answered 410 Gone")
			return err
		}, "held webhook deactivated"},
		{"delete", func(s *database, w models.Webhook) error {
			_, err := s.DeleteWebhook(context.Background(), w.Tenant, w.ID)
			return err
		}, "canceled webhook deleted"},
		{"pause, then delete", func(s *database, w models.Webhook) error {
			if err := pause(s, w); err != nil {
				return err
			}
			_, err := s.DeleteWebhook(context.Background(), w.Tenant, w.ID)
			return err
		}, "canceled webhook deleted"},
		{"erase", func(s *database, w models.Webhook) error {
			return s.EraseEvent(context.Background(), w.Tenant, "evt_wide")
		}, "canceled payload erased"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stores(t, func(t *testing.T, s *database) {
				w := s.Webhook(t, s.Tenant(t, "acme"))
				event := ""
				if tt.name == "erase" {
					event = "evt_wide"
				}
				s.backlog(t, w, n, event)
				require.NoError(t, tt.act(s, w))
				require.Positive(t, s.statuses(t, w)["pending"], "the act itself does not change all of it")
				s.runJobs(t)
				require.Equal(t, map[string]int{tt.want: n}, s.statuses(t, w))
			})
		})
	}
}

// A small act is complete when it returns.
func TestJobs_ASmallActIsCompleteAtOnce(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.backlog(t, w, 300, "")
		_, _, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)
		_, _, err = s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookDisabled})
		require.NoError(t, err)
		require.Equal(t, map[string]int{"held webhook disabled": 300}, s.statuses(t, w))
		require.Empty(t, s.runJobs(t))
	})
}

// The number of an act's statements, and of the rows that each page changes, does not depend on the number of
// deliveries.
func TestJobs_WhatAnActCostsDoesNotGrowOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	tenant := s.Tenant(t, "acme")
	cost := func(n int) (changed int64) {
		w := s.Webhook(t, tenant)
		s.backlog(t, w, n, "")
		before := s.updates(t)
		_, err := s.DeactivateWebhook(t.Context(), w.ID, 3000, "gone")
		require.NoError(t, err)
		changed = s.updates(t) - before
		s.runJobs(t)
		return changed
	}
	few, many := cost(jobRows+1), cost(4*jobRows)
	require.Equal(t, few, many)
}

// updates returns how many rows of deliveries have been updated, as PostgreSQL counts them.
func (s *database) updates(tb testing.TB) (n int64) {
	tb.Helper()
	require.NoError(tb, s.DB().Exec("SELECT pg_stat_force_next_flush()").Error)
	require.Eventually(tb, func() bool {
		last := n
		require.NoError(tb, s.DB().Raw("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'deliveries'").Scan(&n).Error)
		return n == last
	}, 20*time.Second, 1500*time.Millisecond)
	return n
}

// Enabling a webhook during a page run wins: deliveries that are not held yet stay pending.
func TestJobs_EnableDuringAPageRunWins(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.backlog(t, w, 3*jobRows, "")
		_, _, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookDisabled})
		require.NoError(t, err)
		_, _, err = s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookActive, Reset: true})
		require.NoError(t, err)
		s.runJobs(t)
		require.Equal(t, map[string]int{"held webhook disabled": jobRows, "pending": 2 * jobRows}, s.statuses(t, w))
	})
}

// When the process that made a job's last page is gone, the job continues at its position. A failing page delays only
// its own job.
func TestJobs_AJobSurvivesItsProcess(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w, other := s.Webhook(t, tenant), s.Webhook(t, tenant)
		s.backlog(t, w, 3*jobRows, "")
		s.backlog(t, other, 2*jobRows, "")
		for _, webhook := range []models.Webhook{w, other} {
			_, err := s.DeleteWebhook(t.Context(), tenant, webhook.ID)
			require.NoError(t, err)
		}
		require.NoError(t, s.DB().Exec("UPDATE jobs SET kind = 'unheard of' WHERE webhook_id = ?", w.ID).Error)
		elsewhere := s.Open(t)
		_, _, err := elsewhere.RunJob(t.Context())
		require.Error(t, err)
		for range 3 {
			_, _, err := elsewhere.RunJob(t.Context())
			require.NoError(t, err)
		}
		require.Equal(t, map[string]int{"canceled webhook deleted": 2 * jobRows}, s.statuses(t, other))
		require.NoError(t, s.DB().Exec("UPDATE jobs SET kind = 'cancel'").Error)
		s.Clock.Advance(time.Hour)
		s.runJobs(t)
		require.Equal(t, map[string]int{"canceled webhook deleted": 3 * jobRows}, s.statuses(t, w))
	})
}

// A page does not wait for rows that another transaction has locked, and comes back to them.
func TestJobs_APagePassesOverWhatIsLockedOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.Webhook(t, s.Tenant(t, "acme"))
	s.backlog(t, w, jobRows+500, "")
	var locked []string
	require.NoError(t, s.DB().Raw("SELECT id FROM deliveries ORDER BY id LIMIT 700").Scan(&locked).Error)
	tx := s.Open(t).DB().Begin()
	require.NoError(t, tx.Exec("SELECT 1 FROM deliveries WHERE id IN ? FOR UPDATE", locked).Error)

	_, err := s.DeleteWebhook(t.Context(), w.Tenant, w.ID)
	require.NoError(t, err)
	for range 4 {
		_, _, err := s.RunJob(t.Context())
		require.NoError(t, err)
		s.Clock.Advance(time.Second)
	}
	require.Equal(t, map[string]int{"canceled webhook deleted": jobRows + 500 - len(locked), "pending": len(locked)}, s.statuses(t, w))
	require.NoError(t, tx.Rollback().Error)
	s.runJobs(t)
	require.Equal(t, map[string]int{"canceled webhook deleted": jobRows + 500}, s.statuses(t, w))
}

// A page finds its rows by an index, and the rows of earlier pages do not slow it down.
func TestJobs_PagesUseIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	webhooks := s.crowd(t)
	w := webhooks[3]
	for _, act := range []func() error{
		func() error { _, err := s.DeactivateWebhook(t.Context(), w.ID, 3000, "gone"); return err },
		func() error { _, err := s.DeleteWebhook(t.Context(), w.Tenant, w.ID); return err },
	} {
		r := s.counting(t, func(context.Context, *models.Store) error {
			require.NoError(t, act())
			return nil
		})
		require.Zero(t, r.Scans)
	}
	for _, status := range []string{"pending", "held"} {
		var plan []string
		require.NoError(t, s.DB().Raw(fmt.Sprintf(`EXPLAIN SELECT tenant, id FROM deliveries WHERE webhook_id = '%s' AND %s AND id > '' ORDER BY id LIMIT 1000`,
			w.ID, map[string]string{"pending": "status = 'pending'", "held": "status = 'held' AND status IN ('held', 'failed', 'canceled')"}[status])).Scan(&plan).Error)
		require.Contains(t, strings.Join(plan, "\n"), "Index Cond", status)
		require.NotContains(t, strings.Join(plan, "\n"), "Seq Scan", status)
	}
}

// A delivery that is read alone has its effective status, even if a job has not reached its row yet.
func TestJobs_EffectiveStatus(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		for _, tt := range []struct {
			act  func(w models.Webhook, event string) error
			want models.DeliveryStatus
			why  string
		}{
			{func(models.Webhook, string) error { return nil }, models.Pending, ""},
			{func(w models.Webhook, _ string) error {
				_, _, err := s.SetWebhookStatus(t.Context(), tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
				return err
			}, models.Held, "webhook paused"},
			{func(w models.Webhook, _ string) error {
				_, err := s.DeleteWebhook(t.Context(), tenant, w.ID)
				return err
			}, models.Canceled, "webhook deleted"},
			{func(_ models.Webhook, e string) error { return s.EraseEvent(t.Context(), tenant, e) }, models.Canceled, "payload erased"},
		} {
			w := s.Webhook(t, tenant)
			d := s.Publish(t, tenant, w)[0]
			require.NoError(t, tt.act(w, d.EventID))
			require.NoError(t, s.DB().Exec("UPDATE deliveries SET status = 'pending', status_reason = '', finished_at = NULL, next_attempt_at = created_at WHERE id = ?", d.ID).Error)
			d = s.Reload(t, d)
			require.NoError(t, s.Effective(t.Context(), &d))
			require.Equal(t, tt.want, d.Status)
			require.Equal(t, tt.why, d.StatusReason)
			require.Equal(t, tt.want == models.Pending, d.NextAttemptAt != nil)
		}
	})
}

// A large recovery is counted by a job, and says so until it is.
func TestJobs_ALargeRecoveryIsCountedInPages(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		const n = 10_500
		s.backlog(t, w, n, "")
		_, _, err := s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)
		s.runJobs(t)
		s.Clock.Advance(time.Second)
		r := models.Recovery{Tenant: w.Tenant, WebhookID: w.ID, Statuses: []models.DeliveryStatus{models.Held}}
		_, _, err = s.SetWebhookStatus(t.Context(), w.Tenant, w.ID, models.StatusChange{To: models.WebhookActive, Recover: &r})
		require.NoError(t, err)
		require.Equal(t, int64(models.TotalUnknown), r.Total)
		_, _, err = s.ReleasePage(t.Context(), r.ID, time.Time{})
		require.NoError(t, err)
		for range 3 {
			_, _, err := s.RunJob(t.Context())
			require.NoError(t, err)
		}
		r, err = s.Recovery(t.Context(), w.Tenant, r.ID)
		require.NoError(t, err)
		require.Equal(t, int64(n), r.Total)
		require.Equal(t, int64(models.MaxDispatch), r.Released)
	})
}
