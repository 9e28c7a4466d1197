package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// If both the rate and the number in flight are limited, the history grows with the deliveries, and not with the time
// that they wait for each other (A9).
func TestLimits_TheHistoryDoesNotGrowWithTheQueue(t *testing.T) {
	t.Parallel()
	const n = 6
	h := newHouse(t, received)
	one, rate := 1, 0.5
	h.hook(receiverURL, func(c *service.WebhookChange) { c.MaxInFlight, c.RateLimit = &one, &rate })
	d := h.share(n)
	s := h.open(nil)
	timers := 0
	s.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })

	require.Equal(t, workflows.DeliverResult{Delivered: n}, s.deliver(t, d.ID))
	require.Len(t, h.got(receiverURL), n)
	require.LessOrEqual(t, len(s.options), n)
	require.LessOrEqual(t, timers, n)
	for _, o := range s.options {
		require.Zero(t, o.RetryPolicy.MaximumAttempts)
	}
}

// A webhook's timeout is raised while a retry waits: the next attempt has it, and every POST has its record (A7).
func TestLimits_ATimeoutThatIsRaisedWhileARetryWaits(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(url string, n int) sender.Result {
		if n < 3 {
			return refused(url, n)
		}
		return received(url, n)
	})
	short := time.Second
	w := h.hook(receiverURL, func(c *service.WebhookChange) { c.Timeout = &short })
	d := h.publish()
	s := h.open(nil)
	s.RegisterDelayedCallback(func() {
		long := time.Minute
		if _, err := h.Service.UpdateWebhook(t.Context(), tenant, w.ID, service.WebhookChange{Timeout: &long, By: "test"}); err != nil {
			t.Error(err)
		}
	}, 15*time.Second) // between the second attempt and the third, which are one activity

	require.Equal(t, workflows.DeliverResult{Delivered: 1}, s.deliver(t, d.ID))
	require.Len(t, s.options, 1)
	require.GreaterOrEqual(t, s.options[0].StartToCloseTimeout, time.Minute+30*time.Second, "a POST of the new timeout, and its record")
	require.Equal(t, []time.Duration{time.Second, time.Second, time.Minute}, h.timeouts)
	attempts, err := h.Store.Attempts(t.Context(), tenant, d.Deliveries[0].ID)
	require.NoError(t, err)
	require.Len(t, attempts, 3)
	require.Equal(t, models.Delivered, h.delivery(d.Deliveries[0].ID).Status)
}
