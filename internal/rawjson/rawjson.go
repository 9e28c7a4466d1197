// Package rawjson takes JSON apart without decoding it, so that a posted 1.0, 1e400 or "\u00e9" stays exactly that. It
// is pure and must not import any package of Posthorn.
package rawjson

import (
	"bytes"
	"encoding/json"
	"iter"
)

// space is the white space of RFC 8259.
const space = " \t\n\r"

// Trim removes the white space around a value.
func Trim(value []byte) []byte { return bytes.Trim(value, space) }

// Members walks the top level of a trimmed JSON object. It yields each member's name, still quoted, and the whole pair
// from the name's first to the value's last byte; both are parts of data. Values are skipped, not parsed: valid JSON
// is walked correctly; invalid JSON is either walked or, if its structure makes no sense, ends with a nil pair.
func Members(data []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, pair []byte) bool) {
		i := skipSpace(data, 1)
		if i < len(data) && data[i] == '}' {
			if i != len(data)-1 {
				yield(nil, nil)
			}
			return
		}
		for {
			start := i
			nameEnd := skipString(data, start)
			colon := skipSpace(data, nameEnd)
			if nameEnd == start || colon >= len(data) || data[colon] != ':' {
				yield(nil, nil)
				return
			}
			value := skipSpace(data, colon+1)
			end := skipValue(data, value)
			next := skipSpace(data, end)
			if end == value || next >= len(data) {
				yield(nil, nil)
				return
			}
			if !yield(data[start:nameEnd], data[start:end]) {
				return
			}
			switch {
			case data[next] == ',':
				i = skipSpace(data, next+1)
			case data[next] == '}' && next == len(data)-1:
				return
			default:
				yield(nil, nil)
				return
			}
		}
	}
}

// Value returns the value of a pair that Members yielded under this name.
func Value(name, pair []byte) []byte {
	return bytes.TrimLeft(pair[len(name):], ":"+space) // no value begins with a colon
}

// Elements walks the elements of a trimmed JSON array, each from its first to its last byte. They are skipped, not
// parsed; invalid JSON ends with a nil element, as in [Members].
func Elements(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		i := skipSpace(data, 1)
		if i == len(data)-1 && data[i] == ']' {
			return
		}
		for {
			end := skipValue(data, i)
			next := skipSpace(data, end)
			if end == i || next >= len(data) {
				yield(nil)
				return
			}
			if !yield(data[i:end]) {
				return
			}
			switch {
			case data[next] == ',':
				i = skipSpace(data, next+1)
			case data[next] == ']' && next == len(data)-1:
				return
			default:
				yield(nil)
				return
			}
		}
	}
}

// Name decodes a quoted name, so that "\u0065vent" is recognised as what a receiver will read: event.
func Name(quoted []byte) string {
	plain := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(plain, '\\') < 0 {
		return string(plain)
	}
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return string(plain)
	}
	return name
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that starts at i, or i if there is none or it does not end.
func skipString(data []byte, i int) int {
	if i >= len(data) || data[i] != '"' {
		return i
	}
	for j := i + 1; j < len(data); j++ {
		switch data[j] {
		case '\\':
			j++
		case '"':
			return j + 1
		}
	}
	return i
}

// skipValue returns the index after the value that starts at i, or i if there is none or it does not end.
func skipValue(data []byte, i int) int {
	if i >= len(data) {
		return i
	}
	switch data[i] {
	case '"':
		return skipString(data, i)
	case '{', '[':
		return skipNested(data, i)
	default:
		return skipScalar(data, i)
	}
}

// skipNested skips an object or array by counting brackets outside strings.
func skipNested(data []byte, i int) int {
	depth := 0
	for j := i; j < len(data); j++ {
		switch data[j] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return j + 1
			}
		case '"':
			end := skipString(data, j)
			if end == j {
				return i
			}
			j = end - 1
		}
	}
	return i
}

// skipScalar skips a number, true, false or null: everything up to what may follow a value.
func skipScalar(data []byte, i int) int {
	for j := i; j < len(data); j++ {
		switch data[j] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return j
		}
	}
	return i
}
