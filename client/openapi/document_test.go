// Package openapi holds the document that the client is generated from, and its test.
package openapi_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/api"
)

var update = flag.Bool("update", false, "write openapi.json; make client does, and generates the client from it")

// openapi.json is the API's document in a form for the generator: its operations, in OpenAPI 3.0. client.sum has the
// digests of the generator's inputs and of its output.
func TestClientDocument_IsUpToDate(t *testing.T) {
	t.Parallel()
	want := document(t)
	if *update {
		require.NoError(t, os.WriteFile("openapi.json", want, 0o644))
		return
	}
	is, err := os.ReadFile("openapi.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(is), "the API has changed: run make client")

	sums, err := os.ReadFile("../client.sum")
	require.NoError(t, err)
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		text, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		require.NoError(t, err)
		digest := sha256.Sum256(text)
		require.Equal(t, sum, hex.EncodeToString(digest[:]), "%s is not what the client was generated with: run make client", name)
	}
	for _, name := range []string{"openapi/openapi.json", "oapi-codegen.yaml", "client.gen.go"} {
		require.Contains(t, string(sums), "  "+name+"\n")
	}
}

// document makes openapi.json from the API's document.
func document(t *testing.T) []byte {
	t.Helper()
	handler, err := api.New(api.Options{Version: "v1"})
	require.NoError(t, err)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/openapi.json", nil))
	require.Equal(t, http.StatusOK, recorder.Code)
	decoder := json.NewDecoder(recorder.Body)
	decoder.UseNumber()
	var d map[string]any
	require.NoError(t, decoder.Decode(&d))
	d["openapi"] = "3.0.3"
	delete(d, "webhooks")
	delete(d, "tags")
	if license, ok := d["info"].(map[string]any)["license"].(map[string]any); ok {
		delete(license, "identifier") // of 3.1
	}
	delete(d["components"].(map[string]any), "responses")
	for _, item := range d["paths"].(map[string]any) {
		for _, op := range item.(map[string]any) {
			onlySuccess(op.(map[string]any))
			withoutEmptyBody(op.(map[string]any))
		}
	}
	simplify(d)
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	require.NoError(t, encoder.Encode(d))
	return out.Bytes()
}

// onlySuccess leaves the problems out of an operation: the client takes all of them in one place, as an *Error.
func onlySuccess(op map[string]any) {
	responses := op["responses"].(map[string]any)
	for status := range responses {
		if !strings.HasPrefix(status, "2") {
			delete(responses, status)
		}
	}
}

// withoutEmptyBody removes a body without fields, so that callers need not pass one.
func withoutEmptyBody(op map[string]any) {
	body, _ := op["requestBody"].(map[string]any)
	content, _ := body["content"].(map[string]any)
	media, _ := content["application/json"].(map[string]any)
	schema, _ := media["schema"].(map[string]any)
	if schema["$ref"] == "#/components/schemas/Nothing" {
		delete(op, "requestBody")
	}
}

// simplify translates a schema, with everything below it, from 3.1 to 3.0, and leaves out the parts that make poor Go.
func simplify(value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			simplify(item)
		}
	case map[string]any:
		nullable(v)
		withoutReadOnly(v)
		delete(v, "examples") // 3.0 has none in schemas
		if v["type"] == "string" {
			delete(v, "enum") // a string: a later server may have more
		}
		for name, member := range v {
			if schema, ok := member.(map[string]any); ok && (name == "schema" || name == "items" || name == "additionalProperties") {
				anyJSON(schema)
			}
			if name == "properties" {
				for _, property := range member.(map[string]any) {
					anyJSON(property.(map[string]any))
				}
			}
			if name != "example" && name != "x-roles" {
				simplify(member)
			}
		}
	}
}

// nullable turns "X or null" into a nullable X, and what has several notations, as durations have, into a string.
func nullable(v map[string]any) {
	if types, ok := v["type"].([]any); ok {
		for _, kind := range types {
			if kind == "null" {
				v["nullable"] = true
			} else {
				v["type"] = kind
			}
		}
	}
	if either, ok := v["anyOf"].([]any); ok {
		delete(v, "anyOf")
		if either[1].(map[string]any)["type"] == "null" {
			v["allOf"], v["nullable"] = either[:1], true
		} else {
			v["type"] = "string"
		}
	}
}

// withoutReadOnly takes the fields that a request may only repeat out of its body.
func withoutReadOnly(v map[string]any) {
	properties, ok := v["properties"].(map[string]any)
	if !ok {
		return
	}
	for name, property := range properties {
		if property.(map[string]any)["readOnly"] == true {
			delete(properties, name)
		}
	}
}

// anyJSON keeps the bytes of a value of any type.
func anyJSON(schema map[string]any) {
	for name := range schema {
		if name != "description" && name != "examples" && name != "example" {
			return
		}
	}
	schema["x-go-type"] = "json.RawMessage"
	schema["x-go-type-skip-optional-pointer"] = true
}
