package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// held returns a webhook that is active again and has n held deliveries.
func held(h *house, n int) models.Webhook {
	h.t.Helper()
	w := h.hook(receiverURL)
	_, err := h.Service.Disable(h.t.Context(), tenant, w.ID, "", "test")
	require.NoError(h.t, err)
	for n > 0 {
		batch := make([]service.EventInput, min(n, 500))
		for i := range batch {
			batch[i] = service.EventInput{Type: eventType, Data: []byte(`{}`)}
		}
		_, err := h.Service.Publish(h.t.Context(), tenant, service.PublishRequest{Events: batch, Batch: true})
		require.NoError(h.t, err)
		n -= len(batch)
	}
	w, err = h.Service.Enable(h.t.Context(), tenant, w.ID, "test")
	require.NoError(h.t, err)
	return w
}

// release runs a recovery to its end.
func (s *story) release(t *testing.T, id string) workflows.Progress {
	t.Helper()
	s.ExecuteWorkflow(workflows.RecoverType, workflows.RecoverInput{RecoveryID: id})
	require.NoError(t, s.GetWorkflowError())
	var p workflows.Progress
	require.NoError(t, s.GetWorkflowResult(&p))
	require.NotEmpty(t, p.Summary)
	return p
}

func TestRecover_ReleasesPageByPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := held(h, 600)
	r, err := h.Service.Recover(t.Context(), tenant, w.ID, service.RecoveryRequest{})
	require.NoError(t, err)
	require.Equal(t, int64(600), r.Total)

	s := h.open(nil)
	require.Equal(t, workflows.Progress{Tenant: tenant, Webhook: r.WebhookID, Host: "receiver.example", Status: "completed", Released: 600, Total: 600,
		Summary: "The recovery of receiver.example of acme has released everything there was: 600 of 600 deliveries released, after 5 looks."}, s.release(t, r.ID))
	require.Equal(t, []string{"running", "completed"}, s.statuses)
	var sizes []int
	for _, d := range h.Engine.Dispatches() {
		sizes = append(sizes, len(d.Deliveries))
	}
	require.Equal(t, []int{256, 256, 88}, sizes)

	delivered := 0
	for _, d := range h.Engine.Dispatches() {
		result := h.open(nil).deliver(t, d.ID)
		require.Zero(t, result.Failed+result.Stopped)
		delivered += result.Delivered
	}
	require.Equal(t, 600, delivered)
	require.Len(t, h.got(receiverURL), 600)
}

func TestRecover_KeepsToItsRate(t *testing.T) {
	t.Parallel()
	h := newHouse(t, received)
	w := held(h, 60)
	r, err := h.Service.Recover(t.Context(), tenant, w.ID, service.RecoveryRequest{Rate: 10})
	require.NoError(t, err)
	s := h.open(nil)
	started := s.Now()
	require.Equal(t, int64(60), s.release(t, r.ID).Released)
	require.GreaterOrEqual(t, s.Now().Sub(started), 6*time.Second)
	require.Len(t, h.Engine.Dispatches(), 6)
}

func TestRecover_StopsWhenItIsCanceledOrItsWebhookIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(h *house, r models.Recovery) error
		status string
	}{
		"canceled": {func(h *house, r models.Recovery) error {
			_, err := h.Service.CancelRecovery(h.t.Context(), tenant, r.ID)
			return err
		}, "canceled"},
		"the webhook is disabled": {func(h *house, r models.Recovery) error {
			_, err := h.Service.Disable(h.t.Context(), tenant, r.WebhookID, "", "test")
			return err
		}, "stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, received)
			w := held(h, 60)
			r, err := h.Service.Recover(t.Context(), tenant, w.ID, service.RecoveryRequest{Rate: 10})
			require.NoError(t, err)
			s := h.open(nil)
			s.RegisterDelayedCallback(func() {
				if err := c.change(h, r); err != nil {
					t.Error(err)
				}
			}, 2500*time.Millisecond)
			p := s.release(t, r.ID)
			require.Equal(t, c.status, p.Status)
			require.Equal(t, int64(30), p.Released, "what was released stays so")
			require.Equal(t, []string{"running", c.status}, s.statuses)
		})
	}
}

func TestRecover_ContinuesAsNew(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	pages := 0
	s.does(workflows.ReleasePage, func(context.Context, string) (workflows.Progress, error) {
		pages++
		return workflows.Progress{Status: "running", Running: true}, nil
	})
	s.ExecuteWorkflow(workflows.RecoverType, workflows.RecoverInput{RecoveryID: "rec_1", Pages: 200})
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, s.GetWorkflowError(), &next)
	require.Equal(t, workflows.RecoverType, next.WorkflowType.Name)
	var in workflows.RecoverInput
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	require.Equal(t, workflows.RecoverInput{RecoveryID: "rec_1", Pages: 400}, in)
	require.Equal(t, 200, pages)
}

func TestRecover_OutlastsADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	pages := 0
	s.does(workflows.ReleasePage, func(context.Context, string) (workflows.Progress, error) {
		if pages++; pages < 9 {
			return workflows.Progress{}, errors.New("the database is away")
		}
		return workflows.Progress{Status: "completed"}, nil
	})
	require.Equal(t, "completed", s.release(t, "rec_1").Status)
}

func TestRecover_Retain(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	calls := 0
	s.does(workflows.RemoveExpired, func(context.Context) (int64, error) {
		if calls++; calls < 3 {
			return 0, errors.New("the database is away")
		}
		return 7, nil
	})
	s.ExecuteWorkflow(workflows.RetainType)
	require.NoError(t, s.GetWorkflowError())
	var removed int64
	require.NoError(t, s.GetWorkflowResult(&removed))
	require.Equal(t, int64(7), removed)
	require.Equal(t, time.Minute, s.options[0].HeartbeatTimeout)
	require.Equal(t, int32(10), s.options[0].RetryPolicy.MaximumAttempts, "the schedule begins again an hour later")
}
