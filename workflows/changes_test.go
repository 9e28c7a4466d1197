package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// While a delivery waits for its second attempt, it is changed from outside. The workflow that drives it stops, and
// another one continues if there is more to do.
func TestChanges_DuringRetries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(h *house, w models.Webhook, id string) error
		status models.DeliveryStatus
		// resume undoes the change; nil = it is for good.
		resume func(h *house, w models.Webhook, id string) error
	}{
		"the delivery is paused": {
			func(h *house, _ models.Webhook, id string) error {
				_, err := h.Service.PauseDelivery(h.t.Context(), tenant, id)
				return err
			}, models.Held,
			func(h *house, _ models.Webhook, id string) error {
				_, err := h.Service.ResumeDelivery(h.t.Context(), tenant, id)
				return err
			},
		},
		"the delivery is canceled": {
			func(h *house, _ models.Webhook, id string) error {
				_, err := h.Service.CancelDelivery(h.t.Context(), tenant, id, "test")
				return err
			}, models.Canceled, nil,
		},
		"the delivery is sent at once": {
			func(h *house, _ models.Webhook, id string) error {
				_, err := h.Service.RetryDelivery(h.t.Context(), tenant, id)
				return err
			}, models.Pending,
			func(*house, models.Webhook, string) error { return nil },
		},
		"the webhook is paused": {
			func(h *house, w models.Webhook, _ string) error {
				_, err := h.Service.Pause(h.t.Context(), tenant, w.ID, "test")
				return err
			}, models.Held,
			func(h *house, w models.Webhook, _ string) error {
				_, err := h.Service.Resume(h.t.Context(), tenant, w.ID, "test")
				return err
			},
		},
		"the webhook is disabled": {
			func(h *house, w models.Webhook, _ string) error {
				_, err := h.Service.Disable(h.t.Context(), tenant, w.ID, "", "test")
				return err
			}, models.Held, nil,
		},
		"the webhook is deleted": {
			func(h *house, w models.Webhook, _ string) error {
				_, err := h.Service.DeleteWebhook(h.t.Context(), tenant, w.ID)
				return err
			}, models.Canceled, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, func(url string, n int) sender.Result {
				if n == 1 {
					return refused(url, n)
				}
				return received(url, n)
			})
			w := h.hook(receiverURL)
			d := h.publish()
			id := d.Deliveries[0].ID
			s := h.open(nil)
			s.RegisterDelayedCallback(func() {
				if err := c.change(h, w, id); err != nil {
					t.Error(err)
				}
			}, 5*time.Second)

			want := map[models.DeliveryStatus]workflows.DeliverResult{models.Held: {Held: 1}, models.Canceled: {Canceled: 1}, models.Pending: {Superseded: 1}}
			require.Equal(t, want[c.status], s.deliver(t, d.ID))
			require.Len(t, s.told.NotDelivered, 1)
			require.Equal(t, id, s.told.NotDelivered[0].Delivery)
			require.NotEmpty(t, s.told.NotDelivered[0].Reason)
			require.Len(t, h.got(receiverURL), 1, "the old generation sends no more")
			require.Equal(t, c.status, h.delivery(id).Status)
			if c.resume == nil {
				return
			}

			h.Clock.Advance(2 * time.Second) // longer than the webhook is remembered
			require.NoError(t, c.resume(h, w, id))
			for _, recovery := range h.Engine.Recoveries() {
				s := h.open(nil)
				s.ExecuteWorkflow(workflows.RecoverType, workflows.RecoverInput{RecoveryID: recovery})
				require.NoError(t, s.GetWorkflowError())
			}
			dispatches := h.Engine.Dispatches()
			require.Len(t, dispatches, 2)
			require.NotEqual(t, d.ID, dispatches[1].ID)
			require.Equal(t, workflows.DeliverResult{Delivered: 1}, h.open(nil).deliver(t, dispatches[1].ID))
			require.Len(t, h.got(receiverURL), 2)
			require.Equal(t, models.Delivered, h.delivery(id).Status)
		})
	}
}
