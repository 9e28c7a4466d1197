package jsonschema

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// kind is the type of a JSON value, as a one-element set: a schema's "type" is a set of kinds.
type kind uint8

const (
	null kind = 1 << iota
	boolean
	number
	text
	array
	object
	integer // in a schema's types only: a number without a fraction
)

// kindNames is in the order of the bits.
var kindNames = []string{"null", "boolean", "number", "string", "array", "object", "integer"}

func (k kind) String() string {
	var names []string
	for i, name := range kindNames {
		if k&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " or ")
}

// value is a decoded JSON value. It is small: an array of a megabyte has half a million of them.
type value struct {
	kind     kind
	yes      bool // value of a boolean
	negative bool // sign of a number, like exponent
	exponent int32
	text     string // of a string; the digits of a number
	list     *list  // of an object or an array
}

// list holds the elements of an array, or the members of an object in the order of the text, so that the same text is
// always walked in the same way.
type list struct {
	values []value
	names  []string
	index  map[string]int // for an object with many members
}

// indexed is the number of members from which a map lookup is cheaper than a scan.
const indexed = 12

func numeric(d decimal) value {
	return value{kind: number, text: d.digits, exponent: int32(d.exponent), negative: d.negative} //nolint:gosec // bounded by the text
}

func (v *value) number() decimal {
	return decimal{digits: v.text, exponent: int(v.exponent), negative: v.negative}
}

// values returns the elements of an array or the values of an object's members.
func (v *value) values() []value {
	if v.list == nil {
		return nil
	}
	return v.list.values
}

// names returns the names of an object's members, in the order of values.
func (v *value) names() []string {
	if v.list == nil {
		return nil
	}
	return v.list.names
}

// get returns a member of an object, or nil. Other values have no members.
func (v *value) get(name string) *value {
	if v.list == nil {
		return nil
	}
	if i := v.list.find(name); i >= 0 {
		return &v.list.values[i]
	}
	return nil
}

func (l *list) find(name string) int {
	if l.index != nil {
		if i, ok := l.index[name]; ok {
			return i
		}
		return -1
	}
	return slices.Index(l.names, name)
}

// set adds a member. If two have the same name the last one counts, as in JavaScript.
func (l *list) set(name string, member value) {
	if i := l.find(name); i >= 0 {
		l.values[i] = member
		return
	}
	if l.index != nil {
		l.index[name] = len(l.names)
	}
	l.names = append(l.names, name)
	l.values = append(l.values, member)
	if l.index == nil && len(l.names) == indexed {
		l.index = make(map[string]int, 2*indexed)
		for i, n := range l.names {
			l.index[n] = i
		}
	}
}

// sorted returns the indexes of an object's members in the order of their names.
func (v *value) sorted() []int {
	names := v.names()
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return strings.Compare(names[i], names[j]) })
	return order
}

// decode reads JSON. Numbers beyond the bounds of [MaxDigits] and [MaxExponent] are collected as violations; any other
// error means that it is not JSON.
func decode(data []byte) (value, []Violation, error) {
	if !json.Valid(data) {
		var ignored any
		return value{}, nil, json.Unmarshal(data, &ignored)
	}
	d := decoder{text: string(bytes.TrimLeft(data, " \t\r\n"))}
	v := d.value()
	return v, d.wrong, nil
}

// decoder walks text that is known to be valid JSON.
type decoder struct {
	text  string
	at    int
	path  []step
	wrong []Violation
}

func (d *decoder) space() {
	for d.at < len(d.text) && strings.IndexByte(" \t\r\n", d.text[d.at]) >= 0 {
		d.at++
	}
}

func (d *decoder) value() value {
	switch c := d.text[d.at]; c {
	case '{':
		return d.object()
	case '[':
		return d.array()
	case '"':
		return value{kind: text, text: d.string()}
	case 't':
		d.at += len("true")
		return value{kind: boolean, yes: true}
	case 'f':
		d.at += len("false")
		return value{kind: boolean}
	case 'n':
		d.at += len("null")
		return value{kind: null}
	default:
		return d.number()
	}
}

func (d *decoder) object() value {
	members := &list{}
	d.at++
	for d.space(); d.text[d.at] != '}'; d.space() {
		if d.text[d.at] == ',' {
			d.at++
			d.space()
		}
		name := d.string()
		d.space()
		d.at++ // the colon
		d.space()
		d.path = append(d.path, step{name: name})
		members.set(name, d.value())
		d.path = d.path[:len(d.path)-1]
	}
	d.at++
	return value{kind: object, list: members}
}

func (d *decoder) array() value {
	elements := &list{}
	d.at++
	for d.space(); d.text[d.at] != ']'; d.space() {
		if d.text[d.at] == ',' {
			d.at++
			d.space()
		}
		d.path = append(d.path, step{index: len(elements.values), element: true})
		elements.values = append(elements.values, d.value())
		d.path = d.path[:len(d.path)-1]
	}
	d.at++
	return value{kind: array, list: elements}
}

func (d *decoder) string() string {
	start, escaped := d.at, false
	for d.at++; d.text[d.at] != '"'; d.at++ {
		if d.text[d.at] == '\\' {
			escaped = true
			d.at++
		}
	}
	d.at++
	if !escaped {
		return d.text[start+1 : d.at-1]
	}
	var s string
	if err := json.Unmarshal([]byte(d.text[start:d.at]), &s); err != nil {
		return d.text[start+1 : d.at-1] // the text is valid: not reached
	}
	return s
}

func (d *decoder) number() value {
	start := d.at
	for d.at < len(d.text) && strings.IndexByte("+-.eE0123456789", d.text[d.at]) >= 0 {
		d.at++
	}
	n, ok := parseDecimal(d.text[start:d.at])
	if !ok && len(d.wrong) < maxViolations {
		d.wrong = append(d.wrong, Violation{Path: pathOf(d.path), Message: boundsOfNumbers})
	}
	return numeric(n)
}

// step is one step of the path to a value: a member's name or an element's index.
type step struct {
	name    string
	index   int
	element bool
}

// The bounds of a displayed path. Each step except the first takes at least two bytes.
const (
	maxPath  = 500 // bytes
	maxSteps = maxPath
)

// pathOf joins steps as errors name them: order.lines.2. A path that is too long ends with an ellipsis.
func pathOf(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		if b.Len() > maxPath {
			return b.String() + "…"
		}
		if i > 0 {
			b.WriteByte('.')
		}
		if s.element {
			b.WriteString(strconv.Itoa(s.index))
		} else {
			b.WriteString(shortened(s.name))
		}
	}
	return b.String()
}

// canonical appends a text that two values share if and only if JSON Schema considers them equal.
func (v *value) canonical(b []byte) []byte {
	switch v.kind {
	case boolean:
		if v.yes {
			return append(b, 't')
		}
		return append(b, 'f')
	case number:
		return v.number().canonical(b)
	case text:
		return appendText(b, v.text)
	case array:
		b = append(b, '[')
		for i := range v.values() {
			b = v.list.values[i].canonical(b)
		}
		return append(b, ']')
	case object:
		b = append(b, '{')
		for _, i := range v.sorted() {
			b = v.list.values[i].canonical(appendText(b, v.list.names[i]))
		}
		return append(b, '}')
	default:
		return append(b, 'z')
	}
}

func appendText(b []byte, s string) []byte {
	b = strconv.AppendInt(append(b, '"'), int64(len(s)), 10)
	return append(append(b, ':'), s...)
}
