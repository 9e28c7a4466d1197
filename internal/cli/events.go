package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/posthorn/posthorn/client"
)

// EventsCommand is `posthorn events`.
type EventsCommand struct {
	Send EventsSendCommand `cmd:"" help:"Publish an event."`
	List EventsListCommand `cmd:"" help:"List events, newest first."`
	Get  EventsGetCommand  `cmd:"" help:"Show an event with its data and its deliveries."`
}

// EventsSendCommand is `posthorn events send`.
type EventsSendCommand struct {
	OfTenant
	Type           string            `arg:"" help:"The event's type."`
	Data           JSONText          `arg:"" optional:"" default:"{}" help:"Its data: JSON, @FILE, or - for standard input. Default ${default}."`
	ID             string            `name:"id" help:"An id of your own; it is accepted once." group:"Event"`
	Attributes     map[string]string `name:"attribute" mapsep:"none" placeholder:"NAME=VALUE" help:"What a profile's envelope carries beside the data, any number of times." group:"Event"`
	IdempotencyKey string            `placeholder:"KEY" help:"Repeating the command with the same key publishes no second event." group:"Event"`
}

// Help has the examples.
func (EventsSendCommand) Help() string {
	return `Examples:
  posthorn events send order.created '{"order":"A-1001"}'
  posthorn events send order.created @order.json --id order-A-1001
  jq -c .order orders.json | posthorn events send order.created - -o json`
}

// Run publishes.
func (c *EventsSendCommand) Run(ctx context.Context, env Environment) error {
	data, err := c.Data.read("DATA")
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Type       string            `json:"type"`
		ID         string            `json:"id,omitempty"`
		Attributes map[string]string `json:"attributes,omitempty"`
	}{c.Type, c.ID, c.Attributes})
	if err != nil {
		return err
	}
	body = append(body[:len(body)-1], `,"data":`...) // by hand: encoding/json would write the data's bytes in its own way
	body = append(append(body, data...), '}')
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.PublishEventResponse, error) {
		return api.PublishEventWithBodyWithResponse(ctx, c.Tenant, &client.PublishEventParams{IdempotencyKey: given(c.IdempotencyKey)},
			"application/json", bytes.NewReader(body))
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, func(p *printer, a client.Accepted) {
		p.fields("event", a.ID, "workflow", a.WorkflowID)
	})
}

// EventsListCommand is `posthorn events list`.
type EventsListCommand struct {
	OfTenant
	Page
	Window
	Type string `help:"Only those of this type." group:"List"`
}

// Help has the examples.
func (EventsListCommand) Help() string {
	return `Examples:
  posthorn events list --since 1h
  posthorn events list --type order.created --limit 1000 -o json | jq -r '.data[].id'`
}

// Run lists.
func (c *EventsListCommand) Run(ctx context.Context, env Environment) error {
	answer, err := pages(&c.Remote, c.Page, func(api *client.ClientWithResponses, limit *int64, after *string) (*client.ListEventsResponse, error) {
		return api.ListEventsWithResponse(ctx, c.Tenant, &client.ListEventsParams{Limit: limit, After: after, Type: given(c.Type),
			Since: c.Since.when(), Until: c.Until.when()})
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, rows("id,type,accepted,erased", func(e client.Event) []any {
		return []any{e.ID, e.Type, e.CreatedAt, e.ErasedAt}
	}))
}

// EventsGetCommand is `posthorn events get`.
type EventsGetCommand struct {
	OfTenant
	ID string `arg:"" help:"The event's id."`
}

// Help has the examples.
func (EventsGetCommand) Help() string {
	return `Examples:
  posthorn events get evt_0198c0de-0000-7000-8000-000000000004
  posthorn events get order-A-1001 -o json | jq .data`
}

// Run shows the event.
func (c *EventsGetCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.GetEventResponse, error) {
		return api.GetEventWithResponse(ctx, c.Tenant, c.ID)
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, func(p *printer, e client.FullEvent) {
		p.fields("event", e.ID, "type", e.Type, "accepted", e.CreatedAt, "data erased", e.ErasedAt)
		for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
			p.fields("attribute "+name, e.Attributes[name])
		}
		p.json("data", e.Data)
		if !e.FannedOut {
			p.line("Not all its deliveries exist yet: more than 1,000 webhooks want it.")
		}
		if len(e.Deliveries) == 0 {
			p.line("No webhook wanted it.")
			return
		}
		p.header("delivery", "webhook", "status")
		for _, d := range e.Deliveries {
			p.row(d.ID, d.WebhookID, d.Status)
		}
	})
}
