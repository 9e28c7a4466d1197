package service_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func fieldsOf(t *testing.T, err error) (fields []string) {
	t.Helper()
	var refused *service.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, service.Invalid, refused.Code, refused)
	for _, f := range refused.Fields {
		require.NotEmpty(t, f.Message)
		fields = append(fields, f.Field)
	}
	return fields
}

func putSchema(t *testing.T, env *servicetest.Env, name, schema string) {
	t.Helper()
	_, err := env.Service.PutEventType(t.Context(), models.EventType{Name: name, Schema: schema})
	require.NoError(t, err)
}

func publishData(ctx context.Context, s *service.Service, eventType string, data ...string) error {
	r := service.PublishRequest{Batch: len(data) > 1}
	for _, d := range data {
		r.Events = append(r.Events, service.EventInput{Type: eventType, Data: json.RawMessage(d)})
	}
	_, err := s.Publish(ctx, "acme", r)
	return err
}

// Numbers that are expensive to compare are refused if there is a schema, and pass byte for byte without one.
func TestSchemas_NumbersUnderASchemaAreBounded(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	env.EventTypes("free")
	putSchema(t, env, "order.created", `{"properties":{"n":{"minimum":0,"multipleOf":0.5}}}`)
	for _, number := range []string{"1e9999999", "-1E+9999999", "1e-9999999", strings.Repeat("7", 500_000)} {
		data := `{"a":{"n":[1,` + number + `]},"n":` + number + `}`
		want := []string{"data.a.n.1", "data.n"}
		require.ElementsMatch(t, want, fieldsOf(t, publishData(t.Context(), env.Service, "order.created", data)))
		_, _, err := env.Service.MatchEvent(t.Context(), "acme", service.EventInput{Type: "order.created", Data: json.RawMessage(data)}, models.Page{Limit: 1})
		require.ElementsMatch(t, want, fieldsOf(t, err))
		_, err = env.Service.PutEventType(t.Context(), models.EventType{Name: "b", Schema: `{}`, Example: data})
		require.ElementsMatch(t, []string{"example.a.n.1", "example.n"}, fieldsOf(t, err))
		_, err = env.Service.PutEventType(t.Context(), models.EventType{Name: "b", Schema: `{"minimum":` + number + `}`})
		require.Equal(t, []string{"schema"}, fieldsOf(t, err))

		id := env.Publish("acme", "free", data)
		event, err := env.Service.Event(t.Context(), "acme", id)
		require.NoError(t, err)
		require.Equal(t, data, string(event.Data))
	}
	require.ElementsMatch(t, []string{"events[0].data.n", "events[2].data.n"},
		fieldsOf(t, publishData(t.Context(), env.Service, "order.created", `{"n":1e9999}`, `{"n":1e300}`, `{"n":-1}`)))
}

// doubles is a schema with which each level of the data costs twice the one above.
const doubles = `{"properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}`

func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels) + `1` + strings.Repeat(`}`, levels)
}

func TestSchemas_WhatCostsTooMuchToCheckIsRefused(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	putSchema(t, env, "order.created", doubles)
	require.NoError(t, publishData(t.Context(), env.Service, "order.created", nested(10)))
	require.Equal(t, []string{"data"}, fieldsOf(t, publishData(t.Context(), env.Service, "order.created", nested(60))))
	require.Equal(t, []string{"events[1].data"}, fieldsOf(t, publishData(t.Context(), env.Service, "order.created", `1`, nested(60))))
	_, _, err := env.Service.MatchEvent(t.Context(), "acme", service.EventInput{Type: "order.created", Data: json.RawMessage(nested(60))}, models.Page{Limit: 1})
	require.Equal(t, []string{"data"}, fieldsOf(t, err))
	_, err = env.Service.PutEventType(t.Context(), models.EventType{Name: "b", Schema: doubles, Example: nested(60)})
	require.Equal(t, []string{"example"}, fieldsOf(t, err))

	putSchema(t, env, "loop", `{"$ref":"#"}`)
	require.Equal(t, []string{"data"}, fieldsOf(t, publishData(t.Context(), env.Service, "loop", `{}`)))
}

// The events of one request share one budget: many small ones do not cost more than a large one.
func TestSchemas_ABatchHasOneBudget(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	putSchema(t, env, "order.created", doubles)
	data := make([]string, 100)
	for i := range data {
		data[i] = nested(17)
	}
	require.NoError(t, publishData(t.Context(), env.Service, "order.created", data[0]))
	require.NotEmpty(t, fieldsOf(t, publishData(t.Context(), env.Service, "order.created", data...)))
}

func TestSchemas_TheCallersHangUpEndsTheCheck(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	putSchema(t, env, "order.created", doubles)
	require.NoError(t, publishData(t.Context(), env.Service, "order.created", `1`))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, publishData(ctx, env.Service, "order.created", nested(16)), context.Canceled)
}

func TestSchemas_TheDeadlineEndsTheCheck(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	putSchema(t, env, "order.created", doubles)
	o := env.Service.Options
	var looks atomic.Int64
	o.Now = func() time.Time { return env.Clock.Now().Add(time.Duration(looks.Add(1)) * time.Second) }
	s := service.New(o)
	err := publishData(t.Context(), s, "order.created", nested(17))
	requireRefused(t, err, service.Unavailable)
	require.ErrorContains(t, err, "5s")
}

// A stored schema from before the limits is an error of the event type, not an internal error.
func TestSchemas_AStoredSchemaBeyondTheBounds(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	require.NoError(t, env.Store.PutEventTypes(t.Context(), []models.EventType{{Name: "old", Schema: `{"pattern":"[a-z]{1,1000}@"}`}}))
	require.Equal(t, []string{"type"}, fieldsOf(t, publishData(t.Context(), env.Service, "old", `1`)))
}

func TestSchemas_ASchemaNamesAllThatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	_, err := env.Service.PutEventType(t.Context(), models.EventType{Name: "?", Schema: `{"properties":{"a":{"type":"strnig"},"b":{"minLength":-1}}}`})
	require.Equal(t, []string{"name", "schema", "schema"}, fieldsOf(t, err))
	require.ErrorContains(t, err, "properties.a.type")
	require.ErrorContains(t, err, "properties.b.minLength")
	for _, schema := range []string{
		`{"properties":{"a":{"pattern":"("}}}`, `{"properties":{"a":{"pattern":"[a-z]{1,1000}@"}}}`, `{"$ref":"#/nowhere"}`, `{"$schema":"x"}`,
		strings.Repeat(`{"items":`, 2000) + `{}` + strings.Repeat(`}`, 2000), `7`, `{"$id":"#x"}`,
	} {
		_, err := env.Service.PutEventType(t.Context(), models.EventType{Name: "a", Schema: schema})
		require.Equal(t, []string{"schema"}, fieldsOf(t, err), schema)
	}
	_, err = env.Service.EventType(t.Context(), "", "a")
	requireRefused(t, err, service.NotFound)
}

// Two tenants with the same catalogue, and the shared types, have each schema compiled once.
func TestSchemas_ASchemaIsCompiledOnceForAllTenants(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	schemaOf := func(tenant, name string) any {
		schema, err := env.Service.SchemaOf(t.Context(), tenant, name)
		require.NoError(t, err)
		return schema
	}
	putSchema(t, env, "shared", `{"title":"of all tenants"}`)
	for _, tenant := range []string{"acme", "globex"} {
		env.Tenant(tenant)
		_, err := env.Service.LoadCatalog(t.Context(), tenant, "im4")
		require.NoError(t, err)
	}
	require.Same(t, schemaOf("acme", "shared"), schemaOf("globex", "shared"))
	require.Same(t, schemaOf("acme", "order.created"), schemaOf("globex", "order.created"))
}

// GitHub's schemas have templates of RFC 6570, their own keywords, and references across a draft-07 document.
func TestSchemas_ASchemaInGitHubsStyle(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	putSchema(t, env, "star.created", `{"$schema":"http://json-schema.org/draft-07/schema","$ref":"#/definitions/star$created","tsAdditionalProperties":false,
		"definitions":{"user":{"$schema":"http://json-schema.org/draft-07/schema","$id":"common/user.schema.json","type":"object","required":["starred_url"],
			"properties":{"starred_url":{"type":"string","format":"uri-template"},"url":{"type":["string","null"],"format":"uri","tsType":"Url"}}},
		"star$created":{"$schema":"http://json-schema.org/draft-07/schema","type":"object","properties":{"action":{"type":"string","enum":["created"]},
			"sender":{"$ref":"#/definitions/user"}},"additionalProperties":false,"title":"star created event"}}}`)
	require.NoError(t, publishData(t.Context(), env.Service, "star.created",
		`{"action":"created","sender":{"starred_url":"https://api.github.com/users/o/starred{/owner}{/repo}","url":null}}`))
	require.ElementsMatch(t, []string{"data.sender.starred_url", "data.sender.url"}, fieldsOf(t, publishData(t.Context(), env.Service, "star.created",
		`{"action":"created","sender":{"starred_url":"https://api.github.com/users/o/starred{/owner}{/repo","url":"not a url"}}`)))
}
