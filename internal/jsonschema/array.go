package jsonschema

func (e *evaluation) array(n *node, v *value, own *marks) bool {
	r, items := n.arrays, v.values()
	valid := true
	if r.minItems != nil && len(items) < *r.minItems {
		valid = e.failf("has %d items, must have at least %d", len(items), *r.minItems)
	}
	if r.maxItems != nil && len(items) > *r.maxItems {
		valid = e.failf("has %d items, must have at most %d", len(items), *r.maxItems)
	}
	if r.unique && (valid || !e.done()) {
		valid = e.unique(items) && valid
	}
	for i := range items {
		if !valid && e.done() {
			return false
		}
		child := r.rest
		if i < len(r.prefix) {
			child = r.prefix[i]
		}
		if child == nil {
			break
		}
		own.mark(i)
		valid = e.inside(child, &items[i], step{index: i, element: true}) && valid
	}
	if r.contains != nil && (valid || !e.done()) {
		valid = e.contains(n, items, own) && valid
	}
	return valid
}

// unique reports whether no two items are equal.
func (e *evaluation) unique(items []value) bool {
	seen := make(map[string]int, min(len(items), 1000))
	for i := range items {
		key := e.canonical(&items[i])
		if e.stopped != nil || !e.spend(2) {
			return false
		}
		if first, ok := seen[key]; ok {
			return e.failf("items at %d and %d are equal", first, i)
		}
		seen[key] = i
	}
	return true
}

func (e *evaluation) contains(n *node, items []value, own *marks) bool {
	r, matched := n.arrays, 0
	least := 1
	if r.minContains != nil {
		least = *r.minContains
	}
	for i := range items {
		e.quiet++
		ok := e.inside(r.contains, &items[i], step{index: i, element: true})
		e.quiet--
		if !ok {
			continue
		}
		matched++
		if n.draft >= 2020 {
			own.mark(i)
		}
		if own == nil && r.maxContains == nil && matched >= least {
			break
		}
	}
	switch {
	case e.stopped != nil:
		return false
	case matched < least && r.minContains == nil:
		return e.failf("has no item that 'contains' describes")
	case matched < least:
		return e.failf("has %d items that 'contains' describes, must have at least %d", matched, least)
	case r.maxContains != nil && matched > *r.maxContains:
		return e.failf("has %d items that 'contains' describes, must have at most %d", matched, *r.maxContains)
	}
	return true
}
