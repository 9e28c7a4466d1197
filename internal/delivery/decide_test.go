package delivery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/posthorn/posthorn/internal/backoff"
	"github.com/posthorn/posthorn/internal/delivery"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/models"
)

func TestDecide_EndsOrRetries(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	policy := backoff.Policy{Initial: 10 * time.Second, Backoff: 2, MaxInterval: time.Hour, Max: 2}
	for name, c := range map[string]struct {
		failures  int
		result    sender.Result
		uncounted bool
		want      delivery.Decision
	}{
		"received":           {1, sender.Result{Outcome: sender.Received}, false, delivery.Decision{Status: models.Delivered, Failures: 1}},
		"failed":             {0, sender.Result{}, false, delivery.Decision{Status: models.Pending, Failures: 1, Next: at.Add(time.Second + policy.Delay("dlv_1", 1, 0))}},
		"asked for":          {1, sender.Result{RetryAfter: time.Minute}, false, delivery.Decision{Status: models.Pending, Failures: 2, Next: at.Add(time.Minute + time.Second)}},
		"gone":               {0, sender.Result{Outcome: sender.Gone}, false, delivery.Decision{Status: models.Pending, Failures: 1, Next: at.Add(time.Second + policy.Delay("dlv_1", 1, 0))}},
		"used up":            {2, sender.Result{}, false, delivery.Decision{Status: models.Failed, Failures: 3}},
		"uncounted":          {2, sender.Result{}, true, delivery.Decision{Status: models.Pending, Failures: 2, Next: at.Add(time.Second + policy.Delay("dlv_1", 1, 0))}},
		"received uncounted": {2, sender.Result{Outcome: sender.Received}, true, delivery.Decision{Status: models.Delivered, Failures: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.result.StartedAt, c.result.Duration = at, time.Second
			require.Equal(t, c.want, delivery.Decide(&models.Delivery{ID: "dlv_1", Failures: c.failures}, policy, &c.result, c.uncounted))
		})
	}
}
