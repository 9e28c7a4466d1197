package jsonschema

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func compiled(t testing.TB, schema string) *Schema {
	t.Helper()
	s, err := Compile(context.Background(), []byte(schema))
	require.NoError(t, err)
	return s
}

func budgetOf(data string) *Budget { return NewBudget(len(data), time.Time{}, nil) }

// A number that is expensive to compare is refused before it is compared, at its path; within the bounds every comparison
// is exact.
func TestSchemaBudget_NumbersAreBounded(t *testing.T) {
	t.Parallel()
	for _, keyword := range []string{
		`"minimum":1`, `"maximum":1e308`, `"exclusiveMinimum":0`, `"exclusiveMaximum":3`, `"multipleOf":0.01`, `"multipleOf":3e-300`, `"const":7`,
		`"enum":[1,2]`, `"type":"integer"`, `"type":"number"`, `"uniqueItems":true`, `"format":"date"`,
	} {
		s := compiled(t, `{"properties":{"n":{`+keyword+`}}}`)
		for _, number := range []string{
			"1e9999999", "-1e9999999", "1E+9999999", "1e-9999999", "1e1001", "0e1001", "1e99999999999999999999999",
			strings.Repeat("1", 1_000_000), "0." + strings.Repeat("0", 1_000_000) + "1", strings.Repeat("9", 1001),
		} {
			for _, data := range []string{`{"n":` + number + `}`, `{"n":{"m":[0,` + number + `]}}`, `{"other":` + number + `}`} {
				violations, err := s.Validate(t.Context(), []byte(data), budgetOf(data))
				require.NoError(t, err)
				require.Len(t, violations, 1)
				require.Contains(t, []string{"n", "n.m.1", "other"}, violations[0].Path)
				require.Contains(t, violations[0].Message, "at most 1000 digits")
			}
		}
	}
}

func TestSchemaBudget_NumbersOfSchemasAreBounded(t *testing.T) {
	t.Parallel()
	for _, keyword := range []string{"minimum", "maximum", "multipleOf", "const", "minLength", "maxItems", "default", "x-mine"} {
		_, err := Compile(t.Context(), []byte(`{"properties":{"n":{"`+keyword+`":1e9999999}}}`))
		var invalid *SchemaError
		require.ErrorAs(t, err, &invalid, keyword)
		require.Equal(t, "properties.n."+keyword, invalid.Violations[0].Path)
	}
}

func TestSchemaBudget_SchemasBeyondTheBudgetAreRefused(t *testing.T) {
	t.Parallel()
	fan := func(levels, wide int) string {
		var b strings.Builder
		b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
		for i := range levels {
			refs := strings.Repeat(fmt.Sprintf(`{"$ref":"#/$defs/d%d"},`, i+1), wide)
			fmt.Fprintf(&b, `"d%d":{"allOf":[%s]},`, i, strings.TrimSuffix(refs, ","))
		}
		fmt.Fprintf(&b, `"d%d":{}}}`, levels)
		return b.String()
	}
	for name, c := range map[string]struct{ schema, path, says string }{
		"nested":            {strings.Repeat(`{"properties":{"a":`, 2000) + `{}` + strings.Repeat(`}}`, 2000), "", "200 levels"},
		"nested arrays":     {strings.Repeat(`{"allOf":[`, 2000) + `{}` + strings.Repeat(`]}`, 2000), "", "200 levels"},
		"nested data":       {`{"const":` + strings.Repeat(`[`, 300) + strings.Repeat(`]`, 300) + `}`, "", "200 levels"},
		"many":              {`{"anyOf":[` + strings.Repeat(`{},`, 40_000) + `{}]}`, "", "30000 subschemas"},
		"large":             {`{"title":"` + strings.Repeat("x", MaxBytes) + `"}`, "", "bytes"},
		"repeat":            {`{"pattern":"[a-z]{1,1000}@"}`, "pattern", "instructions"},
		"repeat of repeats": {`{"pattern":"((a{1,30}){1,30}){1,30}"}`, "pattern", "instructions"},
		"huge repeat":       {`{"pattern":"a{99999999999999999999}"}`, "pattern", "instructions"},
		"pattern of names":  {`{"patternProperties":{"a{1000}b{1000}":{}}}`, "patternProperties", "instructions"},
		"long pattern":      {`{"pattern":"` + strings.Repeat("a", 5000) + `"}`, "pattern", "4096 bytes"},
		"many groups":       {`{"pattern":"` + strings.Repeat("(", 1000) + strings.Repeat(")", 1000) + `"}`, "pattern", "instructions"},
		"many patterns":     {`{"allOf":[` + manyPatterns(200) + `]}`, "", "together"},
		"fan-out":           {fan(24, 2), "", "to one value"},
		"wide fan-out":      {fan(6, 12), "", "to one value"},
		"long reference":    {`{"$ref":"#/` + strings.Repeat("a", 3000) + `"}`, "$ref", "2048 bytes"},
		"elsewhere":         {`{"properties":{"a":{"$ref":"https://elsewhere.example/s.json"}}}`, "properties.a.$ref", "not followed"},
		"wrong type":        {`{"properties":{"a":{"type":"strnig"}}}`, "properties.a.type", "must be one of"},
		"draft":             {`{"$schema":"http://json-schema.org/draft-03/schema#"}`, "$schema", "draft-07"},
	} {
		before := time.Now()
		_, err := Compile(t.Context(), []byte(c.schema))
		var invalid *SchemaError
		require.ErrorAs(t, err, &invalid, name)
		require.Contains(t, invalid.Error(), c.says, name)
		if c.path != "" {
			require.Equal(t, c.path, invalid.Violations[0].Path, name)
		}
		require.Less(t, time.Since(before), 10*time.Second, name) // took minutes
	}
}

func manyPatterns(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`{"pattern":"x%da{400}"}`, i)
	}
	return strings.Join(all, ",")
}

// costly are schemas and data that would take seconds to hours.
var costly = map[string][2]string{
	"recursion that doubles": {
		`{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}`, strings.Repeat(`{"a":`, 40) + `1` + strings.Repeat(`}`, 40),
	},
	"dynamic recursion that doubles": {
		`{"$dynamicAnchor":"x","items":{"anyOf":[{"$dynamicRef":"#x","not":{}},{"$dynamicRef":"#x","not":{}}]}}`,
		strings.Repeat(`[`, 40) + `1` + strings.Repeat(`]`, 40),
	},
	"long text, large pattern": {`{"pattern":"[a-z]{1,400}@"}`, `"` + strings.Repeat("a", 1_000_000) + `"`},
	"large pattern of names": {
		`{"patternProperties":{"[a-z]{1,400}@":{}}}`, `{"` + strings.Repeat("a", 1_000_000) + `":1}`,
	},
	"many patterns of many names": {
		`{"patternProperties":{` + manyNamePatterns(400) + `}}`, `{` + manyMembers(40_000) + `}`,
	},
	"many branches of many items": {
		`{"items":{"anyOf":[` + strings.Repeat(`{"not":{}},`, 500) + `{}]}}`, `[` + strings.Repeat("1,", 400_000) + `1]`,
	},
	"uniqueItems within itself": {
		`{"$ref":"#/$defs/u","$defs":{"u":{"uniqueItems":true,"items":{"$ref":"#/$defs/u"}}}}`,
		strings.Repeat(`["`+strings.Repeat("x", 500)+`",`, 2000) + `1` + strings.Repeat(`]`, 2000),
	},
}

func manyNamePatterns(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"^x%d[0-9]*y$":{}`, i)
	}
	return strings.Join(all, ",")
}

func manyMembers(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(`"x%d":1`, i)
	}
	return strings.Join(all, ",")
}

func TestSchemaBudget_ChecksEndWithinTheBudget(t *testing.T) {
	t.Parallel()
	for name, c := range costly {
		s := compiled(t, c[0])
		before := time.Now()
		_, err := s.Validate(t.Context(), []byte(c[1]), budgetOf(c[1]))
		require.ErrorIs(t, err, ErrCostly, name)
		require.Less(t, time.Since(before), 20*time.Second, name)
	}
}

func TestSchemaBudget_ASchemaThatRefersToItself(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{"$ref":"#"}`, `{"allOf":[{"$ref":"#"}]}`, `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`,
		`{"anyOf":[{"$ref":"#"}]}`, `{"if":{"$ref":"#"}}`, `{"$dynamicAnchor":"a","$dynamicRef":"#a"}`,
	} {
		_, err := compiled(t, schema).Validate(t.Context(), []byte("1"), budgetOf(""))
		require.ErrorIs(t, err, ErrEndless, schema)
	}
	deep := strings.Repeat(`{"a":`, 9_999) + `1` + strings.Repeat(`}`, 9_999)
	_, err := compiled(t, `{"properties":{"a":{"$ref":"#"}}}`).Validate(t.Context(), []byte(deep), budgetOf(deep))
	require.ErrorIs(t, err, ErrEndless)
}

// Messages about data have a limited length, however deep and wide the data are.
func TestSchemaBudget_ViolationsAreBounded(t *testing.T) {
	t.Parallel()
	s := compiled(t, `{"$defs":{"a":{"required":["b","c"],"additionalProperties":{"$ref":"#/$defs/a"}}},"$ref":"#/$defs/a","maxProperties":0}`)
	deep := strings.Repeat(`{"`+strings.Repeat("é", 200)+`":`, 2000) + `{}` + strings.Repeat(`}`, 2000)
	violations, err := s.Validate(t.Context(), []byte(deep), budgetOf(deep))
	require.NoError(t, err)
	require.Len(t, violations, maxViolations)
	for _, v := range violations {
		require.Less(t, len(v.Path)+len(v.Message), 1000)
	}
	numbers := strings.Repeat(`{"a":`, 2000) + `1e9999` + strings.Repeat(`}`, 2000)
	violations, err = s.Validate(t.Context(), []byte(numbers), budgetOf(numbers))
	require.NoError(t, err)
	require.Len(t, violations, 1)
	require.Less(t, len(violations[0].Path), 600)
}

// A hang-up of the caller ends a check in the middle, even within a pattern, and no work continues after it.
func TestSchemaBudget_AHangUpEndsACheck(t *testing.T) {
	t.Parallel()
	for name, c := range costly {
		s := compiled(t, c[0])
		ctx := &hangUp{Context: t.Context(), after: 3}
		_, err := s.Validate(ctx, []byte(c[1]), &Budget{steps: 1 << 60})
		require.ErrorIs(t, err, context.Canceled, name)
		require.Equal(t, 4, ctx.looks, name)
	}
}

// hangUp is a caller that hangs up after a number of checks.
type hangUp struct {
	context.Context
	after, looks int
}

func (h *hangUp) Err() error {
	if h.looks++; h.looks > h.after {
		return context.Canceled
	}
	return nil
}

func TestSchemaBudget_ADeadlineEndsACheck(t *testing.T) {
	t.Parallel()
	start := time.Unix(0, 0)
	for name, c := range costly {
		s := compiled(t, c[0])
		looks := 0
		clock := func() time.Time { looks++; return start.Add(time.Duration(looks) * time.Second) }
		_, err := s.Validate(t.Context(), []byte(c[1]), &Budget{steps: 1 << 60, until: start.Add(5 * time.Second), now: clock})
		require.ErrorIs(t, err, ErrDeadline, name)
		require.Equal(t, 6, looks, name)
	}
}

func TestSchemaBudget_ASchemaIsCompiledOnce(t *testing.T) {
	t.Parallel()
	const text = `{"title":"compiled once","type":"object"}`
	first, err := Shared(text)
	require.NoError(t, err)
	second, err := Shared(text)
	require.NoError(t, err)
	require.Same(t, first, second)
	other, err := Shared(text + " ")
	require.NoError(t, err)
	require.NotSame(t, first, other)
	_, err = Shared(`{"type":7}`)
	require.Error(t, err)
	runtime.KeepAlive(first)
}
