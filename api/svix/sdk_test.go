package svix_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	official "github.com/svix/svix-webhooks/go"
	"github.com/svix/svix-webhooks/go/models"
	"github.com/svix/svix-webhooks/go/utils"

	"github.com/posthorn/posthorn/api/systems/systemstest"
	"github.com/posthorn/posthorn/internal/servicetest"
)

// TestSvixClient_TheOfficialClient makes its calls with Svix's own Go module, unchanged, and verifies with it what arrives.
func TestSvixClient_TheOfficialClient(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	server := httptest.NewServer(c.Handler)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL + "/svix")
	require.NoError(t, err)
	svix, err := official.New(servicetest.AdminKey, &official.SvixOptions{ServerUrl: address})
	require.NoError(t, err)
	ctx := t.Context()
	require.NoError(t, svix.Health.Get(ctx))

	made, err := svix.EventType.Create(ctx, models.EventTypeIn{Name: "invoice.paid", Description: "An invoice", Schemas: &map[string]any{"1": map[string]any{"type": "object"}}}, nil)
	require.NoError(t, err)
	require.Equal(t, "invoice.paid", made.Name)
	types, err := svix.EventType.List(ctx, nil)
	require.NoError(t, err)
	require.True(t, types.Done)
	patched, err := svix.EventType.Patch(ctx, "invoice.paid", models.EventTypePatch{Description: new("Paid")})
	require.NoError(t, err)
	require.Equal(t, "Paid", patched.Description)

	application, err := svix.Application.Create(ctx, models.ApplicationIn{Name: "Shop"}, nil)
	require.NoError(t, err)
	application, err = svix.Application.Update(ctx, application.Id, models.ApplicationIn{Name: "Store"})
	require.NoError(t, err)
	again, err := svix.Application.Get(ctx, application.Id)
	require.NoError(t, err)
	require.Equal(t, application, again)
	applications, err := svix.Application.List(ctx, &official.ApplicationListOptions{Limit: new(uint64(1))})
	require.NoError(t, err)
	require.False(t, applications.Done)
	app := application.Id

	receiver := systemstest.NewReceiver(t)
	endpoint, err := svix.Endpoint.Create(ctx, app, models.EndpointIn{Url: receiver.URL, FilterTypes: []string{"invoice.paid"}, RateLimit: new(uint16(9)),
		Headers: &map[string]string{"X-Shop": "one"}}, nil)
	require.NoError(t, err)
	require.Equal(t, uint16(9), *endpoint.ThrottleRate)
	endpoint, err = svix.Endpoint.Patch(ctx, app, endpoint.Id, models.EndpointPatch{RateLimit: utils.NewNullableFromPtr[uint16](nil)})
	require.NoError(t, err)
	require.Nil(t, endpoint.RateLimit)
	endpoint, err = svix.Endpoint.Update(ctx, app, endpoint.Id, models.EndpointUpdate{Url: receiver.URL, Description: new("Mine")})
	require.NoError(t, err)
	require.Equal(t, "Mine", endpoint.Description)
	endpoints, err := svix.Endpoint.List(ctx, app, nil)
	require.NoError(t, err)
	require.Equal(t, []models.EndpointOut{*endpoint}, endpoints.Data)
	headers, err := svix.Endpoint.GetHeaders(ctx, app, endpoint.Id)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"X-Shop": "one"}, headers.Headers)
	require.NoError(t, svix.Endpoint.PatchHeaders(ctx, app, endpoint.Id, models.EndpointHeadersPatchIn{Headers: map[string]string{"X-Token": "t"}}))
	require.NoError(t, svix.Endpoint.RotateSecret(ctx, app, endpoint.Id, models.EndpointSecretRotateIn{}, nil))

	message, err := svix.Message.Create(ctx, app, models.MessageIn{EventType: "invoice.paid", Payload: map[string]any{"total": 7}}, nil)
	require.NoError(t, err)
	tenant := strings.TrimPrefix(app, "app_")
	delivery := c.Deliveries(tenant, "evt_"+strings.TrimPrefix(message.Id, "msg_"))[0]
	receiver.Answer(500)
	c.Attempt(tenant, delivery.ID)
	receiver.Take()
	attempted, err := svix.MessageAttempt.ListAttemptedMessages(ctx, app, endpoint.Id, nil)
	require.NoError(t, err)
	require.Equal(t, models.MESSAGESTATUS_SENDING, attempted.Data[0].Status)

	receiver.Answer(200)
	_, err = svix.MessageAttempt.Resend(ctx, app, message.Id, endpoint.Id, nil)
	require.NoError(t, err)
	c.Attempt(tenant, delivery.ID)
	got := receiver.Take()
	require.Len(t, got, 1)
	secret, err := svix.Endpoint.GetSecret(ctx, app, endpoint.Id)
	require.NoError(t, err)
	verifier, err := official.NewWebhook(secret.Key)
	require.NoError(t, err)
	require.NoError(t, verifier.Verify([]byte(got[0].Body), got[0].Header))
	require.Error(t, verifier.Verify([]byte(got[0].Body+" "), got[0].Header))
	require.JSONEq(t, `{"total":7}`, got[0].Body)
	require.Equal(t, message.Id, got[0].Header.Get("Svix-Id"))

	messages, err := svix.Message.List(ctx, app, &official.MessageListOptions{EventTypes: &[]string{"invoice.paid", "order.paid"}})
	require.NoError(t, err)
	require.Equal(t, message.Id, messages.Data[0].Id)
	attempts, err := svix.MessageAttempt.ListByMsg(ctx, app, message.Id, &official.MessageAttemptListByMsgOptions{Status: new(models.MESSAGESTATUS_SUCCESS)})
	require.NoError(t, err)
	require.Len(t, attempts.Data, 1)
	byEndpoint, err := svix.MessageAttempt.ListByEndpoint(ctx, app, endpoint.Id, &official.MessageAttemptListByEndpointOptions{WithMsg: new(true), After: new(time.Unix(0, 0))})
	require.NoError(t, err)
	require.Len(t, byEndpoint.Data, 2)
	one, err := svix.MessageAttempt.Get(ctx, app, message.Id, attempts.Data[0].Id, nil)
	require.NoError(t, err)
	require.Equal(t, int16(200), one.ResponseStatusCode)
	destinations, err := svix.MessageAttempt.ListAttemptedDestinations(ctx, app, message.Id, nil)
	require.NoError(t, err)
	require.Equal(t, models.MESSAGESTATUSTEXT_SUCCESS, destinations.Data[0].StatusText)
	example, err := svix.Endpoint.SendExample(ctx, app, endpoint.Id, models.EventExampleIn{EventType: "svix.ping"}, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"success": true}, example.Payload)
	recovery, err := svix.Endpoint.Recover(ctx, app, endpoint.Id, models.RecoverIn{Since: c.Clock.Now().Add(-time.Hour)}, nil)
	require.NoError(t, err)
	require.Equal(t, models.BACKGROUNDTASKSTATUS_RUNNING, recovery.Status)

	require.NoError(t, svix.Message.ExpungeContent(ctx, app, message.Id))
	gone, err := svix.Message.Get(ctx, app, message.Id, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"expired": true}, gone.Payload)
	require.NoError(t, svix.Endpoint.Delete(ctx, app, endpoint.Id))
	_, err = svix.Endpoint.Get(ctx, app, endpoint.Id)
	var refused *official.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 404, refused.Status())
	require.NoError(t, svix.Application.Delete(ctx, app))
}

// TestSvixClient_TheOfficialClientUsesNames makes the calls about callers' own names, about statistics, replays and tasks, and
// about applications' tokens.
func TestSvixClient_TheOfficialClientUsesNames(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	server := httptest.NewServer(c.Handler)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL + "/svix")
	require.NoError(t, err)
	connect := func(token string) *official.Svix {
		client, err := official.New(token, &official.SvixOptions{ServerUrl: address})
		require.NoError(t, err)
		return client
	}
	svix := connect(servicetest.AdminKey)
	ctx := t.Context()
	status := func(err error) int {
		var refused *official.Error
		require.ErrorAs(t, err, &refused)
		return refused.Status()
	}
	const app = "customer.1"
	in := models.ApplicationIn{Name: "Customer", Uid: new(app), Metadata: &map[string]string{"plan": "big"}}
	made, err := svix.Application.GetOrCreate(ctx, in, nil)
	require.NoError(t, err)
	again, err := svix.Application.GetOrCreate(ctx, in, nil)
	require.NoError(t, err)
	require.Equal(t, made, again)
	_, err = svix.Application.Create(ctx, in, nil)
	require.Equal(t, 409, status(err))
	patched, err := svix.Application.Patch(ctx, app, models.ApplicationPatch{Name: new("Client")})
	require.NoError(t, err)
	require.Equal(t, []any{"Client", app, map[string]string{"plan": "big"}}, []any{patched.Name, *patched.Uid, patched.Metadata})

	receiver := systemstest.NewReceiver(t)
	endpoint, err := svix.Endpoint.Create(ctx, app, models.EndpointIn{Url: receiver.URL, Uid: new("main"), Channels: []string{"eu"}, Metadata: &map[string]string{"a": "b"}}, nil)
	require.NoError(t, err)
	require.Equal(t, []any{"main", []string{"eu"}, map[string]string{"a": "b"}}, []any{*endpoint.Uid, endpoint.Channels, endpoint.Metadata})
	read, err := svix.Endpoint.Get(ctx, app, "main")
	require.NoError(t, err)
	require.Equal(t, endpoint, read)
	put, err := svix.Endpoint.Update(ctx, app, "other", models.EndpointUpdate{Url: receiver.URL, Uid: new("other")})
	require.NoError(t, err)
	require.NotEqual(t, endpoint.Id, put.Id)
	unset, err := svix.Endpoint.Patch(ctx, app, "other", models.EndpointPatch{Uid: utils.NewNullableFromPtr[string](nil), Channels: utils.NewNullable([]string{"us"})})
	require.NoError(t, err)
	require.Nil(t, unset.Uid)
	require.Equal(t, []string{"us"}, unset.Channels)

	messageIn := models.MessageIn{EventType: "order.created", Payload: map[string]any{"n": 1}, EventId: new("order.1"), Channels: []string{"eu"}, Tags: []string{"big"},
		Application: &in, PayloadRetentionPeriod: new(int64(90))}
	message, err := svix.Message.Create(ctx, app, messageIn, nil)
	require.NoError(t, err)
	require.Equal(t, []any{"order.1", []string{"eu"}, []string{"big"}}, []any{*message.EventId, message.Channels, message.Tags})
	_, err = svix.Message.Create(ctx, app, messageIn, nil)
	require.Equal(t, 409, status(err))
	tenant := strings.TrimPrefix(made.Id, "app_")
	c.Attempt(tenant, c.Deliveries(tenant, "evt_"+strings.TrimPrefix(message.Id, "msg_"))[0].ID)
	raw, err := svix.Message.Create(ctx, app, *official.NewMessageInRaw("order.paid", `{ "raw": 1 }`, nil), nil)
	require.NoError(t, err)
	found, err := svix.Message.List(ctx, app, &official.MessageListOptions{Tag: new("big"), Channel: new("eu")})
	require.NoError(t, err)
	require.Len(t, found.Data, 1)
	byID, err := svix.Message.Get(ctx, app, "order.1", nil)
	require.NoError(t, err)
	require.Equal(t, found.Data[0], *byID)
	wanted, err := svix.Message.Precheck(ctx, app, models.MessagePrecheckIn{EventType: "order.created", Channels: []string{"asia"}}, nil)
	require.NoError(t, err)
	require.False(t, wanted.Active)

	attempts, err := svix.MessageAttempt.ListByEndpoint(ctx, app, "main", &official.MessageAttemptListByEndpointOptions{Tag: new("big")})
	require.NoError(t, err)
	require.Len(t, attempts.Data, 1)
	attempted, err := svix.MessageAttempt.ListAttemptedMessages(ctx, app, "main", &official.MessageAttemptListAttemptedMessagesOptions{Channel: new("eu")})
	require.NoError(t, err)
	require.Len(t, attempted.Data, 1)
	require.NoError(t, svix.MessageAttempt.ExpungeContent(ctx, app, "order.1", attempts.Data[0].Id))
	expunged, err := svix.MessageAttempt.Get(ctx, app, "order.1", attempts.Data[0].Id, nil)
	require.NoError(t, err)
	require.Equal(t, "EXPUNGED", expunged.Response)
	stats, err := svix.Endpoint.GetStats(ctx, app, "main", nil)
	require.NoError(t, err)
	require.Equal(t, models.EndpointStats{Success: 1}, *stats)

	// Work in the background.
	since := c.Clock.Now().Add(-time.Hour)
	missing, err := svix.Endpoint.ReplayMissing(ctx, app, "main", models.ReplayIn{Since: since}, nil)
	require.NoError(t, err)
	require.Equal(t, models.BACKGROUNDTASKTYPE_ENDPOINT_REPLAY, missing.Task)
	c.release(missing.Id)
	task, err := svix.BackgroundTask.Get(ctx, missing.Id)
	require.NoError(t, err)
	require.Equal(t, models.BACKGROUNDTASKSTATUS_FINISHED, task.Status)
	bulk, err := svix.Endpoint.BulkReplay(ctx, app, "main", models.BulkReplayIn{Since: since, EventTypes: []string{"order.created"}, Status: new(models.MESSAGESTATUS_SUCCESS)}, nil)
	require.NoError(t, err)
	purge, err := svix.Message.ExpungeAllContents(ctx, app, nil)
	require.NoError(t, err)
	tasks, err := svix.BackgroundTask.List(ctx, &official.BackgroundTaskListOptions{Order: new(models.ORDERING_ASCENDING)})
	require.NoError(t, err)
	require.Equal(t, []string{missing.Id, bulk.Id, purge.Id}, []string{tasks.Data[0].Id, tasks.Data[1].Id, tasks.Data[2].Id})
	gone, err := svix.Message.Get(ctx, app, raw.Id, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"expired": true}, gone.Payload)
	usage, err := svix.Statistics.AggregateAppStats(ctx, models.AppUsageStatsIn{Since: since, Until: since.Add(2 * time.Hour), AppIds: []string{app, "none"}}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"none"}, usage.UnresolvedAppIds)
	used, err := svix.BackgroundTask.Get(ctx, usage.Id)
	require.NoError(t, err)
	require.Equal(t, []any{map[string]any{"appId": made.Id, "appUid": app, "messageDestinations": 1.0}}, used.Data["appStats"])

	// An application's token.
	access, err := svix.Authentication.AppPortalAccess(ctx, app, models.AppPortalAccessIn{Expiry: new(uint64(7200)), Application: &in}, nil)
	require.NoError(t, err)
	mine := connect(access.Token)
	listed, err := mine.Endpoint.List(ctx, app, nil)
	require.NoError(t, err)
	require.Len(t, listed.Data, 2)
	_, err = mine.Endpoint.List(ctx, "app_acme", nil)
	require.Equal(t, 404, status(err))
	_, err = mine.Application.List(ctx, nil)
	require.Equal(t, 403, status(err))
	dashboard, err := svix.Authentication.DashboardAccess(ctx, app, nil) //nolint:staticcheck // older code calls it
	require.NoError(t, err)
	require.NoError(t, mine.Authentication.Logout(ctx, nil))
	_, err = mine.Endpoint.List(ctx, app, nil)
	require.Equal(t, 401, status(err))
	mine = connect(dashboard.Token)
	_, err = mine.Endpoint.List(ctx, app, nil)
	require.NoError(t, err)
	require.NoError(t, svix.Authentication.ExpireAll(ctx, app, models.ApplicationTokenExpireIn{}, nil))
	_, err = mine.Endpoint.List(ctx, app, nil)
	require.Equal(t, 401, status(err))

	// Event types from one installation to another.
	imported, err := svix.EventType.ImportOpenapi(ctx, models.EventTypeImportOpenApiIn{Spec: &map[string]any{"openapi": "3.1.0",
		"webhooks": map[string]any{"pet.new": map[string]any{"post": map[string]any{"description": "A pet"}}}}}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"pet.new"}, imported.Data.Modified)
	exported, err := svix.Environment.Export(ctx, nil)
	require.NoError(t, err)
	require.Len(t, exported.EventTypes, 3)
	require.NoError(t, svix.Environment.Import(ctx, models.EnvironmentIn{EventTypes: []models.EventTypeIn{{Name: "pet.sold", Description: "Sold"}}}, nil))
	_, err = svix.EventType.Get(ctx, "pet.sold")
	require.NoError(t, err)
}
