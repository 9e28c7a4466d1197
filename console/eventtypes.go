package console

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

type typesBody struct {
	Types   []models.EventType
	Next    string
	Systems []string
}

func (v *visit) showTypes(name, title string, read func(context.Context, string, models.Page) ([]models.EventType, string, error)) error {
	types, next, err := read(v.r.Context(), v.tenant, v.after())
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, name, title, typesBody{types, v.more(next), catalog.Systems()})
}

// eventTypes shows the types that all tenants share, archived ones too.
func (v *visit) eventTypes() error {
	return v.showTypes("event-types", "Event types", v.Service.AllEventTypes)
}

// catalogue shows the types that the tenant may register for.
func (v *visit) catalogue() error {
	return v.showTypes("catalogue", "Catalogue", v.Service.EventTypes)
}

// importCatalog loads the catalogue of a system for the tenant that the form names.
func (v *visit) importCatalog() error {
	if err := v.readForm(); err != nil {
		return err
	}
	id, err := v.Service.TenantID(v.r.Context(), v.session.Principal, v.form("tenant"))
	if err != nil {
		return err
	}
	if _, err := v.Service.LoadCatalog(v.r.Context(), id, v.form("system")); err != nil {
		return err
	}
	v.base = v.in(id)
	return v.done("/catalogue", "loaded")
}

func (v *visit) loadCatalog() error {
	if err := v.readForm(); err != nil {
		return err
	}
	if _, err := v.Service.LoadCatalog(v.r.Context(), v.tenant, v.form("system")); err != nil {
		return err
	}
	return v.done("/catalogue", "loaded")
}

type typeForm struct {
	Type   models.EventType
	New    bool
	Errors fieldErrors
}

func (v *visit) newEventType() error {
	return v.show(http.StatusOK, "event-type-form", "New event type", typeForm{New: true})
}

func (v *visit) editEventType() error {
	t, err := v.Service.EventType(v.r.Context(), "", v.r.PathValue("name"))
	if err != nil {
		return err
	}
	return v.show(http.StatusOK, "event-type-form", "Edit event type", typeForm{Type: t})
}

// saveEventType creates a shared type, or replaces the type in the path.
func (v *visit) saveEventType() error {
	if err := v.readForm(); err != nil {
		return err
	}
	f := typeForm{New: v.r.PathValue("name") == ""}
	f.Type = models.EventType{Name: v.r.PathValue("name"), Description: v.form("description"), Schema: v.form("schema"), Example: v.form("example"), Deprecated: v.form("deprecated") != ""}
	title := "Edit event type"
	if f.New {
		title, f.Type.Name = "New event type", v.form("name")
	}
	var bad []service.FieldError
	for field, text := range map[string]string{"schema": f.Type.Schema, "example": f.Type.Example} {
		if text != "" && !json.Valid([]byte(text)) {
			bad = append(bad, service.FieldError{Field: field, Message: "is not JSON"})
		}
	}
	t := f.Type
	if len(bad) > 0 { // text that is not JSON is not checked further
		t.Schema, t.Example = "", ""
	}
	was, err := v.Service.EventType(v.r.Context(), "", t.Name)
	if err == nil {
		t.Archived, t.FeatureFlags = was.Archived, was.FeatureFlags
	}
	if f.New && err == nil {
		bad = append(bad, service.FieldError{Field: "name", Message: "is an event type already"})
	}
	if _, err = v.Service.PutEventType(v.r.Context(), t, bad...); err == nil {
		return v.done("/event-types", "saved")
	}
	var ok bool
	if f.Errors, ok = wrong(err, "name", "description", "schema", "example"); !ok {
		return err
	}
	return v.show(http.StatusUnprocessableEntity, "event-type-form", title, f)
}
