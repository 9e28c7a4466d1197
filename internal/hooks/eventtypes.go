package hooks

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/models"
)

// eventTypeName is what an event type may be called.
var eventTypeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// eventType is the schema of an event type, compiled when it is first needed.
type eventType struct {
	text   string // "" = none
	once   sync.Once
	schema *jsonschema.Schema
	err    error
}

// violations names everything in data that the type's schema does not allow.
func (t *eventType) violations(data []byte) ([]FieldError, error) {
	if t.text == "" {
		return nil, nil
	}
	t.once.Do(func() { t.schema, t.err = compileSchema([]byte(t.text)) })
	if t.err != nil {
		return nil, t.err
	}
	return validate(t.schema, data)
}

// noLoader refuses to fetch what a schema refers to: validating an event must not make requests.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, errors.New("references outside the schema are not followed: " + url)
}

// compileSchema reads a JSON Schema; draft 2020-12 unless $schema says otherwise.
func compileSchema(text []byte) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	const name = "urn:posthorn:event-type"
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource(name, document); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

var english = message.NewPrinter(language.English)

func validate(schema *jsonschema.Schema, data []byte) ([]FieldError, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return []FieldError{{"data", "is not JSON"}}, nil //nolint:nilerr // it is the event's fault, and told as such
	}
	err = schema.Validate(value)
	var invalid *jsonschema.ValidationError
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &invalid):
		return nil, err
	}
	var fields []FieldError
	var leaves func(*jsonschema.ValidationError)
	leaves = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 && len(fields) < 50 {
			fields = append(fields, FieldError{strings.Join(append([]string{"data"}, e.InstanceLocation...), "."), e.ErrorKind.LocalizedString(english)})
		}
		for _, cause := range e.Causes {
			leaves(cause)
		}
	}
	leaves(invalid)
	return fields, nil
}

// PutEventType creates or replaces a type that all tenants share. wrong is what the caller has found wrong already: it is
// refused with the rest.
func (s *Service) PutEventType(ctx context.Context, t models.EventType, wrong ...FieldError) (models.EventType, error) {
	p := problems(wrong)
	switch {
	case !eventTypeName.MatchString(t.Name):
		p.addf("name", "must be 1 to 128 letters, digits, dots, dashes or underscores, and begin with a letter or digit")
	case strings.HasPrefix(t.Name, models.OperationalPrefix):
		p.addf("name", "names that begin with %q are Posthorn's own", models.OperationalPrefix)
	}
	checkLength(&p, "description", t.Description, 2000)
	if t.Schema != "" {
		schema, err := compileSchema([]byte(t.Schema))
		switch {
		case err != nil:
			p.addf("schema", "is not a JSON Schema: %s", firstLine(err.Error()))
		case t.Example != "":
			violations, err := validate(schema, []byte(t.Example))
			if err != nil {
				return t, err
			}
			for _, v := range violations {
				p.addf("example"+strings.TrimPrefix(v.Field, "data"), "%s", v.Message)
			}
		}
	}
	if err := p.err(); err != nil {
		return t, err
	}
	was, err := s.Store.EventType(ctx, "", t.Name)
	if err != nil && !errors.Is(err, models.ErrNotFound) {
		return t, err
	}
	t.Schema, t.Example = asWritten(was.Schema, t.Schema), asWritten(was.Example, t.Example)
	if err := s.Store.PutEventTypes(ctx, []models.EventType{t}); err != nil {
		return t, known(err, "event type")
	}
	return s.EventType(ctx, "", t.Name)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// EventTypes lists what a tenant can publish and register for; with tenant "" what all tenants share.
func (s *Service) EventTypes(ctx context.Context, tenant string, page models.Page) ([]models.EventType, string, error) {
	return readPage(ctx, s, "event type", func(ctx context.Context, store *models.Store) ([]models.EventType, string, error) {
		return store.EventTypePage(ctx, tenant, page)
	})
}

// EventType reads one type as the tenant sees it.
func (s *Service) EventType(ctx context.Context, tenant, name string) (models.EventType, error) {
	t, err := s.Store.EventType(ctx, tenant, name)
	return t, known(err, "event type")
}

// DeleteEventType removes a shared type. Webhooks registered for it stay; they just get no more of it.
func (s *Service) DeleteEventType(ctx context.Context, name string) error {
	if strings.HasPrefix(name, models.OperationalPrefix) {
		return Refuse(Conflict, "the event types that begin with %q are Posthorn's own", models.OperationalPrefix)
	}
	return known(s.Store.DeleteEventType(ctx, "", name), "event type")
}

// LoadCatalog makes a system's event types the tenant's own, and returns them. Conflict if one of their names belongs to
// another system in this tenant.
func (s *Service) LoadCatalog(ctx context.Context, tenant, system string) ([]models.EventType, error) {
	listed, ok := catalog.Load(system)
	if !ok {
		return nil, Refuse(NotFound, "there is no catalogue of that name; there are: %s", strings.Join(catalog.Systems(), ", "))
	}
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return nil, err
	}
	types := fromCatalog(tenant, system, listed)
	err := s.Store.LoadCatalog(ctx, types)
	s.directory.forget(tenant)
	return types, catalogRefused(err, system)
}

// EnsureOperationalTypes stores the types of the events Posthorn publishes itself. Run at every start: it changes nothing
// where they are stored already.
func (s *Service) EnsureOperationalTypes(ctx context.Context) error {
	return s.Store.PutEventTypes(models.Unaudited(ctx), fromCatalog("", "posthorn", catalog.Operational()))
}

func fromCatalog(tenant, system string, listed []catalog.EventType) []models.EventType {
	var types []models.EventType
	for _, t := range listed {
		if t.TestOnly { // sent by a test call, never published
			continue
		}
		types = append(types, models.EventType{Tenant: tenant, Name: t.Name, System: system, Title: t.Title, Category: t.Category,
			Description: t.Description, Documentation: t.Documentation, Schema: string(t.Schema), Example: string(t.Example)})
	}
	return types
}
