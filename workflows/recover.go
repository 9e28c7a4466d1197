package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"
)

// pagesARun is how many pages a run releases before it continues as new.
const pagesARun = 200

// breath is the least pause between two pages: enough for the dispatches of a page to get
// going, so that a large recovery does not start them all at once.
const breath = 200 * time.Millisecond

// Recover releases what was held for a webhook, or has failed, page by page until nothing is left. Where it is
// stands in the database, which also tells it that it has been canceled.
func Recover(ctx workflow.Context, in RecoverInput) (Progress, error) {
	for range pagesARun {
		var p Progress
		if err := workflow.ExecuteLocalActivity(short(ctx), ReleasePage, in.RecoveryID).Get(ctx, &p); err != nil {
			return p, err
		}
		in.Pages++
		workflow.SetCurrentDetails(ctx, fmt.Sprintf("%s: %d of %d released, in %d pages\n", p.Status, p.Released, p.Total, in.Pages))
		if in.Pages == 1 || !p.Running {
			err := workflow.UpsertTypedSearchAttributes(ctx, StatusAttribute.ValueSet(p.Status),
				TenantAttribute.ValueSet([]string{p.Tenant}), WebhookAttribute.ValueSet([]string{p.Webhook}))
			if err != nil || !p.Running {
				return p, err
			}
		}
		if err := workflow.Sleep(ctx, max(p.Pause, breath)); err != nil {
			return p, err
		}
	}
	return Progress{}, workflow.NewContinueAsNewError(ctx, RecoverType, in)
}
