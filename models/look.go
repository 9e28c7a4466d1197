package models

import (
	"cmp"
	"strings"
	"time"

	"gorm.io/gorm"
)

// lookedMost is how many rows of an index one page of a list looks at, where its filter keeps only some of them. A page may then
// be short, or empty, with a cursor behind what it has looked at.
const lookedMost = 2500

// addedMost times lookedMost is how many rows a page reads to the end that it has decided on, as rows may be added after that. The
// number is small, so that PostgreSQL goes along the index in the order of the list: if it expected to read everything, it would
// rather sort what another index has.
const addedMost = 2

// fence is a LIMIT that no query reaches. No database moves a condition into a subquery that has one.
const fence = 1 << 30

// listKey is what a list is sorted by, newest first: the columns of a time and an id, or of an id alone. of is a column that has one
// value in the whole list, "" = none: see Store.ofOneWebhook.
type listKey struct{ of, at, id string }

// selected names the key's columns as a Mark has them.
func (k listKey) selected() string {
	if k.at == "" {
		return k.id + " AS id"
	}
	return k.at + " AS at, " + k.id + " AS id"
}

// sorted sorts a query as the page wants it.
func (k listKey) sorted(q *gorm.DB, p Page) *gorm.DB {
	order, _ := p.descending()
	for _, column := range []string{k.of, k.at, k.id} {
		if column != "" {
			q = q.Order(column + order)
		}
	}
	return q
}

// behind narrows a query to what comes behind a mark; nil = all.
func (k listKey) behind(q *gorm.DB, p Page, m *Mark) *gorm.DB {
	_, behind := p.descending()
	return k.compared(q, behind, m)
}

// upTo narrows a query to what comes before a mark, and what is at it; nil = all.
func (k listKey) upTo(q *gorm.DB, p Page, m *Mark) *gorm.DB {
	p.Reverse = !p.Reverse
	_, before := p.descending()
	return k.compared(q, strings.TrimRight(before, " ")+"= ", m)
}

func (k listKey) compared(q *gorm.DB, comparison string, m *Mark) *gorm.DB {
	switch {
	case m == nil:
		return q
	case k.at == "":
		return q.Where(k.id+comparison+"?", m.ID)
	}
	return q.Where("("+k.at+", "+k.id+")"+comparison+"(?, ?)", Bound(m.At), m.ID)
}

// ofOneWebhook narrows a query to the rows of one webhook. If they are also sorted by the webhook's column, only an index that begins
// with it has them in their order. Otherwise PostgreSQL may go along an index of all webhooks and pass over any number of rows of
// others. It does not see that a column compared with a list has one value, so it keeps that order.
func (s *Store) ofOneWebhook(q *gorm.DB, column, id string) *gorm.DB {
	if !s.postgres {
		return q.Where(column+" = ?", id)
	}
	return q.Where(column+" = ANY(ARRAY[?])", id)
}

// source is an index that has the rows which a part of a filter keeps, in the order of the list: the query of those behind the
// page's cursor.
type source struct {
	rows *gorm.DB
	key  listKey
}

// noFew is for lists without a part of a filter that few rows may have.
func noFew() (*gorm.DB, error) { return nil, nil } //nolint:nilnil // nil = there is none

// looking is the Store with lists of which a page looks at another number of rows.
func (s *Store) looking(most int) *Store {
	other := *s
	other.looked = most
	return &other
}

// lookFirst reads a page of a list whose filter no single index serves. read is given the rows to look at, of one of the sources. Most
// filters keep many, so a few rows of the first source are looked at first. Then few is asked for the rows that a part of the filter
// keeps: they are looked at if they are so few that a page can read all of them; nil = they are not. end is where the page ends if it
// is not full; nil = there are no more.
func lookFirst[T any](s *Store, p Page, sources []source, few func() (*gorm.DB, error), read func(from int, rows *gorm.DB) ([]T, error)) (rows []T, end *Mark, err error) {
	first := sources[0]
	most := min(s.looked, firstLook*(p.Limit+1))
	rows, err = read(0, first.key.sorted(first.rows.Session(&gorm.Session{}), p).Limit(most))
	if err != nil || len(rows) > p.Limit {
		return rows, nil, err
	}
	switch all, err := few(); {
	case err != nil:
		return nil, nil, err
	case all != nil:
		rows, err = read(0, all)
		return rows, nil, err
	}
	from, looked, end, err := s.look(p, sources)
	if err != nil {
		return nil, nil, err
	}
	rows, err = read(from, looked)
	return rows, end, err
}

// firstLook is how many rows are looked at first for each row of a page.
const firstLook = 4

// look decides what a page looks at. Of several sources it takes the one whose next lookedMost rows reach farthest: it has the
// fewest beside those that the filter keeps. end is the last of them, nil if the source has no more. Rows that are added
// meanwhile before the end are looked at too.
func (s *Store) look(p Page, sources []source) (chosen int, rows *gorm.DB, end *Mark, err error) {
	for i, from := range sources {
		var last []Mark
		q := from.key.sorted(from.rows.Session(&gorm.Session{}), p).Select(from.key.selected())
		if err := q.Offset(s.looked - 1).Limit(1).Scan(&last).Error; err != nil {
			return 0, nil, nil, err
		}
		if len(last) == 0 {
			chosen, end = i, nil
			break
		}
		if i == 0 || p.farther(&last[0], end) {
			chosen, end = i, &last[0]
		}
	}
	from := sources[chosen]
	return chosen, from.key.sorted(from.key.upTo(from.rows.Session(&gorm.Session{}), p, end), p).Limit(addedMost * s.looked), end, nil
}

// farther reports whether a mark of a list, newest first, comes behind another.
func (p Page) farther(m, than *Mark) bool {
	order := cmp.Or(m.At.Compare(than.At), strings.Compare(m.ID, than.ID))
	return order != 0 && (order > 0) == p.Reverse
}

// isFew reports whether a query has fewer rows than a page may look at, so that a page can read all of them. The query is sorted
// as an index has its rows.
func (s *Store) isFew(q *gorm.DB) (bool, error) {
	var last []int
	err := q.Select("1").Offset(s.looked - 1).Limit(1).Scan(&last).Error
	return err == nil && len(last) == 0, err
}

// cutAt is cut for a page that has looked at what comes before a mark; nil = at all there is.
func cutAt[T any](rows []T, limit int, end *Mark, key func(T) string, mark func(*Mark) string) ([]T, string) {
	rows, next := cut(rows, limit, key)
	if next == "" && end != nil {
		next = mark(end)
	}
	return rows, next
}

// markText is how the time of a mark stands in cursors.
func markText(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// parseID tells where a page of a list begins that is sorted by ids; nil = it is the first.
func (c cursors) parseID(p Page) (*Mark, error) {
	key, err := p.begin(c, 1)
	if err != nil || key == nil {
		return nil, err
	}
	return &Mark{ID: key[0]}, nil
}

// behindID is the cursor behind a mark of such a list.
func (c cursors) behindID(m *Mark) string { return c.next(m.ID) }
