package models

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"
)

// Page asks for one page of a list: at most Limit rows after the cursor After ("" = from the start).
type Page struct {
	Limit int
	After string
}

// ErrBadCursor is returned for a cursor this list did not give out.
var ErrBadCursor = errors.New("models: not a cursor of this list")

// The lists that give out cursors.
const (
	listTenants    = "tenants"
	listWebhooks   = "webhooks"
	listEvents     = "events"
	listDeliveries = "deliveries"
	listAudit      = "audit"
)

const cursorSeparator = "\x1f"

// cursor encodes the sort key of the last row of a list's page; clients treat it as opaque.
func cursor(list string, parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(list + cursorSeparator + strings.Join(parts, cursorSeparator)))
}

// parseCursor gives back the n parts of a cursor of the list. They are text that the database takes.
func parseCursor(list, c string, n int) ([]string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil || !utf8.Valid(raw) || bytes.IndexByte(raw, 0) >= 0 {
		return nil, ErrBadCursor
	}
	parts := strings.Split(string(raw), cursorSeparator)
	if len(parts) != 1+n || parts[0] != list {
		return nil, ErrBadCursor
	}
	return parts[1:], nil
}

// cut takes the page of limit rows out of limit+1, and the cursor to the next one ("" at the end).
func cut[T any](rows []T, limit int, key func(T) string) ([]T, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	rows = rows[:limit]
	return rows, key(rows[limit-1])
}
