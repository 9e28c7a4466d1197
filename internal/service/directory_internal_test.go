package service

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func webhook(n int, eventTypes ...string) models.Webhook {
	return models.Webhook{ID: fmt.Sprintf("wh_%03d", n), EventTypes: eventTypes, URL: "https://example.com/"}
}

func idsOf(entries []*entry) (ids []string) {
	for _, e := range entries {
		ids = append(ids, e.webhook.ID)
	}
	return ids
}

// Changes bring a view up to date. The rest stays identical, with its opened secrets.
func TestDirectory_AViewFollowsChanges(t *testing.T) {
	t.Parallel()
	first := (&view{version: -1}).next(1, []models.Webhook{webhook(1, "a"), webhook(2, "a", "b"), webhook(3), webhook(4, "a.*"), webhook(5, "b")},
		map[string]string{"a": "{}", "b": ""}, []models.APIKey{{Hash: []byte("k")}})
	require.Equal(t, []string{"wh_001", "wh_002", "wh_003"}, idsOf(first.match("a", nil)))
	require.Equal(t, []string{"wh_002", "wh_005", "wh_003"}, idsOf(first.match("b", nil)))

	gone := webhook(2)
	gone.DeletedAt = new(first.at)
	second := first.next(5, []models.Webhook{webhook(1, "b"), webhook(7, "a"), webhook(0, "a"), webhook(7, "b"), gone, webhook(4, "a")},
		map[string]string{"a": "{}", "b": "{}"}, nil)
	require.Equal(t, []string{"wh_000", "wh_004", "wh_003"}, idsOf(second.match("a", nil)))
	require.Equal(t, []string{"wh_001", "wh_005", "wh_007", "wh_003"}, idsOf(second.match("b", nil)))
	require.NotContains(t, second.webhooks, "wh_002")
	require.Same(t, first.webhooks["wh_005"], second.webhooks["wh_005"])
	require.Same(t, first.types["a"], second.types["a"], "what is compiled of a schema stays")
	require.NotSame(t, first.types["b"], second.types["b"])
	require.Empty(t, second.keys)

	require.Equal(t, []string{"wh_001", "wh_002", "wh_003"}, idsOf(first.match("a", nil)), "the older one stays as it was")
	require.Len(t, first.webhooks, 5)
	whole := (&view{version: -1}).next(5, []models.Webhook{webhook(0, "a"), webhook(1, "b"), webhook(3), webhook(4, "a"), webhook(5, "b"), webhook(7, "b")},
		map[string]string{"a": "{}", "b": "{}"}, nil)
	require.Equal(t, whole.bytes, second.bytes)

	third := second.next(6, nil, map[string]string{"a": "{}", "b": "{}"}, nil)
	require.Equal(t, second.match("b", nil), third.match("b", nil))
	gone = webhook(4)
	gone.DeletedAt = new(first.at)
	require.Equal(t, []string{"wh_000", "wh_003"}, idsOf(third.next(7, []models.Webhook{gone}, nil, nil).match("a", nil)))
}

// A14: the bytes of views in memory are limited. The least recently used views are dropped.
func TestDirectory_ViewsAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	c := newViewCache(100_000) // 75,000 for views below 1,562 bytes
	for i := range 100 {
		c.add(fmt.Sprint(i), &view{bytes: 1500}, false)
		_, ok := c.Get("0")
		require.True(t, ok)
	}
	require.Equal(t, 75_000, c.usual.bytes)
	require.Equal(t, 50, c.usual.views.Len())
	_, ok := c.Get("50")
	require.False(t, ok)

	c.add("99", &view{version: 1, bytes: 1400}, false)
	require.Equal(t, 74_900, c.usual.bytes, "a view goes with the one that follows it")
	c.add("99", &view{bytes: 1}, false)
	require.Equal(t, 74_900, c.usual.bytes, "an older one is not kept")
	c.remove("99")
	require.Equal(t, 73_500, c.usual.bytes)
}

// A tenant with a large view displaces other large views, and no small ones.
func TestDirectory_LargeViewsDisplaceLargeOnes(t *testing.T) {
	t.Parallel()
	c := newViewCache(100_000) // 25,000 for views from 1,562 bytes
	for i := range 40 {
		c.add(fmt.Sprint("small", i), &view{bytes: 1500}, false)
	}
	for i := range 10 {
		c.add(fmt.Sprint("large", i), &view{bytes: 10_000}, false)
		c.add("huge", &view{bytes: 1_000_000}, false)
		require.Equal(t, []string{"huge"}, c.large.views.Keys(), "the last one stays, however large")
	}
	c.add("large", &view{bytes: 10_000}, false)
	c.add("larger", &view{bytes: 11_000}, false)
	require.Equal(t, []string{"large", "larger"}, c.large.views.Keys())
	require.Equal(t, 21_000, c.large.bytes)
	require.Equal(t, 40, c.usual.views.Len(), "all of the small ones are there")

	c.add("small0", &view{version: 1, bytes: 2000}, false) // it grows
	require.Equal(t, 39, c.usual.views.Len())
	v, ok := c.Get("small0")
	require.True(t, ok)
	require.Equal(t, int64(1), v.version)
	c.add("small0", &view{bytes: 1}, false)
	require.Equal(t, 39, c.usual.views.Len(), "an older one is not kept")
	c.remove("small0")
	require.Equal(t, 21_000, c.large.bytes)
}

// Bringing a large view up to date costs no more than copying its lists.
func BenchmarkViewFollows(b *testing.B) {
	var all []models.Webhook
	for i := range 100_000 {
		w := webhook(0, "order.created")
		w.ID = fmt.Sprintf("wh_%09d", i)
		all = append(all, w)
	}
	v := (&view{version: -1}).next(1, all, nil, nil)
	for b.Loop() {
		v.next(2, all[500:501], nil, nil)
	}
}
