package service_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

const posting = 7

// direct is an installation that makes first attempts without workflows, with a tenant of two webhooks.
func direct(t *testing.T, change ...func(*service.Options)) *servicetest.Env {
	t.Helper()
	env := servicetest.New(t, func(_ *sender.Config, o *service.Options) {
		o.Retries = true
		for _, f := range change {
			f(o)
		}
	})
	env.Engine.SetDirect(posting)
	env.EventTypes("order.created")
	env.Tenant("acme")
	env.Webhook("acme", "https://shop.example/a")
	env.Webhook("acme", "https://shop.example/b")
	return env
}

func events(ids ...string) service.PublishRequest {
	r := service.PublishRequest{Batch: len(ids) > 1}
	for _, id := range ids {
		r.Events = append(r.Events, service.EventInput{ID: id, Type: "order.created", Data: json.RawMessage(`{}`)})
	}
	return r
}

func TestDirectAttempt_WhatIsAttemptedAtOnceHasNoDispatch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request service.PublishRequest
		named   string // the left-over deliveries with which the dispatch begins
	}{
		"an event":               {events(""), models.PrefixEvent},
		"an event of the caller": {events("mine"), "acme/mine"},
		"a batch":                {events("", "mine"), models.PrefixDispatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := direct(t)
			_, err := env.Service.Pause(t.Context(), "acme", env.Webhook("acme", "https://shop.example/paused").ID, "test")
			require.NoError(t, err)
			published, err := env.Service.Publish(t.Context(), "acme", c.request)
			require.NoError(t, err)
			require.Len(t, published, len(c.request.Events))
			all, room := env.Engine.Direct()
			require.Len(t, all, 1)
			require.Zero(t, room)
			require.Empty(t, env.Engine.Dispatches())
			for id, work := range all {
				require.True(t, strings.HasPrefix(id, c.named), id)
				require.Len(t, work, 2*len(published), "the held ones wait")
				_, err := env.Store.Dispatch(t.Context(), id)
				require.ErrorIs(t, err, models.ErrNotFound)
				for _, w := range work {
					require.Equal(t, w.Delivery.EventID, w.Event.ID)
					row, err := env.Store.Delivery(t.Context(), "acme", w.Delivery.ID)
					require.NoError(t, err)
					require.Empty(t, row.DispatchID)
					require.EqualValues(t, posting, row.Process)
				}
			}
			for _, p := range published {
				require.Empty(t, p.WorkflowID)
			}
		})
	}
}

func TestDirectAttempt_WhatCannotBeAttemptedAtOnceGetsItsWorkflow(t *testing.T) {
	t.Parallel()
	t.Run("the process has much to do", func(t *testing.T) {
		t.Parallel()
		env := direct(t)
		env.Engine.SetDirect(0)
		published, err := env.Service.Publish(t.Context(), "acme", events(""))
		require.NoError(t, err)
		require.Equal(t, "deliver/"+published[0].ID, published[0].WorkflowID)
		require.Len(t, env.Engine.Dispatches(), 1)
	})
	t.Run("every event gets one", func(t *testing.T) {
		t.Parallel()
		env := direct(t, func(o *service.Options) { o.Retries = false })
		env.Publish("acme", "order.created", `{}`)
		require.Len(t, env.Engine.Dispatches(), 1)
	})
	t.Run("there is more than a dispatch may have", func(t *testing.T) {
		t.Parallel()
		env := direct(t, func(o *service.Options) { o.GroupMax = 3 })
		_, err := env.Service.Publish(t.Context(), "acme", events("a", "b"))
		require.NoError(t, err)
		all, _ := env.Engine.Direct()
		require.Empty(t, all)
		require.Len(t, env.Engine.Queued(), 4)
	})
	t.Run("none are shared", func(t *testing.T) {
		t.Parallel()
		env := direct(t, func(o *service.Options) { o.GroupMax = 1 })
		_, err := env.Service.Publish(t.Context(), "acme", events("a", "b"))
		require.NoError(t, err)
		require.Len(t, env.Engine.Dispatches(), 2)
		_, err = env.Service.Publish(t.Context(), "acme", events("c"))
		require.NoError(t, err)
		all, _ := env.Engine.Direct()
		require.Contains(t, all, "acme/c")
	})
}

func TestDirectAttempt_WhatIsNotStoredGivesItsRoomBack(t *testing.T) {
	t.Parallel()
	env := direct(t)
	_, err := env.Service.Publish(t.Context(), "acme", events("mine"))
	require.NoError(t, err)
	_, err = env.Service.Publish(t.Context(), "acme", events("mine"))
	requireRefused(t, err, service.Conflict)
	all, room := env.Engine.Direct()
	require.Len(t, all, 1)
	require.Zero(t, room)
}
