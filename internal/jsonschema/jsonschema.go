// Package jsonschema checks JSON against JSON Schema: draft-04, draft-06, draft-07, 2019-09 and 2020-12, by "$schema".
//
// Schemas and data come from strangers, so both have a budget. A schema is refused when it is compiled if it is too
// large, too deep or has costly patterns. Checking data counts steps, and ends when they are used up, when the caller
// hangs up, or at a deadline. Numbers are compared exactly, as they are written. A schema never causes a request: its
// references must be within it, or name one of the published schemas of the drafts.
//
// The verdicts are those of the official test suite; testdata/README.md lists the differences with their reasons.
// "format" refuses data in draft-04 to draft-07, and is an annotation from 2019-09 on.
//
// The package is pure: it must not import any other package of Posthorn, a database or an HTTP package.
package jsonschema

import (
	"context"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"
)

// The budget of a schema.
const (
	MaxBytes         = 1 << 20 // of its text, in bytes
	MaxDepth         = 200     // levels of objects and arrays
	MaxSubschemas    = 30_000
	MaxReference     = 2048    // bytes of a "$ref" or "$id"
	MaxPattern       = 4096    // bytes of a pattern
	MaxPatternSize   = 1000    // instructions of a compiled pattern; x{1,500} has about 1,000
	MaxPatternsSize  = 50_000  // total of all patterns
	MaxEvaluations   = 100_000 // subschemas that apply to the same value
	maxViolations    = 50
	maxNesting       = 10_000 // nested evaluations
	maxInPlaceNested = 1_000  // nested evaluations of one value: with more, the schema refers to itself
)

// Schema is a compiled schema. It is safe for use by several goroutines.
type Schema struct {
	root    *node
	dynamic bool // $dynamicRef or $recursiveRef occurs: the evaluation keeps track of resources
}

// Violation is one problem, with the path to it from the top: "order.lines.2", "" for the whole.
type Violation struct {
	Path    string
	Message string
}

// SchemaError is the error of a refused schema. It has at least one violation, and at most one for each path.
type SchemaError struct{ Violations []Violation }

func (e *SchemaError) Error() string {
	texts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		texts[i] = v.Message
		if v.Path != "" {
			texts[i] = "at " + v.Path + ": " + v.Message
		}
	}
	return strings.Join(texts, "; ")
}

// ErrNotJSON is the error of data that is not JSON.
var ErrNotJSON = errors.New("is not JSON")

// Compile reads a schema. Its errors are *[SchemaError], or that of ctx.
func Compile(ctx context.Context, schema []byte) (*Schema, error) {
	if len(schema) > MaxBytes {
		return nil, refusal("must be at most %d bytes", MaxBytes)
	}
	c := newCompiler()
	c.ctx = ctx
	return c.compile(schema)
}

// Validate returns what the schema does not allow in data, at most 50 violations. It takes its steps from the budget.
// Errors: [ErrNotJSON], [ErrCostly], [ErrEndless], [ErrDeadline], or that of ctx.
func (s *Schema) Validate(ctx context.Context, data []byte, budget *Budget) ([]Violation, error) {
	v, wrong, err := decode(data)
	if err != nil {
		return nil, ErrNotJSON
	}
	if len(wrong) > 0 {
		return wrong, nil
	}
	return s.validate(ctx, &v, budget)
}

func (s *Schema) validate(ctx context.Context, v *value, budget *Budget) ([]Violation, error) {
	e := evaluation{ctx: ctx, budget: budget, dynamic: s.dynamic}
	valid := e.evaluate(s.root, v, nil)
	switch {
	case e.stopped != nil:
		return nil, e.stopped
	case valid:
		return nil, nil
	}
	return e.violations(), nil
}

// merged joins the messages of each path, in the order of the paths' first occurrence.
func merged(violations []Violation) []Violation {
	var all []Violation
	for _, v := range violations {
		i := slices.IndexFunc(all, func(o Violation) bool { return o.Path == v.Path })
		switch {
		case i < 0:
			all = append(all, v)
		case !strings.Contains(all[i].Message, v.Message):
			all[i].Message += "; " + v.Message
		}
	}
	return all
}

// shortened cuts a text for an error.
func shortened(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
