package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// fail records n failed receptions of a webhook. It is called while a story runs, so it does not end the test.
func (h *house) fail(ctx context.Context, w models.Webhook, n int) {
	group := make([]*models.Record, n)
	for i := range group {
		group[i] = &models.Record{Status: models.Pending, Attempt: models.Attempt{Tenant: tenant, ID: models.NewID(models.PrefixAttempt),
			DeliveryID: models.NewID(models.PrefixDelivery), WebhookID: w.ID, StartedAt: h.Clock.Now(), StatusCode: 500, Error: "500 Internal Server Error"}}
	}
	if _, err := h.Store.Record(ctx, group, nil); err != nil {
		h.t.Error(err)
	}
}

func (h *house) status(w models.Webhook) models.WebhookStatus {
	h.t.Helper()
	w, err := h.Service.Webhook(h.t.Context(), tenant, w.ID)
	require.NoError(h.t, err)
	return w.Status
}

// remove deletes the webhook and wakes its workflow, which ends it.
func (h *house) remove(s *story, w models.Webhook) {
	if _, err := h.Service.DeleteWebhook(h.t.Context(), tenant, w.ID); err != nil {
		h.t.Error(err)
	}
	s.SignalWorkflow(workflows.JudgeSignal, nil)
}

func (s *story) watch(w models.Webhook) error {
	s.ExecuteWorkflow(workflows.WatchType, workflows.WatchInput{WebhookID: w.ID})
	return s.GetWorkflowError()
}

// continues reports whether a run ended to go on as a new one, with the same input.
func continues(t *testing.T, err error, w models.Webhook) {
	t.Helper()
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &next)
	require.Equal(t, workflows.WatchType, next.WorkflowType.Name)
	require.Contains(t, next.Input.String(), w.ID)
}

// 3000 failed receptions deactivate a webhook, not one less; its administrators are warned on the way.
func TestWatch_ThreeThousandFailuresDeactivate(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := h.hook(receiverURL)
	d := h.publish()
	s := h.open(nil)
	type step struct {
		failures int
		total    int
		status   models.WebhookStatus
		mails    int
	}
	steps := []step{
		{1499, 1499, models.WebhookActive, 0},
		{1, 1500, models.WebhookActive, 1},
		{1199, 2699, models.WebhookActive, 1},
		{1, 2700, models.WebhookActive, 2},
		{299, 2999, models.WebhookActive, 2},
		{1, servicetest.Threshold, models.WebhookDeactivated, 3},
	}
	for i, step := range steps {
		at := time.Duration(i+1) * time.Hour
		s.RegisterDelayedCallback(func() {
			h.fail(t.Context(), w, step.failures)
			s.SignalWorkflow(workflows.JudgeSignal, nil)
		}, at)
		s.RegisterDelayedCallback(func() {
			found, err := h.Service.Webhook(t.Context(), tenant, w.ID)
			if err != nil || found.Status != step.status || found.Health.Failed != int64(step.total) || len(h.mailer.subjects()) != step.mails {
				t.Errorf("after %d failures: %s, %d counted, %d mails, %v", step.total, found.Status, found.Health.Failed, len(h.mailer.subjects()), err)
			}
		}, at+time.Minute)
	}
	s.RegisterDelayedCallback(func() { h.remove(s, w) }, 10*time.Hour)

	require.NoError(t, s.watch(w), "the workflow ends with its webhook")
	var result workflows.WatchResult
	require.NoError(t, s.GetWorkflowResult(&result))
	require.Equal(t, "Webhook receiver.example of acme was deleted. It was deactivated, with 3000 of 3000 failed receptions. "+
		"Its last failure: 500 Internal Server Error. 3 notifications to its administrators had been settled.", result.Summary)
	require.Equal(t, int64(servicetest.Threshold), result.Failed, "what was last seen, not what is left of a deleted webhook")
	require.Equal(t, []string{
		`Webhook "receiver.example" is failing: 1500 of 3000 failures until it is deactivated`,
		`Webhook "receiver.example" is failing: 2700 of 3000 failures until it is deactivated`,
		`Webhook "receiver.example" was deactivated`,
	}, h.mailer.subjects())
	require.Equal(t, []string{"active", "deactivated"}, s.statuses)
	require.Equal(t, models.Canceled, h.delivery(d.Deliveries[0].ID).Status, "held by the deactivation, canceled with the webhook")
	for kind, n := range map[string]int{"webhook.warning": 2, "webhook.deactivated": 1} {
		events, _, err := h.Store.Events(t.Context(), tenant, models.EventFilter{Type: kind}, models.Page{Limit: 10})
		require.NoError(t, err)
		require.Len(t, events, n, kind)
	}
}

func TestWatch_ASignalAboutTheTimeBeforeDoesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := h.hook(receiverURL)
	h.fail(t.Context(), w, servicetest.Threshold)
	s := h.open(nil)
	s.RegisterDelayedCallback(func() {
		if _, err := h.Service.Enable(t.Context(), tenant, w.ID, "test"); err != nil {
			t.Error(err)
		}
		s.SignalWorkflow(workflows.JudgeSignal, nil) // sent for the last of the failures, and late
	}, time.Hour)
	s.RegisterDelayedCallback(func() {
		found, err := h.Service.Webhook(t.Context(), tenant, w.ID)
		if err != nil || found.Status != models.WebhookActive || found.Health.Failed != 0 || found.Health.Epoch != 2 { // deactivated, and enabled
			t.Errorf("%s, %d counted, epoch %d, %v", found.Status, found.Health.Failed, found.Health.Epoch, err)
		}
		h.remove(s, w)
	}, 2*time.Hour)

	require.NoError(t, s.watch(w))
	require.Equal(t, []string{"deactivated", "active"}, s.statuses)
	require.Len(t, h.mailer.subjects(), 1)
}

// The mail server is down: the watch goes on meanwhile, and the mail goes out once.
func TestWatch_ANotificationIsRepeatedWhileTheWatchGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := h.hook(receiverURL)
	h.mailer.down = 6
	h.fail(t.Context(), w, 1500)
	judged := 0
	s := h.open(map[string]any{workflows.Judge: func(ctx context.Context, id string) (workflows.Health, error) {
		judged++
		return inTime(h, h.health.Judge)(ctx, id)
	}})
	// The tries are 5, 10, 20, 40, 80 and 160 seconds apart.
	for i := range 5 {
		s.RegisterDelayedCallback(func() {
			h.fail(t.Context(), w, 10)
			s.SignalWorkflow(workflows.JudgeSignal, nil)
		}, time.Duration(i+1)*30*time.Second)
	}
	s.RegisterDelayedCallback(func() {
		if judged != 6 {
			t.Errorf("judged %d times while the mail could not go out", judged)
		}
		if n := len(h.mailer.subjects()); n != 0 {
			t.Errorf("%d mails went out", n)
		}
	}, 200*time.Second)
	s.RegisterDelayedCallback(func() { h.remove(s, w) }, time.Hour)

	require.NoError(t, s.watch(w))
	require.Equal(t, []string{`Webhook "receiver.example" is failing: 1500 of 3000 failures until it is deactivated`}, h.mailer.subjects())
	require.Equal(t, 6, h.mailer.refusals)
	require.Equal(t, 8, judged, "once more when the mail had gone out, and for the end")
}

// A run ends after 500 signals, in the middle of the counting. Signals that came at its end are not lost, because the
// next run begins with a check.
func TestWatch_ContinueAsNewLosesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := h.hook(receiverURL)
	h.fail(t.Context(), w, servicetest.Threshold-2)
	h.mailer.down = 1000 // a due notification is carried over too
	signals := 0
	var s *story
	s = h.open(map[string]any{workflows.Judge: func(ctx context.Context, id string) (workflows.Health, error) {
		health, err := inTime(h, h.health.Judge)(ctx, id)
		if signals >= 500 {
			// The last check of the run has been made. Now the count crosses the threshold.
			h.fail(ctx, w, 1)
			s.SignalWorkflow(workflows.JudgeSignal, nil)
		}
		return health, err
	}})
	for i := range 6 {
		s.RegisterDelayedCallback(func() {
			if i == 4 {
				h.fail(t.Context(), w, 1)
			}
			signals += 100
			for range 99 {
				s.SignalWorkflowSkippingWorkflowTask(workflows.JudgeSignal, nil)
			}
			s.SignalWorkflow(workflows.JudgeSignal, nil)
		}, time.Duration(i+1)*time.Minute)
	}
	continues(t, s.watch(w), w)
	require.Equal(t, 500, signals)
	require.Equal(t, models.WebhookActive, h.status(w))
	require.Empty(t, h.mailer.subjects())

	h.mailer.down = 0
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, s.GetWorkflowError(), &next)
	var in workflows.WatchInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, int64(servicetest.Threshold-1), in.Last.Failed, "the next run knows what this one saw")
	s = h.open(nil)
	s.RegisterDelayedCallback(func() {
		if status := h.status(w); status != models.WebhookDeactivated {
			t.Errorf("the webhook is %s", status)
		}
		h.remove(s, w)
	}, time.Minute)
	require.NoError(t, s.watch(w))
	require.ElementsMatch(t, []string{
		`Webhook "receiver.example" is failing: 2998 of 3000 failures until it is deactivated`,
		`Webhook "receiver.example" was deactivated`,
	}, h.mailer.subjects())
}

func TestWatch_TheServersAdviceToContinueAsNewIsTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := h.hook(receiverURL)
	s := h.open(nil)
	s.SetContinueAsNewSuggested(true)
	continues(t, s.watch(w), w)
}

func TestWatch_OutlastsADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := h.hook(receiverURL)
	calls := 0
	s := h.open(map[string]any{workflows.Judge: func(ctx context.Context, id string) (workflows.Health, error) {
		if calls++; calls < 9 {
			return workflows.Health{}, context.DeadlineExceeded
		}
		return inTime(h, h.health.Judge)(ctx, id)
	}})
	s.RegisterDelayedCallback(func() { h.remove(s, w) }, time.Hour)
	require.NoError(t, s.watch(w))
	require.Equal(t, 10, calls)
}

func TestWatch_ACanceledWatchEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := h.hook(receiverURL)
	s := h.open(nil)
	s.RegisterDelayedCallback(s.CancelWorkflow, time.Minute)
	var canceled *temporal.CanceledError
	require.ErrorAs(t, s.watch(w), &canceled)
}
