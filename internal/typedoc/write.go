// Package typedoc writes event types as the webhooks of an OpenAPI 3.1 document, and reads them from one. It is text
// in and text out: it must not import any other Posthorn package, and it fetches nothing.
package typedoc

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Type is an event type.
type Type struct {
	Name        string
	Title       string
	Category    string
	Description string
	Schema      json.RawMessage // a JSON Schema of the data; nil = any
	Example     json.RawMessage // data; nil = none
	Deprecated  bool
}

// idPrefix is the prefix of the $id that a schema without its own gets: its internal references are then resolved
// within it, and not in the surrounding document.
const idPrefix = "urn:posthorn:event-type:"

// Write makes the document. title and version are its info.
func Write(title, version string, types []Type) ([]byte, error) {
	type media struct {
		Schema  any `json:"schema"`
		Example any `json:"example,omitempty"`
	}
	type operation struct {
		Summary     string         `json:"summary,omitempty"`
		Description string         `json:"description,omitempty"`
		Tags        []string       `json:"tags,omitempty"`
		Deprecated  bool           `json:"deprecated,omitempty"`
		RequestBody map[string]any `json:"requestBody"`
		Responses   map[string]any `json:"responses"`
	}
	webhooks, tags := make(map[string]any, len(types)), []map[string]string{}
	for _, t := range types {
		m := media{Schema: envelope(t.Name, embedded(t))}
		if len(t.Example) > 0 {
			m.Example = map[string]any{"type": t.Name, "timestamp": "2026-01-02T15:04:05.678Z", "data": t.Example}
		}
		o := operation{Summary: t.Title, Description: t.Description, Deprecated: t.Deprecated,
			RequestBody: map[string]any{"required": true, "content": map[string]any{jsonType: m}},
			Responses:   map[string]any{"2XX": map[string]string{"description": "Received"}}}
		if t.Category != "" {
			o.Tags = []string{t.Category}
			if !slices.ContainsFunc(tags, func(tag map[string]string) bool { return tag["name"] == t.Category }) {
				tags = append(tags, map[string]string{"name": t.Category})
			}
		}
		webhooks[t.Name] = map[string]any{"post": o}
	}
	document := struct {
		OpenAPI  string              `json:"openapi"`
		Info     map[string]string   `json:"info"`
		Tags     []map[string]string `json:"tags,omitempty"`
		Webhooks map[string]any      `json:"webhooks"`
	}{"3.1.0", map[string]string{"title": title, "version": version}, tags, webhooks}
	return encode(document)
}

const jsonType = "application/json"

// envelope returns the schema of the body that is POSTed with the profile standard.
func envelope(name string, data any) map[string]any {
	return map[string]any{"type": "object", "required": []string{"type", "timestamp", "data"}, "properties": map[string]any{
		"type": map[string]string{"const": name}, "timestamp": map[string]string{"type": "string", "format": "date-time"}, "data": data}}
}

// embedded returns a type's schema in a form that can be part of a document.
func embedded(t Type) any {
	schema := bytes.TrimSpace(t.Schema)
	if len(schema) == 0 {
		return true
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(schema, &members) != nil || members["$id"] != nil || members["id"] != nil || !refers(schema) {
		return json.RawMessage(schema)
	}
	members["$id"], _ = json.Marshal(idPrefix + t.Name) //nolint:errchkjson // a string
	return members
}

// refers reports whether a schema may contain a reference to a part of itself.
func refers(schema []byte) bool {
	return bytes.Contains(schema, []byte(`"$ref"`)) || bytes.Contains(schema, []byte(`"$dynamicRef"`)) || bytes.Contains(schema, []byte(`"$recursiveRef"`))
}

// encode is json.Marshal without escaping <, > and &.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return []byte(strings.TrimSuffix(out.String(), "\n")), err
}
