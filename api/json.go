package api

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/models"
)

// timestamp is a UTC time with milliseconds, in RFC 3339.
type timestamp time.Time

// MarshalJSON implements json.Marshaler.
func (t timestamp) MarshalJSON() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(make([]byte, 0, 32), `"2006-01-02T15:04:05.000Z"`), nil
}

// Schema implements huma.SchemaProvider.
func (timestamp) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Examples: []any{"2026-01-02T15:04:05.678Z"}}
}

// at returns the timestamp of a time that may be absent.
func at(t *time.Time) *timestamp {
	if t == nil {
		return nil
	}
	return (*timestamp)(t)
}

// orNull returns v, or nil for the zero value: an absent value is null.
func orNull[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// maybe is an object or null. huma documents null for scalars only.
type maybe[T any] struct{ object *T }

// MarshalJSON implements json.Marshaler.
func (m maybe[T]) MarshalJSON() ([]byte, error) { return json.Marshal(m.object) }

// Schema implements huma.SchemaProvider.
func (maybe[T]) Schema(r huma.Registry) *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{r.Schema(typeOf[T](), true, ""), {Type: "null"}}}
}

// duration is "10s", "30m", "1h30m" and so on in answers. Requests may also give a number of seconds. Resolve knows
// the field's name, and refuses everything else.
type duration struct { //nolint:recvcheck // UnmarshalJSON and Resolve need a pointer; the others take a copy
	time.Duration
	bad bool
}

// MarshalJSON implements json.Marshaler.
func (d duration) MarshalJSON() ([]byte, error) {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} { // 30m, not 30m0s
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return json.Marshal(text)
}

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(value []byte) error {
	var text string
	var err error
	if json.Unmarshal(value, &text) == nil {
		d.Duration, err = time.ParseDuration(text)
	} else {
		var seconds float64
		seconds, err = strconv.ParseFloat(string(value), 64)
		d.Duration = time.Duration(seconds * float64(time.Second))
		d.bad = math.Abs(seconds) > math.MaxInt64/float64(time.Second)
	}
	d.bad = d.bad || err != nil
	return nil
}

// Resolve implements huma.ResolverWithPath.
func (d *duration) Resolve(_ huma.Context, path *huma.PathBuffer) []error {
	if !d.bad {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: path.String(), Message: `must be a duration such as "10s" or "30m", or a number of seconds`}}
}

// Schema implements huma.SchemaProvider. The two forms are in the extensions, which huma only prints: its own check
// would only say that neither form matches.
func (duration) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Examples: []any{"10s"}, Extensions: map[string]any{"anyOf": []any{
		map[string]any{"type": "string", "description": "A Go duration: 10s, 30m, 1h30m."},
		map[string]any{"type": "number", "description": "Seconds."},
	}}}
}

// length returns the given duration, nil if none was given.
func length(d *duration) *time.Duration {
	if d == nil {
		return nil
	}
	return &d.Duration
}

// PageParams are the parameters of every list.
type PageParams struct {
	Limit int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"The most entries to return."`
	After string `query:"after" maxLength:"1000" doc:"Cursor: the previous page's next, with the same filters. Omit it, or leave it empty, for the first page."`
}

func (p PageParams) page() models.Page { return models.Page{Limit: p.Limit, After: p.After} }

// list is one page of a list.
type list[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next" doc:"The value of after for the next page; null on the last page. With filters a page looks at 2,500 entries: it may have fewer entries than limit, or none, although more pages follow."`
}

func listOf[M, T any](rows []M, next string, view func(M) T) list[T] {
	l := list[T]{Data: make([]T, len(rows)), Next: orNull(next)}
	for i, row := range rows {
		l.Data[i] = view(row)
	}
	return l
}

// answer is an operation's output that consists of a body only.
type answer[T any] struct{ Body T }

func answerWith[T any](body T) *answer[T] { return &answer[T]{Body: body} }

// badNumber ends an error about a number that is valid JSON but that Go cannot represent.
const badNumber = "is out of range, or is not written as an integer"

// jsonFormat is how huma reads and writes bodies. wellFormed has checked the body before.
var jsonFormat = huma.Format{
	Marshal: huma.DefaultJSONFormat.Marshal,
	Unmarshal: func(body []byte, v any) error {
		err := json.Unmarshal(body, v)
		if parsed, ok := v.(*any); ok && err != nil {
			err = decodeAny(body, parsed)
		}
		if mismatch, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			field := mismatch.Field
			if field == "" {
				field = "body"
			}
			return errors.New(field + " " + badNumber) // Go's own message names Go's types
		}
		return err
	},
}
