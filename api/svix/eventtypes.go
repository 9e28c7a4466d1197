package svix

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/rawjson"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

func eventTypeFields(named, required bool) []systems.Field {
	fields := []systems.Field{
		{Name: "description", Required: required},
		{Name: "schemas", Kind: systems.Raw, Nullable: true},
		{Name: "deprecated", Kind: systems.Flag},
		{Name: "archived", Kind: systems.Flag},
		{Name: "featureFlag", Nullable: true},
		{Name: "featureFlags", Kind: systems.Names, Nullable: true},
		{Name: "groupName", Nullable: true},
		{Name: "createdAt", ReadOnly: true},
		{Name: "updatedAt", ReadOnly: true},
	}
	return append(fields, systems.Field{Name: "name", Required: named, ReadOnly: !named})
}

const (
	typesPath = base + "/event-type"
	oneType   = typesPath + "/:name"
)

func eventTypes(api *systems.API) {
	all := []models.Role{models.RolePublish}
	api.Handle(systems.Operation{Method: http.MethodGet, Path: typesPath, Roles: all, Query: append(slices.Clone(sorting),
		systems.Field{Name: "with_content", Kind: systems.Flag}, systems.Field{Name: "include_archived", Kind: systems.Flag})}, listEventTypes)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: typesPath, Admins: true, Body: systems.JSON, Fields: eventTypeFields(true, true)},
		createEventType)
	api.Handle(systems.Operation{Method: http.MethodGet, Path: oneType, Roles: all}, showEventType)
	api.Handle(systems.Operation{Method: http.MethodPut, Path: oneType, Admins: true, Body: systems.JSON, Fields: eventTypeFields(false, true)},
		putEventType)
	api.Handle(systems.Operation{Method: http.MethodPatch, Path: oneType, Admins: true, Body: systems.JSON, Fields: eventTypeFields(false, false)},
		patchEventType)
	api.Handle(systems.Operation{Method: http.MethodDelete, Path: oneType, Admins: true, Query: []systems.Field{{Name: "expunge", Kind: systems.Flag}}},
		deleteEventType)
}

// schemaVersion is the only version of a schema that Posthorn keeps.
const schemaVersion = "1"

type eventType struct {
	Name         string                     `json:"name"`
	Description  string                     `json:"description"`
	Schemas      map[string]json.RawMessage `json:"schemas"`
	Deprecated   bool                       `json:"deprecated"`
	Archived     bool                       `json:"archived"`
	FeatureFlag  *string                    `json:"featureFlag"`
	FeatureFlags []string                   `json:"featureFlags"`
	GroupName    *string                    `json:"groupName"`
	CreatedAt    time.Time                  `json:"createdAt"`
	UpdatedAt    time.Time                  `json:"updatedAt"`
}

func eventTypeOf(t *models.EventType, whole bool) eventType {
	v := eventType{Name: t.Name, Description: t.Description, Deprecated: t.Deprecated, Archived: t.Archived, GroupName: orNil(t.Category), CreatedAt: t.CreatedAt.UTC(), UpdatedAt: t.UpdatedAt.UTC()}
	if len(t.FeatureFlags) > 0 {
		v.FeatureFlag, v.FeatureFlags = &t.FeatureFlags[0], t.FeatureFlags
	}
	if whole && t.Schema != "" {
		v.Schemas = map[string]json.RawMessage{schemaVersion: json.RawMessage(t.Schema)}
	}
	return v
}

func answerEventType(q *systems.Request, status int, t models.EventType, err error) error {
	if err != nil {
		return err
	}
	q.PureJSON(status, eventTypeOf(&t, true))
	return nil
}

func listEventTypes(q *systems.Request) error {
	w, err := wholeWindowOf(q, ascending, ascending, func(id string) ([]string, error) { return []string{id}, nil })
	if err != nil {
		return err
	}
	page := q.API.Service.EventTypes
	if flag(q, "include_archived", false) {
		page = q.API.Service.AllEventTypes
	}
	types, next, err := page(q.Ctx(), q.Tenant, w.page)
	if err != nil {
		return err
	}
	data := make([]eventType, len(types))
	for i := range types {
		data[i] = eventTypeOf(&types[i], flag(q, "with_content", false))
	}
	return answerList(q, w, data, func(t *eventType) string { return t.Name }, next != "")
}

func showEventType(q *systems.Request) error {
	t, err := q.API.Service.EventType(q.Ctx(), q.Tenant, q.Param("name"))
	return answerEventType(q, http.StatusOK, t, err)
}

// readEventType copies the body's fields into t. whole: absent fields get their defaults.
func readEventType(q *systems.Request, t *models.EventType, whole bool) error {
	return typeFrom(q, q.In, "", t, whole)
}

// typeFrom is readEventType for an object that may stand within the body.
func typeFrom(q *systems.Request, in systems.Values, prefix string, t *models.EventType, whole bool) error {
	if text := in.Text("description"); text != nil {
		t.Description = *text
	}
	if group := in.Text("groupName"); group != nil || whole || in.IsNull("groupName") {
		t.Category = in.String("groupName")
	}
	if deprecated := in.Flag("deprecated"); deprecated != nil || whole {
		t.Deprecated = deprecated != nil && *deprecated
	}
	if archived := in.Flag("archived"); archived != nil || whole {
		t.Archived = archived != nil && *archived
	}
	readFlags(q, in, prefix, t, whole)
	schemas := in.Raw("schemas")
	if schemas == nil {
		if whole || in.IsNull("schemas") {
			t.Schema = ""
		}
		return q.Err()
	}
	if schemas[0] != '{' {
		q.Problemf(prefix+"schemas", "must be an object of schemas by version")
		return q.Err()
	}
	t.Schema = ""
	for quoted, pair := range rawjson.Members(schemas) {
		if name := rawjson.Name(quoted); name != schemaVersion || t.Schema != "" {
			return notYet("Posthorn keeps one schema of an event type, version " + schemaVersion)
		}
		t.Schema = string(bytes.TrimSpace(rawjson.Value(quoted, pair)))
	}
	return q.Err()
}

// readFlags takes over the feature flags. Older clients know of one.
func readFlags(q *systems.Request, in systems.Values, prefix string, t *models.EventType, whole bool) {
	one, all := in.String("featureFlag"), in.List("featureFlags")
	switch {
	case one != "" && len(all) > 0 && one != all[0]:
		q.Problemf(prefix+"featureFlag", "must be the first of featureFlags, if both are given")
	case len(all) > 0:
		t.FeatureFlags = all
	case one != "":
		t.FeatureFlags = []string{one}
	case whole, in.Given("featureFlag"), in.Given("featureFlags"):
		t.FeatureFlags = nil
	}
}

// stored reads the type that all tenants share; the zero EventType if there is none.
func stored(q *systems.Request, name string) (models.EventType, error) {
	t, err := q.API.Service.EventType(q.Ctx(), "", name)
	if isNotFound(err) {
		return models.EventType{}, nil
	}
	return t, err
}

func createEventType(q *systems.Request) error {
	t := models.EventType{Name: q.In.String("name")}
	if err := readEventType(q, &t, true); err != nil {
		return err
	}
	was, err := stored(q, t.Name)
	switch {
	case err != nil:
		return err
	case was.Name != "" && !was.Archived:
		return service.Refuse(service.Conflict, "there is an event type of this name already")
	}
	t, err = q.API.Service.PutEventType(q.Ctx(), t)
	return answerEventType(q, http.StatusCreated, t, err)
}

func putEventType(q *systems.Request) error {
	t, err := stored(q, q.Param("name"))
	if err != nil {
		return err
	}
	status := http.StatusOK
	if t.Name == "" {
		t.Name, status = q.Param("name"), http.StatusCreated
	}
	if err := readEventType(q, &t, true); err != nil {
		return err
	}
	t, err = q.API.Service.PutEventType(q.Ctx(), t)
	return answerEventType(q, status, t, err)
}

func patchEventType(q *systems.Request) error {
	t, err := q.API.Service.EventType(q.Ctx(), "", q.Param("name"))
	if err != nil {
		return err
	}
	if err := readEventType(q, &t, false); err != nil {
		return err
	}
	t, err = q.API.Service.PutEventType(q.Ctx(), t)
	return answerEventType(q, http.StatusOK, t, err)
}

// deleteEventType archives the type, or removes it if expunge is set. Either way it can be created again.
func deleteEventType(q *systems.Request) error {
	if err := q.Err(); err != nil {
		return err
	}
	name := q.Param("name")
	if flag(q, "expunge", false) {
		if err := q.API.Service.DeleteEventType(q.Ctx(), name); err != nil {
			return err
		}
		return nothing(q)
	}
	t, err := q.API.Service.EventType(q.Ctx(), "", name)
	if err != nil {
		return err
	}
	t.Archived = true
	if _, err := q.API.Service.PutEventType(q.Ctx(), t); err != nil {
		return err
	}
	return nothing(q)
}
