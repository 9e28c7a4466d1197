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

// named gives the deliveries that a name finds as their events' ids, in pages of a size, and how many pages there were.
func (s *database) named(tb testing.TB, tenant string, f models.DeliveryFilter, name string, limit int, most models.TextBounds) (events []string, pages int) {
	tb.Helper()
	seen := map[string]bool{}
	for page := (models.Page{Limit: limit}); ; pages++ {
		rows, next, err := s.DeliveriesNamedWithin(tb.Context(), tenant, f, name, page, most)
		require.NoError(tb, err)
		require.LessOrEqual(tb, len(rows), limit)
		for _, d := range rows {
			require.False(tb, seen[d.Tenant+d.ID], "twice")
			seen[d.Tenant+d.ID] = true
			events = append(events, d.EventID)
		}
		if page.After = next; next == "" {
			return events, pages + 1
		}
	}
}

func TestDeliverySearch_DeliveriesAreFoundByName(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		hooks := map[string][]models.Webhook{}
		for _, tenant := range []string{"acme", "globex"} {
			s.Tenant(t, tenant)
			hooks[tenant] = []models.Webhook{s.Webhook(t, tenant), s.Webhook(t, tenant)}
		}
		publish := func(tenant, id string, change func(*models.Event)) []models.Delivery {
			a := &models.Acceptance{Tenant: tenant, Version: s.Version(t, tenant)}
			s.Add(a, id, hooks[tenant]...)
			change(&a.Events[0])
			s.mustAccept(t, a)
			return a.Deliveries
		}
		since := s.Now()
		var first []models.Delivery
		for i := range 60 { // tagged ones, and others between them
			s.Clock.Advance(time.Minute)
			deliveries := publish("acme", fmt.Sprintf("e%02d", i), func(e *models.Event) {
				if e.Tags = []string{"even"}; i%2 == 1 {
					e.Tags = nil
				}
				if i == 8 {
					e.ExternalID = "order-8"
				}
				if i == 9 { // an external id goes before a tag, and an event's id before that
					e.ExternalID, e.Tags = "e08", []string{"order-8"}
				}
			})
			if i == 0 {
				first = deliveries
			}
		}
		publish("globex", "e08", func(e *models.Event) { e.ExternalID, e.Tags = "order-8", []string{"even"} })
		publish("globex", "only", func(e *models.Event) { e.ExternalID = "theirs" })

		wide := models.TextBounds{Events: 1000, For: time.Minute, Now: s.Clock.Now}
		even := []string{}
		for i := 58; i >= 0; i -= 2 {
			even = append(even, fmt.Sprintf("e%02d", i), fmt.Sprintf("e%02d", i))
		}
		webhook := hooks["acme"][1].ID
		for name, tt := range map[string]struct {
			tenant string
			f      models.DeliveryFilter
			name   string
			want   string
		}{
			"a delivery":               {"acme", models.DeliveryFilter{}, first[1].ID, "e00"},
			"that the filter leaves":   {"acme", models.DeliveryFilter{Status: models.Failed}, first[1].ID, ""},
			"of another tenant":        {"globex", models.DeliveryFilter{}, first[1].ID, ""},
			"of any tenant":            {"", models.DeliveryFilter{}, first[1].ID, "e00"},
			"an event":                 {"acme", models.DeliveryFilter{}, "e07", "e07,e07"},
			"an event's, to a webhook": {"acme", models.DeliveryFilter{WebhookID: webhook}, "e07", "e07"},
			"another event's":          {"acme", models.DeliveryFilter{EventID: "e06"}, "e07", ""},
			"an event of any tenant":   {"", models.DeliveryFilter{}, "e08", "e08,e08,e08,e08"},
			"an external id":           {"acme", models.DeliveryFilter{}, "order-8", "e08,e08"},
			"an external id elsewhere": {"acme", models.DeliveryFilter{}, "theirs", ""},
			"an external id, anywhere": {"", models.DeliveryFilter{}, "order-8", "e08,e08,e08,e08"},
			"a tag":                    {"acme", models.DeliveryFilter{}, "even", strings.Join(even, ",")},
			"a tag's, to a webhook":    {"acme", models.DeliveryFilter{WebhookID: webhook, Until: since.Add(6 * time.Minute)}, "even", "e04,e02,e00"},
			"a tag's, in a time":       {"acme", models.DeliveryFilter{Since: since.Add(3 * time.Minute), Until: since.Add(6 * time.Minute)}, "even", "e04,e04,e02,e02"},
			"a tag's of a type":        {"acme", models.DeliveryFilter{EventType: "order.paid"}, "even", ""},
			"a tag of any tenant":      {"", models.DeliveryFilter{}, "even", ""},
			"nothing":                  {"acme", models.DeliveryFilter{}, "odd", ""},
			"a part":                   {"acme", models.DeliveryFilter{}, "e0", ""},
		} {
			for _, limit := range []int{1, 7, 100} {
				got, _ := s.named(t, tt.tenant, tt.f, tt.name, limit, wide)
				require.Equal(t, tt.want, strings.Join(got, ","), "%s, %d a page", name, limit)
			}
		}

		// A search that stops early leads on from there, and finds the same.
		few := wide
		few.Events = 4
		got, pages := s.named(t, "acme", models.DeliveryFilter{}, "even", 100, few)
		require.Equal(t, even, got)
		require.Equal(t, 8, pages, "30 events, 4 at a time")
		_, pages = s.named(t, "acme", models.DeliveryFilter{Status: models.Failed}, "even", 100, few)
		require.Equal(t, 8, pages, "of which none is shown")
		short, at := wide, s.Now()
		short.For, short.Now = 2*time.Second, func() time.Time { at = at.Add(time.Second); return at }
		got, pages = s.named(t, "acme", models.DeliveryFilter{}, "even", 100, short)
		require.Equal(t, even, got)
		require.Equal(t, 2, pages, "20 events, then the time is over")

		// Its cursor is good for this search alone.
		_, next, err := s.DeliveriesNamed(t.Context(), "acme", models.DeliveryFilter{}, "even", models.Page{Limit: 3})
		require.NoError(t, err)
		for _, name := range []string{"odd", "e00", first[0].ID} {
			_, _, err = s.DeliveriesNamed(t.Context(), "acme", models.DeliveryFilter{}, name, models.Page{Limit: 3, After: next})
			require.ErrorIs(t, err, models.ErrBadCursor, name)
		}
		_, _, err = s.Deliveries(t.Context(), "acme", models.DeliveryFilter{}, models.Page{Limit: 3, After: next})
		require.ErrorIs(t, err, models.ErrBadCursor)
	})
}

// Whatever a name finds, it is found along indexes.
func TestDeliverySearch_NamedDeliveriesAreFoundByIndexesOnPostgres(t *testing.T) {
	t.Parallel()
	s := postgres(t)
	w := s.crowd(t)[7]
	s.label(t, w.Tenant)
	s.patiently(t, nil, "VACUUM ANALYZE")
	d, _, err := s.Deliveries(t.Context(), w.Tenant, models.DeliveryFilter{WebhookID: w.ID}, models.Page{Limit: 3})
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		tenant, name string
		f            models.DeliveryFilter
		rows         int
		most         int64
	}{
		"a delivery":                   {w.Tenant, d[2].ID, models.DeliveryFilter{}, 1, 10},
		"a delivery of any tenant":     {"", d[2].ID, models.DeliveryFilter{}, 1, 10},
		"an event":                     {w.Tenant, d[2].EventID, models.DeliveryFilter{}, 1, 10},
		"an event of any tenant":       {"", d[2].EventID, models.DeliveryFilter{}, 1, 20},
		"a tag":                        {w.Tenant, "all", models.DeliveryFilter{}, 50, 20 * 60},
		"a tag that few have":          {w.Tenant, "few", models.DeliveryFilter{}, 50, 20 * 60},
		"nothing":                      {w.Tenant, "none", models.DeliveryFilter{}, 0, 10},
		"nothing, in any tenant":       {"", "none", models.DeliveryFilter{}, 0, 20},
		"a tag, of which none is left": {w.Tenant, "all", models.DeliveryFilter{Status: models.Canceled}, 0, 4 * 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			got := s.countingOf(t, func(ctx context.Context, tx *models.Store) error {
				rows, _, err := tx.DeliveriesNamed(ctx, tt.tenant, tt.f, tt.name, models.Page{Limit: 50})
				require.Len(t, rows, tt.rows)
				return err
			}, "events", "event_labels", "deliveries")
			t.Logf("%+v", got)
			require.Zero(t, got.Scans, "read from end to end")
			require.LessOrEqual(t, got.Rows, tt.most, "rows read")
		})
	}
}
