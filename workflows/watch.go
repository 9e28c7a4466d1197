package workflows

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// signalsARun is how many signals a run takes before it continues as new. Temporal's own limit is 10,000, and a short
// history replays quickly.
const signalsARun = 500

// WatchWebhook watches one webhook for as long as it exists. A signal wakes it. It then reads the failure count,
// deactivates the webhook at the threshold, and notifies the administrators until that has succeeded. The signal does
// not carry the count, because it may have been reset since.
func WatchWebhook(ctx workflow.Context, in WatchInput) (WatchResult, error) {
	w := &watch{in: in, signals: workflow.GetSignalChannel(ctx, JudgeSignal), sending: map[string]bool{}}
	w.last = WatchResult{Tenant: in.Tenant, Name: in.Name, Host: in.Host}
	if in.Last != nil {
		w.last = *in.Last
	}
	w.last.WebhookID = in.WebhookID
	err := w.run(ctx)
	w.last.Summary = w.sentence()
	return w.last, err
}

// watch is the state of one WatchWebhook.
type watch struct {
	in      WatchInput
	signals workflow.ReceiveChannel
	seen    int             // signals of this run
	sending map[string]bool // notifications being sent
	sent    int             // notifications that were sent and not counted yet
	shown   string
	last    WatchResult // the webhook's last known state
}

func (w *watch) run(ctx workflow.Context) error {
	for {
		health, err := w.judge(ctx)
		if err != nil {
			return err
		}
		if health.Deleted {
			return nil
		}
		if err := w.show(ctx, health); err != nil {
			return err
		}
		for _, id := range health.Unsent {
			w.notify(ctx, id)
		}
		if w.seen >= signalsARun || workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			w.drain() // the judgement at the start of the next run handles the queued signals
			last := w.last
			w.in.Last = &last
			return workflow.NewContinueAsNewError(ctx, WatchType, w.in)
		}
		if err := workflow.Await(ctx, func() bool { return w.signals.Len() > 0 || w.sent > 0 }); err != nil {
			return err
		}
		w.sent = 0
		w.drain()
	}
}

// drain takes all queued signals: one judgement handles them all.
func (w *watch) drain() {
	for w.signals.ReceiveAsync(nil) {
		w.seen++
		w.last.Signals++
	}
}

// judge checks the webhook and does what is due. It must be quick, because it is a local activity of a workflow with
// signals: more than a hundred buffered signals fail an open workflow task.
func (w *watch) judge(ctx workflow.Context) (Health, error) {
	var health Health
	err := workflow.ExecuteLocalActivity(short(ctx), Judge, w.in.WebhookID).Get(ctx, &health)
	return health, err
}

// notify sends one notification, however long it takes, while the watch continues. If the run ends in the meantime,
// the next run finds the notification unsent and sends it.
func (w *watch) notify(ctx workflow.Context, id string) {
	if w.sending[id] {
		return
	}
	w.sending[id] = true
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 2 * time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: 5 * time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Minute},
		Summary:             "tell the administrators of " + w.last.Tenant + " about " + w.named() + ": " + id,
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		err := workflow.ExecuteActivity(ctx, Notify, id).Get(ctx, nil)
		delete(w.sending, id)
		if err == nil {
			w.sent++
			w.last.Notifications++
		}
	})
}

// named returns the webhook's name.
func (w *watch) named() string { return Named(w.last.Name, w.last.Host, w.in.WebhookID) }

// sentence describes the end of the watch, which ends with its webhook, and the webhook's last known state.
func (w *watch) sentence() string {
	text := fmt.Sprintf("Webhook %s of %s was deleted. ", w.named(), cmp.Or(w.last.Tenant, "an unknown tenant"))
	if w.last.Status != "" {
		text += fmt.Sprintf("It was %s, with %d of %d failed receptions. ", w.last.Status, w.last.Failed, w.last.Threshold)
	}
	if w.last.LastError != "" {
		text += fmt.Sprintf("Its last failure: %s. ", strings.TrimSuffix(w.last.LastError, "."))
	}
	return text + counted(w.last.Notifications, "notification", "notifications") + " to its administrators had been settled."
}

// see keeps the webhook's state for the result.
func (w *watch) see(h Health) {
	r := &w.last
	r.Tenant, r.Name, r.Host, r.Status, r.Reason = h.Tenant, short120(h.Name), short120(h.Host), h.Status, short120(h.Reason)
	r.Failed, r.Threshold, r.LastError = h.Failed, h.Threshold, short120(h.LastError)
}

func (w *watch) show(ctx workflow.Context, h Health) error {
	w.see(h)
	var b strings.Builder
	fmt.Fprintf(&b, "Webhook **%s** of %s is **%s**", cell(w.named()), cell(h.Tenant), h.Status)
	if h.Reason != "" {
		fmt.Fprintf(&b, ": %s", cell(h.Reason))
	}
	fmt.Fprintf(&b, ".\n\n%d of the %d failed receptions that deactivate it.\n", h.Failed, h.Threshold)
	if h.LastError != "" {
		fmt.Fprintf(&b, "\nLast failure: %s\n", cell(h.LastError))
	}
	if len(h.Unsent) > 0 {
		fmt.Fprintf(&b, "\n%s to send.\n", counted(len(h.Unsent), "notification", "notifications"))
	}
	workflow.SetCurrentDetails(ctx, b.String())
	if h.Status == w.shown {
		return nil
	}
	w.shown = h.Status
	return workflow.UpsertTypedSearchAttributes(ctx, StatusAttribute.ValueSet(h.Status), TenantAttribute.ValueSet([]string{h.Tenant}))
}
