package cli

import (
	"bytes"
	"context"
	"fmt"

	"github.com/posthorn/posthorn/client"
)

// EventTypesCommand is `posthorn event-types`.
type EventTypesCommand struct {
	List   EventTypesListCommand   `cmd:"" help:"List event types: those that all tenants share (admin key), or those that the tenant can publish (tenant's key)."`
	Get    EventTypesGetCommand    `cmd:"" help:"Show an event type."`
	Put    EventTypesPutCommand    `cmd:"" help:"Create or replace an event type that all tenants share. For admin keys."`
	Delete EventTypesDeleteCommand `cmd:"" help:"Delete an event type that all tenants share. For admin keys."`
	Export EventTypesExportCommand `cmd:"" help:"Print the event types as the webhooks of an OpenAPI 3.1 document."`
	Import EventTypesImportCommand `cmd:"" help:"Create or replace the shared event types of an OpenAPI 3.1 document. For admin keys."`
}

// EventTypesListCommand is `posthorn event-types list`.
type EventTypesListCommand struct {
	Remote
	Page
}

// Help has the examples.
func (*EventTypesListCommand) Help() string {
	return `Example:
  posthorn event-types list --limit 1000 -o json | jq -r '.data[].name'`
}

// Run lists.
func (c *EventTypesListCommand) Run(ctx context.Context, env Environment) error {
	answer, err := pages(&c.Remote, c.Page, func(api *client.ClientWithResponses, limit *int64, after *string) (*client.ListEventTypesResponse, error) {
		return api.ListEventTypesWithResponse(ctx, &client.ListEventTypesParams{Limit: limit, After: after})
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, rows("name,system,deprecated,description", func(t client.EventType) []any {
		return []any{t.Name, t.System, yes(t.Deprecated), t.Description}
	}))
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return ""
}

// OneEventType is a command about one event type.
type OneEventType struct {
	Remote
	Name string `arg:"" help:"The event type's name."`
}

func (c *OneEventType) show(env Environment, answer []byte, err error) error {
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, func(p *printer, t client.EventType) {
		p.fields("event type", t.Name, "tenant", t.Tenant, "system", t.System, "title", t.Title, "category", t.Category, "description", t.Description,
			"documentation", t.Documentation, "deprecated", yes(t.Deprecated), "created", t.CreatedAt, "updated", t.UpdatedAt)
		p.json("schema", t.Schema)
		p.json("example", t.Example)
	})
}

// EventTypesGetCommand is `posthorn event-types get`.
type EventTypesGetCommand struct{ OneEventType }

// Help has the examples.
func (*EventTypesGetCommand) Help() string {
	return `Example:
  posthorn event-types get order.created -o json | jq .schema`
}

// Run shows the type.
func (c *EventTypesGetCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.GetEventTypeResponse, error) {
		return api.GetEventTypeWithResponse(ctx, c.Name)
	})
	return c.show(env, answer, err)
}

// EventTypesPutCommand is `posthorn event-types put`.
type EventTypesPutCommand struct {
	OneEventType
	Description string   `help:"What it means." group:"Event type"`
	Schema      JSONText `placeholder:"JSON" help:"The JSON Schema of its data: JSON, @FILE, or - for standard input." group:"Event type"`
	Example     JSONText `placeholder:"JSON" help:"Data that matches the schema: JSON, @FILE, or - for standard input." group:"Event type"`
	Deprecated  bool     `help:"Mark it as deprecated." group:"Event type"`
}

// Help has the examples.
func (*EventTypesPutCommand) Help() string {
	return `Options that you omit become empty.

Example:
  posthorn event-types put order.created --description 'An order has been placed.' --schema @order.schema.json`
}

// Run creates or replaces.
func (c *EventTypesPutCommand) Run(ctx context.Context, env Environment) error {
	schema, err := c.Schema.read("--schema")
	if err != nil {
		return err
	}
	example, err := c.Example.read("--example")
	if err != nil {
		return err
	}
	in := client.EventTypeInput{Description: given(c.Description), Schema: schema, Example: example, Deprecated: given(c.Deprecated)}
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.PutEventTypeResponse, error) {
		return api.PutEventTypeWithResponse(ctx, c.Name, in)
	})
	return c.show(env, answer, err)
}

// EventTypesDeleteCommand is `posthorn event-types delete`.
type EventTypesDeleteCommand struct{ OneEventType }

// Help has the examples.
func (*EventTypesDeleteCommand) Help() string {
	return `Webhooks registered for it stay, but get no more events of it.

Example:
  posthorn event-types delete order.created`
}

// Run deletes.
func (c *EventTypesDeleteCommand) Run(ctx context.Context, env Environment) error {
	_, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.DeleteEventTypeResponse, error) {
		return api.DeleteEventTypeWithResponse(ctx, c.Name)
	})
	return c.deleted(env, "event type "+c.Name, err)
}

// EventTypesExportCommand is `posthorn event-types export`.
type EventTypesExportCommand struct{ Remote }

// Help has the examples.
func (*EventTypesExportCommand) Help() string {
	return `An admin key prints the types that all tenants share, a tenant's key those that the tenant can publish.

Example:
  posthorn event-types export >event-types.json`
}

// Run prints the document.
func (c *EventTypesExportCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.ExportEventTypesResponse, error) {
		return api.ExportEventTypesWithResponse(ctx)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Out, "%s\n", answer)
	return err
}

// EventTypesImportCommand is `posthorn event-types import`.
type EventTypesImportCommand struct {
	Remote
	Document JSONText `arg:"" help:"The document: @FILE, - for standard input, or JSON."`
	DryRun   bool     `help:"Only report what would change." group:"Import"`
	Replace  bool     `help:"Also delete shared types that are not in the document. Fails if a webhook is registered for one of them." group:"Import"`
}

// Help has the examples.
func (*EventTypesImportCommand) Help() string {
	return `Examples:
  posthorn event-types import @event-types.json --dry-run --replace
  curl -s https://shop.example/openapi.json | posthorn event-types import -`
}

// Run imports.
func (c *EventTypesImportCommand) Run(ctx context.Context, env Environment) error {
	document, err := c.Document.read("DOCUMENT")
	if err != nil {
		return err
	}
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.ImportEventTypesResponse, error) {
		return api.ImportEventTypesWithBodyWithResponse(ctx, &client.ImportEventTypesParams{DryRun: given(c.DryRun), Replace: given(c.Replace)},
			"application/json", bytes.NewReader(document))
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, func(p *printer, i client.ImportedTypes) {
		if i.DryRun {
			p.line("Nothing was changed: --dry-run.")
		}
		p.fields("created", i.Created, "updated", i.Updated, "deleted", i.Deleted, "unchanged", i.Unchanged)
	})
}
