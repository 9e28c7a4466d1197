package service

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/jsonschema"
	"github.com/posthorn/posthorn/models"
)

// eventTypeName is the form of an event type's name.
var eventTypeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// maxCategory is the longest category of a type, in characters.
const maxCategory = 256

// eventType is the schema of an event type, compiled when it is first needed.
type eventType struct {
	text   string // "" = none
	once   sync.Once
	schema *jsonschema.Schema
	err    error
}

// compiled returns the type's schema, nil if it has none.
func (t *eventType) compiled() (*jsonschema.Schema, error) {
	if t.text == "" {
		return nil, nil //nolint:nilnil // a type without a schema takes every JSON
	}
	t.once.Do(func() { t.schema, t.err = jsonschema.Shared(t.text) })
	return t.schema, t.err
}

// checkFor is how long one request may check data against schemas. Its limit of steps is reached earlier, unless the
// machine is overloaded.
const checkFor = 5 * time.Second

// checkData reports everything in data that the schema does not allow, under field. If the data is too costly to
// check, it is the caller's problem: with too many steps it is wrong data, with too much time it is refused for now.
func checkData(ctx context.Context, p *problems, field string, schema *jsonschema.Schema, data []byte, budget *jsonschema.Budget) error {
	violations, err := schema.Validate(ctx, data, budget)
	switch {
	case errors.Is(err, jsonschema.ErrNotJSON):
		p.addf(field, "must be JSON")
	case errors.Is(err, jsonschema.ErrCostly), errors.Is(err, jsonschema.ErrEndless):
		p.addf(field, "%s", err)
	case errors.Is(err, jsonschema.ErrDeadline):
		return Refuse(Unavailable, "checking %s against its schema took longer than %s; retry shortly", field, checkFor)
	case err != nil:
		return err
	}
	for _, v := range violations {
		p.addf(strings.TrimSuffix(field+"."+v.Path, "."), "%s", v.Message)
	}
	return nil
}

// checkSchema compiles a schema before it is stored, and reports everything that is wrong with it. It returns nil if
// something is.
func checkSchema(ctx context.Context, p *problems, text string) (*jsonschema.Schema, error) {
	schema, err := jsonschema.Compile(ctx, []byte(text))
	invalid, ok := errors.AsType[*jsonschema.SchemaError](err)
	if !ok {
		return schema, err
	}
	for _, v := range invalid.Violations {
		if v.Path == "" {
			p.addf("schema", "%s", v.Message)
		} else {
			p.addf("schema", "at %s: %s", v.Path, v.Message)
		}
	}
	return nil, nil //nolint:nilnil // the problems say why
}

// PutEventType creates or replaces a type that all tenants share. wrong is what the caller has already found wrong:
// the refusal contains it too.
func (s *Service) PutEventType(ctx context.Context, t models.EventType, wrong ...FieldError) (models.EventType, error) {
	p := problems(wrong)
	switch {
	case !eventTypeName.MatchString(t.Name):
		p.addf("name", "must be 1 to 128 letters, digits, dots, dashes or underscores, and begin with a letter or digit")
	case strings.HasPrefix(t.Name, models.OperationalPrefix):
		p.addf("name", "names that begin with %q are Posthorn's own", models.OperationalPrefix)
	}
	checkLength(&p, "description", t.Description, 2000)
	checkLength(&p, "category", t.Category, maxCategory)
	checkFlags(&p, t.FeatureFlags)
	if t.Schema != "" {
		schema, err := checkSchema(ctx, &p, t.Schema)
		if err == nil && schema != nil && t.Example != "" {
			budget := jsonschema.NewBudget(len(t.Example), s.Now().Add(checkFor), s.Now)
			err = checkData(ctx, &p, "example", schema, []byte(t.Example), budget)
		}
		if err != nil {
			return t, err
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

// The bounds of feature flags, of a type and of a portal link.
const maxFlags = 20

// flagName is what a feature flag may be called.
var flagName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)

func checkFlags(p *problems, flags []string) {
	if len(flags) > maxFlags {
		p.addf("feature_flags", "must be at most %d", maxFlags)
		return
	}
	for i, f := range flags {
		if !flagName.MatchString(f) {
			p.addf(index("feature_flags", i), "must be 1 to 256 letters, digits, dots, dashes or underscores")
		}
	}
}

// EventTypes lists the types that a tenant can publish and register for, except archived ones; with tenant "" those that
// all tenants share. A portal link sees a type with feature flags only if it has one of them.
func (s *Service) EventTypes(ctx context.Context, tenant string, page models.Page) ([]models.EventType, string, error) {
	return s.eventTypes(ctx, tenant, models.TypeView{Flags: flagsOf(ctx)}, page)
}

// AllEventTypes is EventTypes with what is archived.
func (s *Service) AllEventTypes(ctx context.Context, tenant string, page models.Page) ([]models.EventType, string, error) {
	return s.eventTypes(ctx, tenant, models.TypeView{Archived: true, Flags: flagsOf(ctx)}, page)
}

func (s *Service) eventTypes(ctx context.Context, tenant string, v models.TypeView, page models.Page) ([]models.EventType, string, error) {
	return readPage(ctx, s, "event type", func(ctx context.Context, store *models.Store) ([]models.EventType, string, error) {
		return store.EventTypePage(ctx, tenant, v, page)
	})
}

// EventType reads one type as the tenant sees it, archived or not.
func (s *Service) EventType(ctx context.Context, tenant, name string) (models.EventType, error) {
	t, err := s.Store.EventType(ctx, tenant, name)
	if err == nil && !(models.TypeView{Flags: flagsOf(ctx)}).Shows(&t) {
		err = models.ErrNotFound
	}
	return t, known(err, "event type")
}

// DeleteEventType removes a shared type. Webhooks registered for it stay, but get no more events of it.
func (s *Service) DeleteEventType(ctx context.Context, name string) error {
	if strings.HasPrefix(name, models.OperationalPrefix) {
		return Refuse(Conflict, "the event types that begin with %q are Posthorn's own", models.OperationalPrefix)
	}
	return known(s.Store.DeleteEventType(ctx, "", name), "event type")
}

// LoadCatalog makes a system's event types the tenant's own, and returns them. Conflict if one of their names already
// belongs to another system in this tenant.
func (s *Service) LoadCatalog(ctx context.Context, tenant, system string) ([]models.EventType, error) {
	listed, ok := catalog.Load(system)
	if !ok {
		return nil, Refuse(NotFound, "there is no such catalogue; the catalogues are: %s", strings.Join(catalog.Systems(), ", "))
	}
	if _, err := s.Tenant(ctx, tenant); err != nil {
		return nil, err
	}
	types := fromCatalog(tenant, system, listed)
	err := s.Store.LoadCatalog(ctx, types)
	s.directory.forget(tenant)
	return types, catalogRefused(err, system)
}

// EnsureOperationalTypes stores the types of the events that Posthorn publishes itself. It runs at every start, and
// changes nothing if they are already stored.
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
