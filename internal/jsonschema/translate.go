package jsonschema

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The classes of ECMA-262 in Go's syntax, for use between brackets.
const (
	lineEnds = `\n\r\x{2028}\x{2029}`
	spaces   = `\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}`
	notSpace = `\x00-\x08\x0e-\x1f!-\x{9f}\x{a1}-\x{167f}\x{1681}-\x{1fff}\x{200b}-\x{2027}\x{202a}-\x{202e}` +
		`\x{2030}-\x{205e}\x{2060}-\x{2fff}\x{3001}-\x{fefe}\x{ff00}-\x{10ffff}`
)

// alternative is one branch of a pattern in Go's syntax. Lookahead right after a leading ^, and lookbehind right
// before a final $, become separate expressions, because Go's engine has neither.
type alternative struct {
	text       string
	anchored   bool
	assertions []lookaround
}

type lookaround struct {
	text     string
	negative bool
}

// translator reads a pattern of ECMA-262. In addition to the strict ("u") form it accepts what is common: escaped
// punctuation, and literal braces and brackets.
type translator struct {
	source      string
	at          int
	depth       int
	unsupported string // the first valid construct without a counterpart
}

var (
	errParenthesis = errors.New("is not a regular expression: a parenthesis is missing")
	errBracket     = errors.New("is not a regular expression: a bracket is missing")
	errRepeat      = errors.New("is not a regular expression: there is nothing to repeat")
	errEscape      = errors.New("is not a regular expression: it has an escape that does not exist")
	errGroup       = errors.New("is not a regular expression: it has a group of an unknown kind")
	errRange       = errors.New("is not a regular expression: a range of characters is out of order")
)

const (
	noLookaround = "lookahead is supported only right after a leading ^, and lookbehind only right before a final $"
	noBackRef    = "back references are not supported"
	maxGroups    = 200 // nested groups
)

func (t *translator) more() bool { return t.at < len(t.source) }

func (t *translator) peek(s string) bool { return strings.HasPrefix(t.source[t.at:], s) }

func (t *translator) take(s string) bool {
	if !t.peek(s) {
		return false
	}
	t.at += len(s)
	return true
}

func (t *translator) rune() rune {
	r, size := utf8.DecodeRuneInString(t.source[t.at:])
	t.at += size
	return r
}

func (t *translator) refuse(what string) {
	if t.unsupported == "" {
		t.unsupported = what
	}
}

// pattern reads the whole source.
func (t *translator) pattern() ([]alternative, error) {
	var all []alternative
	for {
		a, err := t.alternative(true)
		if err != nil {
			return nil, err
		}
		all = append(all, a)
		if !t.take("|") {
			break
		}
	}
	if t.more() {
		return nil, errParenthesis
	}
	return joined(all), nil
}

// joined makes one expression of the alternatives without assertions.
func joined(all []alternative) []alternative {
	var plain []string
	var kept []alternative
	anchored := true
	for _, a := range all {
		if len(a.assertions) > 0 {
			kept = append(kept, a)
			continue
		}
		plain = append(plain, a.text)
		anchored = anchored && a.anchored
	}
	if len(plain) > 0 {
		kept = append(kept, alternative{text: strings.Join(plain, "|"), anchored: anchored})
	}
	return kept
}

// alternative reads up to a | or the end of the group.
func (t *translator) alternative(top bool) (alternative, error) {
	var b strings.Builder
	var a alternative
	leading := top
	for t.more() && !t.peek("|") && !t.peek(")") {
		if t.peek("(?=") || t.peek("(?!") || t.peek("(?<=") || t.peek("(?<!") {
			if err := t.lookaround(&a, leading && a.anchored, top); err != nil {
				return a, err
			}
			continue
		}
		if leading && !a.anchored && t.take("^") {
			a.anchored = true
			b.WriteByte('^')
			continue
		}
		leading = false
		term, repeats, err := t.term()
		if err != nil {
			return a, err
		}
		if repeats {
			quantifier, err := t.quantifier()
			if err != nil {
				return a, err
			}
			term += quantifier
		}
		b.WriteString(term)
	}
	a.text = b.String()
	return a, nil
}

// lookaround reads an assertion. first: it comes right after a leading ^.
func (t *translator) lookaround(a *alternative, first, top bool) error {
	behind := t.peek("(?<")
	negative := t.peek("(?!") || t.peek("(?<!")
	t.at += len("(?=")
	if behind {
		t.at++
	}
	text, err := t.group()
	if err != nil {
		return err
	}
	switch {
	case !behind && first:
		a.assertions = append(a.assertions, lookaround{"^(?:" + text + ")", negative})
	case behind && top && (t.source[t.at:] == "$" || t.peek("$|")):
		a.assertions = append(a.assertions, lookaround{"(?:" + text + ")$", negative})
	default:
		t.refuse(noLookaround)
	}
	return nil
}

// group reads alternatives up to and including the closing parenthesis.
func (t *translator) group() (string, error) {
	if t.depth++; t.depth > maxGroups {
		return "", errTooLarge
	}
	var parts []string
	for {
		a, err := t.alternative(false)
		if err != nil {
			return "", err
		}
		parts = append(parts, a.text)
		if !t.take("|") {
			break
		}
	}
	t.depth--
	if !t.take(")") {
		return "", errParenthesis
	}
	return strings.Join(parts, "|"), nil
}

// term reads one atom or assertion, and reports whether it may be repeated.
func (t *translator) term() (text string, repeats bool, err error) {
	switch {
	case t.take("^"):
		return "^", false, nil
	case t.take("$"):
		return "$", false, nil
	case t.take(`\b`):
		return `\b`, false, nil
	case t.take(`\B`):
		return `\B`, false, nil
	case t.take("."):
		return "[^" + lineEnds + "]", true, nil
	case t.take("("):
		return t.parenthesis()
	case t.take("["):
		text, err = t.class()
		return text, true, err
	case t.take(`\`):
		text, err = t.escape()
		return text, true, err
	case t.peek("*"), t.peek("+"), t.peek("?"), t.braces() != "":
		return "", false, errRepeat
	}
	return literal(t.rune()), true, nil
}

func (t *translator) parenthesis() (string, bool, error) {
	switch {
	case t.take("?:"):
	case t.take("?<"):
		name, rest, ok := strings.Cut(t.source[t.at:], ">")
		if !ok || name == "" || strings.ContainsAny(name, "()[]{}|\\ ") {
			return "", false, errParenthesis
		}
		t.at = len(t.source) - len(rest)
	case t.peek("?"):
		return "", false, errGroup
	}
	text, err := t.group()
	return "(?:" + text + ")", true, err
}

// braces returns the counted quantifier that comes next, or "".
func (t *translator) braces() string {
	rest := t.source[t.at:]
	if !strings.HasPrefix(rest, "{") {
		return ""
	}
	end := 1
	for end < len(rest) && (rest[end] == ',' || rest[end] >= '0' && rest[end] <= '9') {
		end++
	}
	if end == len(rest) || rest[end] != '}' {
		return ""
	}
	least, most, ranged := strings.Cut(rest[1:end], ",")
	if !isDigits(least) || ranged && most != "" && !isDigits(most) {
		return ""
	}
	return rest[:end+1]
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func (t *translator) quantifier() (string, error) {
	q := t.braces()
	if q != "" {
		least, most, ranged := strings.Cut(q[1:len(q)-1], ",")
		low, errLow := strconv.Atoi(least)
		high, errHigh := strconv.Atoi(most)
		switch {
		case errLow != nil || most != "" && errHigh != nil || low > MaxPatternSize || high > MaxPatternSize:
			return "", errTooLarge
		case ranged && most != "" && low > high:
			return "", errRange
		}
	} else if t.peek("*") || t.peek("+") || t.peek("?") {
		q = t.source[t.at : t.at+1]
	}
	t.at += len(q)
	if q != "" && t.take("?") { // lazy: the same texts match
		q += "?"
	}
	return q, nil
}

// literal returns a character as a literal.
func literal(r rune) string {
	if r < utf8.RuneSelf && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
		return fmt.Sprintf(`\x%02x`, r)
	}
	return string(r)
}
