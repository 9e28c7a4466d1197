package systems

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/cut"
)

// Values holds a request's values by field name. Wrong fields are missing from it; null is nil.
type Values map[string]any

// Text returns a text, nil if none is given.
func (v Values) Text(name string) *string { return value[string](v, name) }

// Flag returns a flag, nil if none is given.
func (v Values) Flag(name string) *bool { return value[bool](v, name) }

// Names returns a list of texts, nil if none is given.
func (v Values) Names(name string) *[]string { return value[[]string](v, name) }

// Objects returns a list of objects.
func (v Values) Objects(name string) []Values {
	list, _ := v[name].([]Values)
	return list
}

// Map returns an object of texts, nil if none is given. A member that is null is a nil text.
func (v Values) Map(name string) map[string]*string {
	texts, _ := v[name].(map[string]*string)
	return texts
}

// Nested returns an object of fields, nil if none is given.
func (v Values) Nested(name string) Values {
	fields, _ := v[name].(Values)
	return fields
}

// Raw returns JSON as it was sent, nil if none is given.
func (v Values) Raw(name string) json.RawMessage {
	raw, _ := v[name].(json.RawMessage)
	return raw
}

// Given reports whether there is a value, even if it is null.
func (v Values) Given(name string) bool {
	_, ok := v[name]
	return ok
}

// Number returns a whole number, or otherwise if none is given.
func (v Values) Number(name string, otherwise int) int {
	if n := value[int](v, name); n != nil {
		return *n
	}
	return otherwise
}

// String returns a text, "" if none is given.
func (v Values) String(name string) string {
	text, _ := v[name].(string)
	return text
}

// List returns a list of texts, empty if none is given.
func (v Values) List(name string) []string {
	list, _ := v[name].([]string)
	return list
}

// IsNull reports whether null is given.
func (v Values) IsNull(name string) bool {
	given, ok := v[name]
	return ok && given == nil
}

func value[T any](v Values, name string) *T {
	if t, ok := v[name].(T); ok {
		return &t
	}
	return nil
}

// put stores a value. A field that already has one is given twice, unless that was under its alias and with the same
// value.
func (q *Request) put(in Values, path string, f *Field, v any) {
	if was, twice := in[f.Name]; twice {
		if f.Alias == "" {
			q.Problemf(path, "is given twice")
		} else if !reflect.DeepEqual(was, v) {
			q.Problemf(path, "is given as %s and as %s, with different values", f.Name, f.Alias)
		}
		return
	}
	in[f.Name] = v
}

// text checks a text and returns it in the spelling that the field's OneOf has.
func (q *Request) text(path string, f *Field, text string) (string, bool) {
	switch {
	case !cut.Storable(text):
		q.Problemf(path, "must be UTF-8 text without NUL characters")
		return "", false
	case len(f.OneOf) > 0 && !slices.Contains(f.OneOf, text):
		q.Problemf(path, "must be %s", choice(f.OneOf))
		return "", false
	}
	return text, true
}

// choice returns "A, B or C".
func choice(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// switches are the usual spellings of a flag, in lower case.
var switches = map[string]bool{"true": true, "1": true, "on": true, "yes": true, "false": false, "0": false, "off": false, "no": false, "": false}

// split splits a comma-separated list.
func split(list string) []string {
	var parts []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
