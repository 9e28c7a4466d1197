package typedoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Problem is a problem with a part of a document.
type Problem struct{ Field, Message string }

// components are the parts of a document that others can refer to, by kind and name.
type components map[string]map[string]json.RawMessage

// reader collects problems.
type reader struct {
	components components
	problems   []Problem
}

// maxProblems is the most problems that a reader reports.
const maxProblems = 50

func (r *reader) refusef(field, format string, args ...any) {
	if len(r.problems) == maxProblems {
		return
	}
	r.problems = append(r.problems, Problem{field, fmt.Sprintf(format, args...)})
}

// Read returns the event types in a document, in the order of their names, or its problems. For a body like those that
// Write makes, a type's schema is the schema of the body's data; otherwise it is the schema of the whole body.
// References into the document's components are followed; others are refused.
func Read(text []byte) ([]Type, []Problem) {
	var document struct {
		OpenAPI    string                     `json:"openapi"`
		Webhooks   map[string]json.RawMessage `json:"webhooks"`
		Components components                 `json:"components"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, []Problem{{"body", "is not an OpenAPI document: openapi, webhooks or components is not what it must be"}}
	}
	r := &reader{components: document.Components}
	if !strings.HasPrefix(document.OpenAPI, "3.1.") && !strings.HasPrefix(document.OpenAPI, "3.2.") {
		r.refusef("openapi", "must be 3.1 or 3.2, such as \"3.1.0\": the earlier ones have no webhooks")
	}
	if len(document.Webhooks) == 0 {
		r.refusef("webhooks", "must have an entry for each event type")
	}
	types := make([]Type, 0, len(document.Webhooks))
	for _, name := range slices.Sorted(maps.Keys(document.Webhooks)) {
		types = append(types, r.eventType(name, document.Webhooks[name]))
	}
	return types, r.problems
}

// eventType reads one entry of webhooks.
func (r *reader) eventType(name string, item json.RawMessage) Type {
	t, field := Type{Name: name}, "webhooks."+name
	var path struct {
		Post json.RawMessage `json:"post"`
	}
	if !r.object(field, "pathItems", item, &path) {
		return t
	}
	var operation struct {
		Summary     string          `json:"summary"`
		Description string          `json:"description"`
		Tags        []string        `json:"tags"`
		Deprecated  bool            `json:"deprecated"`
		RequestBody json.RawMessage `json:"requestBody"`
	}
	if path.Post == nil {
		r.refusef(field, "must have a post: deliveries are POSTs")
		return t
	}
	if !r.object(field+".post", "", path.Post, &operation) {
		return t
	}
	t.Title, t.Description, t.Deprecated = operation.Summary, operation.Description, operation.Deprecated
	if t.Description == "" {
		t.Description = operation.Summary
	}
	if len(operation.Tags) > 0 {
		t.Category = operation.Tags[0]
	}
	if operation.RequestBody == nil {
		return t
	}
	var body struct {
		Content map[string]struct {
			Schema  json.RawMessage `json:"schema"`
			Example json.RawMessage `json:"example"`
		} `json:"content"`
	}
	field += ".post.requestBody"
	if r.object(field, "requestBodies", operation.RequestBody, &body) {
		media := body.Content[jsonType]
		t.Schema, t.Example = r.data(field+".content."+jsonType+".schema", name, media.Schema, media.Example)
	}
	return t
}

// object reads an object of a kind that may be among the components.
func (r *reader) object(field, kind string, text json.RawMessage, into any) bool {
	var reference struct {
		Ref string `json:"$ref"`
	}
	if json.Unmarshal(text, &reference) == nil && reference.Ref != "" {
		name, found := strings.CutPrefix(reference.Ref, "#/components/"+kind+"/")
		if !found || kind == "" || r.components[kind][name] == nil {
			r.refuseRef(field, reference.Ref)
			return false
		}
		text = r.components[kind][name]
	}
	if json.Unmarshal(text, into) != nil {
		r.refusef(field, "is not what an OpenAPI document has there")
		return false
	}
	return true
}

// refuseRef reports why a reference is not followed.
func (r *reader) refuseRef(field, ref string) {
	if strings.HasPrefix(ref, "#") {
		r.refusef(field, "the $ref %q leads to nothing that is read: it must be among the document's components", shortened(ref))
	} else {
		r.refusef(field, "the $ref %q leads out of the document, which is not followed", shortened(ref))
	}
}

func shortened(text string) string {
	if len(text) > 100 {
		return strings.ToValidUTF8(text[:100], "") + "…"
	}
	return text
}

// data returns the schema and the example of the data within a body's schema and example.
func (r *reader) data(field, name string, schema, example json.RawMessage) (of, exampleOf json.RawMessage) {
	value, ok := decode(schema)
	if !ok {
		return nil, example
	}
	value = r.target(value)
	if body, ok := value.(map[string]any); ok && isEnvelope(name, body) {
		value = r.target(body["properties"].(map[string]any)["data"])
		field += ".properties.data"
		var sent struct {
			Data json.RawMessage `json:"data"`
		}
		if json.Unmarshal(example, &sent) == nil {
			example = sent.Data
		}
	}
	text, err := encode(r.whole(field, value))
	if err != nil || string(text) == "true" {
		return nil, example
	}
	return text, example
}

// isEnvelope reports whether a body's schema is that of an event with its type, as Write makes it.
func isEnvelope(name string, body map[string]any) bool {
	properties, _ := body["properties"].(map[string]any)
	kind, _ := properties["type"].(map[string]any)
	return kind["const"] == name && properties["data"] != nil
}

func decode(text json.RawMessage) (any, bool) {
	if len(text) == 0 {
		return nil, false
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	return value, decoder.Decode(&value) == nil
}

const schemasPrefix = "#/components/schemas/"

// target follows a schema that consists only of a reference.
func (r *reader) target(value any) any {
	for range len(r.components["schemas"]) + 1 {
		schema, _ := value.(map[string]any)
		ref, _ := schema["$ref"].(string)
		name, found := strings.CutPrefix(ref, schemasPrefix)
		if !found || len(schema) > 1 || r.components["schemas"][name] == nil {
			break
		}
		value, _ = decode(r.components["schemas"][name])
	}
	return value
}

// whole makes a schema self-contained: the components that it refers to become its $defs.
func (r *reader) whole(field string, value any) any {
	root, ok := value.(map[string]any)
	if !ok {
		return value
	}
	if id, _ := root["$id"].(string); id != "" {
		if strings.HasPrefix(id, idPrefix) {
			delete(root, "$id")
		}
		return root // its references are within it, or refused when it is compiled
	}
	defs := map[string]any{}
	var wanted []string
	want := func(name string) {
		if _, known := defs[name]; !known {
			defs[name] = true
			wanted = append(wanted, name)
		}
	}
	r.rewrite(field, root, want)
	for len(wanted) > 0 {
		name := wanted[0]
		wanted = wanted[1:]
		component, ok := decode(r.components["schemas"][unescaped(name)])
		if !ok {
			r.refuseRef(field, schemasPrefix+name)
			continue
		}
		r.rewrite("components.schemas."+unescaped(name), component, want)
		defs[name] = component
	}
	if len(defs) == 0 {
		return root
	}
	own, _ := root["$defs"].(map[string]any)
	all := maps.Clone(own)
	if all == nil {
		all = map[string]any{}
	}
	for name, schema := range defs {
		all[unescaped(name)] = schema
	}
	root["$defs"] = all
	return root
}

// unescaped decodes a part of a JSON pointer.
func unescaped(part string) string { return strings.NewReplacer("~1", "/", "~0", "~").Replace(part) }

// keywords whose value is data and not a schema, and those whose value holds schemas by name.
var (
	dataKeywords = []string{"const", "enum", "default", "example", "examples"}
	mapKeywords  = []string{"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"}
)

// rewrite turns references into the document's schemas into references into $defs, and refuses all others. A schema
// with its own $id is left alone: its references are within it.
func (r *reader) rewrite(field string, value any, want func(name string)) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			r.rewrite(field, item, want)
		}
	case map[string]any:
		if _, has := v["$id"].(string); has {
			return
		}
		for _, keyword := range slices.Sorted(maps.Keys(v)) {
			member := v[keyword]
			ref, isRef := member.(string)
			schemas, isMap := member.(map[string]any)
			switch {
			case keyword == "$ref" && isRef:
				rest, found := strings.CutPrefix(ref, schemasPrefix)
				if !found {
					r.refuseRef(field, ref)
					continue
				}
				name, _, _ := strings.Cut(rest, "/")
				want(name)
				v[keyword] = "#/$defs/" + rest
			case slices.Contains(dataKeywords, keyword):
			case slices.Contains(mapKeywords, keyword) && isMap:
				for _, schema := range schemas {
					r.rewrite(field, schema, want)
				}
			default:
				r.rewrite(field, member, want)
			}
		}
	}
}
