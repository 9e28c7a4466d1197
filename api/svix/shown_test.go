package svix_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	official "github.com/svix/svix-webhooks/go"
	sdk "github.com/svix/svix-webhooks/go/models"
	"github.com/svix/svix-webhooks/go/utils"

	"github.com/posthorn/posthorn/internal/catalog"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// An archived type is in no list unless it is asked for, is sent on, and can be made again.
func TestSvixPages_ArchivedEventTypes(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	admin := c.as(servicetest.AdminKey)
	const path = api + "/event-type"
	listed := func(query string) []string { return ids(c.ok(200, "GET", path+query, "")) }
	admin.ok(201, "POST", path, `{"name":"old.type","description":"Old","schemas":{"1":{"type":"object"}}}`)
	ep := c.endpoint(`{"url":"http://127.0.0.1:1","filterTypes":["old.type"]}`)
	require.Contains(t, listed(""), "old.type")
	admin.ok(204, "DELETE", path+"/old.type", "")
	require.NotContains(t, listed(""), "old.type")
	require.Contains(t, listed("?include_archived=true"), "old.type")
	require.Equal(t, true, admin.ok(200, "GET", path+"/old.type", "")["archived"])
	require.Len(t, c.Deliveries("acme", "evt_"+strings.TrimPrefix(c.message("old.type", `{}`), "msg_")), 1)
	c.ok(200, "PATCH", app+"/endpoint/"+ep, `{"filterTypes":["old.type","order.paid"]}`)
	stored, _, err := c.Service.EventTypes(t.Context(), "acme", models.Page{Limit: 10})
	require.NoError(t, err)
	for i := range stored {
		require.NotEqual(t, "old.type", stored[i].Name, "/v1 and the pages do not list it either")
	}

	again := admin.ok(201, "POST", path, `{"name":"old.type","description":"New"}`)
	require.Equal(t, []any{false, "New", nil}, []any{again["archived"], again["description"], again["schemas"]})
	admin.ok(409, "POST", path, `{"name":"old.type","description":"New"}`)
	require.Equal(t, true, admin.ok(200, "PATCH", path+"/old.type", `{"archived":true}`)["archived"])
	require.Equal(t, true, admin.ok(200, "PATCH", path+"/old.type", `{"description":"d"}`)["archived"])
	require.Equal(t, false, admin.ok(200, "PUT", path+"/old.type", `{"description":"d"}`)["archived"])
	admin.ok(204, "DELETE", path+"/old.type?expunge=true", "")
	admin.ok(404, "DELETE", path+"/old.type", "")
}

// Types with feature flags are hidden from the tokens that have none of them. Keys see them.
func TestSvixPages_FeatureFlagsWithTheOfficialClient(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	svix, ctx := c.official(), t.Context()
	made, err := svix.EventType.Create(ctx, sdk.EventTypeIn{Name: "beta.type", Description: "Beta", FeatureFlags: []string{"beta", "gamma"}}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"beta", "gamma"}, made.FeatureFlags)
	require.Equal(t, "beta", *made.FeatureFlag)
	made, err = svix.EventType.Patch(ctx, "beta.type", sdk.EventTypePatch{FeatureFlags: utils.NewNullable([]string{"beta"})})
	require.NoError(t, err)
	require.Equal(t, []string{"beta"}, made.FeatureFlags)

	sees := func(flags ...string) bool {
		t.Helper()
		access, err := svix.Authentication.AppPortalAccess(ctx, "app_acme", sdk.AppPortalAccessIn{FeatureFlags: flags}, nil)
		require.NoError(t, err)
		token := c.as(access.Token)
		listed := ids(token.ok(200, "GET", api+"/event-type", ""))
		require.Contains(t, listed, "order.created")
		status := 404
		for _, name := range listed {
			if name == "beta.type" {
				status = 200
			}
		}
		token.ok(status, "GET", api+"/event-type/beta.type", "")
		return status == 200
	}
	require.False(t, sees())
	require.False(t, sees("other", "bet"))
	require.True(t, sees("other", "beta"))
	c.ok(200, "GET", api+"/event-type/beta.type", "")
	types, err := svix.EventType.List(ctx, &official.EventTypeListOptions{IncludeArchived: new(true)})
	require.NoError(t, err)
	require.Len(t, types.Data, 3+len(catalog.Operational()), "an administrator sees it")
	_, err = svix.EventType.Patch(ctx, "beta.type", sdk.EventTypePatch{FeatureFlags: utils.NewNullableFromPtr[[]string](nil)})
	require.NoError(t, err)
	require.True(t, sees())

	// An export has them, and an import brings them.
	admin := c.as(servicetest.AdminKey)
	admin.ok(200, "PATCH", api+"/event-type/beta.type", `{"featureFlag":"gamma","archived":true}`)
	export := admin.call("POST", api+"/environment/export", "").Body.String()
	other := newClient(t).as(servicetest.AdminKey)
	other.ok(204, "POST", api+"/environment/import", export)
	moved := other.ok(200, "GET", api+"/event-type/beta.type", "")
	require.Equal(t, []any{"gamma", []any{"gamma"}, true}, []any{moved["featureFlag"], moved["featureFlags"], moved["archived"]})
}

// What the endpoints of each application are registered for.
func TestSvixPages_UsageByEventTypeWithTheOfficialClient(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	svix, ctx := c.official(), t.Context()
	c.endpoint(`{"url":"https://a.example","filterTypes":["order.paid","order.created"]}`)
	c.endpoint(`{"url":"https://b.example","filterTypes":["order.paid"]}`)
	_, _, err := c.Service.CreateWebhook(ctx, "globex", service.WebhookChange{URL: new("https://c.example")})
	require.NoError(t, err)
	_, err = svix.OperationalWebhook.Endpoint.Create(ctx, sdk.OperationalWebhookEndpointIn{Url: "https://d.example"}, nil)
	require.NoError(t, err)
	asked, err := svix.Statistics.AggregateEventTypes(ctx)
	require.NoError(t, err)
	require.Equal(t, sdk.BACKGROUNDTASKTYPE_EVENT_TYPE_AGGREGATE, asked.Task)
	done, err := svix.BackgroundTask.Get(ctx, asked.Id)
	require.NoError(t, err)
	require.Equal(t, sdk.BACKGROUNDTASKSTATUS_FINISHED, done.Status)
	require.Equal(t, []any{
		map[string]any{"appId": "app_acme", "explicitlySubscribedEventTypes": []any{"order.created", "order.paid"}, "hasCatchAllEndpoint": false},
		map[string]any{"appId": "app_globex", "explicitlySubscribedEventTypes": []any{}, "hasCatchAllEndpoint": true},
	}, done.Data["event_types"])
}
