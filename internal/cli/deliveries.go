package cli

import (
	"context"
	"time"

	"github.com/posthorn/posthorn/client"
)

// DeliveriesCommand is `posthorn deliveries`.
type DeliveriesCommand struct {
	List   DeliveriesListCommand   `cmd:"" help:"List deliveries, newest first."`
	Get    DeliveriesGetCommand    `cmd:"" help:"Draw a delivery's timeline: its attempts, the waits between them, and what comes next."`
	Retry  DeliveriesRetryCommand  `cmd:"" help:"Send a delivery now, whatever its status."`
	Cancel DeliveriesCancelCommand `cmd:"" help:"Cancel a delivery that is pending or held."`
}

// DeliveriesListCommand is `posthorn deliveries list`.
type DeliveriesListCommand struct {
	OfTenant
	Page
	Window
	Webhook   string `placeholder:"ID" help:"Only deliveries to this webhook." group:"List"`
	Event     string `placeholder:"ID" help:"Only deliveries of this event." group:"List"`
	EventType string `placeholder:"TYPE" help:"Only deliveries of events of this type." group:"List"`
	Query     string `short:"q" placeholder:"NAME" help:"Only deliveries that this finds: the id of a delivery, or the id, external id or a tag of its event." group:"List"`
	Test      bool   `help:"List the POSTs of tests, which no other list shows." group:"List"`
	Status    string `enum:",pending,delivered,failed,held,canceled" default:"" help:"Only deliveries in this status: pending, delivered, failed, held or canceled." group:"List"`
}

// Help has the examples.
func (*DeliveriesListCommand) Help() string {
	return `Examples:
  posthorn deliveries list --status failed --since 24h
  posthorn deliveries list --query order-4711
  posthorn deliveries list --webhook wh_0198c0de-0000-7000-8000-000000000002 -o json`
}

// Run lists.
func (c *DeliveriesListCommand) Run(ctx context.Context, env Environment) error {
	answer, err := pages(&c.Remote, c.Page, func(api *client.ClientWithResponses, limit *int64, after *string) (*client.ListDeliveriesResponse, error) {
		return api.ListDeliveriesWithResponse(ctx, c.Tenant, &client.ListDeliveriesParams{Limit: limit, After: after, WebhookID: given(c.Webhook),
			EventID: given(c.Event), EventType: given(c.EventType), Status: given(c.Status), Since: c.Since.when(), Until: c.Until.when(),
			Q: given(c.Query), Test: given(c.Test)})
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, rows("id,type,webhook,status,attempts,made,next attempt", func(d client.Delivery) []any {
		return []any{d.ID, d.EventType, d.WebhookID, d.Status, d.Attempts, d.CreatedAt, d.NextAttemptAt}
	}))
}

// OneDelivery is a command about one delivery.
type OneDelivery struct {
	OfTenant
	ID string `arg:"" help:"The delivery's id."`
}

func (c *OneDelivery) show(env Environment, answer []byte, err error) error {
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, func(p *printer, t client.Timeline) { drawTimeline(p, &t, time.Now()) })
}

// DeliveriesGetCommand is `posthorn deliveries get`.
type DeliveriesGetCommand struct{ OneDelivery }

// Help has the examples.
func (*DeliveriesGetCommand) Help() string {
	return `Examples:
  posthorn deliveries get dlv_0198c0de-0000-7000-8000-000000000005
  posthorn deliveries get dlv_0198c0de-0000-7000-8000-000000000005 -o json | jq '.attempts[-1].response_body'`
}

// Run draws the timeline.
func (c *DeliveriesGetCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.GetDeliveryResponse, error) {
		return api.GetDeliveryWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.show(env, answer, err)
}

// DeliveriesRetryCommand is `posthorn deliveries retry`.
type DeliveriesRetryCommand struct{ OneDelivery }

// Help has the examples.
func (*DeliveriesRetryCommand) Help() string {
	return `A pending delivery does not wait for its next attempt. A finished or held one starts its schedule again.

Example:
  posthorn deliveries retry dlv_0198c0de-0000-7000-8000-000000000005`
}

// Run retries.
func (c *DeliveriesRetryCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.RetryDeliveryResponse, error) {
		return api.RetryDeliveryWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.show(env, answer, err)
}

// DeliveriesCancelCommand is `posthorn deliveries cancel`.
type DeliveriesCancelCommand struct{ OneDelivery }

// Help has the examples.
func (*DeliveriesCancelCommand) Help() string {
	return `Example:
  posthorn deliveries cancel dlv_0198c0de-0000-7000-8000-000000000005`
}

// Run cancels.
func (c *DeliveriesCancelCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.CancelDeliveryResponse, error) {
		return api.CancelDeliveryWithResponse(ctx, c.Tenant, c.ID)
	})
	return c.show(env, answer, err)
}
