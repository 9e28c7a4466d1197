package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// signalsARun is how many signals a run takes before it continues as new; Temporal's own limit is 10,000, and a
// short history replays quickly.
const signalsARun = 500

// WatchWebhook looks after one webhook for as long as it exists. A signal wakes it; it reads the failure count,
// deactivates the webhook at the threshold, and tells the administrators until that has gone out. The count is not
// in the signal: it may have been reset since.
func WatchWebhook(ctx workflow.Context, in WatchInput) error {
	w := &watch{in: in, signals: workflow.GetSignalChannel(ctx, JudgeSignal), sending: map[string]bool{}}
	return w.run(ctx)
}

// watch is the state of one WatchWebhook.
type watch struct {
	in      WatchInput
	signals workflow.ReceiveChannel
	seen    int             // signals of this run
	sending map[string]bool // notifications on their way
	sent    int             // notifications that went out and have not been looked at yet
	shown   string
}

func (w *watch) run(ctx workflow.Context) error {
	for {
		health, err := w.judge(ctx)
		if err != nil {
			return err
		}
		if health.Gone {
			return nil
		}
		if err := w.show(ctx, health); err != nil {
			return err
		}
		for _, id := range health.Unsent {
			w.notify(ctx, id)
		}
		if w.seen >= signalsARun || workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			w.drain() // what is in the channel is answered by the judgement the next run begins with
			return workflow.NewContinueAsNewError(ctx, WatchType, w.in)
		}
		if err := workflow.Await(ctx, func() bool { return w.signals.Len() > 0 || w.sent > 0 }); err != nil {
			return err
		}
		w.sent = 0
		w.drain()
	}
}

// drain takes all signals that wait: one look answers them all.
func (w *watch) drain() {
	for w.signals.ReceiveAsync(nil) {
		w.seen++
	}
}

// judge looks at the webhook and does what is due. It is quick, as a local activity of a workflow with signals must
// be: more than a hundred buffered signals fail an open workflow task.
func (w *watch) judge(ctx workflow.Context) (Health, error) {
	var health Health
	err := workflow.ExecuteLocalActivity(short(ctx), Judge, w.in.WebhookID).Get(ctx, &health)
	return health, err
}

// notify sends one notification, for as long as it takes, while the watch goes on. If the run ends meanwhile, the
// next finds it unsent and begins again.
func (w *watch) notify(ctx workflow.Context, id string) {
	if w.sending[id] {
		return
	}
	w.sending[id] = true
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 2 * time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 5 * time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Minute},
		Summary:             "notify the administrators: " + id,
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		err := workflow.ExecuteActivity(ctx, Notify, id).Get(ctx, nil)
		delete(w.sending, id)
		if err == nil {
			w.sent++
		}
	})
}

func (w *watch) show(ctx workflow.Context, h Health) error {
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("**%s** %s\n\n%d of %d failed receptions (epoch %d). %s\n\nLast failure: %s\n",
		h.Status, cell(h.Host), h.Failed, h.Threshold, h.Epoch, cell(h.Reason), cell(h.LastError)))
	if h.Status == w.shown {
		return nil
	}
	w.shown = h.Status
	return workflow.UpsertTypedSearchAttributes(ctx, StatusAttribute.ValueSet(h.Status), TenantAttribute.ValueSet([]string{h.Tenant}))
}
