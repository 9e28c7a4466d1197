package jsonschema

// node is one schema within a Schema: what its keywords require of a value. A nil or zero field requires nothing.
type node struct {
	raw           *value
	parent        *node
	at            []step // steps from the parent
	res           *resource
	draft         draft
	dynamicAnchor string
	queued        bool

	always *bool // a boolean schema
	types  kind
	enum   *enum
	format *format

	ref          *node
	dynamicRef   *node
	dynamicName  string // of the anchor that dynamicRef looks for; "" = it works like ref
	recursiveRef *node
	recursive    bool // recursiveRef looks for the outermost resource that has a $recursiveAnchor

	allOf, anyOf, oneOf   []*node
	not, then, otherwise  *node
	condition             *node // if
	numbers               *numberRules
	texts                 *textRules
	arrays                *arrayRules
	objects               *objectRules
	unevaluatedProperties *node
	unevaluatedItems      *node
	cost                  int // evaluations of one value by the node, including itself
	costing               bool
}

type numberRules struct {
	minimum, maximum, above, below, multipleOf *decimal
}

type textRules struct {
	minLength, maxLength *int
	pattern              *pattern
}

type arrayRules struct {
	minItems, maxItems       *int
	unique                   bool
	prefix                   []*node
	rest                     *node // of the elements after prefix
	contains                 *node
	minContains, maxContains *int
}

type objectRules struct {
	minProperties, maxProperties *int
	required                     []string
	properties                   map[string]*node
	patterns                     []patternRule
	additional                   *node
	names                        *node
	dependent                    []dependency
}

type patternRule struct {
	pattern *pattern
	node    *node
}

// dependency is the requirement for an object that has a member.
type dependency struct {
	name     string
	required []string
	node     *node
}

// enum is a set of values: strings as they are, everything else in its canonical form.
type enum struct {
	texts   map[string]struct{}
	others  map[string]struct{}
	kinds   kind // of the values
	message string
}

// path returns the steps from the root of the text to the node.
func (n *node) path() []step {
	if n.parent == nil {
		return nil
	}
	return append(n.parent.path(), n.at...)
}

// inPlace returns the nodes that are evaluated for the same value as the node.
func (n *node) inPlace() []*node {
	all := []*node{n.ref, n.dynamicRef, n.recursiveRef, n.not, n.condition, n.then, n.otherwise}
	all = append(append(append(all, n.allOf...), n.anyOf...), n.oneOf...)
	if n.objects != nil {
		for _, d := range n.objects.dependent {
			all = append(all, d.node)
		}
	}
	return all
}

// costs returns the evaluations that one value may take: two references that lead to two more each multiply. A
// reference that leads back to itself counts once; the evaluation counts its steps.
func (n *node) costs() int {
	if n == nil || n.costing {
		return 0
	}
	if n.cost > 0 {
		return n.cost
	}
	n.costing = true
	cost := 1
	for _, other := range n.inPlace() {
		cost = min(cost+other.costs(), 2*MaxEvaluations)
	}
	n.costing = false
	n.cost = cost
	return cost
}

// checkFanOut refuses a schema if too many of its subschemas apply to one value.
func (c *compiler) checkFanOut() {
	for _, n := range c.filled {
		if n.costs() > MaxEvaluations {
			c.refusef(n, "", "applies more than %d subschemas to one value", MaxEvaluations)
			return
		}
	}
}
