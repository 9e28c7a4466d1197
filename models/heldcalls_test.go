package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestHeldCalls_AreListed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant, other := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		w, active := s.Webhook(t, tenant), s.Webhook(t, tenant)
		attempted := s.Publish(t, tenant, w)[0]
		s.attempt(t, attempted, models.Pending)
		s.Publish(t, tenant, active)
		s.Publish(t, other, s.Webhook(t, other))
		a := s.Publish(t, tenant, w)[0]
		s.Clock.Advance(time.Second)
		b := s.Publish(t, tenant, w)[0]
		held := func(f models.CallFilter, limit, offset int) (ids []string, all []models.Call, total int64) {
			all, total, err := s.HeldCalls(t.Context(), tenant, f, limit, offset)
			require.NoError(t, err)
			ids = []string{}
			for _, c := range all {
				ids = append(ids, c.ID)
			}
			return ids, all, total
		}
		status := func(to models.WebhookStatus) {
			_, _, err := s.SetWebhookStatus(t.Context(), tenant, w.ID, models.StatusChange{To: to})
			require.NoError(t, err)
			s.runJobs(t)
		}
		ids, _, _ := held(models.CallFilter{}, 10, 0)
		require.Empty(t, ids)

		status(models.WebhookDeactivated)
		ids, all, total := held(models.CallFilter{}, 10, 0)
		require.Equal(t, []string{b.ID, a.ID}, ids, "not one that has been attempted, as its attempt is listed")
		require.Equal(t, int64(2), total)
		require.Equal(t, models.Call{ID: b.ID, DeliveryID: b.ID, EventID: b.EventID, EventType: "order.created", WebhookID: w.ID, URL: w.URL, Number: 1,
			StartedAt: all[0].StartedAt, Error: "not sent: webhook deactivated", Obstacle: models.ObstacleInactive}, all[0])
		require.True(t, b.CreatedAt.Equal(all[0].StartedAt))
		ids, _, total = held(models.CallFilter{}, 1, 1)
		require.Equal(t, []string{a.ID}, ids)
		require.Equal(t, int64(2), total)

		for _, tt := range []struct {
			name string
			f    models.CallFilter
			want []string
		}{
			{"profile", models.CallFilter{Profile: "standard"}, []string{b.ID, a.ID}},
			{"other profile", models.CallFilter{Profile: "phrase"}, []string{}},
			{"ids", models.CallFilter{IDs: []string{a.ID, attempted.ID, "none"}}, []string{a.ID}},
			{"event types", models.CallFilter{EventTypes: []string{"order.created", "x"}}, []string{b.ID, a.ID}},
			{"other event types", models.CallFilter{EventTypes: []string{"x"}}, []string{}},
			{"webhook", models.CallFilter{WebhookID: active.ID}, []string{}},
			{"event", models.CallFilter{EventID: a.EventID}, []string{a.ID}},
			{"repeats", models.CallFilter{ParentID: a.ID}, []string{}},
			{"received", models.CallFilter{Received: new(true)}, []string{}},
			{"not received", models.CallFilter{Received: new(false)}, []string{b.ID, a.ID}},
			{"status code", models.CallFilter{StatusCode: 500}, []string{}},
			{"latest, inactive", models.CallFilter{Latest: true}, []string{}},
		} {
			ids, _, _ := held(tt.f, 10, 0)
			require.Equal(t, tt.want, ids, tt.name)
		}

		status(models.WebhookActive)
		ids, all, _ = held(models.CallFilter{Latest: true}, 10, 0)
		require.Equal(t, []string{b.ID, a.ID}, ids)
		require.Empty(t, all[0].Obstacle)
		_, err := s.DeleteWebhook(t.Context(), tenant, w.ID)
		require.NoError(t, err)
		ids, _, _ = held(models.CallFilter{}, 10, 0)
		require.Empty(t, ids)
	})
}
