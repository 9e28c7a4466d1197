package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// waiting returns n deliveries of a webhook that wait for their second attempt, each a tenth of a second longer.
func waiting(webhook string, n int) []workflows.Leftover {
	var left []workflows.Leftover
	for i := range n {
		l := leftover(webhook, fmt.Sprintf("dlv_%s_%d", webhook, i), 10)
		l.Wait += time.Duration(i) * 100 * time.Millisecond
		left = append(left, l)
	}
	return left
}

// table returns the table of the workflow's page.
func (s *story) table(t *testing.T) string {
	t.Helper()
	value, err := s.QueryWorkflow("__temporal_workflow_metadata")
	if err != nil {
		t.Error(err)
		return ""
	}
	var metadata sdk.WorkflowMetadata
	if err := value.Get(&metadata); err != nil {
		t.Error(err)
	}
	return metadata.GetCurrentDetails()
}

func TestRetries_ThatFallDueTogetherAreOneActivity(t *testing.T) {
	t.Parallel()
	left := waiting("whk_1", 5)
	alone := leftover("whk_2", "dlv_alone", 10)
	shuffled := slices.Concat(left[3:], []workflows.Leftover{alone}, left[:3])
	d := newDesk(t, workflows.Round{Delivered: 19, Waiting: shuffled})
	started := d.Now()
	var rounds [][]workflows.Leftover
	var tables []string
	d.does(workflows.AttemptMany, func(ctx context.Context, in workflows.AttemptManyInput) (workflows.Round, error) {
		rounds = append(rounds, in.Deliveries)
		info := activity.GetInfo(ctx)
		if info.TaskQueue != lane || in.DispatchID != "evt_1" || info.StartToCloseTimeout != time.Duration(len(in.Deliveries))*time.Minute+30*time.Second ||
			info.HeartbeatTimeout != 6*time.Second {
			t.Errorf("on queue %s, for dispatch %s, at most %s, %s of silence", info.TaskQueue, in.DispatchID, info.StartToCloseTimeout, info.HeartbeatTimeout)
		}
		tables = append(tables, d.table(t))
		switch len(rounds) {
		case 1:
			if early := left[4].Wait - d.Now().Sub(started); early > 0 {
				t.Errorf("the last is attempted %s early", early)
			}
			return workflows.Round{Delivered: 1, Waiting: in.Deliveries[1:]}, nil
		case 2: // one is left alone after this
			return workflows.Round{Failed: 1, Stopped: 1, Delivered: 1, Waiting: in.Deliveries[3:]}, nil
		default:
			return workflows.Round{}, errors.New("there are no more together")
		}
	})
	var single []string
	d.does(workflows.Attempt, func(_ context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		single = append(single, in.Delivery.Delivery)
		return workflows.Outcome{Status: workflows.Delivered}, nil
	})
	timers := 0
	d.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })

	require.Equal(t, workflows.DeliverResult{Delivered: 23, Failed: 1, Stopped: 1}, d.deliver(t, "evt_1"))
	require.Equal(t, [][]workflows.Leftover{left, left[1:]}, rounds)
	require.Equal(t, []string{"dlv_alone", "dlv_whk_1_4"}, single)
	for i, table := range tables {
		for _, l := range left {
			require.Equal(t, slices.Contains(rounds[i], l), strings.Contains(table, l.Delivery), table)
		}
	}
	require.Equal(t, "23 delivered, 1 failed, 1 held, canceled or superseded\n", d.table(t))
	require.Equal(t, []string{"whk_2", "whk_1", "whk_1", "whk_1"}, d.keys())
	require.Equal(t, "retry of 5 deliveries to whk_1.example", d.options[1].Summary)
	require.Equal(t, 4, timers, "one for each activity")
	require.Equal(t, []string{workflows.StatusRetrying, workflows.Failed}, d.statuses, "it is being retried all the while")
	require.Equal(t, []string{"evt_1"}, d.finished)
}

func TestRetries_ADispatchFromBeforeRetriesEachByItself(t *testing.T) {
	t.Parallel()
	d := oldDesk(t, workflows.Round{Waiting: waiting("whk_1", 5)})
	calls := 0
	d.does(workflows.Attempt, func(context.Context, workflows.AttemptInput) (workflows.Outcome, error) {
		calls++
		return workflows.Outcome{Status: workflows.Delivered}, nil
	})
	d.ExecuteWorkflow(workflows.DeliverType, workflows.DeliverInput{DispatchID: "evt_1", Queue: lane})
	require.NoError(t, d.GetWorkflowError())
	require.Equal(t, 5, calls)
}

func TestRetries_ACanceledWorkflowLetsGoOfWhatIsRetriedTogether(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]time.Duration{"while they wait": 5 * time.Second, "while they are attempted": 15 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, workflows.Round{Waiting: waiting("whk_1", 5)})
			d.does(workflows.AttemptMany, func(context.Context, workflows.AttemptManyInput) (workflows.Round, error) {
				return workflows.Round{}, errors.New("not now")
			})
			d.RegisterDelayedCallback(d.CancelWorkflow, at)
			d.ExecuteWorkflow(workflows.DeliverType, workflows.DeliverInput{DispatchID: "evt_1", Queue: lane})
			require.True(t, d.IsWorkflowCompleted())
			var canceled *temporal.CanceledError
			require.ErrorAs(t, d.GetWorkflowError(), &canceled)
			require.Empty(t, d.finished, "the outbox entry stays")
		})
	}
}

// share publishes n events to the house's webhooks as one dispatch.
func (h *house) share(n int) models.Dispatch {
	h.t.Helper()
	h.Engine.SetBusy(true)
	for range n {
		h.Publish(tenant, eventType, `{}`)
	}
	var keys []models.DeliveryKey
	for _, q := range h.Engine.Queued() {
		keys = append(keys, models.DeliveryKey{Tenant: tenant, ID: q.Delivery.ID})
	}
	d, err := h.Store.CreateSharedDispatch(h.t.Context(), keys)
	require.NoError(h.t, err)
	return d
}

// Every delivery of a shared retry keeps its schedule: never early, and late by no more than the window.
func TestRetries_TheWholeLadderTogether(t *testing.T) {
	t.Parallel()
	const n = 12
	h := newHouse(t, refused)
	w := h.hook(receiverURL)
	d := h.share(n)
	s := h.open(nil)

	require.Equal(t, workflows.DeliverResult{Failed: n}, s.deliver(t, d.ID))
	require.Equal(t, []string{workflows.StatusRetrying, workflows.Failed}, s.statuses)
	require.True(t, h.finished(d.ID))
	require.Len(t, h.got(receiverURL), n*11)
	policy, _ := h.Service.Effective(&w)
	for _, key := range d.Deliveries {
		require.Equal(t, models.Failed, h.delivery(key.ID).Status)
		attempts, err := h.Store.Attempts(t.Context(), tenant, key.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 11)
		for i := range nominal {
			wait := policy.Delay(key.ID, i+1, 0)
			waited := attempts[i+1].StartedAt.Sub(attempts[i].StartedAt)
			require.Greater(t, waited, wait-lateness, "retry %d", i+1)
			require.Less(t, waited, wait+min(wait/4, 30*time.Second)+lateness, "retry %d", i+1)
		}
	}
	require.Less(t, len(s.options), n*10/2, "activities")
}

func TestRetries_ATogetherRetriedWebhookThatIsPausedStops(t *testing.T) {
	t.Parallel()
	h := newHouse(t, refused)
	w := h.hook(receiverURL)
	d := h.share(4)
	s := h.open(nil)
	s.RegisterDelayedCallback(func() {
		if _, err := h.Service.Pause(t.Context(), tenant, w.ID, "test"); err != nil {
			t.Error(err)
		}
	}, 5*time.Second)

	require.Equal(t, workflows.DeliverResult{Held: 4}, s.deliver(t, d.ID))
	require.Equal(t, []string{workflows.StatusRetrying, workflows.Held}, s.statuses)
	require.Len(t, s.told.NotDelivered, 4)
	require.Equal(t, "webhook paused", s.told.NotDelivered[0].Reason)
	for _, key := range d.Deliveries {
		require.Equal(t, models.Held, h.delivery(key.ID).Status)
	}
}

func TestRetries_RetriedTogetherAtAWebhookWithARate(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(url string, n int) sender.Result {
		if n <= 4 {
			return refused(url, n)
		}
		return received(url, n)
	})
	w := h.hook(receiverURL)
	d := h.share(4)
	s := h.open(nil)
	s.RegisterDelayedCallback(func() {
		rate := 0.1
		if _, err := h.Service.UpdateWebhook(t.Context(), tenant, w.ID, service.WebhookChange{RateLimit: &rate, By: "test"}); err != nil {
			t.Error(err)
		}
	}, 5*time.Second)

	require.Equal(t, workflows.DeliverResult{Delivered: 4}, s.deliver(t, d.ID))
	posts := h.got(receiverURL)
	require.Len(t, posts, 8)
	for i := 5; i < 8; i++ {
		require.Greater(t, posts[i].Sub(posts[i-1]), 10*time.Second-lateness)
	}
}

// A delivery that is due within a second is called at once, each time that it is left over in this way. No Temporal
// timer comes between, because it would end only after a second.
func TestRetries_WhatIsDueSoonIsCalledAtOnce(t *testing.T) {
	t.Parallel()
	soon := leftover("whk_1", "dlv_soon", 10)
	soon.Wait = 0
	d := newDesk(t, workflows.Round{Waiting: []workflows.Leftover{soon}})
	timers, calls := 0, 0
	d.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
	d.does(workflows.Attempt, func(_ context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
		if calls++; calls == 3 {
			return workflows.Outcome{Status: workflows.Delivered}, nil
		}
		left := in.Delivery
		left.Number++
		left.Remaining--
		return workflows.Outcome{Left: &left}, nil
	})
	require.Equal(t, workflows.DeliverResult{Delivered: 1}, d.deliver(t, "evt_1"))
	require.Equal(t, 3, calls)
	require.Zero(t, timers)
}
