package models_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestAttemptList_ListAttempts(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant, other := s.Tenant(t, "acme"), s.Tenant(t, "globex")
		w, second, foreign := s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, other)
		a := s.Publish(t, tenant, w, second)
		b := s.Publish(t, tenant, w)
		c := s.Publish(t, other, foreign)
		a1 := s.attempt(t, a[0], models.Pending)
		a2 := s.attempt(t, a[0], models.Failed)
		middle := s.Now()
		b1 := s.attempt(t, b[0], models.Delivered)
		x1 := s.attempt(t, a[1], models.Pending)
		c1 := s.attempt(t, c[0], models.Delivered)
		for _, tt := range []struct {
			name string
			f    models.AttemptFilter
			want []string
		}{
			{"all", models.AttemptFilter{}, []string{x1, b1, a2, a1}},
			{"webhook", models.AttemptFilter{WebhookID: w.ID}, []string{b1, a2, a1}},
			{"foreign webhook", models.AttemptFilter{WebhookID: foreign.ID}, nil},
			{"event", models.AttemptFilter{EventID: a[0].EventID}, []string{x1, a2, a1}},
			{"both", models.AttemptFilter{EventID: a[0].EventID, WebhookID: second.ID}, []string{x1}},
			{"types", models.AttemptFilter{EventTypes: []string{"order.created", "x"}}, []string{x1, b1, a2, a1}},
			{"other types", models.AttemptFilter{EventTypes: []string{"x"}}, nil},
			{"received", models.AttemptFilter{Outcome: models.OutcomeReceived}, []string{b1}},
			{"failed", models.AttemptFilter{Outcome: models.OutcomeFailed}, []string{a2, a1}},
			{"repeating", models.AttemptFilter{Outcome: models.OutcomeRepeating}, []string{x1}},
			{"class", models.AttemptFilter{StatusClass: new(5)}, []string{x1, a2, a1}},
			{"no answer", models.AttemptFilter{StatusClass: new(0)}, nil},
			{"since", models.AttemptFilter{Since: middle.Add(time.Millisecond)}, []string{x1, b1}},
			{"until", models.AttemptFilter{Until: middle.Add(time.Millisecond)}, []string{a2, a1}},
		} {
			list := func(p models.Page) ([]string, string, error) {
				rows, next, err := s.ListAttempts(t.Context(), tenant, tt.f, p)
				return idsOf(rows, next, err, func(a models.ListedAttempt) string { return a.ID })
			}
			require.Equal(t, tt.want, pages(t, len(tt.want), list), tt.name)
		}
		one, err := s.ListedAttempt(t.Context(), tenant, b1)
		require.NoError(t, err)
		require.Equal(t, []any{b[0].EventID, "order.created", models.OutcomeReceived, w.ID}, []any{one.EventID, one.EventType, one.Outcome, one.WebhookID})
		_, err = s.ListedAttempt(t.Context(), tenant, c1)
		require.ErrorIs(t, err, models.ErrNotFound)

		_, err = s.DeleteWebhook(t.Context(), tenant, second.ID)
		require.NoError(t, err)
		found, err := s.WebhooksByID(t.Context(), tenant, []string{w.ID, second.ID, foreign.ID})
		require.NoError(t, err)
		require.Len(t, found, 2, "the deleted one too, and no other tenant's")
		heads, err := s.EventHeads(t.Context(), tenant, []string{a[0].EventID, c[0].EventID})
		require.NoError(t, err)
		require.Len(t, heads, 1)
		require.Nil(t, heads[a[0].EventID].Data)
	})
}

// A list that begins after a key and a list in the other direction have the same rows.
func TestAttemptList_ListsGoBothWaysFromAKey(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		tenant := s.Tenant(t, "acme")
		s.Tenant(t, "globex")
		require.NoError(t, s.PutEventTypes(t.Context(), []models.EventType{{Name: "a"}, {Name: "b"}, {Name: "c"}}))
		webhooks := []models.Webhook{s.Webhook(t, tenant), s.Webhook(t, tenant), s.Webhook(t, tenant)}
		since := s.Now()
		var delivered []models.Delivery
		var ids []string
		for range 4 {
			a := s.Acceptance(t, tenant, webhooks[0])
			a.Events[0].Tags, a.Events[0].Channels = []string{"all"}, []string{"north"}
			s.mustAccept(t, a)
			delivered, ids = append(delivered, a.Deliveries...), append(ids, a.Events[0].ID)
			s.Clock.Advance(time.Second)
		}
		s.attempt(t, delivered[0], models.Pending)
		types := func(p models.Page) ([]string, string, error) {
			rows, next, err := s.EventTypePage(t.Context(), tenant, models.TypeView{}, p)
			return idsOf(rows, next, err, func(e models.EventType) string { return e.Name })
		}
		text := func(p models.Page) ([]string, string, error) {
			rows, next, _, err := s.EventsWithText(t.Context(), tenant, models.EventFilter{Since: since, Until: s.Now(), Tag: "all"}, "{", p)
			return idsOf(rows, next, err, func(e models.Event) string { return e.ID })
		}
		for name, list := range map[string]pageOf{"events with text": text, "events with a tag": s.listEvents(t, models.EventFilter{Tag: "all", Channel: "north"}),
			"events with ids": s.listEvents(t, models.EventFilter{IDs: ids, IDsOf: "key"}), "tenants": s.listTenants(t), "webhooks": s.listWebhooks(t, models.WebhookFilter{}),
			"events": s.listEvents(t, models.EventFilter{Types: []string{"order.created"}}), "types": types,
			"deliveries": s.listDeliveries(t, models.DeliveryFilter{EventTypes: []string{"order.created"}})} {
			all, _, err := list(models.Page{Limit: 100})
			require.NoError(t, err)
			back, _, err := list(models.Page{Limit: 100, Reverse: true})
			require.NoError(t, err)
			slices.Reverse(back)
			require.Equal(t, all, back, name)
			require.Equal(t, all, pages(t, len(all), list), name)
			slices.Reverse(back)
			require.Equal(t, back, pages(t, len(all), func(p models.Page) ([]string, string, error) {
				p.Reverse = true
				return list(p)
			}), name)
			key := []string{all[0]}
			if strings.HasPrefix(name, "events") {
				key, err = s.BehindEvent(t.Context(), tenant, all[0])
				require.NoError(t, err)
			}
			rest, _, err := list(models.Page{Limit: 100, Key: key})
			require.NoError(t, err)
			require.Equal(t, all[1:], rest, name)
			none, next, err := list(models.Page{Limit: 100, Key: key, Reverse: true})
			require.NoError(t, err)
			require.Empty(t, none, name)
			require.Empty(t, next)
			_, _, err = list(models.Page{Limit: 100, Key: []string{"a", "b", "c"}})
			require.ErrorIs(t, err, models.ErrBadCursor, name)
		}
		require.Equal(t, []string{delivered[0].ID}, pages(t, 1, s.listDeliveries(t, models.DeliveryFilter{Tried: true})))
		require.Len(t, pages(t, 3, s.listDeliveries(t, models.DeliveryFilter{Untried: true})), 3)
	})
}
