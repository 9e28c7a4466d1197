package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// EventType is an event type as the API shows it.
type EventType struct {
	Name          string          `json:"name" example:"order.created"`
	Tenant        *string         `json:"tenant" doc:"The tenant that owns it; null for a type that all tenants share."`
	System        *string         `json:"system" doc:"The catalogue it comes from; null if it was made through this API." example:"im4"`
	Title         *string         `json:"title"`
	Category      *string         `json:"category"`
	Description   string          `json:"description" example:"An order has been placed."`
	Documentation *string         `json:"documentation" doc:"A link to its system's documentation."`
	Schema        json.RawMessage `json:"schema" doc:"The JSON Schema that data must match; null = any data."`
	Example       json.RawMessage `json:"example" doc:"An example of data, which tests send; null = none."`
	Deprecated    bool            `json:"deprecated"`
	Archived      bool            `json:"archived" doc:"It is in no list, unless archived=true is asked for. Webhooks that name it still get its events."`
	FeatureFlags  []string        `json:"feature_flags" doc:"Portal links see it if they have one of these; empty = all see it." example:"beta"`
	CreatedAt     timestamp       `json:"created_at"`
	UpdatedAt     timestamp       `json:"updated_at"`
}

func eventTypeView(t models.EventType) EventType {
	return EventType{Name: t.Name, Tenant: orNull(models.TenantSlug(t.Tenant)), System: orNull(t.System), Title: orNull(t.Title), Category: orNull(t.Category),
		Description: t.Description, Documentation: orNull(t.Documentation), Schema: raw(t.Schema), Example: raw(t.Example),
		Deprecated: t.Deprecated, Archived: t.Archived, FeatureFlags: orEmptyList(t.FeatureFlags), CreatedAt: timestamp(t.CreatedAt), UpdatedAt: timestamp(t.UpdatedAt)}
}

// raw returns a JSON text as it is, null if it is empty.
func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

// EventTypeInput describes an event type to create or replace.
type EventTypeInput struct {
	EventTypeReadOnly
	Description  string          `json:"description,omitempty" doc:"At most 2000 characters." example:"An order has been placed."`
	Schema       json.RawMessage `json:"schema,omitempty" doc:"A JSON Schema: draft-04, -06, -07, 2019-09 or 2020-12 (the default), as $schema says. At most 200 levels and 30,000 subschemas. Patterns are ECMA-262, of limited size. Up to draft-07 format is enforced; from 2019-09 on it is an annotation. External references are not followed."`
	Example      json.RawMessage `json:"example,omitempty" doc:"Data that matches the schema."`
	Deprecated   bool            `json:"deprecated,omitempty"`
	Archived     bool            `json:"archived,omitempty" doc:"Leaves it out of lists."`
	FeatureFlags []string        `json:"feature_flags,omitempty" doc:"At most 20. Portal links without any of them do not see it." example:"beta"`
}

// OfEventType holds the path parameters of the operations on one event type.
type OfEventType struct {
	Name string `path:"name" doc:"The event type's name." example:"order.created"`
}

type putEventType struct {
	OfEventType
	Body EventTypeInput
}

// EventTypeParams are the parameters of a list of event types.
type EventTypeParams struct {
	PageParams
	Archived bool `query:"archived" doc:"Also those that are archived."`
}

type listTenantEventTypes struct {
	OfTenant
	EventTypeParams
}

type putCatalog struct {
	OfTenant
	System string `path:"system" doc:"im4, phrase, languageweaver, ewarehousing or up42." example:"im4"`
}

func (s *server) eventTypes() {
	const path, tag = "/v1/event-types", tagEventTypes
	handle(s, anyone, huma.Operation{
		OperationID: "list-event-types", Method: http.MethodGet, Path: path, Tags: []string{tag}, Summary: "List event types",
		Description: "An admin key gets the types that all tenants share. A tenant's key gets the types that the tenant can publish and register for.",
	}, s.listEventTypes)
	handleWhole(s, admins, huma.Operation{
		OperationID: "put-event-type", Method: http.MethodPut, Path: path + "/{name}", Tags: []string{tag}, Summary: "Create or replace a shared event type",
		Description: "A name is 1 to 128 letters, digits, dots, dashes or underscores; names that begin with webhook. are reserved for Posthorn. A type can be sent back exactly as it was read: unchanged fields stay untouched.",
	}, s.putEventType)
	handle(s, anyone, huma.Operation{
		OperationID: "get-event-type", Method: http.MethodGet, Path: path + "/{name}", Tags: []string{tag}, Summary: "Read an event type",
	}, s.getEventType)
	handle(s, admins, huma.Operation{
		OperationID: "delete-event-type", Method: http.MethodDelete, Path: path + "/{name}", Tags: []string{tag}, Summary: "Delete a shared event type",
		Description: "Webhooks registered for it stay, but get no more events of it.",
	}, s.deleteEventType)
	handle(s, readers, huma.Operation{
		OperationID: "list-tenant-event-types", Method: http.MethodGet, Path: "/v1/tenants/{tenant}/event-types", Tags: []string{tag},
		Summary: "List the types that a tenant can publish and register for", Description: "A tenant's own type takes precedence over a shared one of the same name.",
	}, s.listTenantEventTypes)
	handle(s, owners, huma.Operation{
		OperationID: "put-catalog", Method: http.MethodPut, Path: "/v1/tenants/{tenant}/catalogs/{system}", Tags: []string{tag},
		Summary: "Load a system's event types for a tenant", Description: "They become the tenant's own types. Loading them again updates them. 409 if another system already has a type of the same name in this tenant.",
	}, s.putCatalog)
}

func (s *server) listEventTypes(ctx context.Context, in *EventTypeParams) (*answer[list[EventType]], error) {
	return s.eventTypesOf(ctx, caller(ctx).Tenant, *in)
}

func (s *server) listTenantEventTypes(ctx context.Context, in *listTenantEventTypes) (*answer[list[EventType]], error) {
	return s.eventTypesOf(ctx, in.Tenant, in.EventTypeParams)
}

func (s *server) eventTypesOf(ctx context.Context, tenant string, p EventTypeParams) (*answer[list[EventType]], error) {
	read := s.Service.EventTypes
	if p.Archived {
		read = s.Service.AllEventTypes
	}
	types, next, err := read(ctx, tenant, p.page())
	if err != nil {
		return nil, err
	}
	return answerWith(listOf(types, next, eventTypeView)), nil
}

func (s *server) putEventType(ctx context.Context, in *putEventType) (*answer[EventType], error) {
	wrong, err := s.changedOfType(ctx, in)
	if err != nil {
		return nil, err
	}
	t, err := s.Service.EventType(ctx, "", in.Name)
	if refused, ok := errors.AsType[*service.Error](err); err != nil && (!ok || refused.Code != service.NotFound) {
		return nil, err
	}
	t, err = s.Service.PutEventType(ctx, models.EventType{Name: in.Name, Title: t.Title, Category: t.Category, Documentation: t.Documentation,
		Description: in.Body.Description, Schema: text(in.Body.Schema), Example: text(in.Body.Example), Deprecated: in.Body.Deprecated,
		Archived: in.Body.Archived, FeatureFlags: in.Body.FeatureFlags}, append(wrongAlready(ctx), wrong...)...)
	if err != nil {
		return nil, err
	}
	return answerWith(eventTypeView(t)), nil
}

// changedOfType names the read-only fields that differ from the type's current state. A new type has only its name.
func (s *server) changedOfType(ctx context.Context, in *putEventType) ([]service.FieldError, error) {
	return changed(in.Body.EventTypeReadOnly, func() (any, error) {
		t, err := s.Service.EventType(ctx, "", in.Name)
		if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.NotFound {
			return map[string]string{"name": in.Name}, nil
		}
		return eventTypeView(t), err
	})
}

// text returns a JSON value as text, "" for null.
func text(value json.RawMessage) string {
	if string(value) == "null" {
		return ""
	}
	return string(value)
}

func (s *server) getEventType(ctx context.Context, in *OfEventType) (*answer[EventType], error) {
	t, err := s.Service.EventType(ctx, caller(ctx).Tenant, in.Name)
	if err != nil {
		return nil, err
	}
	return answerWith(eventTypeView(t)), nil
}

func (s *server) deleteEventType(ctx context.Context, in *OfEventType) (*struct{}, error) {
	return nil, s.Service.DeleteEventType(ctx, in.Name)
}

func (s *server) putCatalog(ctx context.Context, in *putCatalog) (*answer[list[EventType]], error) {
	types, err := s.Service.LoadCatalog(ctx, in.Tenant, in.System)
	if err != nil {
		return nil, err
	}
	return answerWith(listOf(types, "", eventTypeView)), nil
}
