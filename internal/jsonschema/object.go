package jsonschema

import "strings"

func (e *evaluation) object(n *node, v *value, own *marks) bool {
	r, size := n.objects, len(v.names())
	valid := true
	if r.minProperties != nil && size < *r.minProperties {
		valid = e.failf("has %d members, must have at least %d", size, *r.minProperties)
	}
	if r.maxProperties != nil && size > *r.maxProperties {
		valid = e.failf("has %d members, must have at most %d", size, *r.maxProperties)
	}
	if missing := e.missing(v, r.required); len(missing) > 0 {
		valid = e.fail(func() string { return "missing " + plural("property", "properties", missing) })
	}
	for i, name := range v.names() {
		if !valid && e.done() {
			return false
		}
		valid = e.member(r, v, i, name, own) && valid
	}
	for _, d := range r.dependent {
		if !valid && e.done() {
			return false
		}
		if v.get(d.name) != nil {
			valid = e.dependent(d, v, own) && valid
		}
	}
	return valid
}

// member checks one member of an object, including its name.
func (e *evaluation) member(r *objectRules, v *value, i int, name string, own *marks) bool {
	member, at := &v.list.values[i], step{name: name}
	valid, evaluated := e.spend(1), false
	if r.names != nil && !e.quietly(r.names, &value{kind: text, text: name}, nil) {
		valid = e.fail(func() string { return "the property name " + quoted(name) + " is not allowed" })
	}
	if child := r.properties[name]; child != nil {
		evaluated = true
		valid = e.inside(child, member, at) && valid
	}
	for _, p := range r.patterns {
		if e.matches(p.pattern, name) {
			evaluated = true
			valid = e.inside(p.node, member, at) && valid
		}
	}
	switch {
	case evaluated || r.additional == nil:
	case r.additional.always != nil && !*r.additional.always:
		return e.fail(func() string { return "additional properties " + quoted(name) + " not allowed" })
	default:
		evaluated = true
		valid = e.inside(r.additional, member, at) && valid
	}
	if evaluated {
		own.mark(i)
	}
	return valid
}

func (e *evaluation) dependent(d dependency, v *value, own *marks) bool {
	if d.node != nil {
		return e.evaluate(d.node, v, own)
	}
	if missing := e.missing(v, d.required); len(missing) > 0 {
		return e.fail(func() string {
			return plural("property", "properties", missing) + " required, if " + quoted(d.name) + " exists"
		})
	}
	return true
}

// missing returns the required names that an object lacks, at most 20.
func (e *evaluation) missing(v *value, names []string) []string {
	var missing []string
	e.spend(len(names))
	for _, name := range names {
		if v.get(name) == nil && len(missing) < 20 {
			missing = append(missing, name)
		}
	}
	return missing
}

func plural(one, many string, names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = quoted(name)
	}
	if len(all) == 1 {
		return one + " " + all[0]
	}
	return many + " " + strings.Join(all, ", ")
}
