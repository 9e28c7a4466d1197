package cli

import (
	"context"

	"github.com/posthorn/posthorn/client"
)

// RecoveriesCommand is `posthorn recoveries`.
type RecoveriesCommand struct {
	List   RecoveriesListCommand   `cmd:"" help:"List recoveries, newest first."`
	Get    RecoveriesGetCommand    `cmd:"" help:"Show a recovery and its progress."`
	Cancel RecoveriesCancelCommand `cmd:"" help:"Cancel a recovery. Deliveries that it has released stay released."`
}

// RecoveriesListCommand is `posthorn recoveries list`.
type RecoveriesListCommand struct {
	OfTenant
	Page
	Webhook string `placeholder:"ID" help:"Only recoveries of this webhook, by id or uid." group:"List"`
}

// Help has the examples.
func (*RecoveriesListCommand) Help() string {
	return `Examples:
  posthorn recoveries list
  posthorn recoveries list --webhook wh_0198c0de-0000-7000-8000-000000000002 -o json | jq '.data[0].released'`
}

// Run lists.
func (c *RecoveriesListCommand) Run(ctx context.Context, env Environment) error {
	answer, err := pages(&c.Remote, c.Page, func(api *client.ClientWithResponses, limit *int64, after *string) (*client.ListRecoveriesResponse, error) {
		return api.ListRecoveriesWithResponse(ctx, c.Tenant, &client.ListRecoveriesParams{Limit: limit, After: after, WebhookID: given(c.Webhook)})
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, rows("id,of,status,total,released,skipped,delivered,failed,made", func(r client.Recovery) []any {
		of := r.WebhookID
		if of == nil {
			of = r.EventID
		}
		return []any{r.ID, of, r.Status, r.Total, r.Released, r.Skipped, r.Delivered, r.Failed, r.CreatedAt}
	}))
}

// OneRecovery is a command about one recovery.
type OneRecovery struct {
	OfTenant
	ID string `arg:"" help:"The recovery's id."`
}

func (c *OneRecovery) show(env Environment, answer []byte, err error) error {
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, drawRecovery)
}

func drawRecovery(p *printer, r client.Recovery) {
	p.fields("recovery", r.ID, "webhook", r.WebhookID, "event", r.EventID, "status", r.Status, "statuses", r.Statuses, "missed", yes(r.Missed),
		"event types", r.EventTypes, "since", r.Since, "until", r.Until, "rate", r.Rate, "total", r.Total, "released", r.Released, "skipped", r.Skipped,
		"delivered", r.Delivered, "failed", r.Failed, "made", r.CreatedAt, "finished", r.FinishedAt, "workflow", r.WorkflowID, "web UI", r.UIURL)
}

// RecoveriesGetCommand is `posthorn recoveries get`.
type RecoveriesGetCommand struct{ OneRecovery }

// Help has the examples.
func (*RecoveriesGetCommand) Help() string {
	return `Example:
  posthorn recoveries get rec_0198c0de-0000-7000-8000-000000000003`
}

// Run shows the recovery.
func (c *RecoveriesGetCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.GetRecoveryResponse, error) {
		return api.GetRecoveryWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.show(env, answer, err)
}

// RecoveriesCancelCommand is `posthorn recoveries cancel`.
type RecoveriesCancelCommand struct{ OneRecovery }

// Help has the examples.
func (*RecoveriesCancelCommand) Help() string {
	return `Example:
  posthorn recoveries cancel rec_0198c0de-0000-7000-8000-000000000003`
}

// Run cancels.
func (c *RecoveriesCancelCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.CancelRecoveryResponse, error) {
		return api.CancelRecoveryWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.show(env, answer, err)
}
