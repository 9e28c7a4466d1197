package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/models/modelstest"
)

// twoProcesses returns two services on one database, like two API processes, with a tenant that both know.
func twoProcesses(t *testing.T) (env *servicetest.Env, other *service.Service, w models.Webhook) {
	t.Helper()
	env = servicetest.New(t)
	env.EventTypes("order.created")
	env.Tenant("acme")
	w = env.Webhook("acme", "https://shop.example/hooks")
	other = service.New(env.Service.Options)
	_, err := other.Publish(t.Context(), "acme", event("order.created"))
	require.NoError(t, err)
	return env, other, w
}

func event(eventType string) service.PublishRequest {
	return service.PublishRequest{Events: []service.EventInput{{Type: eventType, Data: json.RawMessage(`{}`)}}}
}

func requireRefused(t *testing.T, err error, code service.Code) {
	t.Helper()
	var refused *service.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, code, refused.Code, refused)
}

func TestPublish_AnotherProcessesChangesCountFromTheNextEventOn(t *testing.T) {
	t.Parallel()
	env, other, w := twoProcesses(t)
	_, err := env.Service.Disable(t.Context(), "acme", w.ID, "", "test")
	require.NoError(t, err)

	published, err := other.Publish(t.Context(), "acme", event("order.created"))
	require.NoError(t, err)
	deliveries := env.Deliveries("acme", published[0].ID)
	require.Len(t, deliveries, 1)
	require.Equal(t, models.Held, deliveries[0].Status)

	_, err = env.Service.PutEventType(t.Context(), models.EventType{Name: "order.shipped"})
	require.NoError(t, err)
	_, err = other.Publish(t.Context(), "acme", event("order.shipped"))
	require.NoError(t, err, "a new type is known at once")

	require.NoError(t, env.Service.DeleteTenant(t.Context(), "acme"))
	_, err = other.Publish(t.Context(), "acme", event("order.created"))
	requireRefused(t, err, service.NotFound)
}

// Another process knows the tenant from before it was deleted and made again.
func TestPublish_ATenantMadeAgainIsFoundByEveryProcess(t *testing.T) {
	t.Parallel()
	env, other, w := twoProcesses(t)
	old := env.Key("acme", models.RoleTenant)
	admin, err := other.AuthenticatePublisher(t.Context(), "acme", servicetest.AdminKey)
	require.NoError(t, err)
	id, err := other.PublisherTenantID(t.Context(), admin, "acme")
	require.NoError(t, err)
	require.Equal(t, "acme", id)
	request := event("order.created")
	request.By, err = other.AuthenticatePublisher(t.Context(), "acme", old)
	require.NoError(t, err)
	_, err = other.Publish(t.Context(), "acme", request)
	require.NoError(t, err)

	again, key := env.TenantAgain("acme")
	nothing, cancel := context.WithCancel(t.Context())
	cancel() // queries to the database now fail
	id, err = other.PublisherTenantID(nothing, admin, "acme")
	require.NoError(t, err, "from memory, though it is not so any more")
	require.Equal(t, "acme", id)
	request = event("order.created")
	request.By = admin
	published, err := other.Publish(t.Context(), id, request)
	require.NoError(t, err)
	_, err = env.Service.Event(t.Context(), again, published[0].ID)
	require.NoError(t, err, "an admin means the tenant that has the name now")
	id, err = other.PublisherTenantID(nothing, admin, "acme")
	require.NoError(t, err)
	require.Equal(t, again, id)

	p, err := other.AuthenticatePublisher(t.Context(), "acme", key)
	require.NoError(t, err)
	id, err = other.PublisherTenantID(nothing, p, "acme")
	require.NoError(t, err)
	require.Equal(t, again, id)
	request.By = p
	_, err = other.Publish(t.Context(), id, request)
	require.NoError(t, err)
	_, err = other.AuthenticatePublisher(nothing, "acme", key)
	require.NoError(t, err, "a key that is in memory is not looked up")
	_, err = other.AuthenticatePublisher(t.Context(), "acme", old)
	requireRefused(t, err, service.Unauthorized)

	env.Clock.Advance(2 * time.Second)
	for _, s := range []*service.Service{env.Service, other} {
		_, err = s.Receiver(t.Context(), "acme", w.ID)
		requireRefused(t, err, service.NotFound)
	}
	for slug, p := range map[string]service.Principal{again: p, "globex": p, "acme~": admin} {
		_, err = other.TenantID(t.Context(), p, slug)
		requireRefused(t, err, service.NotFound)
	}
}

// A key that another process knows from memory is refused with the tenant's deletion.
func TestPublish_ADeletedTenantsKeyFailsAtOnceInEveryProcess(t *testing.T) {
	t.Parallel()
	env, other, _ := twoProcesses(t)
	key := env.Key("acme", models.RolePublish)
	request := event("order.created")
	var err error
	request.By, err = other.AuthenticatePublisher(t.Context(), "acme", key)
	require.NoError(t, err)
	_, err = other.Publish(t.Context(), "acme", request)
	require.NoError(t, err)
	require.NoError(t, env.Service.DeleteTenant(t.Context(), "acme"))

	request.By, err = other.AuthenticatePublisher(t.Context(), "acme", key)
	require.NoError(t, err, "from memory: the transaction that accepts has the last word")
	_, err = other.Publish(t.Context(), "acme", request)
	requireRefused(t, err, service.Unauthorized)
	for _, s := range []*service.Service{env.Service, other} {
		_, err = s.AuthenticatePublisher(t.Context(), "acme", key)
		requireRefused(t, err, service.Unauthorized)
		_, err = s.Authenticate(t.Context(), key)
		requireRefused(t, err, service.Unauthorized)
	}
}

func TestPublish_AKeyIsRevokedAtOnceInEveryProcess(t *testing.T) {
	t.Parallel()
	env, other, _ := twoProcesses(t)
	k, key, err := env.Service.CreateKey(t.Context(), "acme", "ci", models.RolePublish)
	require.NoError(t, err)

	request := event("order.created")
	request.By, err = other.AuthenticatePublisher(t.Context(), "acme", key)
	require.NoError(t, err)
	_, err = other.Publish(t.Context(), "acme", request)
	require.NoError(t, err, "a key that is newer than what the process has in memory")

	require.NoError(t, env.Service.RevokeKey(t.Context(), "acme", k.ID))
	request.By, err = other.AuthenticatePublisher(t.Context(), "acme", key)
	if err == nil { // from memory: the transaction that accepts has the last word
		_, err = other.Publish(t.Context(), "acme", request)
	}
	requireRefused(t, err, service.Unauthorized)
}

func TestPublish_WithoutAFreeSlotEventsWaitForASharedDispatch(t *testing.T) {
	t.Parallel()
	env, _, _ := twoProcesses(t)
	env.Engine.SetBusy(true)
	published, err := env.Service.Publish(t.Context(), "acme", event("order.created"))
	require.NoError(t, err)
	require.Empty(t, published[0].WorkflowID)
	require.Empty(t, env.Deliveries("acme", published[0].ID)[0].DispatchID)
	slots, room := env.Engine.Outstanding()
	require.Zero(t, slots)
	require.Zero(t, room, "what was admitted has been queued")

	env.Engine.SetFull(true)
	_, err = env.Service.Publish(t.Context(), "acme", event("order.created"))
	requireRefused(t, err, service.Unavailable)
}

func TestPublish_WhatIsNotStoredGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	env, _, _ := twoProcesses(t)
	request := event("order.created")
	request.Events[0].ID = "mine-1"
	for _, busy := range []bool{false, true} {
		env.Engine.SetBusy(busy)
		_, err := env.Service.Publish(t.Context(), "acme", request)
		if !busy {
			require.NoError(t, err)
			_, err = env.Service.Publish(t.Context(), "acme", request)
		}
		requireRefused(t, err, service.Conflict)
		slots, room := env.Engine.Outstanding()
		require.Zero(t, slots)
		require.Zero(t, room)
	}
}

// A publish waits for a database that does not answer, but not for ever. Its answer is not a refusal, because the
// database may have stored the event.
func TestPublish_ACommitThatIsNotAnsweredIsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, err := models.Open(t.Context(), modelstest.SQLite(t), models.Options{MaxConns: 1})
		require.NoError(t, err)
		defer func() { require.NoError(t, store.Close()) }()
		env := servicetest.New(t, func(_ *sender.Config, o *service.Options) { o.Store = store })
		env.EventTypes("order.created")
		env.Tenant("acme")
		env.Webhook("acme", "https://shop.example/hooks")
		env.Publish("acme", "order.created", `{}`)

		taken, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			ended <- store.Tx(context.Background(), func(*models.Store) error {
				close(taken)
				time.Sleep(time.Minute) // of the test's time
				return nil
			})
		}()
		<-taken
		started := time.Now()
		_, err = env.Service.Publish(t.Context(), "acme", event("order.created"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, refused := errors.AsType[*service.Error](err)
		require.False(t, refused)
		require.Equal(t, 10*time.Second+2*time.Millisecond, time.Since(started), "for an event and a delivery")
		slots, _ := env.Engine.Outstanding()
		require.Zero(t, slots)

		require.NoError(t, <-ended)
		env.Publish("acme", "order.created", `{}`)
	})
}

// hangUp is an engine whose caller hangs up when there is a place for its event.
type hangUp struct {
	service.Engine
	caller context.CancelFunc
}

func (h *hangUp) Reserve(ctx context.Context, tenant string, wait bool) bool {
	defer h.caller()
	return h.Engine.Reserve(ctx, tenant, wait)
}

// An event that is already in a commit is stored whether its caller waits or not, so its workflow must be started.
func TestPublish_ACallerWhoHangsUpDuringTheCommitIsPublishedFor(t *testing.T) {
	t.Parallel()
	for name, busy := range map[string]bool{"in a workflow of its own": false, "in a shared one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, _, _ := twoProcesses(t)
			env.Engine.SetBusy(busy)
			before := len(env.Engine.Dispatches())
			ctx, cancel := context.WithCancel(t.Context())
			o := env.Service.Options
			o.Engine = &hangUp{o.Engine, cancel}
			s := service.New(o)
			request := event("order.created")
			request.Key, request.Body = "order-17", []byte("body")
			_, err := s.Publish(ctx, "acme", request)
			require.NoError(t, err)
			require.ErrorIs(t, ctx.Err(), context.Canceled)

			again, err := env.Service.Publish(t.Context(), "acme", request)
			require.NoError(t, err)
			require.True(t, again[0].Replayed)
			if busy {
				require.Len(t, env.Engine.Queued(), 1)
			} else {
				started := env.Engine.Dispatches()[before:]
				require.Len(t, started, 1)
				require.Equal(t, again[0].WorkflowID, env.Engine.WorkflowID(started[0].ID), "what is answered is there")
			}
			slots, room := env.Engine.Outstanding()
			require.Zero(t, slots)
			require.Zero(t, room)
		})
	}
}

func TestPublish_AnEventWithManyDeliveriesTakesSeveralDispatches(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.EventTypes("order.created")
	env.Tenant("acme")
	const webhooks = models.MaxDispatch + 44
	for i := range webhooks {
		env.Webhook("acme", fmt.Sprintf("https://shop%d.example/hooks", i))
	}
	id := env.Publish("acme", "order.created", `{}`)
	dispatches := env.Engine.Dispatches()
	require.Len(t, dispatches, 2)
	require.Equal(t, id, dispatches[0].ID)
	require.Len(t, dispatches[0].Deliveries, models.MaxDispatch)
	require.Len(t, dispatches[1].Deliveries, 44)
}

func TestPublish_TheSameKeyAtOnceIsOneEvent(t *testing.T) {
	t.Parallel()
	env, other, _ := twoProcesses(t)
	request := event("order.created")
	request.Key, request.Body = "order-17", []byte("body")
	ids := make([]string, 32)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s := env.Service
			if i%2 == 1 {
				s = other
			}
			published, err := s.Publish(t.Context(), "acme", request)
			if err == nil {
				ids[i] = published[0].ID
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	require.NotEmpty(t, ids[0])
	request.Body = []byte("another body")
	_, err := env.Service.Publish(t.Context(), "acme", request)
	requireRefused(t, err, service.Conflict)
}

func TestPublish_ErrorsNameEveryField(t *testing.T) {
	t.Parallel()
	env := servicetest.New(t)
	env.Tenant("acme")
	_, err := env.Service.PutEventType(t.Context(), models.EventType{Name: "order.created",
		Schema: `{"type":"object","required":["id","lines"],"properties":{"id":{"type":"integer"},"lines":{"type":"array","items":{"type":"string"}}}}`})
	require.NoError(t, err)
	_, err = env.Service.Publish(t.Context(), "acme", service.PublishRequest{Batch: true, Events: []service.EventInput{
		{Type: "order.created", Data: json.RawMessage(`{"id":"x","lines":["a",7]}`)},
		{Type: "no.such", Data: json.RawMessage(`{}`)},
		{ID: "a.b", Type: "order.created", Data: json.RawMessage(`{"id":1,"lines":[]}`)},
	}})
	var refused *service.Error
	require.ErrorAs(t, err, &refused)
	var fields []string
	for _, f := range refused.Fields {
		fields = append(fields, f.Field)
	}
	require.ElementsMatch(t, []string{"events[0].data.id", "events[0].data.lines.1", "events[1].type", "events[2].id"}, fields)
}
