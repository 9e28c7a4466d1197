package models

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Page requests one page of a list: at most Limit rows after the cursor After ("" = from the start).
type Page struct {
	Limit int
	After string
	// Key is the sort key of the row after which the page starts, in place of After: for an API whose cursors are ids.
	Key []string
	// Reverse reverses the list. Only lists that say so support it.
	Reverse bool
}

// begin returns the sort key, of n parts, after which the page starts; nil = it is the first.
func (p Page) begin(c cursors, n int) ([]string, error) {
	switch {
	case len(p.Key) == n:
		return p.Key, nil
	case len(p.Key) > 0:
		return nil, ErrBadCursor
	case p.After == "":
		return nil, nil
	}
	return c.parse(p.After, n)
}

// ascending returns the order of a column in an ascending list, and the comparison for rows after a key.
func (p Page) ascending() (order, behind string) {
	if p.Reverse {
		return " DESC", " < "
	}
	return "", " > "
}

// descending is ascending for a descending list.
func (p Page) descending() (order, behind string) {
	p.Reverse = !p.Reverse
	return p.ascending()
}

// ErrBadCursor is returned for a cursor that did not come from this list, tenant and filter.
var ErrBadCursor = errors.New("models: not a cursor of this list")

// The lists that have cursors.
const (
	listTenants    = "tenants"
	listWebhooks   = "webhooks"
	listEvents     = "events"
	listDeliveries = "deliveries"
	listTests      = "tests"
	listRecoveries = "recoveries"
	listErasures   = "erasures"
	listAttempts   = "attempts"
	listAudit      = "audit"
	listKeys       = "keys"
	listEventTypes = "event types"
)

const (
	cursorSeparator = "\x1f"
	cursorSum       = 9 // bytes of the leading checksum; nine bytes make whole base64 characters
)

// cursors encodes and decodes the cursors of one list, for a name, a tenant and a filter. A cursor is a checksum over
// all of these and the sort key of a page's last row, followed by that key. So a cursor of another list, or an altered
// one, is refused. It is not secret: a forged one can only start the same list elsewhere. Clients treat it as opaque.
type cursors []string

// cursorsOf identifies a list by everything that decides its content and order.
func cursorsOf(list string, about ...string) cursors { return append(cursors{list}, about...) }

// next returns the cursor after a row with this sort key.
func (c cursors) next(key ...string) string {
	about, err := json.Marshal([][]string{c, key}) // unambiguous, whatever the texts contain
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(about)
	return base64.RawURLEncoding.EncodeToString(append(sum[:cursorSum:cursorSum], strings.Join(key, cursorSeparator)...))
}

// CursorKey returns the sort key in a cursor that a list gave out, that of the row behind which the list goes on: for an API whose
// cursors are ids. It is nil if the text is no cursor.
func CursorKey(cursor string) []string {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < cursorSum {
		return nil
	}
	return strings.Split(string(raw[cursorSum:]), cursorSeparator)
}

// parse returns the n parts of the sort key in a cursor of this list.
func (c cursors) parse(cursor string, n int) ([]string, error) {
	key := CursorKey(cursor)
	if len(key) != n || c.next(key...) != cursor { // what base64 reads the same is not the same
		return nil, ErrBadCursor
	}
	return key, nil
}

// PageOfIDs cuts a page out of a list in memory: ids in ascending order. list and about name it.
func PageOfIDs(ids []string, p Page, list string, about ...string) (page []string, next string, err error) {
	c, begin := cursorsOf(list, about...), 0
	if p.After != "" {
		key, err := c.parse(p.After, 1)
		if err != nil {
			return nil, "", err
		}
		at, found := slices.BinarySearch(ids, key[0])
		if begin = at; found {
			begin++
		}
	}
	page, next = cut(ids[begin:min(len(ids), begin+p.Limit+1)], p.Limit, func(id string) string { return c.next(id) })
	return page, next, nil
}

// cut returns the page of limit rows out of limit+1, and the cursor to the next one ("" at the end).
func cut[T any](rows []T, limit int, key func(T) string) ([]T, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	rows = rows[:limit]
	return rows, key(rows[limit-1])
}
