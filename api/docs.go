package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page's template and style
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
)

//go:embed docs.html
var docsTemplate string

//go:embed docs.css
var docsStyle string

// docsPage is the documentation: one page without a script, made of the OpenAPI document when the process starts.
type docsPage struct {
	html   []byte
	policy string
}

func (p docsPage) serve(c *gin.Context) {
	c.Header("Content-Security-Policy", p.policy)
	c.Header("X-Content-Type-Options", "nosniff")
	c.Header("Referrer-Policy", "no-referrer")
	c.Data(http.StatusOK, "text/html; charset=utf-8", p.html)
}

// docsGroup is a tag with its operations.
type docsGroup struct {
	*huma.Tag
	Operations []docsOperation
}

// Anchor is the group's place on the page.
func (g docsGroup) Anchor() string { return strings.ReplaceAll(strings.ToLower(g.Name), " ", "-") }

// docsOperation is an operation as the page shows it.
type docsOperation struct {
	*huma.Operation
	Roles    string
	Body     []docsField
	Request  string // an example
	Answers  []docsAnswer
	Required bool // a key
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
	writer := docsWriter{document.Components.Schemas}
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
		groups = append(groups, group)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Info": document.Info, "Paragraphs": strings.Split(document.Info.Description, "\n\n"), "Groups": groups,
		"Style": template.CSS(docsStyle), //nolint:gosec // a file of ours, embedded; html/template would break its hash
	})
	page.html = out.Bytes()
	return page, err
}

// docsWriter turns schemas into what people read.
type docsWriter struct{ schemas huma.Registry }

func (w docsWriter) operation(op *huma.Operation) docsOperation {
	o := docsOperation{Operation: op, Required: len(op.Security) > 0}
	if roles, err := json.Marshal(op.Extensions["x-roles"]); err == nil && o.Required {
		o.Roles = strings.NewReplacer(`"`, "", "[", "", "]", "", ",", ", ").Replace(string(roles))
	}
	if op.RequestBody != nil {
		schema := op.RequestBody.Content[jsonType].Schema
		o.Body, o.Request = w.fields(schema), w.example(schema)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		response := op.Responses[status]
		answer := docsAnswer{Status: status, Description: response.Description}
		if content := response.Content[jsonType]; content != nil {
			answer.Fields, answer.Example = w.fields(content.Schema), w.example(content.Schema)
		}
		if status != "default" {
			o.Answers = append(o.Answers, answer)
		}
	}
	return o
}

// Parameter shows a parameter of an operation.
func (o docsOperation) Parameter(p *huma.Param) docsField {
	return docsField{Name: p.Name, Type: p.In + ", " + typeName(p.Schema), Description: p.Description, Required: p.Required}
}

// resolve follows a schema to what it refers to; of "an object or null" to the object.
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

// fields lists the fields of an object, those of objects within it under their paths.
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

// typeName says in words what a value is.
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

// example makes up a value, indented.
func (w docsWriter) example(s *huma.Schema) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(w.value(s)); err != nil {
		return ""
	}
	return out.String()
}

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
