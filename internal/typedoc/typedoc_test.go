package typedoc_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/typedoc"
)

// A written document reads back unchanged.
func TestTypeDocument_WrittenTypesAreReadBack(t *testing.T) {
	t.Parallel()
	types := []typedoc.Type{
		{Name: "any", Description: "Whatever."},
		{Name: "const", Schema: json.RawMessage(`{"properties":{"$ref":{"const":{"$ref":"https://x"}}}}`), Example: json.RawMessage(`{"n":12345678901234567890}`)},
		{Name: "no", Schema: json.RawMessage(`false`)},
		{Name: "order.created", Title: "Order created", Category: "orders", Description: "An order <&> more.", Deprecated: true,
			Schema: json.RawMessage(`{"$defs":{"n":{"type":"integer"}},"properties":{"n":{"$ref":"#/$defs/n"}}}`), Example: json.RawMessage(`{"n":1}`)},
		{Name: "own.id", Schema: json.RawMessage(`{"$id":"https://example.com/s","properties":{"a":{"$ref":"#"}}}`)},
	}
	text, err := typedoc.Write("Types", "1", types)
	require.NoError(t, err)
	require.Contains(t, string(text), "<&>")
	read, problems := typedoc.Read(text)
	require.Empty(t, problems)
	require.Len(t, read, len(types))
	for i, is := range read {
		want := types[i]
		if want.Schema != nil {
			require.JSONEq(t, string(want.Schema), string(is.Schema), want.Name)
		} else {
			require.Nil(t, is.Schema)
		}
		require.Equal(t, string(want.Example), string(is.Example))
		want.Schema, want.Example, is.Schema, is.Example = nil, nil, nil, nil
		require.Equal(t, want, is)
	}
}

// After the import, a schema of a foreign document is complete without the document.
func TestTypeDocument_ReferencesIntoTheComponentsAreFollowed(t *testing.T) {
	t.Parallel()
	read, problems := typedoc.Read([]byte(`{"openapi":"3.1.0","webhooks":{
		"whole":{"post":{"summary":"S","requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Order"},"example":{"id":1}}}}}},
		"part":{"$ref":"#/components/pathItems/Part"},
		"bare":{"post":{}}},
		"components":{
			"pathItems":{"Part":{"post":{"requestBody":{"$ref":"#/components/requestBodies/Part"}}}},
			"requestBodies":{"Part":{"content":{"application/json":{"schema":{"properties":{"type":{"const":"part"},"data":{"items":{"$ref":"#/components/schemas/A~1B/properties/c"}}}}}}}},
			"schemas":{"Order":{"properties":{"parent":{"$ref":"#/components/schemas/Order"},"line":{"$ref":"#/components/schemas/A~1B"}}},"A/B":{"properties":{"c":{"type":"string"}}},"Unused":{}}}}`))
	require.Empty(t, problems)
	require.Equal(t, []string{"bare", "part", "whole"}, []string{read[0].Name, read[1].Name, read[2].Name})
	require.Nil(t, read[0].Schema)
	require.JSONEq(t, `{"items":{"$ref":"#/$defs/A~1B/properties/c"},"$defs":{"A/B":{"properties":{"c":{"type":"string"}}}}}`, string(read[1].Schema))
	require.JSONEq(t, `{"properties":{"parent":{"$ref":"#/$defs/Order"},"line":{"$ref":"#/$defs/A~1B"}},"$defs":{
		"Order":{"properties":{"parent":{"$ref":"#/$defs/Order"},"line":{"$ref":"#/$defs/A~1B"}}},"A/B":{"properties":{"c":{"type":"string"}}}}}`, string(read[2].Schema))
	require.Equal(t, "S", read[2].Description)
	require.Equal(t, `{"id":1}`, string(read[2].Example))
}

func TestTypeDocument_DocumentsThatAreRefused(t *testing.T) {
	t.Parallel()
	post := func(body string) string { return `{"openapi":"3.1.0","webhooks":{"a.b":{"post":` + body + `}}}` }
	schema := func(text string) string {
		return post(`{"requestBody":{"content":{"application/json":{"schema":` + text + `}}}}`)
	}
	for document, want := range map[string]typedoc.Problem{
		`{"openapi":"3.0.3","webhooks":{"a":{"post":{}}}}`: {"openapi", "must be 3.1"},
		`{"openapi":"3.1.0"}`:                              {"webhooks", "an entry for each event type"},
		`{"openapi":3}`:                                    {"body", "is not an OpenAPI document"},
		`[]`:                                               {"body", "is not an OpenAPI document"},
		`{"openapi":"3.1.0","webhooks":{"a.b":{"get":{}}}}`:                {"webhooks.a.b", "must have a post"},
		`{"openapi":"3.1.0","webhooks":{"a.b":[]}}`:                        {"webhooks.a.b", "is not what"},
		`{"openapi":"3.1.0","webhooks":{"a.b":{"$ref":"https://x/y"}}}`:    {"webhooks.a.b", "leads out of the document"},
		`{"openapi":"3.1.0","webhooks":{"a.b":{"$ref":"#/webhooks/a.b"}}}`: {"webhooks.a.b", "leads to nothing"},
		post(`{"tags":1}`): {"webhooks.a.b.post", "is not what"},
		post(`{"requestBody":{"$ref":"other.json#/b"}}`):                      {"webhooks.a.b.post.requestBody", "leads out of the document"},
		schema(`{"$ref":"https://x/y"}`):                                      {"webhooks.a.b.post.requestBody.content.application/json.schema", "leads out of the document"},
		schema(`{"items":{"$ref":"#/components/schemas/None"}}`):              {"webhooks.a.b.post.requestBody.content.application/json.schema", "leads to nothing"},
		schema(`{"not":{"$ref":"#/webhooks"}}`):                               {"webhooks.a.b.post.requestBody.content.application/json.schema", "leads to nothing"},
		schema(`{"properties":{"type":{"const":"a.b"},"data":{"$ref":"x"}}}`): {"webhooks.a.b.post.requestBody.content.application/json.schema.properties.data", "leads out of the document"},
	} {
		_, problems := typedoc.Read([]byte(document))
		require.Len(t, problems, 1, document)
		require.Equal(t, want.Field, problems[0].Field, document)
		require.Contains(t, problems[0].Message, want.Message, document)
	}
	_, problems := typedoc.Read([]byte(schema(`{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"$ref":"x"},`, 1000), ",") + `]}`)))
	require.Len(t, problems, 50)
}

// A component that refers to itself does not cause an endless loop.
func TestTypeDocument_CyclesEnd(t *testing.T) {
	t.Parallel()
	_, problems := typedoc.Read([]byte(`{"openapi":"3.1.0","webhooks":{"a":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/A"}}}}}}},
		"components":{"schemas":{"A":{"$ref":"#/components/schemas/B"},"B":{"$ref":"#/components/schemas/A"}}}}`))
	require.Empty(t, problems)
}
