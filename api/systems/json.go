package systems

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/posthorn/posthorn/internal/rawjson"
)

// maxElements bounds how many elements of a list are examined.
const maxElements = 1000

// readJSON reads a JSON object as strictly as /v1 does: no repeated member, exact spelling, UTF-8 only.
func (q *Request) readJSON(body []byte) {
	body = rawjson.Trim(body)
	if len(body) == 0 || body[0] != '{' || !json.Valid(body) {
		q.Problemf("body", "must be a JSON object")
		return
	}
	q.members(body, "", q.operation.Fields, q.In)
}

// members reads the members of an object. prefix is the object's path within the body, ending in a dot.
func (q *Request) members(object []byte, prefix string, fields []Field, in Values) {
	seen := map[string]bool{}
	for quoted, pair := range rawjson.Members(object) {
		name := rawjson.Name(quoted)
		path := prefix + clip(name)
		i := slices.IndexFunc(fields, func(f Field) bool { return f.called(name) })
		switch {
		case seen[name]:
			q.Problemf(path, "is given twice")
		case i < 0:
			q.Problemf(path, "is not known")
		default:
			q.member(rawjson.Value(quoted, pair), path, &fields[i], in)
		}
		seen[name] = true
	}
}

func (q *Request) member(value []byte, path string, f *Field, in Values) {
	if value[0] == 'n' {
		q.put(in, path, f, nil)
		return
	}
	var v any
	var ok bool
	switch f.Kind {
	case Text:
		v, ok = q.jsonText(value, path, f)
	case Flag, Switch:
		v, ok = q.jsonFlag(value, path, f)
	case Number:
		v, ok = q.number(string(value), path, f)
	case Names, JoinedNames:
		v, ok = q.jsonNames(value, path, f)
	case Objects:
		v, ok = q.jsonObjects(value, path, f)
	case Object:
		v, ok = nil, q.jsonObject(value, path)
	case Map:
		v, ok = q.jsonMap(value, path)
	case Nested:
		v, ok = q.jsonNested(value, path, f)
	case Raw:
		v, ok = json.RawMessage(value), true
	}
	if ok {
		q.put(in, path, f, v)
	}
}

func (q *Request) jsonText(value []byte, path string, f *Field) (string, bool) {
	if f.ReadOnly && isNumber(value) { // some clients keep ids as numbers
		return string(value), true
	}
	if value[0] != '"' {
		q.Problemf(path, "must be a string")
		return "", false
	}
	text, ok := decode(value)
	if !ok {
		q.Problemf(path, "must be UTF-8 text without NUL characters")
		return "", false
	}
	return q.text(path, f, text)
}

func isNumber(value []byte) bool { return value[0] == '-' || value[0] >= '0' && value[0] <= '9' }

// decode reads a JSON string. encoding/json replaces invalid text with U+FFFD, so a U+FFFD is accepted only if it was
// there before.
func decode(quoted []byte) (string, bool) {
	var text string
	if !utf8.Valid(quoted) || json.Unmarshal(quoted, &text) != nil {
		return "", false
	}
	replaced := strings.Count(text, "\uFFFD")
	written := bytes.Count(quoted, []byte("\uFFFD")) + bytes.Count(bytes.ToLower(quoted), []byte(`\ufffd`))
	return text, replaced <= written
}

func (q *Request) jsonFlag(value []byte, path string, f *Field) (is, ok bool) {
	text, isText := string(value), true
	if f.Kind == Switch && value[0] == '"' {
		text, isText = decode(value)
	}
	if isText && (f.Kind == Switch || text == "true" || text == "false") {
		is, ok = switches[strings.ToLower(strings.TrimSpace(text))]
	}
	if !ok {
		q.Problemf(path, "must be a boolean")
	}
	return is, ok
}

func (q *Request) number(text, path string, f *Field) (int, bool) {
	n, err := strconv.Atoi(text)
	least, most := f.Min, f.Max
	if f.ReadOnly {
		least, most = math.MinInt, math.MaxInt
	}
	if err != nil || n < least || n > most {
		if f.ReadOnly {
			q.Problemf(path, "must be a whole number")
		} else {
			q.Problemf(path, "must be a whole number from %d to %d", least, most)
		}
		return 0, false
	}
	return n, true
}

func (q *Request) jsonNames(value []byte, path string, f *Field) (names []string, ok bool) {
	if value[0] == '"' && f.Kind == JoinedNames && q.operation.Body == Parameters {
		text, ok := q.jsonText(value, path, &Field{})
		return split(text), ok
	}
	if value[0] != '[' {
		q.Problemf(path, "must be a list")
		return nil, false
	}
	names, ok = []string{}, true
	i := 0
	for element := range rawjson.Elements(value) {
		if i == maxElements {
			q.Problemf(path, "must have at most %d elements", maxElements)
			return nil, false
		}
		name, is := q.jsonText(element, fmt.Sprintf("%s[%d]", path, i), &Field{})
		switch {
		case !is:
			ok = false
		case f.Kind == JoinedNames:
			names = append(names, split(name)...)
		default:
			names = append(names, name)
		}
		i++
	}
	return names, ok
}

func (q *Request) jsonObjects(value []byte, path string, f *Field) (objects []Values, ok bool) {
	if value[0] != '[' {
		q.Problemf(path, "must be a list of objects")
		return nil, false
	}
	before := len(q.problems)
	for element := range rawjson.Elements(value) {
		at := fmt.Sprintf("%s[%d]", path, len(objects))
		switch {
		case len(objects) == maxElements:
			q.Problemf(path, "must have at most %d elements", maxElements)
			return nil, false
		case element[0] != '{':
			q.Problemf(at, "must be an object")
		default:
			in := Values{}
			q.members(element, at+".", f.Of, in)
			q.missing(at+".", f.Of, in)
			objects = append(objects, in)
			continue
		}
		objects = append(objects, nil)
	}
	return objects, len(q.problems) == before
}

// jsonMap reads an object of strings. A null becomes a nil string.
func (q *Request) jsonMap(value []byte, path string) (map[string]*string, bool) {
	if value[0] != '{' {
		q.Problemf(path, "must be an object")
		return nil, false
	}
	before := len(q.problems)
	texts := map[string]*string{}
	for quoted, pair := range rawjson.Members(value) {
		name, isText := decode(quoted)
		at := path + "." + clip(name)
		_, twice := texts[name]
		switch v := rawjson.Value(quoted, pair); {
		case !isText:
			q.Problemf(path, "must have names of UTF-8 text without NUL characters")
		case twice:
			q.Problemf(at, "is given twice")
		case len(texts) == maxElements:
			q.Problemf(path, "must have at most %d members", maxElements)
			return nil, false
		case v[0] == 'n':
			texts[name] = nil
		default:
			if text, ok := q.jsonText(v, at, &Field{}); ok {
				texts[name] = &text
			}
		}
	}
	return texts, len(q.problems) == before
}

func (q *Request) jsonNested(value []byte, path string, f *Field) (Values, bool) {
	if value[0] != '{' {
		q.Problemf(path, "must be an object")
		return nil, false
	}
	before := len(q.problems)
	in := Values{}
	q.members(value, path+".", f.Of, in)
	q.missing(path+".", f.Of, in)
	return in, len(q.problems) == before
}

// jsonObject checks an object that has no effect: it must consist of scalars, each named once.
func (q *Request) jsonObject(value []byte, path string) bool {
	if value[0] != '{' {
		q.Problemf(path, "must be an object")
		return false
	}
	before := len(q.problems)
	seen := map[string]bool{}
	for quoted, pair := range rawjson.Members(value) {
		name := rawjson.Name(quoted)
		at := path + "." + clip(name)
		v := rawjson.Value(quoted, pair)
		_, isText := "", true
		if v[0] == '"' {
			_, isText = decode(v)
		}
		switch {
		case seen[name]:
			q.Problemf(at, "is given twice")
		case v[0] == '{' || v[0] == '[':
			q.Problemf(at, "must be a text, a number or a boolean")
		case !isText:
			q.Problemf(at, "must be UTF-8 text without NUL characters")
		}
		seen[name] = true
	}
	return len(q.problems) == before
}
