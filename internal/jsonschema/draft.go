package jsonschema

import (
	"embed"
	"fmt"
	"strings"
	"sync"
)

// draft is a version of JSON Schema, by its number or year: 4, 6, 7, 2019, 2020.
type draft int

// defaultDraft is the draft of a schema without "$schema".
const defaultDraft draft = 2020

// drafts by "$schema", without its scheme and its empty fragment.
var drafts = map[string]draft{
	"json-schema.org/draft-04/schema":      4,
	"json-schema.org/draft-06/schema":      6,
	"json-schema.org/draft-07/schema":      7,
	"json-schema.org/draft/2019-09/schema": 2019,
	"json-schema.org/draft/2020-12/schema": 2020,
	"json-schema.org/schema":               2020,
}

const draftNames = "draft-04, draft-06, draft-07, 2019-09 and 2020-12 (as in https://json-schema.org/draft/2020-12/schema)"

// draftOf returns the draft of a "$schema" value.
func draftOf(schema string) (draft, bool) {
	schema = strings.TrimSuffix(schema, "#")
	bare, found := strings.CutPrefix(schema, "http://")
	if !found {
		bare = strings.TrimPrefix(schema, "https://")
	}
	d, ok := drafts[bare]
	return d, ok
}

// id returns the keyword that gives a schema its URI.
func (d draft) id() string {
	if d == 4 {
		return "id"
	}
	return "$id"
}

// assertsFormat reports whether "format" refuses data. From 2019-09 on it is an annotation, as these drafts say.
func (d draft) assertsFormat() bool { return d < 2019 }

// shape is the form in which a keyword holds schemas.
type shape uint8

const (
	one        shape = 1 << iota // the value is a schema
	some                         // the value is an array of schemas
	named                        // the value is an object of schemas
	oneOrSome  = one | some
	oneOrNames = named | 1<<7 // an object of schemas or of arrays of names
)

// placesSince lists the keywords that hold schemas, by the draft that introduced them.
var placesSince = map[draft]map[string]shape{
	4: {
		"definitions": named, "not": one, "allOf": some, "anyOf": some, "oneOf": some, "properties": named,
		"additionalProperties": one, "patternProperties": named, "items": oneOrSome, "additionalItems": one, "dependencies": oneOrNames,
	},
	6:    {"propertyNames": one, "contains": one},
	7:    {"if": one, "then": one, "else": one},
	2019: {"$defs": named, "dependentSchemas": named, "unevaluatedProperties": one, "unevaluatedItems": one, "contentSchema": one},
	2020: {"prefixItems": some},
}

// places returns the shape of a keyword in a draft.
func (d draft) places(keyword string) shape {
	for since, keywords := range placesSince {
		if s, ok := keywords[keyword]; ok && d >= since {
			return s
		}
	}
	return 0
}

//go:embed metaschemas
var metaFiles embed.FS

// metas holds the compiled meta-schemas, each compiled when it is first needed.
var metas struct {
	mu       sync.Mutex
	compiled map[draft]*Schema
}

// metaOf returns the meta-schema of a draft, which its schemas must match.
func metaOf(d draft) *Schema {
	metas.mu.Lock()
	defer metas.mu.Unlock()
	if s, ok := metas.compiled[d]; ok {
		return s
	}
	if metas.compiled == nil {
		metas.compiled = map[draft]*Schema{}
	}
	path := fmt.Sprintf("draft-%02d/schema", d)
	if d >= 2019 {
		path = map[draft]string{2019: "draft/2019-09/schema", 2020: "draft/2020-12/schema"}[d]
	}
	s := mustCompileMeta(path)
	metas.compiled[d] = s
	return s
}

// metaFile returns the text of the published schema with this URI. Only these external schemas may be referred to.
func metaFile(uri string) ([]byte, bool) {
	for _, scheme := range []string{"http://", "https://"} {
		if path, ok := strings.CutPrefix(uri, scheme+"json-schema.org/"); ok {
			raw, err := metaFiles.ReadFile("metaschemas/" + path)
			return raw, err == nil
		}
	}
	return nil, false
}

func mustCompileMeta(path string) *Schema {
	raw, err := metaFiles.ReadFile("metaschemas/" + path)
	if err != nil {
		panic("jsonschema: " + err.Error())
	}
	c := newCompiler()
	c.ours = true
	s, err := c.compile(raw)
	if err != nil {
		panic("jsonschema: " + path + ": " + err.Error())
	}
	return s
}
