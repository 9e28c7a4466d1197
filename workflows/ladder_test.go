package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

const receiverURL = "https://receiver.example/hook"

// lateness is by how much a busy test machine may miss a wait of 10 s and more: the house's clock goes on while the
// story's stands.
const lateness = time.Second

// nominal is the schedule of Phrase: 10 s doubling to 30 minutes, 10 retries.
var nominal = []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second,
	320 * time.Second, 640 * time.Second, 1280 * time.Second, 30 * time.Minute, 30 * time.Minute}

// promises keeps, of every attempt that was recorded, when the timeline said the following ones would be.
type promises struct {
	h     *house
	id    string
	times [][]service.Planned
}

func (p *promises) note(ctx context.Context) {
	timeline, err := p.h.Service.Delivery(ctx, tenant, p.id)
	if err != nil {
		p.h.t.Error(err)
	}
	if n := len(timeline.History); n > len(p.times) {
		p.times = append(p.times, timeline.Upcoming)
	}
}

// watched makes the deliveries' activities note what was promised after each.
func (p *promises) watched() map[string]any {
	return map[string]any{
		workflows.FirstAttempts: func(ctx context.Context, in workflows.FirstAttemptsInput) (workflows.Round, error) {
			defer p.note(ctx)
			return inTime(p.h, p.h.deliveries.FirstAttempts)(ctx, in)
		},
		workflows.Attempt: func(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
			defer p.note(ctx)
			return inTime(p.h, p.h.deliveries.Attempt)(ctx, in)
		},
	}
}

func TestLadder_TheWholeLadder(t *testing.T) {
	t.Parallel()
	h := newHouse(t, refused)
	w := h.hook(receiverURL)
	d := h.publish()
	id := d.Deliveries[0].ID
	p := &promises{h: h, id: id}
	s := h.open(p.watched())

	require.Equal(t, workflows.DeliverResult{Failed: 1}, s.deliver(t, d.ID))
	require.Equal(t, []string{workflows.StatusRetrying, workflows.Failed}, s.statuses)
	delivery := h.delivery(id)
	require.Equal(t, models.Failed, delivery.Status)
	require.Equal(t, 11, delivery.Attempts)
	require.True(t, h.finished(d.ID))

	posts := h.got(receiverURL)
	require.Len(t, posts, 11)
	attempts, err := h.Store.Attempts(t.Context(), tenant, id)
	require.NoError(t, err)
	require.Len(t, attempts, 11)
	policy, _ := h.Service.Effective(&w)
	for i, wait := range nominal {
		computed := policy.Delay(id, i+1, 0)
		require.InDelta(t, wait, computed, float64(wait)/10)
		require.LessOrEqual(t, computed, 30*time.Minute)
		require.InDelta(t, computed, posts[i+1].Sub(posts[i]), float64(lateness), "retry %d", i+1)

		promised := p.times[i]
		require.Len(t, promised, 10-i, "all that are to come are promised")
		for k, planned := range promised {
			require.Equal(t, i+2+k, planned.Number)
			if k > 0 {
				require.Equal(t, policy.Delay(id, i+1+k, 0), planned.At.Sub(promised[k-1].At))
			}
		}
		require.WithinDuration(t, posts[i].Add(5*time.Millisecond+computed), promised[0].At, time.Millisecond)
		require.WithinDuration(t, promised[0].At, attempts[i+1].StartedAt, lateness, "retry %d", i+1)
	}
	require.Empty(t, p.times[10])
}

func TestLadder_RetryAfterIsKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(_ string, n int) sender.Result {
		switch n {
		case 1:
			return sender.Result{Outcome: sender.Failed, StatusCode: 429, Error: "429", RetryAfter: 5 * time.Minute}
		case 2:
			return sender.Result{Outcome: sender.Failed, StatusCode: 503, Error: "503", RetryAfter: 10 * time.Minute}
		case 3:
			return sender.Result{Outcome: sender.Failed, StatusCode: 503, Error: "503", RetryAfter: 24 * time.Hour}
		default:
			return sender.Result{Outcome: sender.Received, StatusCode: 200}
		}
	})
	h.hook(receiverURL)
	d := h.publish()

	require.Equal(t, workflows.DeliverResult{Delivered: 1}, h.open(nil).deliver(t, d.ID))
	posts := h.got(receiverURL)
	require.Len(t, posts, 4)
	for i, wait := range []time.Duration{5 * time.Minute, 10 * time.Minute, 30 * time.Minute} {
		require.InDelta(t, wait, posts[i+1].Sub(posts[i]), float64(lateness))
	}
}

func TestLadder_AWebhooksOwnScheduleIsKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t, refused)
	three := 3
	h.hook(receiverURL, func(c *service.WebhookChange) {
		c.Retry = &models.Retry{Initial: time.Minute, Backoff: 3, MaxInterval: 5 * time.Minute, Max: &three}
	})
	d := h.publish()

	require.Equal(t, workflows.DeliverResult{Failed: 1}, h.open(nil).deliver(t, d.ID))
	posts := h.got(receiverURL)
	require.Len(t, posts, 4)
	for i, wait := range []time.Duration{time.Minute, 3 * time.Minute, 5 * time.Minute} {
		require.InDelta(t, wait, posts[i+1].Sub(posts[i]), float64(wait/10+lateness))
	}
}

func TestLadder_NoRetriesScheduleNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, refused)
	none := 0
	h.hook(receiverURL, func(c *service.WebhookChange) { c.Retry = &models.Retry{Max: &none} })
	d := h.publish()
	s := h.open(nil)
	s.SetOnTimerScheduledListener(func(string, time.Duration) { t.Error("a timer was scheduled") })

	require.Equal(t, workflows.DeliverResult{Failed: 1}, s.deliver(t, d.ID))
	require.Empty(t, s.options, "an activity was scheduled")
	require.Len(t, h.got(receiverURL), 1)
	require.Equal(t, []string{workflows.Failed}, s.statuses)
	require.True(t, h.finished(d.ID))
}

func TestLadder_GoneEndsTheRetries(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(_ string, n int) sender.Result {
		if n == 1 {
			return refused("", 0)
		}
		return sender.Result{Outcome: sender.Gone, StatusCode: 410, Error: "410 Gone"}
	})
	w := h.hook(receiverURL)
	d := h.publish()
	s := h.open(nil)

	require.Equal(t, workflows.DeliverResult{Held: 1}, s.deliver(t, d.ID))
	require.Equal(t, []string{workflows.StatusRetrying, workflows.Held}, s.statuses)
	require.Len(t, h.got(receiverURL), 2)
	w, err := h.Service.Webhook(t.Context(), tenant, w.ID)
	require.NoError(t, err)
	require.Equal(t, models.WebhookDeactivated, w.Status)
	require.Equal(t, models.Held, h.delivery(d.Deliveries[0].ID).Status)
	require.Equal(t, []string{w.ID}, h.Engine.Woken())
}

// An activity that ends without a record has used up one of Temporal's attempts, and none of the receiver's.
func TestLadder_CrashesUseUpNoReceptions(t *testing.T) {
	t.Parallel()
	timeout := temporal.NewTimeoutError(enums.TIMEOUT_TYPE_START_TO_CLOSE, nil)
	for name, crash := range map[string]struct {
		before, after error
	}{
		"before the POST":                   {before: timeout},
		"between the record and the answer": {after: timeout},
		"the database away":                 {before: errors.New("the database is away")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, refused)
			w := h.hook(receiverURL)
			d := h.publish()
			calls := 0
			s := h.open(map[string]any{workflows.Attempt: func(ctx context.Context, in workflows.AttemptInput) (workflows.Outcome, error) {
				calls++
				if crash.before != nil && calls%2 == 1 {
					return workflows.Outcome{}, crash.before
				}
				outcome, err := inTime(h, h.deliveries.Attempt)(ctx, in)
				if crash.after != nil && calls%2 == 1 {
					return workflows.Outcome{}, crash.after
				}
				return outcome, err
			}})

			require.Equal(t, workflows.DeliverResult{Failed: 1}, s.deliver(t, d.ID))
			posts := h.got(receiverURL)
			require.Len(t, posts, 11)
			require.Greater(t, calls, 11)
			policy, _ := h.Service.Effective(&w)
			for i := range nominal {
				wait := policy.Delay(d.Deliveries[0].ID, i+1, 0)
				require.Greater(t, posts[i+1].Sub(posts[i]), wait-lateness, "retry %d came before its time", i+1)
			}
			delivery := h.delivery(d.Deliveries[0].ID)
			require.Equal(t, models.Failed, delivery.Status)
			require.Equal(t, 11, delivery.Attempts)
		})
	}
}

func TestLadder_TenWebhooksOneFailing(t *testing.T) {
	t.Parallel()
	const failing = "https://failing.example/hook"
	h := newHouse(t, func(url string, n int) sender.Result {
		if url == failing && n < 4 {
			return refused(url, n)
		}
		return received(url, n)
	})
	urls := []string{failing}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		urls = append(urls, "https://"+name+".example/hook")
	}
	for _, url := range urls {
		h.hook(url)
	}
	d := h.publish()
	s := h.open(nil)
	accepted := s.Now()

	require.Equal(t, workflows.DeliverResult{Delivered: 10}, s.deliver(t, d.ID))
	require.Equal(t, []string{workflows.StatusRetrying, workflows.Delivered}, s.statuses, "it is not delivered while one is being retried")
	for _, url := range urls[1:] {
		posts := h.got(url)
		require.Len(t, posts, 1)
		require.WithinDuration(t, accepted, posts[0], 5*time.Second, "the tenth is in nobody's way")
	}
	posts := h.got(failing)
	require.Len(t, posts, 4)
	require.Greater(t, posts[3].Sub(accepted), time.Minute)
	require.True(t, h.finished(d.ID))
}
