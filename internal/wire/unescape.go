package wire

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// escapes are the first characters of escapes: those of JSON, percent-encoding and HTML.
var escapes = []byte(`\%&`)

// unescape decodes the escapes of one kind. at[i] is the position in text of the i-th byte of the result; it has one
// more element, the length of text. at is nil if nothing is escaped.
func unescape(text []byte, kind byte) (decoded []byte, at []int) {
	if bytes.IndexByte(text, kind) < 0 {
		return text, nil
	}
	decoded, at = make([]byte, 0, len(text)), make([]int, 0, len(text)+1)
	changed := false
	for i := 0; i < len(text); {
		var r rune
		raw, n := false, 0
		if text[i] == kind {
			r, raw, n = escape(text[i:])
		}
		switch {
		case n == 0:
			decoded, at = append(decoded, text[i]), append(at, i)
			i++
			continue
		case raw:
			decoded = append(decoded, byte(r))
		default:
			decoded = utf8.AppendRune(decoded, r)
		}
		changed = true
		for len(at) < len(decoded) {
			at = append(at, i)
		}
		i += n
	}
	if !changed {
		return text, nil
	}
	return decoded, append(at, len(text))
}

// escape returns what the first n bytes of text represent, a character or a raw byte. n is 0 if they are not an
// escape.
func escape(text []byte) (r rune, raw bool, n int) {
	switch text[0] {
	case '%':
		r, ok := number(text, 1, 2)
		return r, true, length(ok, 3)
	case '&':
		r, n := entity(text)
		return r, false, n
	case '\\':
		return backslash(text)
	}
	return 0, false, 0
}

func backslash(text []byte) (r rune, raw bool, n int) {
	if len(text) < 2 {
		return 0, false, 0
	}
	switch c := text[1]; c {
	case 'u':
		r, ok := number(text, 2, 4)
		return r, false, length(ok, 6)
	case 'x':
		r, ok := number(text, 2, 2)
		return r, true, length(ok, 4)
	case 't':
		return '\t', false, 2
	default:
		if c < ' ' || c >= utf8.RuneSelf || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return 0, false, 0
		}
		return rune(c), false, 2
	}
}

func number(text []byte, start, digits int) (rune, bool) {
	if len(text) < start+digits {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[start:start+digits]), 16, 16)
	return rune(n), err == nil
}

func length(ok bool, n int) int {
	if !ok {
		return 0
	}
	return n
}

// entities are the named ones that programs write for characters that must be escaped.
var entities = map[string]rune{
	"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\'', "nbsp": '\u00a0', "plus": '+', "equals": '=', "sol": '/', "colon": ':',
}

// maxEscape is the longest escape that is decoded, in bytes.
const maxEscape = 10

func entity(text []byte) (rune, int) {
	end := bytes.IndexByte(text[:min(len(text), maxEscape)], ';')
	if end < 2 {
		return 0, 0
	}
	name := string(text[1:end])
	if name[0] != '#' {
		if r, ok := entities[name]; ok {
			return r, end + 1
		}
		return 0, 0
	}
	digits, base := name[1:], 10
	if len(digits) > 1 && (digits[0] == 'x' || digits[0] == 'X') {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 21)
	if err != nil {
		return 0, 0
	}
	return rune(n), end + 1
}
