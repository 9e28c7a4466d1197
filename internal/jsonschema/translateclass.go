package jsonschema

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// member is a part of a character class: a character, or a set of them in Go's syntax.
type member struct {
	char rune
	set  string // "" = it is the character
}

func (m member) text() string {
	if m.set != "" {
		return m.set
	}
	return literal(m.char)
}

// class reads a character class after its opening bracket.
func (t *translator) class() (string, error) {
	negative := t.take("^")
	var b strings.Builder
	for !t.take("]") {
		if !t.more() {
			return "", errBracket
		}
		first, err := t.member()
		if err != nil {
			return "", err
		}
		if !t.peek("-") || t.peek("-]") || first.set != "" {
			b.WriteString(first.text())
			continue
		}
		t.at++
		if !t.more() {
			return "", errBracket
		}
		last, err := t.member()
		switch {
		case err != nil:
			return "", err
		case last.set != "": // a dash between a character and a set is literal
			b.WriteString(first.text() + `\-` + last.text())
		case first.char > last.char:
			return "", errRange
		default:
			b.WriteString(first.text() + "-" + last.text())
		}
	}
	switch {
	case b.Len() > 0 && negative:
		return "[^" + b.String() + "]", nil
	case b.Len() > 0:
		return "[" + b.String() + "]", nil
	case negative:
		return `[\x00-\x{10ffff}]`, nil
	default:
		return `[^\x00-\x{10ffff}]`, nil
	}
}

func (t *translator) member() (member, error) {
	switch {
	case t.take(`\b`):
		return member{char: '\b'}, nil
	case t.take(`\-`):
		return member{char: '-'}, nil
	case t.take(`\`):
		return t.escaped()
	}
	return member{char: t.rune()}, nil
}

// escape reads what follows a backslash outside a class.
func (t *translator) escape() (string, error) {
	if t.more() && t.source[t.at] >= '1' && t.source[t.at] <= '9' {
		for t.more() && t.source[t.at] >= '0' && t.source[t.at] <= '9' {
			t.at++
		}
		t.refuse(noBackRef)
		return "", nil
	}
	if t.take("k<") {
		_, rest, ok := strings.Cut(t.source[t.at:], ">")
		if !ok {
			return "", errEscape
		}
		t.at = len(t.source) - len(rest)
		t.refuse(noBackRef)
		return "", nil
	}
	m, err := t.escaped()
	if err != nil || m.set == "" {
		return m.text(), err
	}
	return "[" + m.set + "]", nil
}

// controls are the escapes of single characters.
var controls = map[rune]rune{'t': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r'}

// escaped reads what follows a backslash inside or outside a class.
func (t *translator) escaped() (member, error) {
	if !t.more() {
		return member{}, errEscape
	}
	r := t.rune()
	switch r {
	case 'd', 'D', 'w', 'W':
		return member{set: `\` + string(r)}, nil
	case 's':
		return member{set: spaces}, nil
	case 'S':
		return member{set: notSpace}, nil
	case 'p', 'P':
		return t.property(r == 'P')
	case 'c':
		if t.more() {
			if c := t.rune(); c < 0x80 && unicode.IsLetter(c) {
				return member{char: c % 32}, nil
			}
		}
		return member{}, errEscape
	case '0':
		if t.more() && t.source[t.at] >= '0' && t.source[t.at] <= '9' {
			return member{}, errEscape
		}
		return member{char: 0}, nil
	case 'x':
		return t.hex(2)
	case 'u':
		return t.unicode()
	}
	if c, ok := controls[r]; ok {
		return member{char: c}, nil
	}
	if r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
		return member{}, errEscape
	}
	return member{char: r}, nil
}

func (t *translator) hex(digits int) (member, error) {
	if t.at+digits > len(t.source) {
		return member{}, errEscape
	}
	n, err := strconv.ParseUint(t.source[t.at:t.at+digits], 16, 32)
	if err != nil {
		return member{}, errEscape
	}
	t.at += digits
	return member{char: rune(n)}, nil //nolint:gosec // at most four digits
}

func (t *translator) unicode() (member, error) {
	if t.take("{") {
		digits, rest, ok := strings.Cut(t.source[t.at:], "}")
		n, err := strconv.ParseUint(digits, 16, 32)
		if !ok || err != nil || n > unicode.MaxRune {
			return member{}, errEscape
		}
		t.at = len(t.source) - len(rest)
		return member{char: rune(n)}, nil
	}
	m, err := t.hex(4)
	if err != nil || !utf16.IsSurrogate(m.char) {
		return m, err
	}
	if t.take(`\u`) {
		low, err := t.hex(4)
		if err != nil {
			return low, err
		}
		return member{char: utf16.DecodeRune(m.char, low.char)}, nil
	}
	return member{char: unicode.ReplacementChar}, nil // half a character: what JSON decodes to
}

// composed are properties that Unicode derives from others.
var composed = map[string]string{"Alphabetic": `\p{L}\p{Nl}`, "Lowercase": `\p{Ll}`, "Uppercase": `\p{Lu}`}

// property reads \p{…}.
func (t *translator) property(negative bool) (member, error) {
	if !t.take("{") {
		return member{}, errEscape
	}
	name, rest, ok := strings.Cut(t.source[t.at:], "}")
	if !ok {
		return member{}, errEscape
	}
	t.at = len(t.source) - len(rest)
	if key, given, ok := strings.Cut(name, "="); ok {
		switch key {
		case "General_Category", "gc", "Script", "sc", "Script_Extensions", "scx":
			name = given
		default:
			return member{}, errEscape
		}
	}
	set := ""
	if base, ok := composed[name]; ok {
		set = base + ranges(unicode.Properties["Other_"+name])
	} else if table, ok := unicode.Properties[name]; ok {
		set = ranges(table)
	}
	if set != "" {
		if negative {
			t.refuse(`\P of the property ` + name + " is not supported")
		}
		return member{set: set}, nil
	}
	if !isCategory(name) {
		return member{}, fmt.Errorf("is not a regular expression: there is no property %q of characters", shortened(name))
	}
	letter := "p"
	if negative {
		letter = "P"
	}
	return member{set: `\` + letter + "{" + name + "}"}, nil
}

// isCategory reports whether Go's engine knows a general category or a script by this name.
func isCategory(name string) bool {
	_, category := unicode.Categories[name]
	_, alias := unicode.CategoryAliases[name]
	_, script := unicode.Scripts[name]
	return category || alias || script || name == "Any" || name == "ASCII" || name == "Assigned"
}

// ranges writes a table of characters as the inside of a class.
func ranges(table *unicode.RangeTable) string {
	var b strings.Builder
	add := func(low, high, stride uint32) {
		if stride == 1 {
			fmt.Fprintf(&b, `\x{%x}-\x{%x}`, low, high)
			return
		}
		for c := low; c <= high; c += stride {
			fmt.Fprintf(&b, `\x{%x}`, c)
		}
	}
	for _, r := range table.R16 {
		add(uint32(r.Lo), uint32(r.Hi), uint32(r.Stride))
	}
	for _, r := range table.R32 {
		add(r.Lo, r.Hi, r.Stride)
	}
	return b.String()
}

// isPattern reports whether a text is a regular expression of ECMA-262, of any size: the format "regex".
func isPattern(s string) bool {
	t := translator{source: s}
	_, err := t.pattern()
	return err == nil || errors.Is(err, errTooLarge)
}
