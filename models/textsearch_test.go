package models_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/models"
)

func TestTextSearch_EventsAreFoundByText(t *testing.T) {
	stores(t, func(t *testing.T, s *database) {
		for _, tenant := range []string{"acme", "globex"} {
			s.Tenant(t, tenant)
		}
		since := s.Now()
		for i := range 300 {
			s.Clock.Advance(time.Second)
			s.mustAccept(t, s.labelled(t, "acme", fmt.Sprintf("e%03d", i), func(e *models.Event) {
				e.Data = fmt.Appendf(nil, `{"n":%d,"ü%%_":"'"}`, i)
				if e.Tags = []string{"even"}; i%2 == 1 {
					e.Tags, e.Type = nil, "order.paid"
				}
			}))
		}
		s.mustAccept(t, s.labelled(t, "globex", "other", func(e *models.Event) { e.Data = []byte(`{"n":77}`) }))
		until := s.Now().Add(time.Second)
		window := models.EventFilter{Since: since, Until: until}
		most := models.TextBounds{Events: 1000, For: time.Minute, Now: s.Clock.Now}
		search := func(f models.EventFilter, text string, limit int, most models.TextBounds) (ids []string, complete []bool) {
			ids = []string{}
			for page := (models.Page{Limit: limit}); ; {
				rows, next, ok, err := s.EventsWithTextWithin(t.Context(), "acme", f, text, page, most)
				require.NoError(t, err)
				for _, e := range rows {
					ids = append(ids, e.ID)
					require.Nil(t, e.Data)
				}
				complete = append(complete, ok)
				if page.After = next; next == "" {
					return ids, complete
				}
			}
		}
		even, paid, early := window, window, window
		even.Tag, paid.Type, early.Until = "even", "order.paid", since.Add(20*time.Second)
		for _, tt := range []struct {
			name string
			f    models.EventFilter
			text string
			want string
		}{
			{"text", window, `"n":77,`, "e077"},
			{"several", window, `:29`, "e299 e298 e297 e296 e295 e294 e293 e292 e291 e290 e029"},
			{"with a tag", even, `:29`, "e298 e296 e294 e292 e290"},
			{"with a type", paid, `:29`, "e299 e297 e295 e293 e291 e029"},
			{"in a window", early, `:1`, "e018 e017 e016 e015 e014 e013 e012 e011 e010 e001"},
			{"none", window, `:300`, ""},
			{"wildcards are text", window, `:2%`, ""},
			{"and so is what is no ASCII", early, `ü%_":"'"`, strings.Join(descending(18), " ")},
		} {
			for _, limit := range []int{3, 50} {
				ids, complete := search(tt.f, tt.text, limit, most)
				require.Equal(t, tt.want, strings.Join(ids, " "), tt.name)
				require.NotContains(t, complete, false, tt.name)
			}
		}

		// One that stops early says so, and goes on from there.
		few := most
		few.Events = 120
		ids, complete := search(window, `:29`, 50, few)
		require.Equal(t, "e299 e298 e297 e296 e295 e294 e293 e292 e291 e290 e029", strings.Join(ids, " "))
		require.Equal(t, []bool{false, false, true}, complete)

		// So does one that takes too long: here each statement takes a second.
		short := most
		at := s.Now()
		short.For, short.Now = 2*time.Second, func() time.Time { at = at.Add(time.Second); return at }
		rows, next, ok, err := s.EventsWithTextWithin(t.Context(), "acme", window, `:29`, models.Page{Limit: 50}, short)
		require.NoError(t, err)
		require.False(t, ok)
		require.NotEmpty(t, next)
		require.Len(t, rows, 10)

		// Its cursor is good for this text alone.
		for _, text := range []string{":2", ""} {
			_, _, _, err = s.EventsWithText(t.Context(), "acme", window, text, models.Page{Limit: 50, After: next})
			require.ErrorIs(t, err, models.ErrBadCursor)
		}

		require.NoError(t, s.EraseEvent(t.Context(), "acme", "e077"))
		ids, _ = search(window, `"n":77,`, 50, most)
		require.Empty(t, ids, "what is erased is not found")
	})
}

func descending(from int) (ids []string) {
	for i := from; i >= 0; i-- {
		ids = append(ids, fmt.Sprintf("e%03d", i))
	}
	return ids
}
