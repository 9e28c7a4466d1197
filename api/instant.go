package api

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/models"
)

// instant is a time in a request: a filter in the query, or a field of a body. A time that is not RFC 3339 is refused
// with a message of our own, together with the field's name.
type instant struct { //nolint:recvcheck // UnmarshalText, UnmarshalJSON and Resolve need a pointer
	time.Time
	given bool   // the zero Time is a valid value
	bad   string // what is wrong with it
}

// rfc3339 checks what Go's parser is lax about: the number of digits, a point before fractions, a zone of less than a
// day.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

const notRFC3339 = `must be a time in RFC 3339, such as "2026-01-02T15:04:05Z" or "2026-01-02T15:04:05.678+01:00"`

func (i *instant) read(text string) (wrong string) {
	text = strings.ToUpper(text) // RFC 3339 allows "t" and "z" too
	t, err := time.Parse(time.RFC3339Nano, text)
	switch {
	case err == nil && rfc3339.MatchString(text):
		i.Time, i.given = t, true
		return ""
	case strings.Contains(text, " "):
		return notRFC3339 + `; in a query "+" is written as "%2B"`
	default:
		return notRFC3339
	}
}

// UnmarshalText implements encoding.TextUnmarshaler, for parameters.
func (i *instant) UnmarshalText(text []byte) error {
	if wrong := i.read(string(text)); wrong != "" {
		return errors.New(wrong)
	}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *instant) UnmarshalJSON(value []byte) error {
	var text string
	if json.Unmarshal(value, &text) != nil {
		text = ""
	}
	i.bad = i.read(text)
	return nil
}

// Resolve implements huma.ResolverWithPath, for fields of bodies.
func (i *instant) Resolve(_ huma.Context, path *huma.PathBuffer) []error {
	if i.bad == "" {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: path.String(), Message: i.bad}}
}

// Schema implements huma.SchemaProvider. The type is in the extensions, which huma only prints: huma's own check would
// use other words.
func (instant) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Examples: []any{"2026-01-02T15:04:05Z"}, Extensions: map[string]any{"type": "string", "format": "date-time"}}
}

// timeOf returns the given time, nil if none was given.
func timeOf(i *instant) *time.Time {
	if i == nil {
		return nil
	}
	return &i.Time
}

// bound returns the time as a bound of a list's window, zero if none was given.
func (i instant) bound() time.Time {
	if !i.given {
		return time.Time{}
	}
	return models.Bound(i.Time)
}
