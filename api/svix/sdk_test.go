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
	"github.com/posthorn/posthorn/internal/hookstest"
)

// TestTheOfficialClient makes its calls with Svix's own Go module, unchanged, and verifies with it what arrives.
func TestTheOfficialClient(t *testing.T) {
	t.Parallel()
	c := newClient(t)
	server := httptest.NewServer(c.Handler)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL + "/svix")
	require.NoError(t, err)
	svix, err := official.New(hookstest.AdminKey, &official.SvixOptions{ServerUrl: address})
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
