package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/posthorn/posthorn/client"
)

// EventsCommand is `posthorn events`.
type EventsCommand struct {
	Send   EventsSendCommand   `cmd:"" help:"Publish an event."`
	List   EventsListCommand   `cmd:"" help:"List events, newest first, or search them."`
	Get    EventsGetCommand    `cmd:"" help:"Show an event with its data and its deliveries."`
	Replay EventsReplayCommand `cmd:"" help:"Send an event again: to all webhooks that match it now, or to the named ones."`
}

// EventsSendCommand is `posthorn events send`.
type EventsSendCommand struct {
	OfTenant
	Type           string            `arg:"" help:"The event's type."`
	Data           JSONText          `arg:"" optional:"" default:"{}" help:"Its data: JSON, @FILE, or - for standard input. Default ${default}."`
	ID             string            `name:"id" help:"Your own id for it. An id is accepted only once." group:"Event"`
	Attributes     map[string]string `name:"attribute" mapsep:"none" placeholder:"NAME=VALUE" help:"A value that a profile's envelope carries next to the data; repeatable." group:"Event"`
	Channels       []string          `name:"channel" sep:"none" placeholder:"CHANNEL" help:"A channel: webhooks with channels get the event only if they share one. At most 5." group:"Event"`
	Tags           []string          `name:"tag" sep:"none" placeholder:"TAG" help:"A tag to search for. At most 5." group:"Event"`
	ExternalID     string            `name:"external-id" placeholder:"ID" help:"Your own id for it, to search for. It is not sent." group:"Event"`
	IdempotencyKey string            `placeholder:"KEY" help:"Repeating the command with the same key publishes no second event." group:"Event"`
}

// Help has the examples.
func (*EventsSendCommand) Help() string {
	return `Examples:
  posthorn events send order.created '{"order":"A-1001"}'
  posthorn events send order.created @order.json --id order-A-1001
  posthorn events send order.created @order.json --channel shop-1 --tag import --tag night --external-id A-1001
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
		ExternalID string            `json:"external_id,omitempty"`
		Channels   []string          `json:"channels,omitempty"`
		Tags       []string          `json:"tags,omitempty"`
	}{c.Type, c.ID, c.Attributes, c.ExternalID, c.Channels, c.Tags})
	if err != nil {
		return err
	}
	body = append(body[:len(body)-1], `,"data":`...) // by hand: encoding/json would reformat the data's bytes
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
	Type           string `help:"Only events of this type." group:"List"`
	ID             string `name:"id" placeholder:"ID" help:"Only the event with this id." group:"List"`
	Tag            string `help:"Only events with this tag." group:"List"`
	Channel        string `help:"Only events with this channel." group:"List"`
	Attribute      string `placeholder:"NAME=VALUE" help:"Only events with this attribute." group:"List"`
	ExternalID     string `name:"external-id" placeholder:"ID" help:"Only the event with this external id." group:"List"`
	IdempotencyKey string `placeholder:"KEY" help:"Only events published with this key in the last 24 hours." group:"List"`
	Text           string `short:"q" help:"Only events whose data contains this text, as it was posted. It scans every event from --since to --until, at most a day; default: the last 24 hours." group:"List"`
}

// Help has the examples.
func (*EventsListCommand) Help() string {
	return `Examples:
  posthorn events list --since 1h
  posthorn events list --type order.created --limit 1000 -o json | jq -r '.data[].id'
  posthorn events list --tag import --attribute customer=c-17
  posthorn events list --text A-1001`
}

// Run lists.
func (c *EventsListCommand) Run(ctx context.Context, env Environment) error {
	since, until := c.Since.when(), c.Until.when()
	if c.Text != "" && until == nil {
		until = new(time.Now())
	}
	if c.Text != "" && since == nil {
		since = new(until.Add(-24 * time.Hour))
	}
	attribute := c.Attribute
	if name, value, ok := strings.Cut(attribute, "="); ok {
		attribute = name + ":" + value // as the API has it
	} else if attribute != "" {
		return errors.New("--attribute: must be NAME=VALUE")
	}
	answer, err := pages(&c.Remote, c.Page, func(api *client.ClientWithResponses, limit *int64, after *string) (*client.ListEventsResponse, error) {
		return api.ListEventsWithResponse(ctx, c.Tenant, &client.ListEventsParams{Limit: limit, After: after, Type: given(c.Type),
			Since: since, Until: until, ID: given(c.ID), Tag: given(c.Tag), Channel: given(c.Channel), Attribute: given(attribute),
			ExternalID: given(c.ExternalID), IdempotencyKey: given(c.IdempotencyKey), Q: given(c.Text)})
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, rows("id,type,accepted,external id,channels,tags,erased", func(e client.Event) []any {
		return []any{e.ID, e.Type, e.CreatedAt, e.ExternalID, e.Channels, e.Tags, e.ErasedAt}
	}))
}

// EventsGetCommand is `posthorn events get`.
type EventsGetCommand struct {
	OfTenant
	ID string `arg:"" help:"The event's id."`
}

// Help has the examples.
func (*EventsGetCommand) Help() string {
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
		p.fields("event", e.ID, "type", e.Type, "accepted", e.CreatedAt, "external id", e.ExternalID, "channels", e.Channels, "tags", e.Tags,
			"data erased", e.ErasedAt)
		for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
			p.fields("attribute "+name, e.Attributes[name])
		}
		p.json("data", e.Data)
		if !e.FannedOut {
			p.line("Not all its deliveries exist yet.")
		}
		if len(e.Deliveries) == 0 {
			if e.FannedOut {
				p.line("It matched no webhook.")
			}
			return
		}
		p.header("delivery", "webhook", "status")
		for _, d := range e.Deliveries {
			p.row(d.ID, d.WebhookID, d.Status)
		}
	})
}

// EventsReplayCommand is `posthorn events replay`.
type EventsReplayCommand struct {
	OfTenant
	ID      string   `arg:"" help:"The event's id."`
	Webhook []string `sep:"none" placeholder:"ID" help:"Only to this webhook, by id or uid; repeatable. Default: to all that match the event now." group:"Replay"`
}

// Help has the examples.
func (*EventsReplayCommand) Help() string {
	return `It also goes to webhooks that did not exist when it was accepted. Pending deliveries are left alone.
To more than 100 webhooks it is sent in the background, by a recovery.

Examples:
  posthorn events replay evt_0198c0de-0000-7000-8000-000000000004
  posthorn events replay order-A-1001 --webhook wh_0198c0de-0000-7000-8000-000000000002`
}

// Run replays.
func (c *EventsReplayCommand) Run(ctx context.Context, env Environment) error {
	in := client.ReplayInput{}
	if len(c.Webhook) > 0 {
		in.WebhookIds = &c.Webhook
	}
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.ReplayEventResponse, error) {
		return api.ReplayEventWithResponse(ctx, c.Tenant, c.ID, in)
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, func(p *printer, r client.Replayed) {
		switch {
		case r.ID != nil:
			p.line("The recovery " + *r.ID + " sends it, to more than 100 webhooks: see posthorn recoveries get.")
		case r.Deliveries == nil || len(*r.Deliveries) == 0:
			p.line("It matches no webhook.")
		default:
			p.header("delivery", "webhook", "status")
			for i := range *r.Deliveries {
				d := &(*r.Deliveries)[i]
				p.row(d.ID, d.WebhookID, d.Status)
			}
		}
	})
}
