package jsonschema

import "unicode/utf8"

func (e *evaluation) numbers(r *numberRules, d decimal) bool {
	e.spend(len(d.digits) / 16)
	valid := true
	if r.minimum != nil && d.compare(*r.minimum) < 0 {
		valid = e.failf("minimum: got %v, want %v", d, *r.minimum)
	}
	if r.maximum != nil && d.compare(*r.maximum) > 0 {
		valid = e.failf("maximum: got %v, want %v", d, *r.maximum)
	}
	if r.above != nil && d.compare(*r.above) <= 0 {
		valid = e.failf("exclusiveMinimum: got %v, want more than %v", d, *r.above)
	}
	if r.below != nil && d.compare(*r.below) >= 0 {
		valid = e.failf("exclusiveMaximum: got %v, want less than %v", d, *r.below)
	}
	if r.multipleOf != nil {
		e.spend(len(r.multipleOf.digits) + len(d.digits)/4)
		if !d.multipleOf(*r.multipleOf) {
			valid = e.failf("multipleOf: %v is not a multiple of %v", d, *r.multipleOf)
		}
	}
	return valid
}

func (e *evaluation) texts(r *textRules, s string) bool {
	valid := true
	if r.minLength != nil || r.maxLength != nil {
		e.spend(len(s) / 64)
		length := utf8.RuneCountInString(s)
		if r.minLength != nil && length < *r.minLength {
			valid = e.failf("minLength: got %d, want %d", length, *r.minLength)
		}
		if r.maxLength != nil && length > *r.maxLength {
			valid = e.failf("maxLength: got %d, want %d", length, *r.maxLength)
		}
	}
	if r.pattern != nil && (valid || !e.done()) && !e.matches(r.pattern, s) {
		valid = e.fail(func() string { return quoted(s) + " does not match pattern " + quoted(r.pattern.source) })
	}
	return valid
}

func (e *evaluation) format(f *format, s string) bool {
	if f == nil {
		return true
	}
	e.spend(len(s) / 8)
	if f.check(s) {
		return true
	}
	return e.fail(func() string { return quoted(s) + " is not valid " + f.name })
}
