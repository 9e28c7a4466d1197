package jsonschema

import (
	"context"
	"fmt"
)

// evaluation is the check of one value.
type evaluation struct {
	ctx       context.Context //nolint:containedctx // of a single call
	budget    *Budget
	sinceLook int   // steps since the last check of the caller
	stopped   error // the reason for ending without a verdict

	quiet     int  // above 0: only whether the value is valid matters, not what is wrong
	tentative int  // above 0: violations may turn out not to matter
	full      bool // enough violations have been found

	path    []step
	wrong   []mistake
	nesting int // nested evaluations
	inPlace int // nested evaluations since the path last grew

	dynamic bool
	scope   []*resource // resources being evaluated, outermost first; only with dynamic
}

// mistake is a violation whose text is not made yet: most of those within anyOf are never shown.
type mistake struct {
	path    []step
	message func() string
}

func (e *evaluation) violations() []Violation {
	all := make([]Violation, len(e.wrong))
	for i, m := range e.wrong {
		all[i] = Violation{pathOf(m.path), m.message()}
	}
	return all
}

// fail records a violation at the current path, and returns false.
func (e *evaluation) fail(message func() string) bool {
	if e.quiet > 0 || len(e.wrong) >= maxViolations {
		return false
	}
	e.spend(8 + len(e.path))
	e.wrong = append(e.wrong, mistake{append([]step(nil), e.path[:min(len(e.path), maxSteps)]...), message})
	if len(e.wrong) == maxViolations && e.tentative == 0 {
		e.full = true
	}
	return false
}

func (e *evaluation) failf(format string, args ...any) bool {
	return e.fail(func() string { return fmt.Sprintf(format, args...) })
}

// done reports whether nothing more needs to be found out once a value is known to be invalid.
func (e *evaluation) done() bool { return e.quiet > 0 || e.full || e.stopped != nil }

// evaluate reports whether the value is valid. If outer is not nil and the value is valid, it marks in outer the parts
// of the value that the node has evaluated.
func (e *evaluation) evaluate(n *node, v *value, outer *marks) bool {
	if !e.spend(1) || e.full {
		return false
	}
	if n.always != nil {
		return *n.always || e.failf("is not allowed")
	}
	if e.nesting >= maxNesting || e.inPlace >= maxInPlaceNested {
		e.stopped = ErrEndless
		return false
	}
	e.nesting++
	e.inPlace++
	entered := e.dynamic && (len(e.scope) == 0 || e.scope[len(e.scope)-1] != n.res)
	if entered {
		e.scope = append(e.scope, n.res)
	}
	valid := e.keywords(n, v, outer)
	if entered {
		e.scope = e.scope[:len(e.scope)-1]
	}
	e.nesting--
	e.inPlace--
	return valid && e.stopped == nil
}

func (e *evaluation) keywords(n *node, v *value, outer *marks) bool {
	var own *marks
	if outer != nil || n.unevaluatedProperties != nil || n.unevaluatedItems != nil {
		own = &marks{}
	}
	valid := e.scalar(n, v)
	if valid || !e.done() {
		valid = e.references(n, v, own) && valid
	}
	if valid || !e.done() {
		valid = e.children(n, v, own) && valid
	}
	if valid || !e.done() {
		valid = e.combined(n, v, own) && valid
	}
	if n.condition != nil && (valid || !e.done()) {
		valid = e.conditional(n, v, own) && valid
	}
	if n.unevaluatedProperties != nil || n.unevaluatedItems != nil {
		if !valid && e.done() {
			return false
		}
		valid = e.unevaluated(n, v, own) && valid
	}
	if valid && outer != nil {
		e.spend(len(own.bits) / 4)
		outer.add(own)
	}
	return valid
}

// scalar makes the checks that do not look inside the value.
func (e *evaluation) scalar(n *node, v *value) bool {
	valid := true
	if n.types != 0 && n.types&v.kind == 0 && (n.types&integer == 0 || v.kind != number || !v.number().isInteger()) {
		return e.fail(func() string { return "got " + v.kind.String() + ", want " + n.types.String() })
	}
	if n.enum != nil && !e.among(n.enum, v) {
		return e.fail(func() string { return n.enum.message })
	}
	if v.kind == text {
		valid = e.format(n.format, v.text)
		if n.texts != nil && (valid || !e.done()) {
			valid = e.texts(n.texts, v.text) && valid
		}
	}
	if v.kind == number && n.numbers != nil {
		valid = e.numbers(n.numbers, v.number())
	}
	return valid
}

// among reports whether the value is one of a set.
func (e *evaluation) among(set *enum, v *value) bool {
	if set.kinds&v.kind == 0 {
		return false
	}
	if v.kind == text {
		_, ok := set.texts[v.text]
		return ok
	}
	_, ok := set.others[e.canonical(v)]
	return ok
}

// canonical returns the canonical form of a value; "" if the budget is exceeded.
func (e *evaluation) canonical(v *value) string {
	var room [64]byte
	b := v.canonical(room[:0])
	if !e.spend(len(b) / 8) {
		return ""
	}
	return string(b)
}

// references follows $ref, $recursiveRef and $dynamicRef.
func (e *evaluation) references(n *node, v *value, own *marks) bool {
	valid := n.ref == nil || e.evaluate(n.ref, v, own)
	if n.recursiveRef != nil && (valid || !e.done()) {
		target := n.recursiveRef
		if n.recursive {
			for _, res := range e.scope {
				if res.recursive {
					target = res.root
					break
				}
			}
		}
		valid = e.evaluate(target, v, own) && valid
	}
	if n.dynamicRef != nil && (valid || !e.done()) {
		target := n.dynamicRef
		if n.dynamicName != "" {
			for _, res := range e.scope {
				if found := res.dynamic[n.dynamicName]; found != nil {
					target = found
					break
				}
			}
		}
		valid = e.evaluate(target, v, own) && valid
	}
	return valid
}

// children checks the parts of objects and arrays.
func (e *evaluation) children(n *node, v *value, own *marks) bool {
	switch {
	case v.kind == object && n.objects != nil:
		return e.object(n, v, own)
	case v.kind == array && n.arrays != nil:
		return e.array(n, v, own)
	default:
		return true
	}
}

// inside evaluates a part of the current value.
func (e *evaluation) inside(n *node, v *value, at step) bool {
	inPlace := e.inPlace
	e.inPlace = 0
	e.path = append(e.path, at)
	valid := e.evaluate(n, v, nil)
	e.path = e.path[:len(e.path)-1]
	e.inPlace = inPlace
	return valid
}

// quietly evaluates a node of which only the verdict matters.
func (e *evaluation) quietly(n *node, v *value, own *marks) bool {
	e.quiet++
	valid := e.evaluate(n, v, own)
	e.quiet--
	return valid
}

// combined checks not, allOf, anyOf and oneOf.
func (e *evaluation) combined(n *node, v *value, own *marks) bool {
	valid := true
	if n.not != nil {
		valid = !e.quietly(n.not, v, nil)
		if !valid {
			e.failf("must not be what 'not' describes")
		}
	}
	for _, other := range n.allOf {
		if !valid && e.done() {
			return false
		}
		valid = e.evaluate(other, v, own) && valid
	}
	if len(n.anyOf) > 0 && (valid || !e.done()) {
		valid = e.anyOf(n.anyOf, v, own) && valid
	}
	if len(n.oneOf) > 0 && (valid || !e.done()) {
		valid = e.oneOf(n.oneOf, v, own) && valid
	}
	return valid
}

func (e *evaluation) anyOf(nodes []*node, v *value, own *marks) bool {
	e.tentative++
	before, matched := len(e.wrong), false
	for _, other := range nodes {
		if e.evaluate(other, v, own) {
			matched = true
			e.wrong = e.wrong[:before]
			if own == nil {
				break
			}
		}
	}
	e.tentative--
	if matched {
		e.wrong = e.wrong[:before]
	}
	return matched || e.fullOr("matches none of 'anyOf'", before)
}

func (e *evaluation) oneOf(nodes []*node, v *value, own *marks) bool {
	e.tentative++
	before, first := len(e.wrong), -1
	for i, other := range nodes {
		if first >= 0 {
			if e.quietly(other, v, nil) {
				e.tentative--
				return e.failf("matches both %d and %d of 'oneOf'", first, i)
			}
			continue
		}
		if e.evaluate(other, v, own) {
			first = i
			e.wrong = e.wrong[:before]
		}
	}
	e.tentative--
	return first >= 0 || e.fullOr("matches none of 'oneOf'", before)
}

// fullOr returns false. If no problem has been recorded since before, it records the message.
func (e *evaluation) fullOr(message string, before int) bool {
	if len(e.wrong) == before {
		return e.failf("%s", message)
	}
	e.full = e.full || len(e.wrong) >= maxViolations && e.tentative == 0 && e.quiet == 0
	return false
}

// conditional checks if, then and else.
func (e *evaluation) conditional(n *node, v *value, own *marks) bool {
	branch := n.otherwise
	if e.quietly(n.condition, v, own) {
		branch = n.then
	}
	return branch == nil || e.evaluate(branch, v, own)
}
