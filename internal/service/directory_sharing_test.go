package service_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

// A14: shared event types are in memory once, with their compiled schemas. A tenant's own types take precedence.
func TestDirectory_TenantsShareTheSharedTypes(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.EventTypes("order.created", "order.shipped")
	typeOf := func(tenant, name string) any {
		found, err := env.Service.TypeOf(t.Context(), tenant, name)
		require.NoError(t, err)
		return found
	}
	env.Tenant("acme")
	env.Tenant("globex")
	first := typeOf("acme", "order.created")
	require.Same(t, first, typeOf("globex", "order.created"))

	require.NoError(t, env.Store.PutEventTypes(t.Context(), []models.EventType{{Tenant: "acme", Name: "order.created", Schema: `{"type":"object"}`}}))
	env.Publish("acme", "order.created", `{}`)
	require.NotSame(t, first, typeOf("acme", "order.created"))
	require.Same(t, first, typeOf("globex", "order.created"))

	_, err := env.Service.PutEventType(t.Context(), models.EventType{Name: "order.shipped", Schema: `{"type":"object"}`})
	require.NoError(t, err)
	env.Publish("globex", "order.shipped", `{}`)
	require.Same(t, first, typeOf("globex", "order.created"), "one that stays is not compiled again when another changes")
	_, err = env.Service.Publish(t.Context(), "acme", service.PublishRequest{Events: []service.EventInput{{Type: "order.shipped", Data: []byte(`7`)}}})
	requireRefused(t, err, service.Invalid)
}

// A13: a process that starts, or puts an unchanged type, makes no process read anything again.
func TestDirectory_AStartRaisesNoVersion(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	env.EventTypes("order.created")
	before, err := env.Store.TenantVersions(t.Context(), []string{"acme"})
	require.NoError(t, err)
	require.Len(t, before, 2)
	require.NoError(t, env.Another().EnsureOperationalTypes(t.Context()))
	env.EventTypes("order.created")
	after, err := env.Store.TenantVersions(t.Context(), []string{"acme"})
	require.NoError(t, err)
	require.Equal(t, before, after)
}

// A change of one webhook leaves the cached state of the others unchanged, in this process and in others.
func TestDirectory_OnlyWhatHasChangedIsReadAgain(t *testing.T) {
	t.Parallel()
	env, other, w := twoProcesses(t)
	second := env.Webhook("acme", "https://shop.example/second")
	for name, service := range map[string]*service.Service{"here": env.Service, "elsewhere": other} {
		entryOf := func(id string) any {
			e, err := service.EntryOf(t.Context(), "acme", id)
			require.NoError(t, err)
			return e
		}
		first, unchanged := entryOf(w.ID), entryOf(second.ID)
		_, err := env.Service.RotateSecret(t.Context(), "acme", w.ID, 0, "", "test")
		require.NoError(t, err)
		require.NotSame(t, first, entryOf(w.ID), name)
		require.Same(t, unchanged, entryOf(second.ID), name)
	}
	_, err := env.Service.DeleteWebhook(t.Context(), "acme", second.ID)
	require.NoError(t, err)
	_, err = other.Receiver(t.Context(), "acme", second.ID)
	if err == nil { // as it was a second ago at most
		env.Clock.Advance(1e9)
		_, err = other.Receiver(t.Context(), "acme", second.ID)
	}
	requireRefused(t, err, service.NotFound)
}
