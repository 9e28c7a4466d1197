package jsonschema

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
)

// rootURI is the base of a schema that has no "$id".
const rootURI = "posthorn:///schema"

// resource is a schema with its own URI, and the named parts within it that can be referred to.
type resource struct {
	uri       string
	root      *node
	anchors   map[string]*node
	dynamic   map[string]*node // $dynamicAnchor
	recursive bool             // $recursiveAnchor
}

// compiler makes a Schema from a text. It first walks the whole text and finds resources and anchors, then compiles
// the parts that are reachable from the root.
type compiler struct {
	ctx       context.Context //nolint:containedctx // of a single call
	ours      bool            // a published schema: it has no bounds, and "format" is checked
	resources map[string]*resource
	nodes     map[*value]*node
	count     int // number of subschemas
	patterns  map[string]*pattern
	sizes     int // total size of patterns
	queue     []*node
	filled    []*node // all reachable nodes
	formats   bool    // "format" is checked in every draft
	fallback  draft   // the draft of texts without "$schema"
	published func(uri string) ([]byte, bool)
	schema    Schema
	wrong     []Violation
}

func newCompiler() *compiler {
	return &compiler{
		ctx: context.Background(), resources: map[string]*resource{}, nodes: map[*value]*node{}, patterns: map[string]*pattern{},
		published: metaFile, fallback: defaultDraft,
	}
}

func refusal(format string, args ...any) *SchemaError {
	return &SchemaError{[]Violation{{Message: fmt.Sprintf(format, args...)}}}
}

func (c *compiler) compile(raw []byte) (*Schema, error) {
	if !c.ours && deeper(raw, MaxDepth) {
		return nil, refusal("must be nested at most %d levels deep", MaxDepth)
	}
	v, wrong, err := decode(raw)
	if err != nil {
		return nil, refusal("is not JSON")
	}
	if len(wrong) > 0 {
		return nil, &SchemaError{wrong}
	}
	if v.kind != object && v.kind != boolean {
		return nil, refusal("must be an object or a boolean")
	}
	d := c.fallback
	if s := v.get("$schema"); s != nil && s.kind == text {
		var ok bool
		if d, ok = draftOf(s.text); !ok {
			return nil, &SchemaError{[]Violation{{"$schema", fmt.Sprintf("%q is not known; there are %s", shortened(s.text), draftNames)}}}
		}
	}
	if !c.ours {
		violations, err := metaOf(d).validate(c.ctx, &v, &Budget{steps: math.MaxInt})
		if err != nil {
			return nil, err
		}
		if len(violations) > 0 {
			return nil, &SchemaError{merged(violations)}
		}
	}
	root := c.document(&v, rootURI, d)
	c.enqueue(root)
	for len(c.wrong) < maxViolations && c.next() {
		if c.count > MaxSubschemas && !c.ours {
			return nil, refusal("must have at most %d subschemas", MaxSubschemas)
		}
	}
	if len(c.wrong) == 0 && !c.ours {
		c.checkFanOut()
	}
	if len(c.wrong) > 0 {
		return nil, &SchemaError{merged(c.wrong)}
	}
	c.drop()
	c.schema.root = root
	return &c.schema, nil
}

// next compiles another reachable node, and reports whether there was one.
func (c *compiler) next() bool {
	if len(c.queue) == 0 && c.schema.dynamic { // everything that $dynamicRef and $recursiveRef may find
		for _, res := range c.resources {
			if res.recursive {
				c.enqueue(res.root)
			}
			for _, n := range res.dynamic {
				c.enqueue(n)
			}
		}
	}
	if len(c.queue) == 0 {
		return false
	}
	n := c.queue[len(c.queue)-1]
	c.queue = c.queue[:len(c.queue)-1]
	c.fill(n)
	return true
}

// drop releases what only compiling needs.
func (c *compiler) drop() {
	for _, n := range c.filled {
		n.raw, n.parent, n.at = nil, nil, nil
	}
	for _, res := range c.resources {
		res.anchors = nil
		if !c.schema.dynamic {
			res.root, res.dynamic = nil, nil
		}
	}
}

func (c *compiler) refusef(n *node, keyword, format string, args ...any) {
	path := n.path()
	if keyword != "" {
		path = append(path, step{name: keyword})
	}
	c.wrong = append(c.wrong, Violation{pathOf(path), fmt.Sprintf(format, args...)})
}

// document walks a whole text.
func (c *compiler) document(v *value, uri string, d draft) *node {
	res := &resource{uri: uri}
	c.resources[uri] = res
	return c.walk(v, nil, nil, res, d)
}

// walk registers a subschema and everything in it. at are the steps to it from its parent.
func (c *compiler) walk(v *value, parent *node, at []step, res *resource, d draft) *node {
	n := &node{raw: v, parent: parent, at: at, draft: d, res: res}
	if res.root == nil {
		res.root = n
	}
	c.nodes[v] = n
	c.count++
	if c.count > MaxSubschemas && !c.ours {
		return n
	}
	if v.kind == object {
		c.identify(n)
		for i, keyword := range v.names() {
			c.walkPlaces(n, keyword, &v.list.values[i])
		}
	}
	return n
}

// walkPlaces walks the subschemas in the value of a keyword.
func (c *compiler) walkPlaces(n *node, keyword string, v *value) {
	at := step{name: keyword}
	s := n.draft.places(keyword)
	switch {
	case s == 0:
	case s&named != 0 && v.kind == object:
		for i, name := range v.names() {
			if member := &v.list.values[i]; member.kind == object || member.kind == boolean {
				c.walk(member, n, []step{at, {name: name}}, n.res, n.draft)
			}
		}
	case s&some != 0 && v.kind == array:
		for i := range v.values() {
			c.walk(&v.list.values[i], n, []step{at, {index: i, element: true}}, n.res, n.draft)
		}
	case s&one != 0 && (v.kind == object || v.kind == boolean):
		c.walk(v, n, []step{at}, n.res, n.draft)
	}
}

// identify reads the keywords that give a schema a URI or a name.
func (c *compiler) identify(n *node) {
	id := n.raw.get(n.draft.id())
	if n.draft < 2019 && n.raw.get("$ref") != nil { // all sibling keywords are ignored
		id = nil
	}
	if id != nil && id.kind == text {
		c.identifyBy(n, id.text)
	}
	if n.draft >= 2019 {
		c.anchor(n, "$anchor")
	}
	if n.draft >= 2020 {
		if name := c.anchor(n, "$dynamicAnchor"); name != "" {
			n.dynamicAnchor = name
			if n.res.dynamic == nil {
				n.res.dynamic = map[string]*node{}
			}
			n.res.dynamic[name] = n
		}
	}
	if r := n.raw.get("$recursiveAnchor"); n.draft == 2019 && r != nil && r.yes {
		n.res.recursive = n.res.recursive || n.res.root == n
	}
}

func (c *compiler) identifyBy(n *node, id string) {
	if len(id) > MaxReference {
		c.refusef(n, n.draft.id(), "must be at most %d bytes", MaxReference)
		return
	}
	base, fragment, _ := strings.Cut(id, "#")
	if base != "" {
		uri, ok := join(n.res.uri, base)
		if !ok {
			c.refusef(n, n.draft.id(), "%q is not a URI", shortened(id))
			return
		}
		if other := c.resources[uri]; other != nil && other != n.res {
			c.refusef(n, n.draft.id(), "%q is in the schema twice", shortened(id))
			return
		}
		if n.parent == nil { // the text itself is known by both URIs
			n.res.uri = uri
		} else {
			n.res = &resource{uri: uri}
			if s := n.raw.get("$schema"); s != nil && s.kind == text {
				if d, ok := draftOf(s.text); ok {
					n.draft = d
				} else {
					c.refusef(n, "$schema", "%q is not known; there are %s", shortened(s.text), draftNames)
				}
			}
		}
		n.res.root = n
		c.resources[uri] = n.res
	}
	if fragment != "" && n.draft < 2019 && !strings.HasPrefix(fragment, "/") {
		c.name(n, n.draft.id(), fragment)
	}
}

// anchor names a schema by a keyword's value, and returns the name.
func (c *compiler) anchor(n *node, keyword string) string {
	a := n.raw.get(keyword)
	if a == nil || a.kind != text || a.text == "" {
		return ""
	}
	c.name(n, keyword, a.text)
	return a.text
}

func (c *compiler) name(n *node, keyword, name string) {
	if n.res.anchors == nil {
		n.res.anchors = map[string]*node{}
	}
	if other := n.res.anchors[name]; other != nil && other != n {
		c.refusef(n, keyword, "%q is in the schema twice", shortened(name))
		return
	}
	n.res.anchors[name] = n
}

// join resolves a reference without a fragment against a base.
func join(base, ref string) (string, bool) {
	if ref == "" {
		return base, true
	}
	r, err := url.Parse(ref)
	if err != nil {
		return "", false
	}
	if r.IsAbs() {
		return r.String(), true
	}
	b, err := url.Parse(base)
	if err != nil || b.Opaque != "" {
		return "", false
	}
	return b.ResolveReference(r).String(), true
}

// resolve returns the schema that a reference names, and the anchor's name if the reference uses one. nil = there is
// none.
func (c *compiler) resolve(n *node, ref string) (_ *node, anchor string) {
	base, fragment, _ := strings.Cut(ref, "#")
	uri, ok := join(n.res.uri, base)
	if !ok {
		return nil, ""
	}
	res := c.resources[uri]
	if base == "" {
		res = n.res
	}
	if res == nil {
		if res = c.load(uri); res == nil {
			return nil, ""
		}
	}
	fragment, err := url.PathUnescape(fragment)
	switch {
	case err != nil:
		return nil, ""
	case fragment == "":
		return res.root, ""
	case strings.HasPrefix(fragment, "/"):
		return c.pointed(res.root, fragment), ""
	default:
		return res.anchors[fragment], fragment
	}
}

// load reads one of the published schemas.
func (c *compiler) load(uri string) *resource {
	raw, ok := c.published(uri)
	if !ok {
		return nil
	}
	v, _, err := decode(raw)
	if err != nil {
		return nil
	}
	d := c.fallback
	if s := v.get("$schema"); s != nil {
		if d, ok = draftOf(s.text); !ok {
			return nil
		}
	}
	count := c.count
	root := c.document(&v, uri, d)
	c.count = count
	return root.res
}

// pointed follows a JSON pointer. It may lead to a place that no keyword makes a schema: the value there becomes one.
func (c *compiler) pointed(n *node, pointer string) *node {
	v, known := n.raw, n
	var at []step
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch v.kind {
		case object:
			if v = v.get(token); v == nil {
				return nil
			}
			at = append(at, step{name: token})
		case array:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v.values()) {
				return nil
			}
			v = &v.list.values[i]
			at = append(at, step{index: i, element: true})
		default:
			return nil
		}
		if found := c.nodes[v]; found != nil {
			known, at = found, nil
		}
	}
	if found := c.nodes[v]; found != nil {
		return found
	}
	if v.kind != object && v.kind != boolean {
		return nil
	}
	return c.walk(v, known, at, known.res, known.draft)
}

// deeper reports whether JSON is nested more than most levels deep.
func deeper(raw []byte, most int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
