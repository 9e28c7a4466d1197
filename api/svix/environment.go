package svix

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/typedoc"
	"github.com/posthorn/posthorn/models"
)

// environment adds the calls that move event types between installations.
func environment(api *systems.API) {
	api.Handle(systems.Operation{Method: http.MethodPost, Path: typesPath + "/import/openapi", Admins: true, Body: systems.JSON, Fields: []systems.Field{
		{Name: "spec", Kind: systems.Raw}, {Name: "specRaw"}, {Name: "dryRun", Kind: systems.Flag}, {Name: "replaceAll", Kind: systems.Flag}}}, importOpenAPI)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: base + "/environment/export", Admins: true, Body: systems.OptionalJSON}, exportEnvironment)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: base + "/environment/import", Admins: true, Body: systems.JSON, Fields: []systems.Field{
		{Name: "eventTypes", Kind: systems.Objects, Of: eventTypeFields(true, true)}, {Name: "connectors", Kind: systems.Raw}, {Name: "settings", Kind: systems.Raw},
		{Name: "version", Kind: systems.Number, ReadOnly: true}, {Name: "createdAt", ReadOnly: true}}}, importEnvironment)
}

// importedType is an event type that an import has stored, or would store.
type importedType struct {
	Name         string                     `json:"name"`
	Description  string                     `json:"description"`
	Schemas      map[string]json.RawMessage `json:"schemas"`
	Deprecated   bool                       `json:"deprecated"`
	FeatureFlag  *string                    `json:"featureFlag"`
	FeatureFlags []string                   `json:"featureFlags"`
	GroupName    *string                    `json:"groupName"`
}

// importOpenAPI stores the event types that the webhooks of an OpenAPI document describe. With replaceAll it deletes
// all others, if no endpoint names them. Svix archives them.
func importOpenAPI(q *systems.Request) error {
	document, raw := q.In.Raw("spec"), q.In.Text("specRaw")
	if (document == nil) == (raw == nil) {
		q.Problemf("spec", "exactly one of spec and specRaw must be given")
	} else if raw != nil {
		if document = json.RawMessage(*raw); !json.Valid(document) {
			q.Problemf("specRaw", "must be JSON: YAML is not supported")
		}
	}
	if err := q.Err(); err != nil {
		return err
	}
	read, problems := typedoc.Read(document)
	var wrong []service.FieldError
	for _, p := range problems {
		wrong = append(wrong, service.FieldError{Field: "spec." + p.Field, Message: p.Message})
	}
	types := make([]models.EventType, len(read))
	for i, t := range read {
		types[i] = models.EventType{Name: t.Name, Category: t.Category, Description: t.Description, Schema: written(t.Schema), Example: written(t.Example), Deprecated: t.Deprecated}
	}
	dry := flag(q, "dryRun", false)
	changes, err := q.API.Service.ImportEventTypes(q.Ctx(), types, service.TypeImport{Replace: flag(q, "replaceAll", false), DryRun: dry}, wrong...)
	if err != nil {
		return err
	}
	modified := append([]string{}, slices.Concat(changes.Created, changes.Updated, changes.Deleted)...)
	slices.Sort(modified)
	toModify := []importedType{}
	for i := range types {
		if t := &types[i]; dry && slices.Contains(modified, t.Name) {
			shown := eventTypeOf(t, true)
			toModify = append(toModify, importedType{Name: shown.Name, Description: shown.Description, Schemas: shown.Schemas, Deprecated: shown.Deprecated,
				FeatureFlag: shown.FeatureFlag, FeatureFlags: shown.FeatureFlags, GroupName: shown.GroupName})
		}
	}
	type data struct {
		Modified []string       `json:"modified"`
		ToModify []importedType `json:"to_modify"`
	}
	answer := data{Modified: modified, ToModify: toModify}
	if dry {
		answer.Modified = []string{}
	} else {
		answer.ToModify = nil
	}
	q.PureJSON(http.StatusOK, struct {
		Data data `json:"data"`
	}{answer})
	return nil
}

// written returns a JSON text, "" for null or none.
func written(value json.RawMessage) string {
	if text := string(value); text != "null" {
		return text
	}
	return ""
}

// exportEnvironment answers with the event types that all tenants share, except Posthorn's own.
func exportEnvironment(q *systems.Request) error {
	types := []eventType{}
	for page := (models.Page{Limit: maxLimit}); ; {
		rows, next, err := q.API.Service.AllEventTypes(q.Ctx(), "", page)
		if err != nil {
			return err
		}
		for i := range rows {
			if !strings.HasPrefix(rows[i].Name, models.OperationalPrefix) {
				types = append(types, eventTypeOf(&rows[i], true))
			}
		}
		if page.After = next; next == "" {
			break
		}
	}
	q.PureJSON(http.StatusOK, struct {
		CreatedAt  time.Time       `json:"createdAt"`
		EventTypes []eventType     `json:"eventTypes"`
		Connectors []string        `json:"connectors"` // there are none
		Settings   json.RawMessage `json:"settings"`
		Version    int             `json:"version"`
	}{q.API.Service.Now().UTC(), types, []string{}, json.RawMessage("null"), 1})
	return nil
}

// importEnvironment stores event types, all or none. It deletes none.
func importEnvironment(q *systems.Request) error {
	if err := check(q, ofEnvironment); err != nil {
		return err
	}
	objects := q.In.Objects("eventTypes")
	types := make([]models.EventType, len(objects))
	for i, in := range objects {
		types[i].Name = in.String("name")
		if err := typeFrom(q, in, fmt.Sprintf("eventTypes[%d].", i), &types[i], true); err != nil {
			return err
		}
	}
	if err := q.Err(); err != nil {
		return err
	}
	if _, err := q.API.Service.ImportEventTypes(q.Ctx(), types, service.TypeImport{Partial: true}); err != nil {
		return err
	}
	return nothing(q)
}
