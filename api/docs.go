package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's template and style
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/models"
)

//go:embed docs.html
var docsTemplate string

//go:embed docs.css
var docsStyle string

// docsPage is the documentation: one page without scripts, generated from the OpenAPI document when the process
// starts.
type docsPage struct {
	html   []byte
	policy string
}

func (p docsPage) serve(c *gin.Context) {
	c.Header("Content-Security-Policy", p.policy)
	c.Data(http.StatusOK, "text/html; charset=utf-8", p.html)
}

// docsGroup is a tag with its operations.
type docsGroup struct {
	*huma.Tag
	Operations []docsOperation
}

// Anchor returns the group's anchor on the page.
func (g docsGroup) Anchor() string { return strings.ReplaceAll(strings.ToLower(g.Name), " ", "-") }

// docsOperation is an operation as the page shows it.
type docsOperation struct {
	*huma.Operation
	Roles   string // "" = no key needed
	Body    []docsField
	Curl    string // an example
	Answers []docsAnswer
}

// docsField is a field of a body, or a parameter.
type docsField struct {
	Name, Type, Description string
	Required                bool
}

type docsAnswer struct {
	Status, Description, Example string
	Fields                       []docsField
}

func renderDocs(document *huma.OpenAPI) (docsPage, error) {
	hash := sha256.Sum256([]byte(docsStyle))
	page := docsPage{policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
	t, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return page, err
	}
	writer := docsWriter{document.Components.Schemas, document.Servers[0].URL}
	var groups []docsGroup
	for _, tag := range document.Tags {
		group := docsGroup{Tag: tag}
		for _, path := range slices.Sorted(maps.Keys(document.Paths)) {
			for _, op := range operationsOf(document.Paths[path]) {
				if op.Tags[0] == tag.Name {
					group.Operations = append(group.Operations, writer.operation(op))
				}
			}
		}
		if len(group.Operations) > 0 { // the events that webhooks receive have no routes here
			groups = append(groups, group)
		}
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Info": document.Info, "Paragraphs": strings.Split(document.Info.Description, "\n\n"), "Groups": groups,
		"Style": template.CSS(docsStyle), //nolint:gosec // our own embedded file; html/template would break its hash
	})
	page.html = out.Bytes()
	return page, err
}

// docsWriter turns schemas into readable text.
type docsWriter struct {
	schemas huma.Registry
	base    string // of the URLs in examples
}

func (w docsWriter) operation(op *huma.Operation) docsOperation {
	o := docsOperation{Operation: op, Curl: w.curl(op)}
	roles, _ := op.Extensions["x-roles"].([]models.Role)
	for i, role := range roles {
		if i > 0 {
			o.Roles += ", "
		}
		o.Roles += string(role)
	}
	if op.RequestBody != nil {
		o.Body = w.fields(op.RequestBody.Content[jsonType].Schema)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		response := op.Responses[status]
		if response.Ref != "" { // a problem: the same everywhere
			continue
		}
		answer := docsAnswer{Status: status, Description: response.Description}
		if content := response.Content[jsonType]; content != nil {
			answer.Fields, answer.Example = w.fields(content.Schema), indented(w.value(content.Schema))
		}
		o.Answers = append(o.Answers, answer)
	}
	return o
}

// Parameter shows a parameter of an operation.
func (o docsOperation) Parameter(p *huma.Param) docsField {
	return docsField{Name: p.Name, Type: p.In + ", " + typeName(p.Schema), Description: p.Description, Required: p.Required}
}

// resolve follows a schema's reference. For "an object or null" it returns the object's schema.
func (w docsWriter) resolve(s *huma.Schema) *huma.Schema {
	for {
		switch {
		case s.Ref != "":
			s = w.schemas.SchemaFromRef(s.Ref)
		case len(s.AnyOf) > 0:
			s = s.AnyOf[0]
		default:
			return s
		}
	}
}

// fields lists an object's fields. Fields of nested objects are listed under their paths.
func (w docsWriter) fields(s *huma.Schema) []docsField {
	var fields []docsField
	var walk func(prefix string, s *huma.Schema)
	walk = func(prefix string, s *huma.Schema) {
		s = w.resolve(s)
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			property := s.Properties[name]
			inner := w.resolve(property)
			field := docsField{Name: prefix + name, Type: typeName(inner), Required: slices.Contains(s.Required, name), Description: property.Description}
			if inner.Nullable || len(property.AnyOf) > 0 {
				field.Type += " or null"
			}
			fields = append(fields, field)
			switch {
			case inner.Items != nil && w.resolve(inner.Items).Properties != nil:
				walk(prefix+name+"[].", inner.Items)
			case inner.Properties != nil:
				walk(prefix+name+".", inner)
			}
		}
	}
	walk("", s)
	return fields
}

// typeName returns a value's type in words.
func typeName(s *huma.Schema) string {
	name := s.Type
	switch {
	case s.Type == huma.TypeArray && s.Items != nil && s.Items.Type != "":
		name = "array of " + typeName(s.Items)
	case s.Format == "date-time":
		name = "time"
	case s.Type == "" && s.Extensions["anyOf"] != nil:
		name = "duration"
	case s.Type == "":
		name = "any JSON"
	}
	if len(s.Enum) > 0 {
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i], _ = v.(string)
		}
		name += ": " + strings.Join(values, " | ")
	}
	return name
}

// curl returns an operation as a command to paste.
func (w docsWriter) curl(op *huma.Operation) string {
	path := op.Path
	for _, p := range op.Parameters {
		if p.In == "path" && len(p.Schema.Examples) > 0 {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", fmt.Sprint(p.Schema.Examples[0]))
		}
	}
	base := w.base
	if base == "/" {
		base = "http://127.0.0.1:8080" // where it listens by default
	}
	command := "curl"
	if op.Method != http.MethodGet {
		command += " -X " + op.Method
	}
	command += " " + base + path
	if len(op.Security) > 0 {
		command += " \\\n  -H \"Authorization: Bearer $KEY\""
	}
	if op.RequestBody != nil {
		command += " \\\n  -H 'Content-Type: application/json' \\\n  -d '" + indented(op.RequestBody.Content[jsonType].Example) + "'"
	}
	return command
}

func indented(value any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return ""
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// request makes an example body of the required fields and those that have an example.
func (w docsWriter) request(s *huma.Schema) any {
	s = w.resolve(s)
	body := map[string]any{}
	for name, property := range s.Properties {
		inner := w.resolve(property)
		switch required := slices.Contains(s.Required, name); {
		case inner.Type == huma.TypeArray && w.resolve(inner.Items).Properties != nil:
			body[name] = []any{w.request(inner.Items)}
		case required || len(property.Examples) > 0:
			body[name] = w.value(property)
		}
	}
	return body
}

// value makes an example value with all its possible fields.
func (w docsWriter) value(s *huma.Schema) any {
	if len(s.Examples) > 0 {
		return s.Examples[0]
	}
	switch s = w.resolve(s); {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Default != nil:
		return s.Default
	case s.Type == huma.TypeObject && s.Properties != nil:
		object := map[string]any{}
		for name, property := range s.Properties {
			object[name] = w.value(property)
		}
		return object
	case s.Type == huma.TypeArray:
		return []any{w.value(s.Items)}
	case s.Nullable:
		return nil
	case s.Type == huma.TypeString:
		return ""
	case s.Type == huma.TypeBoolean:
		return false
	case s.Type == huma.TypeInteger, s.Type == huma.TypeNumber:
		return 0
	default:
		return map[string]any{}
	}
}
