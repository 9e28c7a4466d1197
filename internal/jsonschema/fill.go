package jsonschema

import (
	"fmt"
	"slices"
	"strings"
)

func (c *compiler) enqueue(n *node) *node {
	if n != nil && !n.queued {
		n.queued = true
		c.queue = append(c.queue, n)
		c.filled = append(c.filled, n)
	}
	return n
}

// fill compiles a node's keywords.
func (c *compiler) fill(n *node) {
	if n.raw.kind == boolean {
		yes := n.raw.yes
		n.always = &yes
		return
	}
	n.ref = c.reference(n, "$ref")
	if n.draft < 2019 && n.raw.get("$ref") != nil { // all sibling keywords are ignored
		return
	}
	if n.draft == 2019 {
		c.fillRecursiveRef(n)
	}
	if n.draft >= 2020 {
		c.fillDynamicRef(n)
	}
	c.fillTypes(n)
	c.fillFormat(n)
	n.allOf, n.anyOf, n.oneOf = c.list(n, "allOf"), c.list(n, "anyOf"), c.list(n, "oneOf")
	n.not = c.child(n, "not")
	if n.draft >= 7 {
		if n.condition = c.child(n, "if"); n.condition != nil {
			n.then, n.otherwise = c.child(n, "then"), c.child(n, "else")
		}
	}
	c.fillNumbers(n)
	c.fillTexts(n)
	c.fillArrays(n)
	c.fillObjects(n)
	if n.draft >= 2019 {
		n.unevaluatedItems, n.unevaluatedProperties = c.child(n, "unevaluatedItems"), c.child(n, "unevaluatedProperties")
	}
}

// child returns the schema in a keyword.
func (c *compiler) child(n *node, keyword string) *node {
	if v := n.raw.get(keyword); v != nil {
		return c.enqueue(c.nodes[v])
	}
	return nil
}

func (c *compiler) list(n *node, keyword string) []*node {
	v := n.raw.get(keyword)
	if v == nil || v.kind != array {
		return nil
	}
	nodes := make([]*node, 0, len(v.values()))
	for i := range v.values() {
		if child := c.enqueue(c.nodes[&v.list.values[i]]); child != nil {
			nodes = append(nodes, child)
		}
	}
	return nodes
}

// lookUp returns what a reference names, and the anchor if it uses one. nil: the keyword is absent, or refused.
func (c *compiler) lookUp(n *node, keyword string) (*node, string) {
	v := n.raw.get(keyword)
	if v == nil || v.kind != text {
		return nil, ""
	}
	if len(v.text) > MaxReference {
		c.refusef(n, keyword, "must be at most %d bytes", MaxReference)
		return nil, ""
	}
	target, anchor := c.resolve(n, v.text)
	if target == nil {
		c.refusef(n, keyword, "%q is not in the schema; references outside the schema are not followed", shortened(v.text))
	}
	return c.enqueue(target), anchor
}

func (c *compiler) reference(n *node, keyword string) *node {
	target, _ := c.lookUp(n, keyword)
	return target
}

func (c *compiler) fillRecursiveRef(n *node) {
	if target := c.reference(n, "$recursiveRef"); target != nil {
		n.recursiveRef = target
		if target.res.root == target && target.res.recursive {
			n.recursive = true
			c.schema.dynamic = true
		}
	}
}

func (c *compiler) fillDynamicRef(n *node) {
	target, anchor := c.lookUp(n, "$dynamicRef")
	n.dynamicRef = target
	if target != nil && anchor != "" && target.dynamicAnchor == anchor {
		n.dynamicName = anchor
		c.schema.dynamic = true
	}
}

func (c *compiler) fillTypes(n *node) {
	if t := n.raw.get("type"); t != nil {
		names := t.values()
		if t.kind == text {
			names = []value{*t}
		}
		for _, name := range names {
			if i := slices.Index(kindNames, name.text); i >= 0 && name.kind == text {
				n.types |= 1 << i
			}
		}
	}
	if v := n.raw.get("const"); v != nil && n.draft >= 6 {
		n.enum = enumOf([]value{*v})
	}
	if v := n.raw.get("enum"); v != nil && v.kind == array {
		all := enumOf(v.values())
		if n.enum != nil { // const and enum: both apply
			all = all.and(n.enum)
		}
		n.enum = all
	}
}

func (c *compiler) fillFormat(n *node) {
	f := n.raw.get("format")
	if f == nil || f.kind != text || !c.assertsFormat(n, f.text) {
		return
	}
	if known, ok := formats[f.text]; ok {
		n.format = &format{name: f.text, check: known}
	}
}

// assertsFormat reports whether a format is enforced. In the published schemas only "regex" is: references are checked
// when they are followed.
func (c *compiler) assertsFormat(n *node, name string) bool {
	if c.ours {
		return name == "regex"
	}
	return c.formats || n.draft.assertsFormat()
}

func (c *compiler) number(n *node, keyword string) *decimal {
	v := n.raw.get(keyword)
	if v == nil || v.kind != number {
		return nil
	}
	d := v.number()
	return &d
}

func (c *compiler) limit(n *node, keyword string) *int {
	d := c.number(n, keyword)
	if d == nil {
		return nil
	}
	i := d.int()
	return &i
}

func (c *compiler) fillNumbers(n *node) {
	r := numberRules{
		minimum: c.number(n, "minimum"), maximum: c.number(n, "maximum"),
		above: c.number(n, "exclusiveMinimum"), below: c.number(n, "exclusiveMaximum"), multipleOf: c.number(n, "multipleOf"),
	}
	if n.draft == 4 { // exclusiveMinimum is a boolean next to minimum
		if b := n.raw.get("exclusiveMinimum"); b != nil && b.yes {
			r.minimum, r.above = nil, r.minimum
		}
		if b := n.raw.get("exclusiveMaximum"); b != nil && b.yes {
			r.maximum, r.below = nil, r.maximum
		}
	}
	if r.multipleOf != nil && r.multipleOf.sign() <= 0 {
		r.multipleOf = nil // refused by the meta-schema
	}
	if r != (numberRules{}) {
		n.numbers = &r
	}
}

func (c *compiler) fillTexts(n *node) {
	r := textRules{minLength: c.limit(n, "minLength"), maxLength: c.limit(n, "maxLength")}
	if p := n.raw.get("pattern"); p != nil && p.kind == text {
		r.pattern = c.pattern(n, "pattern", p.text)
	}
	if r != (textRules{}) {
		n.texts = &r
	}
}

// pattern compiles each pattern of a schema once.
func (c *compiler) pattern(n *node, keyword, source string) *pattern {
	if p, ok := c.patterns[source]; ok {
		return p
	}
	p, err := compilePattern(source)
	if err == nil {
		if c.sizes += p.size; c.sizes > MaxPatternsSize && !c.ours {
			err = fmt.Errorf("the patterns of a schema are at most %d instructions together", MaxPatternsSize)
		}
	}
	if err != nil {
		c.refusef(n, keyword, "%q: %s", shortened(source), err)
	}
	c.patterns[source] = p
	return p
}

func (c *compiler) fillArrays(n *node) {
	r := arrayRules{minItems: c.limit(n, "minItems"), maxItems: c.limit(n, "maxItems")}
	if u := n.raw.get("uniqueItems"); u != nil {
		r.unique = u.yes
	}
	switch items := n.raw.get("items"); {
	case n.draft >= 2020:
		r.prefix, r.rest = c.list(n, "prefixItems"), c.child(n, "items")
	case items != nil && items.kind == array:
		r.prefix, r.rest = c.list(n, "items"), c.child(n, "additionalItems")
	default:
		r.rest = c.child(n, "items")
	}
	if n.draft >= 6 {
		r.contains = c.child(n, "contains")
	}
	if n.draft >= 2019 && r.contains != nil {
		r.minContains, r.maxContains = c.limit(n, "minContains"), c.limit(n, "maxContains")
	}
	if r.minItems != nil || r.maxItems != nil || r.unique || r.prefix != nil || r.rest != nil || r.contains != nil {
		n.arrays = &r
	}
}

func (c *compiler) fillObjects(n *node) {
	r := objectRules{
		minProperties: c.limit(n, "minProperties"), maxProperties: c.limit(n, "maxProperties"),
		required: texts(n.raw.get("required")), additional: c.child(n, "additionalProperties"),
	}
	if v := n.raw.get("properties"); v != nil && v.kind == object {
		r.properties = make(map[string]*node, len(v.names()))
		for i, name := range v.names() {
			if child := c.enqueue(c.nodes[&v.list.values[i]]); child != nil {
				r.properties[name] = child
			}
		}
	}
	if v := n.raw.get("patternProperties"); v != nil && v.kind == object {
		for i, source := range v.names() {
			if child := c.enqueue(c.nodes[&v.list.values[i]]); child != nil {
				r.patterns = append(r.patterns, patternRule{c.pattern(n, "patternProperties", source), child})
			}
		}
	}
	c.dependencies(n, "dependencies", &r)
	if n.draft >= 6 {
		r.names = c.child(n, "propertyNames")
	}
	if n.draft >= 2019 {
		c.dependencies(n, "dependentRequired", &r)
		c.dependencies(n, "dependentSchemas", &r)
	}
	if r.minProperties != nil || r.maxProperties != nil || r.required != nil || r.properties != nil || r.patterns != nil ||
		r.additional != nil || r.names != nil || r.dependent != nil {
		n.objects = &r
	}
}

func (c *compiler) dependencies(n *node, keyword string, r *objectRules) {
	v := n.raw.get(keyword)
	if v == nil || v.kind != object {
		return
	}
	for i, name := range v.names() {
		member := &v.list.values[i]
		if member.kind == array {
			r.dependent = append(r.dependent, dependency{name: name, required: texts(member)})
		} else if child := c.enqueue(c.nodes[member]); child != nil {
			r.dependent = append(r.dependent, dependency{name: name, node: child})
		}
	}
}

// texts returns the strings of an array.
func texts(v *value) []string {
	if v == nil || v.kind != array {
		return nil
	}
	var all []string
	for _, item := range v.values() {
		if item.kind == text {
			all = append(all, item.text)
		}
	}
	return all
}

func enumOf(values []value) *enum {
	e := &enum{texts: map[string]struct{}{}, others: map[string]struct{}{}}
	var shown []string
	for i := range values {
		v := &values[i]
		e.kinds |= v.kind
		if v.kind == text {
			e.texts[v.text] = struct{}{}
		} else {
			e.others[string(v.canonical(nil))] = struct{}{}
		}
		if len(shown) < 20 {
			shown = append(shown, v.display())
		}
	}
	if len(values) > len(shown) {
		shown = append(shown, "…")
	}
	e.message = "must be one of " + strings.Join(shown, ", ")
	if len(values) == 1 {
		e.message = "must be " + shown[0]
	}
	return e
}

// and returns the intersection of both.
func (e *enum) and(o *enum) *enum {
	both := &enum{texts: map[string]struct{}{}, others: map[string]struct{}{}, kinds: e.kinds & o.kinds, message: e.message + ", and " + o.message}
	for s := range e.texts {
		if _, ok := o.texts[s]; ok {
			both.texts[s] = struct{}{}
		}
	}
	for s := range e.others {
		if _, ok := o.others[s]; ok {
			both.others[s] = struct{}{}
		}
	}
	return both
}

// display returns a value as errors show it.
func (v *value) display() string {
	switch v.kind {
	case boolean:
		return fmt.Sprint(v.yes)
	case number:
		return v.number().String()
	case text:
		return quoted(v.text)
	case array:
		return "an array"
	case object:
		return "an object"
	default:
		return "null"
	}
}

func quoted(s string) string { return "'" + strings.ReplaceAll(shortened(s), "'", `\'`) + "'" }
