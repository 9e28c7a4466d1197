package systems

import (
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/callers"
)

// Values is what a request gives, by the names of its operation's fields. What is wrong is not among it; null is nil.
type Values map[string]any

// Text gives a text, nil if none is given.
func (v Values) Text(name string) *string { return value[string](v, name) }

// Flag gives a flag, nil if none is given.
func (v Values) Flag(name string) *bool { return value[bool](v, name) }

// Names gives a list of texts, nil if none is given.
func (v Values) Names(name string) *[]string { return value[[]string](v, name) }

// Objects gives a list of objects.
func (v Values) Objects(name string) []Values {
	list, _ := v[name].([]Values)
	return list
}

// Number gives a whole number, or otherwise if none is given.
func (v Values) Number(name string, otherwise int) int {
	if n := value[int](v, name); n != nil {
		return *n
	}
	return otherwise
}

// String gives a text, "" if none is given.
func (v Values) String(name string) string {
	text, _ := v[name].(string)
	return text
}

// List gives a list of texts, empty if none is given.
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

// put notes a value that has been read. A field that has one already is given twice.
func (q *Request) put(in Values, path string, f *Field, v any) {
	if _, twice := in[f.Name]; twice {
		q.Problemf(path, "is given twice")
		return
	}
	in[f.Name] = v
}

// text checks a text and puts it into the form that its field has it in.
func (q *Request) text(path string, f *Field, text string) (string, bool) {
	switch {
	case !callers.Storable(text):
		q.Problemf(path, "must be UTF-8 text without NUL characters")
		return "", false
	case len(f.OneOf) > 0 && !slices.Contains(f.OneOf, text):
		q.Problemf(path, "must be %s", choice(f.OneOf))
		return "", false
	}
	return text, true
}

// choice is "A, B or C".
func choice(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// switches are the usual spellings of a flag, in lower case.
var switches = map[string]bool{"true": true, "1": true, "on": true, "yes": true, "false": false, "0": false, "off": false, "no": false, "": false}

// split takes a comma-separated list apart.
func split(list string) []string {
	var parts []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
