package jsonschema

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// Any schema with any data: no panic, an end within the budget, and the same verdict twice.
func FuzzSchemaAndData(f *testing.F) {
	for _, c := range costly {
		if len(c[0])+len(c[1]) < 4096 {
			f.Add(c[0], c[1])
		}
	}
	for _, seed := range [][2]string{
		{`{"type":"object","required":["a"],"properties":{"a":{"type":"integer","minimum":0,"multipleOf":0.01}}}`, `{"a":1e1000}`},
		{`{"$schema":"http://json-schema.org/draft-04/schema#","id":"#a","minimum":1,"exclusiveMinimum":true}`, `1`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","if":{"const":1},"then":false,"format":"uri-template"}`, `"/a{/b}"`},
		{`{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveAnchor":true,"items":{"$recursiveRef":"#"}}`, `[[1],{}]`},
		{`{"$dynamicAnchor":"n","properties":{"n":{"$dynamicRef":"#n"}},"unevaluatedProperties":false}`, `{"n":{"n":{"x":1}}}`},
		{`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`, `{"type":"x","$defs":{"a":{"$ref":7}}}`},
		{`{"pattern":"^(?!a)(?=.{3}$)[\\p{L}\\d_-]+(?<!b)$"}`, `"xyz"`},
		{`{"patternProperties":{"^x-":{"uniqueItems":true}},"additionalProperties":false}`, `{"x-a":[{"b":1.0},{"b":1}]}`},
		{`{"prefixItems":[{"enum":["a",{"b":[1]}]}],"contains":{"type":"string"},"minContains":2,"unevaluatedItems":false}`, `["a","b",3]`},
		{`{"oneOf":[{"required":["a"]},{"dependentSchemas":{"b":{"$ref":"#"}}}],"propertyNames":{"maxLength":2}}`, `{"b":null}`},
		{`{"$id":"urn:x:y","$defs":{"a":{"$id":"b/c","$anchor":"d"}},"$ref":"#/$defs/a"}`, `"\ud800"`},
		{`true`, `"\\u0000é"`},
	} {
		f.Add(seed[0], seed[1])
	}
	for name := range formats {
		f.Add(`{"$schema":"http://json-schema.org/draft-07/schema#","format":"`+name+`"}`, `"2026-11-28T23:59:60Z"`)
	}
	f.Fuzz(func(t *testing.T, schema, data string) {
		s, err := Compile(t.Context(), []byte(schema))
		if err != nil {
			var refused *SchemaError
			require.ErrorAs(t, err, &refused)
			return
		}
		const before = 100_000
		budget := &Budget{steps: before}
		first, errFirst := s.Validate(t.Context(), []byte(data), budget)
		left := budget.steps
		again, err := Compile(t.Context(), []byte(schema))
		require.NoError(t, err)
		budget = &Budget{steps: before}
		second, errSecond := again.Validate(t.Context(), []byte(data), budget)
		require.Equal(t, errFirst, errSecond)
		require.Equal(t, first, second)
		require.Equal(t, left, budget.steps)
		require.Equal(t, json.Valid([]byte(data)), !errors.Is(errFirst, ErrNotJSON))
		require.LessOrEqual(t, len(first), maxViolations)
	})
}
