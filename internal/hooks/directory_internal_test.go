package hooks

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

// A view is brought up to date by what has changed; the rest stays the very same, with what is opened of it.
func TestAViewFollowsChanges(t *testing.T) {
	t.Parallel()
	first := (&view{version: -1}).next(1, []models.Webhook{webhook(1, "a"), webhook(2, "a", "b"), webhook(3), webhook(4, "a.*"), webhook(5, "b")},
		map[string]string{"a": "{}", "b": ""}, []models.APIKey{{Hash: []byte("k")}})
	require.Equal(t, []string{"wh_001", "wh_002", "wh_003"}, idsOf(first.match("a")))
	require.Equal(t, []string{"wh_002", "wh_005", "wh_003"}, idsOf(first.match("b")))

	gone := webhook(2)
	gone.DeletedAt = new(first.at)
	second := first.next(5, []models.Webhook{webhook(1, "b"), webhook(7, "a"), webhook(0, "a"), webhook(7, "b"), gone, webhook(4, "a")},
		map[string]string{"a": "{}", "b": "{}"}, nil)
	require.Equal(t, []string{"wh_000", "wh_004", "wh_003"}, idsOf(second.match("a")))
	require.Equal(t, []string{"wh_001", "wh_005", "wh_007", "wh_003"}, idsOf(second.match("b")))
	require.NotContains(t, second.webhooks, "wh_002")
	require.Same(t, first.webhooks["wh_005"], second.webhooks["wh_005"])
	require.Same(t, first.types["a"], second.types["a"], "what is compiled of a schema stays")
	require.NotSame(t, first.types["b"], second.types["b"])
	require.Empty(t, second.keys)

	require.Equal(t, []string{"wh_001", "wh_002", "wh_003"}, idsOf(first.match("a")), "the older one stays as it was")
	require.Len(t, first.webhooks, 5)
	whole := (&view{version: -1}).next(5, []models.Webhook{webhook(0, "a"), webhook(1, "b"), webhook(3), webhook(4, "a"), webhook(5, "b"), webhook(7, "b")},
		map[string]string{"a": "{}", "b": "{}"}, nil)
	require.Equal(t, whole.bytes, second.bytes)

	third := second.next(6, nil, map[string]string{"a": "{}", "b": "{}"}, nil)
	require.Equal(t, second.match("b"), third.match("b"))
	gone = webhook(4)
	gone.DeletedAt = new(first.at)
	require.Equal(t, []string{"wh_000", "wh_003"}, idsOf(third.next(7, []models.Webhook{gone}, nil, nil).match("a")))
}

// A14: the views in memory are bounded by their bytes; those used least recently go.
func TestViewsAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	c := newViewCache(1000)
	for i := range 4 {
		c.add(fmt.Sprint(i), &view{bytes: 300}, false)
		_, ok := c.Get("0")
		require.True(t, ok)
	}
	require.LessOrEqual(t, c.bytes, 1000)
	require.Equal(t, []string{"2", "3", "0"}, c.views.Keys())

	c.add("3", &view{version: 1, bytes: 400}, false)
	require.Equal(t, 1000, c.bytes, "a view goes with the one that follows it")
	c.add("3", &view{bytes: 1}, false)
	require.Equal(t, 1000, c.bytes, "an older one is not kept")
	c.add("huge", &view{bytes: 5000}, false)
	require.Equal(t, []string{"huge"}, c.views.Keys(), "the last one stays, however large")
	c.add("1", &view{bytes: 300}, false)
	require.Equal(t, 300, c.bytes)
	c.remove("1")
	require.Zero(t, c.bytes)
}

// A large view is as cheap to bring up to date as it is to copy its lists.
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
