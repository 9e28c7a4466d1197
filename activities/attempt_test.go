package activities_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/posthorn/posthorn/activities"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
	"github.com/posthorn/posthorn/workflows"
)

// leftOver returns a dispatch whose delivery has failed once and is due again.
func leftOver(b *bundle) (models.Dispatch, workflows.Leftover) {
	b.t.Helper()
	b.receiver.answer("/a", http.StatusInternalServerError)
	d := b.publish()
	round := b.first(d.ID)
	require.Len(b.t, round.Waiting, 1)
	b.due(round.Waiting[0])
	return d, round.Waiting[0]
}

func TestAttempt_AsksTemporalForTheNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status     int
		retryAfter string
		want       func(computed time.Duration) time.Duration
	}{
		"computed":                  {500, "", func(computed time.Duration) time.Duration { return computed }},
		"asked for":                 {429, "120", func(time.Duration) time.Duration { return 2 * time.Minute }},
		"asked for less":            {503, "1", func(computed time.Duration) time.Duration { return computed }},
		"asked for more than a cap": {503, "86400", func(time.Duration) time.Duration { return 30 * time.Minute }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.hook("/a")
			d, left := leftOver(b)
			b.receiver.answer("/a", c.status, "Retry-After", c.retryAfter)

			_, err := b.attempt(d.ID, left)
			var next *temporal.ApplicationError
			require.ErrorAs(t, err, &next)
			require.Equal(t, activities.ReceptionFailed, next.Type())
			require.False(t, next.NonRetryable())
			require.Equal(t, temporal.ApplicationErrorCategoryBenign, next.Category())
			require.Equal(t, strconv.Itoa(c.status)+" "+http.StatusText(c.status), next.Message())

			policy, _ := b.Service.Effective(&w)
			want := c.want(policy.Delay(left.Delivery, 2, 0))
			require.LessOrEqual(t, next.NextRetryDelay(), want)
			require.Greater(t, next.NextRetryDelay(), want-time.Second)
			delivery := b.delivery(d)
			require.Equal(t, 2, delivery.Attempts)
			require.Equal(t, 2, delivery.Failures)
			attempts, err := b.Store.Attempts(t.Context(), tenant, delivery.ID)
			require.NoError(t, err)
			ended := attempts[1].StartedAt.Add(time.Duration(attempts[1].DurationMS) * time.Millisecond)
			require.WithinDuration(t, ended.Add(want), *delivery.NextAttemptAt, 2*time.Millisecond)
		})
	}
}

func TestAttempt_IsReceived(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d, left := leftOver(b)
	b.receiver.answer("/a", http.StatusOK)

	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.Equal(t, workflows.Outcome{Status: workflows.Delivered, Summary: "Received"}, outcome)
	require.Equal(t, models.Delivered, b.delivery(d).Status)

	outcome, err = b.attempt(d.ID, left)
	require.NoError(t, err, "run again after a crash")
	require.Equal(t, workflows.Outcome{Status: workflows.Delivered, Summary: "Received"}, outcome)
	require.Equal(t, 2, b.receiver.got("/a"))
}

func TestAttempt_TheLastAttemptFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a", retries(1))
	d, left := leftOver(b)
	require.Equal(t, 1, left.Remaining)

	for range 2 { // the second is Temporal's, after a crash: it finds the result
		outcome, err := b.attempt(d.ID, left)
		require.NoError(t, err)
		require.Equal(t, workflows.Failed, outcome.Status)
	}
	require.Equal(t, 2, b.receiver.got("/a"))
	require.Equal(t, models.Failed, b.delivery(d).Status)
}

// A crash has used up Temporal's attempts: the receptions that remain are left over, without an error that would
// end the activity for good.
func TestAttempt_TemporalsLastAttemptLeavesOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d, left := leftOver(b)
	left.Remaining = 1

	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.Empty(t, outcome.Status)
	require.Equal(t, 3, outcome.Left.Number)
	require.Equal(t, 9, outcome.Left.Remaining)
	require.Positive(t, outcome.Left.Wait)
}

// The worker died after it had recorded the attempt and before it could report it. Temporal runs the activity again,
// long before the promised time.
func TestAttempt_ThatComesTooEarlyWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d, left := leftOver(b)
	_, err := b.attempt(d.ID, left)
	require.Error(t, err)

	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.Equal(t, 2, b.receiver.got("/a"))
	require.Equal(t, 3, outcome.Left.Number)
	require.Positive(t, outcome.Left.Wait)
}

func TestAttempt_AnOldGenerationStops(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *bundle, w models.Webhook, delivery string) error{
		"the delivery is paused": func(b *bundle, _ models.Webhook, id string) error {
			_, err := b.Service.PauseDelivery(t.Context(), tenant, id)
			return err
		},
		"the delivery is canceled": func(b *bundle, _ models.Webhook, id string) error {
			_, err := b.Service.CancelDelivery(t.Context(), tenant, id, "test")
			return err
		},
		"the delivery is sent at once": func(b *bundle, _ models.Webhook, id string) error {
			_, err := b.Service.RetryDelivery(t.Context(), tenant, id)
			return err
		},
		"the webhook is paused": func(b *bundle, w models.Webhook, _ string) error {
			_, err := b.Service.Pause(t.Context(), tenant, w.ID, "test")
			return err
		},
		"the webhook is deleted": func(b *bundle, w models.Webhook, _ string) error {
			_, err := b.Service.DeleteWebhook(t.Context(), tenant, w.ID)
			return err
		},
		"the event is erased": func(b *bundle, _ models.Webhook, id string) error {
			return b.Store.EraseEvent(t.Context(), tenant, b.read(id).EventID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.hook("/a")
			d, left := leftOver(b)
			require.NoError(t, change(b, w, left.Delivery))

			outcome, err := b.attempt(d.ID, left)
			require.NoError(t, err)
			require.Contains(t, []string{workflows.Held, workflows.Canceled, workflows.Superseded}, outcome.Status)
			require.Equal(t, 1, b.receiver.got("/a"))
		})
	}
}

// A POST under way when its delivery is canceled is recorded as an attempt, and changes nothing else.
func TestAttempt_APOSTThatCrossesACancelDoesNotCount(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a")
	d, left := leftOver(b)
	b.receiver.mu.Lock()
	b.receiver.answers["/a"] = func(w http.ResponseWriter, r *http.Request) {
		_, err := b.Service.CancelDelivery(r.Context(), tenant, left.Delivery, "test")
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	}
	b.receiver.mu.Unlock()

	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.Equal(t, "Canceled by test", outcome.Summary)
	delivery := b.delivery(d)
	require.Equal(t, models.Canceled, delivery.Status)
	require.Equal(t, 2, delivery.Attempts)
	attempts, err := b.Store.Attempts(t.Context(), tenant, delivery.ID)
	require.NoError(t, err)
	require.Len(t, attempts, 2)
}

// A POST under way when its webhook is paused, and that is received, is not held for another POST.
func TestAttempt_APOSTThatCrossesAPauseAndIsReceivedIsDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	webhook := b.hook("/a")
	d, left := leftOver(b)
	b.receiver.mu.Lock()
	b.receiver.answers["/a"] = func(w http.ResponseWriter, r *http.Request) {
		if _, err := b.Service.Pause(r.Context(), tenant, webhook.ID, "test"); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	}
	b.receiver.mu.Unlock()

	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.Equal(t, workflows.Outcome{Status: workflows.Delivered, Summary: "Received"}, outcome)
	delivery := b.delivery(d)
	require.Equal(t, models.Delivered, delivery.Status)
	require.Empty(t, delivery.StatusReason)
}

func TestAttempt_GoneDeactivatesAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.hook("/a")
	d, left := leftOver(b)
	other := b.publish()
	b.receiver.answer("/a", http.StatusGone)

	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.Equal(t, "Held: the receiver answered 410 Gone, and its webhook was deactivated", outcome.Summary)
	w, err = b.Service.Webhook(t.Context(), tenant, w.ID)
	require.NoError(t, err)
	require.Equal(t, models.WebhookDeactivated, w.Status)
	require.Contains(t, w.StatusReason, "410")
	require.Contains(t, b.Engine.Woken(), w.ID)
	for _, dispatch := range []models.Dispatch{d, other} {
		delivery := b.delivery(dispatch)
		require.Equal(t, models.Held, delivery.Status)
		require.Equal(t, "webhook deactivated", delivery.StatusReason)
	}
	require.Equal(t, 1, b.first(other.ID).Held, "nothing of it is pending any more")
	require.Equal(t, 2, b.receiver.got("/a"))
}

func TestAttempt_LookUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *bundle, d models.Dispatch, l workflows.Leftover) error
		want   string
	}{
		"delivered": {func(b *bundle, d models.Dispatch, l workflows.Leftover) error {
			b.receiver.answer("/a", http.StatusOK)
			_, err := b.attempt(d.ID, l)
			return err
		}, workflows.Delivered},
		"failed": {func(b *bundle, d models.Dispatch, l workflows.Leftover) error {
			_, err := b.attempt(d.ID, l)
			return err
		}, workflows.Failed},
		"canceled": {func(b *bundle, _ models.Dispatch, l workflows.Leftover) error {
			_, err := b.Service.CancelDelivery(t.Context(), tenant, l.Delivery, "test")
			return err
		}, workflows.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.hook("/a", retries(1))
			d, left := leftOver(b)
			require.NoError(t, c.change(b, d, left))
			outcome, err := b.LookUp(t.Context(), workflows.AttemptInput{DispatchID: d.ID, Delivery: left})
			require.NoError(t, err)
			require.Equal(t, c.want, outcome.Status)
		})
	}

	t.Run("pending", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.hook("/a")
		d, left := leftOver(b)
		outcome, err := b.LookUp(t.Context(), workflows.AttemptInput{DispatchID: d.ID, Delivery: left})
		require.NoError(t, err)
		left.Wait = 0 // it is due
		require.Equal(t, &left, outcome.Left)
	})

	t.Run("not there any more", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		outcome, err := b.LookUp(t.Context(), workflows.AttemptInput{DispatchID: "d", Delivery: workflows.Leftover{Tenant: tenant, Delivery: "dlv_missing"}})
		require.NoError(t, err)
		require.Equal(t, workflows.Canceled, outcome.Status)
	})
}

func TestAttempt_FinishKeepsWhatIsPending(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a", retries(1))
	d, left := leftOver(b)
	require.NoError(t, b.Finish(t.Context(), d.ID))
	require.False(t, b.finished(d.ID))
	_, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.NoError(t, b.Finish(t.Context(), d.ID))
	require.True(t, b.finished(d.ID))
}

// A retry that is due within a second is not left to Temporal, whose retry would come after a second. The workflow
// calls it at once, and it waits for its time itself.
func TestAttempt_LeavesAShortWaitToTheWorkflow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.hook("/a", func(c *service.WebhookChange) { c.Retry = &models.Retry{Initial: 100 * time.Millisecond} })
	d, left := leftOver(b)
	require.Zero(t, left.Wait)
	outcome, err := b.attempt(d.ID, left)
	require.NoError(t, err)
	require.NotNil(t, outcome.Left)
	require.Zero(t, outcome.Left.Wait)
	require.Equal(t, 3, outcome.Left.Number)
}
