package servicetest_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

func TestServiceTest_EnvDeliversToALoopbackReceiver(t *testing.T) {
	t.Parallel()
	status := http.StatusInternalServerError
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(receiver.Close)
	env := servicetest.New(t)
	key := env.Tenant("acme")
	principal, err := env.Service.Authenticate(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, models.RoleTenant, principal.Role)

	env.EventTypes("order.created")
	env.Webhook("acme", receiver.URL)
	id := env.Publish("acme", "order.created", `{}`)
	require.Len(t, env.Engine.Dispatches(), 1)
	delivery := env.Deliveries("acme", id)[0]
	require.Equal(t, 500, env.Attempt("acme", delivery.ID).StatusCode)
	require.Equal(t, models.Pending, env.Deliveries("acme", id)[0].Status)
	status = http.StatusNoContent
	require.Equal(t, 2, env.Attempt("acme", delivery.ID).Number)
	require.Equal(t, models.Delivered, env.Deliveries("acme", id)[0].Status)
}

func TestServiceTest_EngineSaysHowBusyItIs(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	env.EventTypes("order.created")
	env.Webhook("acme", "https://receiver.example/hook")

	env.Engine.SetBusy(true)
	env.Publish("acme", "order.created", `{}`)
	require.Len(t, env.Engine.Queued(), 1)
	env.Engine.SetFull(true)
	_, err := env.Service.Publish(t.Context(), "acme", service.PublishRequest{Events: []service.EventInput{{Type: "order.created", Data: []byte(`{}`)}}})
	var refused *service.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, service.Unavailable, refused.Code)
	slots, room := env.Engine.Outstanding()
	require.Zero(t, slots)
	require.Zero(t, room)
}

func TestServiceTest_StrictRefusesWhatProductionRefuses(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t, servicetest.Strict)
	for url, wrong := range map[string]bool{
		"http://127.0.0.1:9000":    true,
		"https://10.0.0.1":         true,
		"https://receiver.example": false,
	} {
		_, err := env.Service.CheckURL(t.Context(), "standard", url)
		require.Equal(t, wrong, err != nil, url)
	}
}
