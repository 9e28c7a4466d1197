package models

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Page asks for one page of a list: at most Limit rows after the cursor After ("" = from the start).
type Page struct {
	Limit int
	After string
	// Key is the sort key of the row behind which the page begins, in place of After: for an API whose cursors are ids.
	Key []string
	// Reverse turns the list round. Only lists that say so know it.
	Reverse bool
}

// begin gives the sort key, of n parts, behind which the page begins; nil = it is the first.
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

// ascending gives the order of a column in an ascending list, and the comparison of what is behind a key.
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

// ErrBadCursor is returned for a cursor that this list, read for this tenant with this filter, did not give out.
var ErrBadCursor = errors.New("models: not a cursor of this list")

// The lists that give out cursors.
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
	cursorSum       = 9 // bytes of the checksum in front; nine make whole base64 characters
)

// cursors reads and writes the cursors of one list: that of a name, a tenant and a filter. A cursor is the sort key of a
// page's last row behind a checksum over all of these, so that a cursor of another list, or one that was altered, is
// refused. It is no secret: what a forged one can do is begin the same list elsewhere. Clients treat it as opaque.
type cursors []string

// cursorsOf names a list by everything that decides what is in it and in which order.
func cursorsOf(list string, about ...string) cursors { return append(cursors{list}, about...) }

// next is the cursor behind a row with this sort key.
func (c cursors) next(key ...string) string {
	about, err := json.Marshal([][]string{c, key}) // unambiguous, whatever the texts contain
	if err != nil {
		panic(err) // strings always encode
	}
	sum := sha256.Sum256(about)
	return base64.RawURLEncoding.EncodeToString(append(sum[:cursorSum:cursorSum], strings.Join(key, cursorSeparator)...))
}

// parse gives back the n parts of the sort key in a cursor of this list.
func (c cursors) parse(cursor string, n int) ([]string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < cursorSum {
		return nil, ErrBadCursor
	}
	key := strings.Split(string(raw[cursorSum:]), cursorSeparator)
	if len(key) != n || c.next(key...) != cursor { // what base64 reads the same is not the same
		return nil, ErrBadCursor
	}
	return key, nil
}

// PageOfIDs takes a page out of a list in memory: ids in ascending order, of what list and about name.
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

// cut takes the page of limit rows out of limit+1, and the cursor to the next one ("" at the end).
func cut[T any](rows []T, limit int, key func(T) string) ([]T, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	rows = rows[:limit]
	return rows, key(rows[limit-1])
}
