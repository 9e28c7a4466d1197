package workflows

import (
	"cmp"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// pagesARun is how many pages a run releases before it continues as new.
const pagesARun = 200

// breath is the shortest pause between two pages. It lets the dispatches of a page get going, so that a large recovery
// does not start them all at once.
const breath = 200 * time.Millisecond

// Recover makes deliveries of a webhook, or of an event, pending again, page by page until nothing is left. The
// database holds its position, and says whether it has been canceled.
func Recover(ctx workflow.Context, in RecoverInput) (Progress, error) {
	for range pagesARun {
		var p Progress
		if err := workflow.ExecuteLocalActivity(short(ctx), ReleasePage, in.RecoveryID).Get(ctx, &p); err != nil {
			return p, err
		}
		in.Pages++
		p.Summary = p.sentence(in.Pages)
		workflow.SetCurrentDetails(ctx, cell(p.Summary)+"\n")
		if in.Pages == 1 || !p.Running {
			about := []temporal.SearchAttributeUpdate{StatusAttribute.ValueSet(p.Status), TenantAttribute.ValueSet([]string{p.Tenant})}
			if p.Webhook != "" {
				about = append(about, WebhookAttribute.ValueSet([]string{p.Webhook}))
			}
			err := workflow.UpsertTypedSearchAttributes(ctx, about...)
			if err != nil || !p.Running {
				return p, err
			}
		}
		pause := workflow.NewTimerWithOptions(ctx, max(p.Pause, breath), workflow.TimerOptions{Summary: "pause before the next page"})
		if err := pause.Get(ctx, nil); err != nil {
			return p, err
		}
	}
	return Progress{}, workflow.NewContinueAsNewError(ctx, RecoverType, in)
}

// sentence describes the state of the recovery.
func (p *Progress) sentence(pages int) string {
	how := map[string]string{
		"running":   "is running",
		"completed": "has released everything there was",
		"canceled":  "was canceled",
		"stopped":   "stopped, because the webhook is not active any more",
	}[p.Status]
	released := fmt.Sprintf("%d of %d deliveries released", p.Released, p.Total)
	if p.Total < p.Released || p.Total == 0 { // they have not been counted yet
		released = counted(int(p.Released), "delivery", "deliveries") + " released"
	}
	if p.Skipped > 0 {
		released += fmt.Sprintf(" and %d skipped", p.Skipped)
	}
	return fmt.Sprintf("The recovery of %s of %s %s: %s, after %s.", Named(p.Name, p.Host, p.Webhook), cmp.Or(p.Tenant, "a deleted tenant"),
		cmp.Or(how, p.Status), released, counted(pages, "look", "looks"))
}
