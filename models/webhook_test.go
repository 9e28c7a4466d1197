package models_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestWebhook_IsReadBackAsItWasWritten(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		five := 5
		w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: "acme", Profile: "phrase", URL: "https://example.com/?q=ü", Name: "n",
			Description: "d", EventTypes: []string{"order.*", "x"}, Status: models.WebhookActive, Headers: []byte{0, 1, 0xff}, Secrets: []byte{2},
			Settings: map[string]string{"a": "b"}, Retry: models.Retry{Initial: time.Second, Backoff: 1.5, MaxInterval: time.Hour, Max: &five},
			TimeoutMS: 2500, MaxInFlight: 3, RateLimit: 0.25, CreatedBy: "key_1", UpdatedBy: "key_2"}
		require.NoError(t, s.CreateWebhook(t.Context(), &w))
		bare := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: "acme"}
		require.NoError(t, s.CreateWebhook(t.Context(), &bare), "nothing has to be there")
		_, err := s.UpdateWebhook(t.Context(), "acme", bare.ID, func(w *models.Webhook) error { w.Name = "bare"; return nil })
		require.NoError(t, err)
		require.Equal(t, s.Now(), w.CreatedAt)
		got, err := s.Store.Webhook(t.Context(), "acme", w.ID)
		require.NoError(t, err)
		require.Equal(t, w, got)
		byID, err := s.WebhookByID(t.Context(), w.ID)
		require.NoError(t, err)
		require.Equal(t, w, byID)
		require.ErrorIs(t, s.CreateWebhook(t.Context(), &w), models.ErrConflict)
		w.ID, w.Tenant = models.NewID(models.PrefixWebhook), "nobody"
		require.ErrorIs(t, s.CreateWebhook(t.Context(), &w), models.ErrNotFound)
	})
}

func TestWebhook_UpdateWebhook(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		s.fail(t, w, 2)
		version := s.Version(t, "acme")
		s.Clock.Advance(time.Second)
		now, err := s.UpdateWebhook(t.Context(), "acme", w.ID, func(w *models.Webhook) error {
			w.Name, w.EventTypes = "renamed", []string{"order.created"}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, s.Now(), now.UpdatedAt)
		require.Equal(t, version+1, s.Version(t, "acme"), "what was matched before is stale")
		got, err := s.Store.Webhook(t.Context(), "acme", w.ID)
		require.NoError(t, err)
		require.Equal(t, now, got)
		require.Equal(t, "renamed", got.Name)
		require.Equal(t, int64(2), got.Health.Failed, "untouched")

		refused := errors.New("refused")
		_, err = s.UpdateWebhook(t.Context(), "acme", w.ID, func(w *models.Webhook) error {
			w.Name = "not this"
			return refused
		})
		require.ErrorIs(t, err, refused)
		require.Equal(t, version+1, s.Version(t, "acme"))
	})
}

func TestWebhook_DeleteWebhookCancelsWhatIsOwed(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w, neighbour := s.Webhook(t, tenant), s.Webhook(t, tenant)
		pending, held, failed := s.Publish(t, tenant, w)[0], s.deliveryOf(t, w, models.Held), s.deliveryOf(t, w, models.Failed)
		other := s.Publish(t, tenant, neighbour)[0]
		version := s.Version(t, tenant)
		s.Clock.Advance(time.Second)

		deleted, err := s.DeleteWebhook(t.Context(), tenant, w.ID)
		require.NoError(t, err)
		require.Equal(t, w.ID, deleted.ID)
		require.Equal(t, version+1, s.Version(t, tenant))
		for _, d := range []models.Delivery{pending, held} {
			now := s.Reload(t, d)
			require.Equal(t, models.Canceled, now.Status)
			require.Equal(t, "webhook deleted", now.StatusReason)
			require.Equal(t, s.Now(), *now.FinishedAt)
		}
		require.Equal(t, failed, s.Reload(t, failed))
		require.Equal(t, other, s.Reload(t, other))

		_, err = s.Store.Webhook(t.Context(), tenant, w.ID)
		require.ErrorIs(t, err, models.ErrNotFound)
		_, err = s.WebhookByID(t.Context(), w.ID)
		require.ErrorIs(t, err, models.ErrNotFound)
		_, err = s.DeleteWebhook(t.Context(), tenant, w.ID)
		require.ErrorIs(t, err, models.ErrNotFound)
		all, _, err := s.AllWebhooks(t.Context(), tenant)
		require.NoError(t, err)
		require.Len(t, all, 1)
		var secrets []byte
		require.NoError(t, s.DB().Raw("SELECT secrets FROM webhooks WHERE id = ?", w.ID).Row().Scan(&secrets))
		require.Empty(t, secrets, "its secrets do not outlive it")
	})
}

func TestWebhook_EraseEventKeepsTheRecord(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		w := s.Webhook(t, tenant)
		a := s.Acceptance(t, tenant, w, w, w)
		a.Events[0].Attributes = map[string]string{"customer": "somebody"}
		s.mustAccept(t, a)
		e, err := s.Event(t.Context(), tenant, a.Events[0].ID)
		require.NoError(t, err)
		require.Equal(t, a.Events[0], e)
		delivered, pending, held := a.Deliveries[0], a.Deliveries[1], a.Deliveries[2]
		s.MustRecord(t, s.Attempted(delivered, models.Delivered))
		require.NoError(t, s.HoldDelivery(t.Context(), &held, models.WebhookPaused))
		s.Clock.Advance(time.Second)
		erased := s.Now()
		require.NoError(t, s.EraseEvent(t.Context(), tenant, e.ID))
		s.Clock.Advance(time.Second)
		require.NoError(t, s.EraseEvent(t.Context(), tenant, e.ID), "again")

		now, err := s.Event(t.Context(), tenant, e.ID)
		require.NoError(t, err)
		require.Equal(t, models.Event{Tenant: tenant, ID: e.ID, Type: e.Type, CreatedAt: e.CreatedAt, ErasedAt: &erased}, now)
		require.Equal(t, models.Delivered, s.Reload(t, delivered).Status)
		for _, d := range []models.Delivery{pending, held} {
			require.Equal(t, models.Canceled, s.Reload(t, d).Status)
			require.Equal(t, "payload erased", s.Reload(t, d).StatusReason)
		}
		require.ErrorIs(t, s.EraseEvent(t.Context(), tenant, "evt_none"), models.ErrNotFound)
	})
}

func TestWebhook_WhichEventsAWebhookWants(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		patterns []string
		event    string
		want     bool
	}{
		{nil, "order.created", true},
		{nil, "webhook.deactivated", false},
		{[]string{"order.created"}, "order.created", true},
		{[]string{"order.created"}, "order.created.late", false},
		{[]string{"order.*"}, "order.created.late", true},
		{[]string{"order.*"}, "order", false},
		{[]string{"order.*"}, "orders.created", false},
		{[]string{"a", "order.*"}, "order.created", true},
		{[]string{"*"}, "order.created", true},
		{[]string{"*"}, "webhook.deactivated", false},
		{[]string{"webhook.*"}, "webhook.deactivated", true},
		{[]string{"webhook.deactivated"}, "webhook.deactivated", true},
	} {
		w := models.Webhook{EventTypes: tt.patterns}
		require.Equal(t, tt.want, w.Wants(tt.event), "%v wants %s", tt.patterns, tt.event)
	}
}

func TestWebhook_IDs(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
	first := models.IDBefore(models.PrefixEvent, at)
	require.Equal(t, "evt_019ca945-0a05-0000-0000-000000000000", first)
	require.Less(t, first, idAt(models.PrefixEvent, at))
	require.Less(t, idAt(models.PrefixEvent, at), models.IDBefore(models.PrefixEvent, at.Add(time.Millisecond)))
	id := models.NewID(models.PrefixEvent)
	require.True(t, models.HasIDForm(models.PrefixEvent, id))
	for _, bad := range []string{"", "evt_", "dlv_" + id[4:], id + "0", id[:len(id)-1] + "g", "evt_{" + id[4:]} {
		require.False(t, models.HasIDForm(models.PrefixEvent, bad), bad)
	}
}

// A change that changes nothing raises no version and no time, so that no process reads the tenant again.
func TestWebhook_UpdateWebhookThatChangesNothing(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		read := func() models.Webhook {
			w, err := s.Store.Webhook(t.Context(), "acme", w.ID)
			require.NoError(t, err)
			return w
		}
		before := read()
		version := s.Version(t, "acme")
		s.Clock.Advance(time.Minute)
		same, err := s.UpdateWebhook(t.Context(), "acme", w.ID, func(w *models.Webhook) error {
			w.UpdatedBy, w.URL, w.Headers = "somebody else", strings.Clone(w.URL), bytes.Clone(w.Headers)
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, before, same)
		require.Equal(t, before, read())
		require.Equal(t, version, s.Version(t, "acme"))
	})
}

// A page of the few webhooks that match a rare type reads a limited number of webhooks, and the next page continues
// after them.
func TestWebhook_AFilterByTypeLooksAtABoundedNumber(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		const n = 2_500 + 40
		s.crowdOfWebhooks(t, tenant, 0, n)
		require.NoError(t, s.DB().Exec(`UPDATE webhooks SET event_types = '["a.b"]'`).Error)
		last, _, err := s.Webhooks(t.Context(), tenant, models.WebhookFilter{}, models.Page{Limit: 1, Reverse: true})
		require.NoError(t, err)
		require.NoError(t, s.DB().Exec(`UPDATE webhooks SET event_types = '["c.d"]' WHERE id = ?`, last[0].ID).Error)
		store, o := s.Observe()
		rows, next, err := store.Webhooks(t.Context(), tenant, models.WebhookFilter{EventType: "c.d"}, models.Page{Limit: 50})
		require.NoError(t, err)
		require.Empty(t, rows)
		require.NotEmpty(t, next)
		require.Len(t, o.Statements, 3)
		rows, next, err = store.Webhooks(t.Context(), tenant, models.WebhookFilter{EventType: "c.d"}, models.Page{Limit: 50, After: next})
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, last[0].ID, rows[0].ID)
		require.Empty(t, next)
	})
}

func TestWebhook_OfSeveralOnlyWebhooksOneIsCreated(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		s.Webhook(t, tenant) // of another profile
		only := func() error {
			return s.CreateOnlyWebhook(t.Context(), &models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: tenant, Profile: "im4",
				Status: models.WebhookActive, EventTypes: []string{}, Settings: map[string]string{}, Headers: []byte{}, Secrets: []byte{}})
		}
		var created atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := only(); err == nil {
					created.Add(1)
				} else if !errors.Is(err, models.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, int32(1), created.Load())

		all, _, err := s.Webhooks(t.Context(), tenant, models.WebhookFilter{Profile: "im4"}, models.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, all, 1)
		_, err = s.DeleteWebhook(t.Context(), tenant, all[0].ID)
		require.NoError(t, err)
		require.NoError(t, only(), "a deleted one does not count")
		require.ErrorIs(t, s.CreateOnlyWebhook(t.Context(), &models.Webhook{Tenant: "nobody", Profile: "im4"}), models.ErrNotFound)
	})
}

func TestWebhook_NoEventTypeIsWanted(t *testing.T) {
	t.Parallel()
	w := models.Webhook{EventTypes: []string{models.NoEventTypes}}
	for _, name := range []string{"order.created", "webhook.deactivated", "a"} {
		require.False(t, w.Wants(name))
	}
}
