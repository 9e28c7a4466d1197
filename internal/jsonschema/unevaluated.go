package jsonschema

// marks says which members of an object, or items of an array, a schema has evaluated. A nil *marks records nothing.
type marks struct{ bits []uint64 }

func (m *marks) mark(i int) {
	if m == nil {
		return
	}
	for len(m.bits) <= i/64 {
		m.bits = append(m.bits, 0)
	}
	m.bits[i/64] |= 1 << (i % 64)
}

func (m *marks) has(i int) bool { return i/64 < len(m.bits) && m.bits[i/64]&(1<<(i%64)) != 0 }

func (m *marks) add(o *marks) {
	for len(m.bits) < len(o.bits) {
		m.bits = append(m.bits, 0)
	}
	for i, b := range o.bits {
		m.bits[i] |= b
	}
}

// unevaluated checks the parts that no other keyword of the node has evaluated.
func (e *evaluation) unevaluated(n *node, v *value, own *marks) bool {
	child := n.unevaluatedProperties
	if v.kind == array {
		child = n.unevaluatedItems
	}
	if child == nil || v.kind != array && v.kind != object {
		return true
	}
	valid := e.spend(len(v.values()) / 16)
	for i := range v.values() {
		if own.has(i) {
			continue
		}
		if !valid && e.done() {
			return false
		}
		at := step{index: i, element: true}
		if v.kind == object {
			at = step{name: v.list.names[i]}
		}
		own.mark(i)
		valid = e.inside(child, &v.list.values[i], at) && valid
	}
	return valid
}
