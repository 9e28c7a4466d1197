package service_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// phraseWebhook is a registration for one event of Phrase's catalogue.
func phraseWebhook(url string) service.WebhookChange {
	return service.WebhookChange{URL: &url, EventTypes: &[]string{"JOB_CREATED"}, Profile: "phrase", By: "test"}
}

func typesOf(t *testing.T, env *servicetest.Env, tenant string) map[string]string {
	t.Helper()
	types, err := env.Store.EventTypes(t.Context(), tenant)
	require.NoError(t, err)
	systems := map[string]string{}
	for _, e := range types {
		systems[e.Name] = e.System
	}
	return systems
}

func TestSystems_ARegistrationLoadsWhatTheCatalogueLacks(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	env.Tenant("globex")
	env.EventTypes("JOB_UPDATED") // the platform's own, of the same name
	before := typesOf(t, env, "acme")
	wrong, err := env.Service.CheckWebhook(t.Context(), "acme", phraseWebhook("nowhere"))
	require.NoError(t, err)
	require.Len(t, wrong, 1, "that the tenant does not know the event is not what is wrong")
	require.Equal(t, "url", wrong[0].Field)
	require.Equal(t, before, typesOf(t, env, "acme"), "what is refused changes nothing")

	c := phraseWebhook("https://receiver.example/")
	wrong, err = env.Service.CheckWebhook(t.Context(), "acme", c)
	require.NoError(t, err)
	require.Empty(t, wrong)
	require.NoError(t, env.Service.WithCatalog(t.Context(), "acme", c, func() error {
		_, _, err := env.Service.CreateWebhook(t.Context(), "acme", c)
		return err
	}))
	types := typesOf(t, env, "acme")
	require.Equal(t, "phrase", types["JOB_CREATED"])
	require.Equal(t, "phrase", types["ANALYSIS_CREATED"])
	require.Equal(t, "phrase", types["JOB_UPDATED"], "the system's own goes before what all tenants share")
	require.Equal(t, before, typesOf(t, env, "globex"))
	env.Publish("acme", "JOB_CREATED", `{"jobParts":[]}`)
}

func TestSystems_WithCatalogPassesOtherErrorsOn(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	broken := errors.New("broken")
	runs := 0
	err := env.Service.WithCatalog(t.Context(), "acme", phraseWebhook("https://receiver.example/"), func() error {
		runs++
		return broken
	})
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, runs)
}

func TestSystems_WebhooksAreThoseOfOneProfile(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	env.EventTypes("JOB_CREATED")
	env.Webhook("acme", "https://receiver.example/standard")
	w, _, err := env.Service.CreateWebhook(t.Context(), "acme", phraseWebhook("https://receiver.example/phrase"))
	require.NoError(t, err)
	listed, err := env.Service.SystemWebhooks(t.Context(), "acme", "phrase")
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.Equal(t, w.ID, listed[0].ID)
	listed, err = env.Service.SystemWebhooks(t.Context(), "nobody", "phrase")
	require.NoError(t, err)
	require.Empty(t, listed)
}

func TestSystems_AnOnlyWebhookIsRefusedBesideAnother(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	env.EventTypes("JOB_CREATED")
	c := phraseWebhook("https://receiver.example/")
	c.Only = true
	_, _, err := env.Service.CreateWebhook(t.Context(), "acme", c)
	require.NoError(t, err)
	_, _, err = env.Service.CreateWebhook(t.Context(), "acme", c)
	requireCode(t, err, service.Conflict)
}

func TestSystems_AWebhookCanBeRegisteredForNothing(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	env.EventTypes("order.created")
	w := env.Webhook("acme", "https://receiver.example/")
	w, err := env.Service.UpdateWebhook(t.Context(), "acme", w.ID, service.WebhookChange{EventTypes: &[]string{models.NoEventTypes}})
	require.NoError(t, err)
	require.Equal(t, []string{models.NoEventTypes}, w.EventTypes)
	require.Empty(t, env.Deliveries("acme", env.Publish("acme", "order.created", `{}`)))
}

// poster keeps the bodies that it is given.
type poster struct{ bodies []string }

func (p *poster) Post(_ context.Context, r sender.Request) sender.Result {
	p.bodies = append(p.bodies, string(r.Body))
	return sender.Result{StartedAt: time.Now(), StatusCode: 200, Outcome: sender.Received}
}

func TestSystems_ExamplesAreTheTenantsOwnButForTestEvents(t *testing.T) {
	t.Parallel()
	sent := &poster{}
	env := servicetest.New(t, servicetest.WithPoster(sent))
	env.Tenant("acme")
	w, _, err := env.Service.CreateWebhook(t.Context(), "acme",
		service.WebhookChange{URL: new("https://receiver.example/"), Profile: "im4", Secret: new("key"), EventTypes: &[]string{models.NoEventTypes}})
	require.NoError(t, err)
	send := func(eventType string) string {
		result, err := env.Service.SendExample(t.Context(), "acme", w.ID, eventType)
		require.NoError(t, err)
		require.True(t, result.Received)
		return sent.bodies[len(sent.bodies)-1]
	}
	requireBytes(t, `{"event":"test","message":"Hello!"}`, send("test"))
	requireBytes(t, `{"event":"order.created","project_id":1042,"order_id":73110}`, send("order.created"))
	requireBytes(t, `{"event":"unheard.of"}`, send("unheard.of"))

	for _, name := range []string{"test", "order.created"} {
		_, err = env.Service.PutEventType(t.Context(), models.EventType{Name: name, Example: `{"own":true}`})
		require.NoError(t, err)
	}
	requireBytes(t, `{"event":"test","message":"Hello!"}`, send("test"))
	requireBytes(t, `{"event":"order.created","own":true}`, send("order.created"))
	preview, err := env.Service.Preview(t.Context(), "acme", "im4", "order.created")
	require.NoError(t, err)
	requireBytes(t, `{"event":"order.created","own":true}`, string(preview))

	_, err = env.Service.SendExample(t.Context(), "globex", w.ID, "test")
	requireCode(t, err, service.NotFound)
}

func TestSystems_SettingsAreKeptByTenantAndSystem(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	type settings struct{ N int }
	read := func(system string) (s settings, kept bool) {
		kept, err := env.Service.SystemSettings(t.Context(), "acme", system, &s)
		require.NoError(t, err)
		return s, kept
	}
	_, kept := read("im4")
	require.False(t, kept)
	require.NoError(t, env.Service.KeepSystemSettings(t.Context(), "acme", "im4", settings{7}))
	s, kept := read("im4")
	require.True(t, kept)
	require.Equal(t, 7, s.N)
	_, kept = read("phrase")
	require.False(t, kept)
	require.NoError(t, env.Service.KeepSystemSettings(t.Context(), "acme", "im4", nil))
	_, kept = read("im4")
	require.False(t, kept)
}

func requireCode(t *testing.T, err error, code service.Code) {
	t.Helper()
	var refused *service.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code)
}

// requireBytes compares a body byte by byte: members have their order.
func requireBytes(t *testing.T, want, got string) {
	t.Helper()
	require.Equal(t, want, got)
}
