package models_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

// pages reads a list to its end, in pages of every size from 1 on, and returns the ids of each reading.
func pages(t *testing.T, n int, list func(models.Page) ([]string, string, error)) []string {
	t.Helper()
	var whole []string
	for limit := 1; limit <= n+1; limit++ {
		var ids []string
		after := ""
		for {
			page, next, err := list(models.Page{Limit: limit, After: after})
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), limit)
			ids = append(ids, page...)
			if next == "" {
				break
			}
			require.Len(t, page, limit, "only the last page may be short")
			after = next
		}
		require.Len(t, ids, n, "no gap and nothing twice, in pages of %d", limit)
		if whole == nil {
			whole = ids
		}
		require.Equal(t, whole, ids, "in pages of %d", limit)
	}
	return whole
}

func idsOf[T any](rows []T, next string, err error, id func(T) string) ([]string, string, error) {
	var ids []string
	for _, r := range rows {
		ids = append(ids, id(r))
	}
	return ids, next, err
}

func (s *database) listDeliveries(t *testing.T, f models.DeliveryFilter) func(models.Page) ([]string, string, error) {
	return func(p models.Page) ([]string, string, error) {
		rows, next, err := s.Deliveries(t.Context(), "acme", f, p)
		return idsOf(rows, next, err, func(d models.Delivery) string { return d.ID })
	}
}

func (s *database) listEvents(t *testing.T, f models.EventFilter) func(models.Page) ([]string, string, error) {
	return func(p models.Page) ([]string, string, error) {
		rows, next, err := s.Events(t.Context(), "acme", f, p)
		return idsOf(rows, next, err, func(e models.Event) string { return e.ID })
	}
}

func (s *database) listWebhooks(t *testing.T, f models.WebhookFilter) func(models.Page) ([]string, string, error) {
	return func(p models.Page) ([]string, string, error) {
		rows, next, err := s.Webhooks(t.Context(), "acme", f, p)
		return idsOf(rows, next, err, func(w models.Webhook) string { return w.ID })
	}
}

func (s *database) listTenants(t *testing.T) func(models.Page) ([]string, string, error) {
	return func(p models.Page) ([]string, string, error) {
		rows, next, err := s.Tenants(t.Context(), p)
		return idsOf(rows, next, err, func(t models.Tenant) string { return t.ID })
	}
}

func TestLists_DeliveriesArePagedNewestFirst(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w, second := s.Webhook(t, s.Tenant(t, "acme")), s.Webhook(t, "acme")
		var all []models.Delivery
		for i := range 6 {
			all = append(all, s.Publish(t, "acme", w)...)
			if i%2 == 1 { // two at the same moment
				s.Clock.Advance(time.Minute)
			}
		}
		all = append(all, s.Publish(t, "acme", w, second)...)
		s.MustRecord(t, s.Attempted(all[2], models.Delivered), s.Attempted(all[5], models.Delivered))
		ids := func(indexes ...int) []string {
			var ids []string
			for _, i := range indexes {
				ids = append(ids, all[i].ID)
			}
			slices.Sort(ids)
			slices.Reverse(ids)
			return ids
		}
		third := all[2].CreatedAt
		for _, tt := range []struct {
			name string
			f    models.DeliveryFilter
			want []string
		}{
			{"all", models.DeliveryFilter{}, ids(0, 1, 2, 3, 4, 5, 6, 7)},
			{"webhook", models.DeliveryFilter{WebhookID: second.ID}, ids(7)},
			{"event", models.DeliveryFilter{EventID: all[7].EventID}, ids(6, 7)},
			{"event type", models.DeliveryFilter{EventType: "order.created"}, ids(0, 1, 2, 3, 4, 5, 6, 7)},
			{"no such event type", models.DeliveryFilter{EventType: "x"}, nil},
			{"status", models.DeliveryFilter{Status: models.Delivered}, ids(2, 5)},
			{"since, inclusive", models.DeliveryFilter{Since: third}, ids(2, 3, 4, 5, 6, 7)},
			{"until, exclusive", models.DeliveryFilter{Until: third}, ids(0, 1)},
			{"together", models.DeliveryFilter{WebhookID: w.ID, Status: models.Pending, Since: third, Until: third.Add(time.Second)}, ids(3)},
		} {
			require.Equal(t, tt.want, pages(t, len(tt.want), s.listDeliveries(t, tt.f)), tt.name)
		}
	})
}

func TestLists_EventsArePagedNewestFirst(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		var want []string
		at := map[string]time.Time{}
		for i, d := range []time.Duration{0, 0, 3 * time.Millisecond, 500 * time.Millisecond, 377 * time.Millisecond, 0, time.Hour} {
			s.Clock.Advance(d)
			id := fmt.Sprintf("event-%d", i)
			a := &models.Acceptance{Tenant: "acme"}
			s.Add(a, id)
			if i == 3 {
				a.Events[0].Type = "order.paid"
			}
			s.mustAccept(t, a)
			want = append(want, id)
			at[id] = s.Now()
		}
		slices.Reverse(want)
		require.Equal(t, want, pages(t, 7, s.listEvents(t, models.EventFilter{})))
		require.Equal(t, []string{"event-3"}, pages(t, 1, s.listEvents(t, models.EventFilter{Type: "order.paid"})))
		require.Equal(t, want[:4], pages(t, 4, s.listEvents(t, models.EventFilter{Since: at["event-3"]})))
		require.Equal(t, want[4:], pages(t, 3, s.listEvents(t, models.EventFilter{Until: at["event-3"]})))
		elsewhere := time.FixedZone("far", -11*3600)
		require.Equal(t, want[1:4], pages(t, 3, s.listEvents(t, models.EventFilter{
			Since: at["event-3"].In(elsewhere), Until: at["event-6"].In(elsewhere)})))

		rows, _, err := s.Events(t.Context(), "acme", models.EventFilter{}, models.Page{Limit: 1})
		require.NoError(t, err)
		require.Nil(t, rows[0].Data, "a list does not carry the payloads")
		require.Equal(t, at["event-6"], rows[0].CreatedAt)
	})
}

func TestLists_WebhooksArePagedOldestFirst(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		s.Tenant(t, "acme")
		var all []string
		for i := range 9 {
			w := models.Webhook{ID: models.NewID(models.PrefixWebhook), Tenant: "acme", Profile: []string{"standard", "phrase"}[i%2],
				URL: fmt.Sprintf("https://example.com/%d", i), Status: models.WebhookActive, Headers: []byte{}, Secrets: []byte{}}
			if i%3 == 0 {
				w.EventTypes = []string{"order.*"}
			}
			require.NoError(t, s.CreateWebhook(t.Context(), &w))
			all = append(all, w.ID)
		}
		_, _, err := s.SetWebhookStatus(t.Context(), "acme", all[4], models.StatusChange{To: models.WebhookPaused})
		require.NoError(t, err)
		_, err = s.DeleteWebhook(t.Context(), "acme", all[8])
		require.NoError(t, err)
		slices.Sort(all[:8])
		for _, tt := range []struct {
			name string
			f    models.WebhookFilter
			want []string
		}{
			{"all", models.WebhookFilter{}, all[:8]},
			{"URL", models.WebhookFilter{URLs: []string{"https://example.com/2", "https://example.com/none"}}, all[2:3]},
			{"status", models.WebhookFilter{Status: models.WebhookPaused}, all[4:5]},
			{"profile", models.WebhookFilter{Profile: "phrase"}, []string{all[1], all[3], all[5], all[7]}},
			{"wants", models.WebhookFilter{EventType: "order.created"}, all[:8]},
			{"wants another", models.WebhookFilter{EventType: "user.created"}, []string{all[1], all[2], all[4], all[5], all[7]}},
			{"wants operational ones", models.WebhookFilter{EventType: "webhook.deactivated"}, nil},
		} {
			require.Equal(t, tt.want, pages(t, len(tt.want), s.listWebhooks(t, tt.f)), tt.name)
		}
	})
}

func TestLists_TenantsArePagedByID(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		for _, id := range []string{"b", "a", "d", "c"} {
			s.Tenant(t, id)
		}
		require.Equal(t, []string{"a", "b", "c", "d"}, pages(t, 4, s.listTenants(t)))
	})
}
