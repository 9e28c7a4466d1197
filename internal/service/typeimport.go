package service

import (
	"context"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/jsonschema"
	"github.com/posthorn/posthorn/models"
)

// MaxImport is the most event types that one import stores, and the most that it deletes.
const MaxImport = 1000

// TypeImport is how event types are imported.
type TypeImport struct {
	Replace bool // also delete the other shared types, if no webhook names them
	DryRun  bool // change nothing, and report what would change
	// Partial: the types have no title, documentation and example. Otherwise they have no feature flags and say nothing of
	// being archived. The stored values stay.
	Partial bool
}

// ImportEventTypes stores types that all tenants share, all of them or none. Posthorn's own types are skipped. wrong
// is what the caller has already found wrong. Conflict, with the names, if it would delete types that webhooks name.
func (s *Service) ImportEventTypes(ctx context.Context, types []models.EventType, o TypeImport, wrong ...FieldError) (models.TypeChanges, error) {
	p := problems(wrong)
	types = slices.DeleteFunc(types, func(t models.EventType) bool { return strings.HasPrefix(t.Name, models.OperationalPrefix) })
	if len(types) > MaxImport {
		p.addf("webhooks", "must be at most %d", MaxImport)
	}
	if err := p.err(); err != nil {
		return models.TypeChanges{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, importFor)
	defer cancel()
	stored, err := s.Store.EventTypes(ctx, "")
	if err != nil {
		return models.TypeChanges{}, known(err, "event type")
	}
	was := make(map[string]models.EventType, len(stored))
	for _, t := range stored {
		was[t.Name] = t
	}
	for i := range types {
		t := &types[i]
		if stored := was[t.Name]; o.Partial {
			t.Title, t.Documentation, t.Example = stored.Title, stored.Documentation, stored.Example
		} else {
			t.Archived, t.FeatureFlags = stored.Archived, stored.FeatureFlags
		}
		if err := s.checkType(ctx, &p, t); err != nil {
			if ctx.Err() != nil {
				err = Refuse(Unavailable, "checking the schemas took longer than %s; import fewer at once", importFor)
			}
			return models.TypeChanges{}, err
		}
		t.Schema, t.Example = asWritten(was[t.Name].Schema, t.Schema), asWritten(was[t.Name].Example, t.Example)
		delete(was, t.Name)
	}
	if err := p.err(); err != nil {
		return models.TypeChanges{}, err
	}
	var remove []string
	if o.Replace {
		if remove, err = s.removable(ctx, was); err != nil {
			return models.TypeChanges{}, err
		}
	}
	c, err := s.Store.ImportTypes(ctx, types, remove, o.DryRun)
	return c, known(err, "event type")
}

// importFor is how long an import may take.
const importFor = 4 * checkFor

// checkType reports everything that is wrong with an imported type.
func (s *Service) checkType(ctx context.Context, p *problems, t *models.EventType) error {
	var own problems
	if !eventTypeName.MatchString(t.Name) {
		own.addf("", "the name must be 1 to 128 letters, digits, dots, dashes or underscores, and begin with a letter or digit")
	}
	checkLength(&own, "description", t.Description, 2000)
	checkLength(&own, "category", t.Category, maxCategory)
	checkFlags(&own, t.FeatureFlags)
	if t.Schema != "" {
		schema, err := checkSchema(ctx, &own, t.Schema)
		if err == nil && schema != nil && t.Example != "" {
			err = checkData(ctx, &own, "example", schema, []byte(t.Example), jsonschema.NewBudget(len(t.Example), s.Now().Add(checkFor), s.Now))
		}
		if err != nil {
			return err
		}
	}
	for _, wrong := range own {
		p.addf(strings.TrimSuffix("webhooks."+cut.Text(t.Name, shownName)+"."+wrong.Field, "."), "%s", wrong.Message)
	}
	return nil
}

// removable returns the names of the remaining shared types. No webhook may name any of them.
func (s *Service) removable(ctx context.Context, left map[string]models.EventType) ([]string, error) {
	var names []string
	for name := range left {
		if !strings.HasPrefix(name, models.OperationalPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(names) > MaxImport {
		return nil, Refuse(Conflict, "replace would delete %d event types; it deletes at most %d", len(names), MaxImport)
	}
	named, err := s.Store.NamedTypes(ctx, names)
	if err != nil {
		return nil, known(err, "event type")
	}
	if len(named) == 0 {
		return names, nil
	}
	refused := Refuse(Conflict, "replace would delete event types that webhooks are registered for")
	for _, name := range named {
		refused.Fields = append(refused.Fields, FieldError{Field: name, Message: "a webhook is registered for it"})
	}
	return nil, refused
}
