package svix

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/models"
)

// The smallest and largest limit of a list.
const (
	defaultLimit = 50
	maxLimit     = 250
)

const (
	ascending  = "ascending"
	descending = "descending"
)

// paging holds the parameters of a list that has one order only, and sorting those of a list that has two.
var (
	paging  = []systems.Field{{Name: "limit", Kind: systems.Number, Min: 1, Max: maxLimit}, {Name: "iterator"}}
	sorting = append(slices.Clone(paging), systems.Field{Name: "order", OneOf: []string{ascending, descending}})
)

// window is the requested part of a list.
type window struct {
	page models.Page
	back bool // towards the beginning: rows are read in the opposite order
}

// windowOf reads the window. order is the list's default order, and stored the order in which it is read. key returns
// the sort key of the row that an iterator names; none = there is no such row.
func windowOf(q *systems.Request, order, stored string, key func(id string) ([]string, error)) (window, error) {
	if asked := q.In.String("order"); asked != "" {
		order = asked
	}
	w := window{page: models.Page{Limit: q.In.Number("limit", defaultLimit), Reverse: order != stored}}
	iterator := q.In.String("iterator")
	if iterator == "" {
		return w, nil
	}
	id, back := strings.CutPrefix(iterator, "-")
	if w.back = back; back {
		w.page.Reverse = !w.page.Reverse
	}
	behind, err := key(id)
	if err != nil {
		return w, err
	}
	if len(behind) == 0 {
		q.Problemf("iterator", "is not an iterator of this list")
	}
	w.page.Key = behind
	return w, nil
}

// wholeWindowOf is windowOf for a list that reads nothing else from its request: it fails with all that is wrong with that.
func wholeWindowOf(q *systems.Request, order, stored string, key func(id string) ([]string, error)) (window, error) {
	w, err := windowOf(q, order, stored, key)
	if err == nil {
		err = q.Err()
	}
	return w, err
}

type list[T any] struct {
	Data         []T     `json:"data"`
	Iterator     *string `json:"iterator"`
	PrevIterator *string `json:"prevIterator"`
	Done         bool    `json:"done"`
}

// answerList answers with the rows of a window. more: more rows follow.
func answerList[T any](q *systems.Request, w window, data []T, id func(*T) string, more bool) error {
	return answerKept(q, w, data, id, more, func(*T) bool { return true })
}

// answerLooked is answerList for a page that may have looked farther than at its last row: the list goes on behind the row of this
// id, "" = behind the last.
func answerLooked[T any](q *systems.Request, w window, data []T, id func(*T) string, more bool, behind string) error {
	l := listOf(w, data, id, more, func(*T) bool { return true })
	if behind != "" && w.back {
		l.PrevIterator = new("-" + behind)
		l.Iterator = cmp.Or(l.Iterator, &behind)
	} else if behind != "" {
		l.Iterator = &behind
		l.PrevIterator = cmp.Or(l.PrevIterator, new("-"+behind))
	}
	q.PureJSON(http.StatusOK, l)
	return nil
}

// answerKept is answerList with only the rows that keep accepts. The list continues after the last row that was
// examined.
func answerKept[T any](q *systems.Request, w window, rows []T, id func(*T) string, more bool, keep func(*T) bool) error {
	q.PureJSON(http.StatusOK, listOf(w, rows, id, more, keep))
	return nil
}

func listOf[T any](w window, rows []T, id func(*T) string, more bool, keep func(*T) bool) list[T] {
	if w.back {
		slices.Reverse(rows)
	}
	l := list[T]{Data: []T{}, Done: !more}
	for i := range rows {
		if keep(&rows[i]) {
			l.Data = append(l.Data, rows[i])
		}
	}
	if len(rows) > 0 {
		l.Iterator, l.PrevIterator = new(id(&rows[len(rows)-1])), new("-"+id(&rows[0]))
	}
	return l
}

// instant returns a time; the zero Time if none is given.
func instant(q *systems.Request, name string) time.Time {
	text := q.In.String(name)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.Problemf(name, "must be a time in RFC 3339, such as 2026-11-28T12:00:00Z")
	}
	return at
}

// flag returns a flag in the query, or otherwise if none is given.
func flag(q *systems.Request, name string, otherwise bool) bool {
	if given := q.In.Flag(name); given != nil {
		return *given
	}
	return otherwise
}
