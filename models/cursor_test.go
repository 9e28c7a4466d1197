package models_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

type pageOf = func(models.Page) ([]string, string, error)

// cursorLists are the same lists of several tenants and with several filters. Each has its own cursors.
func (s *database) cursorLists(t *testing.T, webhook string) map[string]pageOf {
	t.Helper()
	events := func(tenant string, f models.EventFilter) pageOf {
		return func(p models.Page) ([]string, string, error) {
			rows, next, err := s.Events(t.Context(), tenant, f, p)
			return idsOf(rows, next, err, func(e models.Event) string { return e.ID })
		}
	}
	deliveries := func(tenant string, f models.DeliveryFilter) pageOf {
		return func(p models.Page) ([]string, string, error) {
			rows, next, err := s.Deliveries(t.Context(), tenant, f, p)
			return idsOf(rows, next, err, func(d models.Delivery) string { return d.ID })
		}
	}
	webhooks := func(tenant string, f models.WebhookFilter) pageOf {
		return func(p models.Page) ([]string, string, error) {
			rows, next, err := s.Webhooks(t.Context(), tenant, f, p)
			return idsOf(rows, next, err, func(w models.Webhook) string { return w.ID })
		}
	}
	keys := func(tenant string) pageOf {
		return func(p models.Page) ([]string, string, error) {
			rows, next, err := s.APIKeyPage(t.Context(), tenant, p)
			return idsOf(rows, next, err, func(k models.APIKey) string { return k.ID })
		}
	}
	types := func(tenant string) pageOf {
		return func(p models.Page) ([]string, string, error) {
			rows, next, err := s.EventTypePage(t.Context(), tenant, models.TypeView{}, p)
			return idsOf(rows, next, err, func(e models.EventType) string { return e.Name })
		}
	}
	long, late := time.Unix(1, 0), time.Unix(253402300000, 0)
	return map[string]pageOf{
		"tenants": s.listTenants(t),
		"keys":    keys("acme"), "other keys": keys("globex"),
		"types": types(""), "acme's types": types("acme"), "other types": types("globex"),
		"webhooks": webhooks("acme", models.WebhookFilter{}), "other webhooks": webhooks("globex", models.WebhookFilter{}),
		"active webhooks": webhooks("acme", models.WebhookFilter{Status: models.WebhookActive}), "wanting webhooks": webhooks("acme", models.WebhookFilter{EventType: "order.created"}),
		"webhooks of a profile": webhooks("acme", models.WebhookFilter{Profile: "standard"}), "webhooks of a URL": webhooks("acme", models.WebhookFilter{URLs: []string{"https://example.com/hook"}}),
		"events": events("acme", models.EventFilter{}), "other events": events("globex", models.EventFilter{}),
		"events of a type": events("acme", models.EventFilter{Type: "order.created"}),
		"events since":     events("acme", models.EventFilter{Since: long}), "events until": events("acme", models.EventFilter{Until: late}),
		"deliveries": deliveries("acme", models.DeliveryFilter{}), "other deliveries": deliveries("globex", models.DeliveryFilter{}),
		"deliveries since": deliveries("acme", models.DeliveryFilter{Since: long}), "deliveries until": deliveries("acme", models.DeliveryFilter{Until: late}),
		"pending deliveries": deliveries("acme", models.DeliveryFilter{Status: models.Pending}), "deliveries of a webhook": deliveries("acme", models.DeliveryFilter{WebhookID: webhook}),
		"deliveries of a type": deliveries("acme", models.DeliveryFilter{EventType: "order.created"}),
		"deliveries of types":  deliveries("acme", models.DeliveryFilter{EventTypes: []string{"order.created", "order.paid"}}),
		"untried deliveries":   deliveries("acme", models.DeliveryFilter{Untried: true}), "all deliveries": deliveries("", models.DeliveryFilter{}),
	}
}

// During an upgrade, a list that one build began continues with another.
func TestCursor_CursorsOfEarlierBuildsAreGood(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		w := s.Webhook(t, s.Tenant(t, "acme"))
		first := s.Publish(t, "acme", w)[0]
		s.Clock.Advance(time.Second)
		d := s.Publish(t, "acme", w)[0]
		p := models.Page{Limit: 5, After: models.Cursor("deliveries", []string{"acme", w.ID, "", "", "", "", ""}, d.ID)}
		deliveries, _, err := s.Deliveries(t.Context(), "acme", models.DeliveryFilter{WebhookID: w.ID}, p)
		require.NoError(t, err)
		require.Equal(t, []models.DeliveryKey{first.Key()}, keysOf(deliveries...))
		key, err := s.BehindEvent(t.Context(), "acme", d.EventID)
		require.NoError(t, err)
		p.After = models.Cursor("events", []string{"acme", "", "", ""}, key...)
		events, _, err := s.Events(t.Context(), "acme", models.EventFilter{}, p)
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, first.EventID, events[0].ID)
	})
}

// A cursor continues only its own list, with the same kind, tenant and filter. Every other cursor is refused, and so is
// a changed one.
func TestCursor_IsGoodForItsListOnly(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		require.NoError(t, s.PutEventTypes(t.Context(), []models.EventType{{Name: "a"}, {Name: "b"}, {Name: "c"}}))
		webhook := ""
		for _, tenant := range []string{"acme", "globex"} {
			s.Tenant(t, tenant)
			for range 3 {
				k := models.APIKey{ID: models.NewID(models.PrefixKey), Tenant: tenant, Role: models.RoleRead, Hash: []byte(models.NewID("x"))}
				require.NoError(t, s.CreateAPIKey(t.Context(), &k))
				w := s.Webhook(t, tenant)
				s.Publish(t, tenant, w)
				if tenant == "acme" && webhook == "" {
					webhook = w.ID
					s.Publish(t, tenant, w)
				}
			}
		}
		lists := s.cursorLists(t, webhook)
		cursors := map[string]string{}
		for name, list := range lists {
			first, cursor, err := list(models.Page{Limit: 1})
			require.NoError(t, err, name)
			require.NotEmpty(t, cursor, name)
			second, _, err := list(models.Page{Limit: 1, After: cursor})
			require.NoError(t, err, name)
			require.NotEqual(t, first, second, name)
			cursors[name] = cursor
		}
		for name, list := range lists {
			for other, cursor := range cursors {
				if other != name {
					_, _, err := list(models.Page{Limit: 1, After: cursor})
					require.ErrorIs(t, err, models.ErrBadCursor, "%s of %s", name, other)
				}
			}
			own := cursors[name]
			for _, bad := range []string{"?", "garbage", "=", own + "=", own + "A", "\n" + own, own + "\n", strings.TrimSuffix(own, own[len(own)/2:]), "AAAA" + own} {
				_, _, err := list(models.Page{Limit: 1, After: bad})
				require.ErrorIs(t, err, models.ErrBadCursor, "%s: %q", name, bad)
			}
		}
	})
}

// FuzzCursor checks that every text is refused as a cursor, unless this very list returned it.
func FuzzCursor(f *testing.F) {
	f.Add("events", "acme", "", "2026-03-01T00:00:00Z", "evt_1", "garbage")
	f.Add("events", "a", "b\x1f", "\x1f", "\x00\xff", "")
	f.Fuzz(func(t *testing.T, list, tenant, filter, first, second, forged string) {
		made := models.Cursor(list, []string{tenant, filter}, first, second)
		key, err := models.ParseCursor(list, []string{tenant, filter}, made, 2)
		if strings.Contains(first+second, "\x1f") {
			require.Error(t, err)
		} else {
			require.NoError(t, err)
			require.Equal(t, []string{first, second}, key)
		}
		for _, about := range [][]string{{tenant}, {tenant + filter}, {filter, tenant, ""}, {tenant, filter + "x"}} {
			_, err = models.ParseCursor(list, about, made, 2)
			require.ErrorIs(t, err, models.ErrBadCursor)
		}
		if key, err = models.ParseCursor(list, []string{tenant, filter}, forged, 2); err == nil {
			require.Equal(t, forged, models.Cursor(list, []string{tenant, filter}, key...))
		} else {
			require.ErrorIs(t, err, models.ErrBadCursor)
		}
	})
}
