package models_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// calls lists the ids of the calls that match a filter, newest first.
func (s *database) calls(t *testing.T, tenant string, f models.CallFilter) []string {
	t.Helper()
	rows, total, err := s.Calls(t.Context(), tenant, f, 100, 0)
	require.NoError(t, err)
	require.Len(t, rows, int(total))
	ids := []string{}
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	return ids
}

// attempt records an attempt of the delivery a second after the last event of the test, and returns its id.
func (s *database) attempt(t *testing.T, d models.Delivery, status models.DeliveryStatus) string {
	t.Helper()
	s.Clock.Advance(time.Second)
	record := s.Attempted(s.Reload(t, d), status)
	s.MustRecord(t, record)
	return record.Attempt.ID
}

func TestCallLog_Calls(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant, other := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		w, second, foreign := s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, other)
		a := s.Publish(t, tenant, w, second)
		b := s.Publish(t, tenant, w)
		c := s.Publish(t, other, foreign)
		a1 := s.attempt(t, a[0], models.Pending)
		b1 := s.attempt(t, b[0], models.Delivered)
		a2 := s.attempt(t, a[0], models.Failed)
		x1 := s.attempt(t, a[1], models.Delivered)
		c1 := s.attempt(t, c[0], models.Delivered)

		for _, tt := range []struct {
			name string
			f    models.CallFilter
			want []string
		}{
			{"all", models.CallFilter{}, []string{x1, a2, b1, a1}},
			{"profile", models.CallFilter{Profile: "standard"}, []string{x1, a2, b1, a1}},
			{"other profile", models.CallFilter{Profile: "phrase"}, []string{}},
			{"ids", models.CallFilter{IDs: []string{a1, x1, c1, "none", `"a\b",{}`, ""}}, []string{x1, a1}},
			{"event type", models.CallFilter{EventTypes: []string{"order.created", "x"}}, []string{x1, a2, b1, a1}},
			{"other event type", models.CallFilter{EventTypes: []string{"x"}}, []string{}},
			{"webhook", models.CallFilter{WebhookID: second.ID}, []string{x1}},
			{"event", models.CallFilter{EventID: b[0].EventID}, []string{b1}},
			{"repeats", models.CallFilter{ParentID: a1}, []string{a2}},
			{"repeats of a repeat", models.CallFilter{ParentID: a2}, []string{}},
			{"another tenant's repeats", models.CallFilter{ParentID: c1}, []string{}},
			{"received", models.CallFilter{Received: new(true)}, []string{x1, b1}},
			{"not received", models.CallFilter{Received: new(false)}, []string{a2, a1}},
			{"status code", models.CallFilter{StatusCode: 500}, []string{a2, a1}},
			{"latest", models.CallFilter{Latest: true}, []string{x1, a2, b1}},
			{"latest not received", models.CallFilter{Latest: true, Received: new(false)}, []string{a2}},
		} {
			require.Equal(t, tt.want, s.calls(t, tenant, tt.f), tt.name)
		}
		require.Equal(t, []string{c1}, s.calls(t, other, models.CallFilter{}))

		rows, total, err := s.Calls(t.Context(), tenant, models.CallFilter{}, 2, 1)
		require.NoError(t, err)
		require.Equal(t, int64(4), total)
		require.Len(t, rows, 2)
		repeat := rows[0]
		require.Equal(t, models.Call{ID: a2, ParentID: a1, DeliveryID: a[0].ID, EventID: a[0].EventID, EventType: "order.created", WebhookID: w.ID,
			URL: w.URL, Number: 2, StartedAt: repeat.StartedAt, StatusCode: 500, Error: "the receiver answered 500"}, repeat)
		require.True(t, s.Now().Add(-2*time.Second).Equal(repeat.StartedAt), repeat.StartedAt)
		require.Empty(t, rows[1].ParentID)
	})
}

func TestCallLog_ObstaclesToAReplay(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		erased, kept := s.Publish(t, tenant, w)[0], s.Publish(t, tenant, w)[0]
		s.attempt(t, erased, models.Delivered)
		last := s.attempt(t, kept, models.Delivered)
		obstacles := func() (all []models.Obstacle) {
			rows, _, err := s.Calls(t.Context(), tenant, models.CallFilter{}, 10, 0)
			require.NoError(t, err)
			for _, r := range slices.Backward(rows) {
				all = append(all, r.Obstacle)
			}
			return all
		}
		require.Equal(t, []models.Obstacle{"", ""}, obstacles())
		require.NoError(t, s.EraseEvent(t.Context(), tenant, erased.EventID))
		require.Equal(t, []models.Obstacle{models.ObstacleErased, ""}, obstacles())
		require.Equal(t, []string{last}, s.calls(t, tenant, models.CallFilter{Latest: true}))
		_, _, err := s.SetWebhookStatus(t.Context(), tenant, w.ID, models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)
		require.Equal(t, []models.Obstacle{models.ObstacleInactive, models.ObstacleInactive}, obstacles())
		_, err = s.DeleteWebhook(t.Context(), tenant, w.ID)
		require.NoError(t, err)
		require.Equal(t, []models.Obstacle{models.ObstacleDeleted, models.ObstacleDeleted}, obstacles())
		require.Empty(t, s.calls(t, tenant, models.CallFilter{Latest: true}))
	})
}

func TestCallLog_AReplayIsNotedAndNotedAgain(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		s.Tenant(t, "globex")
		id := s.attempt(t, s.Publish(t, tenant, s.Webhook(t, tenant))[0], models.Delivered)
		replayedAt := func() *time.Time {
			rows, _, err := s.Calls(t.Context(), tenant, models.CallFilter{}, 10, 0)
			require.NoError(t, err)
			return rows[0].ReplayedAt
		}
		require.NoError(t, s.NoteReplay(t.Context(), "globex", id))
		require.Nil(t, replayedAt(), "what another tenant notes is not this one's")
		for range 2 {
			s.Clock.Advance(time.Minute)
			require.NoError(t, s.NoteReplay(t.Context(), tenant, id))
			require.True(t, s.Now().Equal(*replayedAt()), replayedAt())
		}
		require.NoError(t, s.DeleteTenant(t.Context(), tenant))
		require.ErrorIs(t, s.NoteReplay(t.Context(), tenant, id), models.ErrNotFound)
		s.runJobs(t)
		require.Equal(t, 1, s.Count(t, "replays"))
	})
}
