package jsonschema

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// pattern is a regular expression of ECMA-262, as JSON Schema uses them, on Go's engine: matching takes time
// proportional to the text, never more. A text matches if one of the branches does.
type pattern struct {
	source   string
	size     int // instructions
	branches []branch
}

// branch matches if its expression does, and all of its required assertions and none of its forbidden ones match.
type branch struct {
	expression *regexp.Regexp
	anchored   bool
	size       int
	assertions []assertion
}

type assertion struct {
	expression *regexp.Regexp
	size       int
	negative   bool
}

var errTooLarge = fmt.Errorf("is too large: a pattern has at most %d bytes and %d instructions, and each repetition counts as its copies",
	MaxPattern, MaxPatternSize)

// compilePattern translates and compiles a pattern. Its errors are written for the author of the pattern.
func compilePattern(source string) (*pattern, error) {
	p := &pattern{source: source}
	if len(source) > MaxPattern {
		return p, errTooLarge
	}
	t := translator{source: source}
	alternatives, err := t.pattern()
	if err != nil {
		return p, err
	}
	if t.unsupported != "" {
		return p, errors.New(t.unsupported)
	}
	for _, a := range alternatives {
		b := branch{anchored: a.anchored}
		if b.expression, b.size, err = compileGo(a.text); err != nil {
			return p, err
		}
		p.size += b.size
		for _, other := range a.assertions {
			c := assertion{negative: other.negative}
			if c.expression, c.size, err = compileGo(other.text); err != nil {
				return p, err
			}
			p.size += c.size
			b.assertions = append(b.assertions, c)
		}
		p.branches = append(p.branches, b)
		if p.size > MaxPatternSize {
			return p, errTooLarge
		}
	}
	return p, nil
}

// compileGo compiles an expression in Go's syntax, and counts its instructions.
func compileGo(text string) (*regexp.Regexp, int, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			switch e.Code {
			case syntax.ErrInvalidRepeatSize, syntax.ErrLarge, syntax.ErrNestingDepth:
				return nil, 0, errTooLarge
			default:
				return nil, 0, fmt.Errorf("is not a regular expression: %s", e.Code)
			}
		}
		return nil, 0, errors.New("is not a regular expression")
	}
	if sizeOf(parsed) > 4*MaxPatternSize {
		return nil, 0, errTooLarge
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, 0, errTooLarge
	}
	if len(program.Inst) > MaxPatternSize {
		return nil, 0, errTooLarge
	}
	expression, err := regexp.Compile(text)
	return expression, len(program.Inst), err
}

// sizeOf estimates the instructions of an expression before it is compiled.
func sizeOf(r *syntax.Regexp) int {
	size := 1
	if r.Op == syntax.OpLiteral {
		size = len(r.Rune)
	}
	for _, sub := range r.Sub {
		size += sizeOf(sub)
	}
	if r.Op == syntax.OpRepeat {
		size *= max(r.Min, r.Max, 1)
	}
	return min(size, 1<<30)
}

// For matching: how many instructions times characters make a step, and from how many on it can be interrupted.
const (
	perStep         = 4
	perStepAnchored = 8
	interruptible   = 1 << 16
)

// matches reports whether the text matches; false if the budget is exceeded.
func (e *evaluation) matches(p *pattern, s string) bool {
	for i := range p.branches {
		b := &p.branches[i]
		per := perStep
		if b.anchored {
			per = perStepAnchored
		}
		matched := e.match(b.expression, b.size, per, s)
		for j := 0; matched && j < len(b.assertions); j++ {
			a := &b.assertions[j]
			matched = e.match(a.expression, a.size, per, s) != a.negative
		}
		if e.stopped != nil {
			return false
		}
		if matched {
			return true
		}
	}
	return false
}

func (e *evaluation) match(expression *regexp.Regexp, size, per int, s string) bool {
	work := size * len(s)
	if !e.spend(1 + work/per) {
		return false
	}
	if work < interruptible {
		return expression.MatchString(s)
	}
	return expression.MatchReader(&interruptibleText{text: s, evaluation: e})
}

// interruptibleText is a text that ends when the evaluation ends.
type interruptibleText struct {
	evaluation *evaluation
	text       string
	at, looked int
}

func (t *interruptibleText) ReadRune() (r rune, size int, err error) {
	if t.at >= len(t.text) {
		return 0, 0, io.EOF
	}
	if t.at-t.looked >= lookEvery {
		t.looked = t.at
		if t.evaluation.stopped != nil || !t.evaluation.look() {
			return 0, 0, io.EOF
		}
	}
	r, size = utf8.DecodeRuneInString(t.text[t.at:])
	t.at += size
	return r, size, nil
}
