package service_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// With a workflow for every event, its first attempts need not wait for it.
func TestPublishAhead_AnEventsFirstAttemptsComeBeforeItsWorkflow(t *testing.T) {
	t.Parallel()
	every := func(o *service.Options) { o.Retries = false }
	for name, c := range map[string]struct {
		request service.PublishRequest
		change  func(*service.Options)
		ahead   bool
	}{
		"an event":                {events(""), every, true},
		"an event of the caller":  {events("mine"), every, true},
		"a batch without sharing": {events("a", "b"), func(o *service.Options) { o.Retries, o.GroupMax = false, 1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := direct(t, c.change)
			published, err := env.Service.Publish(t.Context(), "acme", c.request)
			require.NoError(t, err)
			all, room := env.Engine.Direct()
			require.Empty(t, all)
			require.Zero(t, room)
			if !c.ahead {
				require.Empty(t, env.Engine.Ahead())
				return
			}
			started := env.Engine.Dispatches()
			require.Len(t, started, 1)
			require.Equal(t, []string{started[0].ID}, env.Engine.Ahead())
			require.Equal(t, "deliver/"+started[0].ID, published[0].WorkflowID)
			d, err := env.Store.Dispatch(t.Context(), started[0].ID)
			require.NoError(t, err)
			require.EqualValues(t, posting, d.Process)
			require.Len(t, d.Deliveries, 2)
			for _, key := range d.Deliveries {
				row, err := env.Store.Delivery(t.Context(), "acme", key.ID)
				require.NoError(t, err)
				require.Equal(t, d.ID, row.DispatchID)
			}
		})
	}
}

// So need those of events that share a workflow. One is written for what is not received.
func TestPublishAhead_ACrowdsFirstAttemptsComeBeforeTheirWorkflow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		request service.PublishRequest
		busy    bool
		named   string
	}{
		"an event":               {events(""), true, models.PrefixEvent},
		"an event of the caller": {events("mine"), true, "acme/mine"},
		"a batch":                {events("a", "b"), false, models.PrefixDispatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := direct(t, func(o *service.Options) { o.Retries = false })
			env.Engine.SetBusy(c.busy)
			published, err := env.Service.Publish(t.Context(), "acme", c.request)
			require.NoError(t, err)
			require.Empty(t, published[0].WorkflowID)
			require.Empty(t, env.Engine.Dispatches())
			require.Empty(t, env.Engine.Queued())
			all, room := env.Engine.Direct()
			require.Empty(t, all)
			require.Zero(t, room)
			all = env.Engine.AheadShared()
			require.Len(t, all, 1)
			for id, work := range all {
				require.True(t, strings.HasPrefix(id, c.named), id)
				require.Len(t, work, 2*len(published))
				for _, w := range work {
					row, err := env.Store.Delivery(t.Context(), "acme", w.Delivery.ID)
					require.NoError(t, err)
					require.Empty(t, row.DispatchID)
					require.EqualValues(t, posting, row.Process)
				}
			}
		})
	}
}

// What a crowd cannot attempt at once waits for a shared workflow.
func TestPublishAhead_WhatACrowdCannotAttemptAtOnceIsQueued(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ process, most int }{
		"it would have to wait":                  {0, 256},
		"there is more than a dispatch may have": {posting, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := direct(t, func(o *service.Options) { o.Retries, o.GroupMax = false, c.most })
			env.Engine.SetDirect(int64(c.process))
			_, err := env.Service.Publish(t.Context(), "acme", events("a", "b"))
			require.NoError(t, err)
			require.Empty(t, env.Engine.AheadShared())
			require.Len(t, env.Engine.Queued(), 4)
		})
	}
}

// If its first attempts would have to wait, an event's workflow makes them.
func TestPublishAhead_WhatCannotBeAttemptedAtOnceWaitsForItsWorkflow(t *testing.T) {
	t.Parallel()
	env := direct(t, func(o *service.Options) { o.Retries = false })
	env.Engine.SetDirect(0)
	published, err := env.Service.Publish(t.Context(), "acme", events(""))
	require.NoError(t, err)
	require.Empty(t, env.Engine.Ahead())
	require.Len(t, env.Engine.Dispatches(), 1)
	require.Equal(t, "deliver/"+published[0].ID, published[0].WorkflowID)

	env = direct(t, func(o *service.Options) { o.Retries, o.GroupMax = false, 2 })
	env.Webhook("acme", "https://shop.example/c")
	_, err = env.Service.Publish(t.Context(), "acme", events(""))
	require.NoError(t, err)
	require.Empty(t, env.Engine.Ahead(), "it has two dispatches")
	require.Len(t, env.Engine.Dispatches(), 2)
}

func TestPublishAhead_WhatIsNotStoredGivesItsRoomBack(t *testing.T) {
	t.Parallel()
	env := direct(t, func(o *service.Options) { o.Retries = false })
	_, err := env.Service.Publish(t.Context(), "acme", events("mine"))
	require.NoError(t, err)
	_, err = env.Service.Publish(t.Context(), "acme", events("mine"))
	requireRefused(t, err, service.Conflict)
	require.Len(t, env.Engine.Ahead(), 1)
	_, room := env.Engine.Direct()
	require.Zero(t, room)
}
