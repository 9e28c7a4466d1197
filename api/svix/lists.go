package svix

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/models"
)

// The bounds of a list.
const (
	defaultLimit = 50
	maxLimit     = 250
)

const (
	ascending  = "ascending"
	descending = "descending"
)

// paging are the parameters of a list that has one order only, and sorting those of one that has two.
var (
	paging  = []systems.Field{{Name: "limit", Kind: systems.Number, Min: 1, Max: maxLimit}, {Name: "iterator"}}
	sorting = append(slices.Clone(paging), systems.Field{Name: "order", OneOf: []string{ascending, descending}})
)

// window is the part of a list that a request asks for.
type window struct {
	page models.Page
	back bool // towards the beginning: what is read comes in the other order
}

// windowOf reads the window. order is the one that the list has unless the request names one, and stored the one that it is
// read in. key finds the sort key of the row that an iterator names; none = there is no such row.
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
		q.Problemf("iterator", "is not one of this list")
	}
	w.page.Key = behind
	return w, nil
}

type list[T any] struct {
	Data         []T     `json:"data"`
	Iterator     *string `json:"iterator"`
	PrevIterator *string `json:"prevIterator"`
	Done         bool    `json:"done"`
}

// answerList answers with what has been read of a window. more: there is more behind it.
func answerList[T any](q *systems.Request, w window, data []T, id func(*T) string, more bool) error {
	return answerKept(q, w, data, id, more, func(*T) bool { return true })
}

// answerKept is answerList with those of the rows that a filter keeps: the list goes on behind the last row that was looked at.
func answerKept[T any](q *systems.Request, w window, rows []T, id func(*T) string, more bool, keep func(*T) bool) error {
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
	q.PureJSON(http.StatusOK, l)
	return nil
}

// instant reads a time; the zero Time if none is given.
func instant(q *systems.Request, name string) time.Time {
	text := q.In.String(name)
	if text == "" {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		q.Problemf(name, "must be a time as in RFC 3339, as 2026-11-28T12:00:00Z")
	}
	return at
}

// flag reads a flag of the query.
func flag(q *systems.Request, name string, otherwise bool) bool {
	if given := q.In.Flag(name); given != nil {
		return *given
	}
	return otherwise
}
