package models

import (
	"encoding/base64"
	"errors"
	"strings"
)

// Page asks for one page of a list: at most Limit rows after the cursor After ("" = from the start).
type Page struct {
	Limit int
	After string
}

// ErrBadCursor is returned for a cursor this list did not give out.
var ErrBadCursor = errors.New("models: not a cursor of this list")

// cursor encodes the sort key of the last row; clients treat it as opaque.
func cursor(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\x1f")))
}

// parseCursor gives back the n parts of a cursor.
func parseCursor(c string, n int) ([]string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil {
		return nil, ErrBadCursor
	}
	parts := strings.Split(string(raw), "\x1f")
	if len(parts) != n {
		return nil, ErrBadCursor
	}
	return parts, nil
}

// cut takes the page of limit rows out of limit+1, and the cursor to the next one ("" at the end).
func cut[T any](rows []T, limit int, key func(T) string) ([]T, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	rows = rows[:limit]
	return rows, key(rows[limit-1])
}
