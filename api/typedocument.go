package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/rawjson"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/typedoc"
	"github.com/posthorn/posthorn/models"
)

// TypeDocument is the part of an OpenAPI document that is read: its webhooks are event types.
type TypeDocument struct {
	_ struct{} `additionalProperties:"true"`

	OpenAPI    string         `json:"openapi" doc:"3.1 or 3.2." example:"3.1.0"`
	Webhooks   map[string]any `json:"webhooks" doc:"A path item for each event type, under its name. The body of its post is what receivers get." example:"{\"order.created\":{\"post\":{\"description\":\"An order has been placed.\"}}}"`
	Components map[string]any `json:"components,omitempty" doc:"The schemas that the webhooks refer to."`
}

type importTypes struct {
	DryRun  bool `query:"dry_run" doc:"Only reports what would change."`
	Replace bool `query:"replace" doc:"Also deletes the shared types that the document does not have. 409 with their names if webhooks are registered for some of them."`
	Body    TypeDocument
}

// ImportedTypes lists what an import has changed.
type ImportedTypes struct {
	Created   []string `json:"created" example:"order.created"`
	Updated   []string `json:"updated" example:"order.paid"`
	Deleted   []string `json:"deleted" example:"order.lost"`
	Unchanged int      `json:"unchanged" example:"12"`
	DryRun    bool     `json:"dry_run" doc:"true: nothing was changed."`
}

func (s *server) typeDocument() {
	const path = "/v1/openapi/event-types"
	handlePlain[struct{}, answer[TypeDocument]](s, anyone, huma.Operation{
		OperationID: "export-event-types", Method: http.MethodGet, Path: path, Tags: []string{tagEventTypes}, Summary: "Read the event types as an OpenAPI document",
		Description: "An OpenAPI 3.1 document whose webhooks are the event types, as webhooks with the profile standard get them. An admin key gets the types that all tenants share. A tenant's key gets the types that the tenant can publish and register for.",
	}, s.exportTypes)
	handlePlain[importTypes, answer[ImportedTypes]](s, admins, huma.Operation{
		OperationID: "import-event-types", Method: http.MethodPost, Path: path, Tags: []string{tagEventTypes}, Summary: "Create or replace the shared event types of an OpenAPI document",
		Description: "Takes at most 1,000 webhooks of an OpenAPI 3.1 document, all or none. If the body has a field type with the event's name, the schema of the field data becomes the type's schema; otherwise the schema of the whole body does. References into the document's components are followed, external ones are refused. Posthorn's own types are skipped.",
	}, s.importTypes)
}

// exportTypes answers with all types. There are never more than every process keeps in memory.
func (s *server) exportTypes(c *gin.Context) error {
	leave, err := s.enter(c, principal(c), 0)
	if err != nil {
		return err
	}
	defer leave()
	var types []typedoc.Type
	for page := (models.Page{Limit: 200}); ; {
		rows, next, err := s.Service.EventTypes(c.Request.Context(), principal(c).Tenant, page)
		if err != nil {
			return err
		}
		for _, t := range rows {
			types = append(types, typedoc.Type{Name: t.Name, Title: t.Title, Category: t.Category, Description: t.Description,
				Schema: raw(t.Schema), Example: raw(t.Example), Deprecated: t.Deprecated})
		}
		if page.After = next; next == "" {
			break
		}
	}
	text, err := typedoc.Write("Event types", s.Version, types)
	if err != nil {
		return err
	}
	c.Data(http.StatusOK, jsonType, text)
	return nil
}

func (s *server) importTypes(c *gin.Context) error {
	o, wrong := importOptions(c)
	body, err := requireBody(c, max(s.MaxBody, maxBatchBody))
	if err != nil {
		return err
	}
	if err := checkNames(rawjson.Trim(body), "", 2); err != nil {
		return err
	}
	leave, err := s.enter(c, principal(c), len(body))
	if err != nil {
		return err
	}
	defer leave()
	read, problems := typedoc.Read(body)
	for _, p := range problems {
		wrong = append(wrong, service.FieldError{Field: p.Field, Message: p.Message})
	}
	types := make([]models.EventType, len(read))
	for i, t := range read {
		types[i] = models.EventType{Name: t.Name, Category: t.Category, Description: t.Description, Schema: text(t.Schema), Example: text(t.Example), Deprecated: t.Deprecated}
	}
	changes, err := s.Service.ImportEventTypes(c.Request.Context(), types, o, wrong...)
	if err != nil {
		return err
	}
	writeJSON(c, http.StatusOK, jsonType, ImportedTypes{Created: names(changes.Created), Updated: names(changes.Updated), Deleted: names(changes.Deleted),
		Unchanged: changes.Unchanged, DryRun: o.DryRun})
	return nil
}

// names returns the list as [] and not null if it is empty.
func names(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// importOptions reads an import's parameters. wrong is what is wrong with them.
func importOptions(c *gin.Context) (o service.TypeImport, wrong []service.FieldError) {
	options := []struct {
		name string
		set  *bool
	}{{"dry_run", &o.DryRun}, {"replace", &o.Replace}}
	for _, option := range options {
		switch value, given := c.GetQuery(option.name); {
		case !given || value == "false":
		case value == "true":
			*option.set = true
		default:
			wrong = append(wrong, service.FieldError{Field: option.name, Message: "must be true or false"})
		}
	}
	return o, wrong
}
