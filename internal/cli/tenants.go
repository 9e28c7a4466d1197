package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/posthorn/posthorn/client"
)

// TenantsCommand is `posthorn tenants`.
type TenantsCommand struct {
	List   TenantsListCommand   `cmd:"" help:"List tenants. For admin keys."`
	Get    TenantsGetCommand    `cmd:"" help:"Show a tenant."`
	Put    TenantsPutCommand    `cmd:"" help:"Create a tenant, or replace its name, addresses and metadata. For admin keys."`
	Update TenantsUpdateCommand `cmd:"" help:"Change a tenant's name, uid, addresses, metadata or limits. For admin keys."`
	Delete TenantsDeleteCommand `cmd:"" help:"Delete a tenant and everything in it. For admin keys."`
}

// TenantsListCommand is `posthorn tenants list`.
type TenantsListCommand struct {
	Remote
	Page
}

// Help has the examples.
func (*TenantsListCommand) Help() string {
	return `Example:
  posthorn tenants list --limit 1000 -o json | jq -r '.data[].id'`
}

// Run lists.
func (c *TenantsListCommand) Run(ctx context.Context, env Environment) error {
	answer, err := pages(&c.Remote, c.Page, func(api *client.ClientWithResponses, limit *int64, after *string) (*client.ListTenantsResponse, error) {
		return api.ListTenantsWithResponse(ctx, &client.ListTenantsParams{Limit: limit, After: after})
	})
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, rows("id,name,administrators,created", func(t client.Tenant) []any {
		return []any{t.ID, t.Name, t.AdminEmails, t.CreatedAt}
	}))
}

// OneTenant is a command about one tenant.
type OneTenant struct {
	Remote
	ID string `arg:"" help:"The tenant's id, or its uid."`
}

func (c *OneTenant) show(env Environment, answer []byte, err error) error {
	if err != nil {
		return err
	}
	return show(&c.Remote, env, answer, func(p *printer, t client.Tenant) {
		p.fields("tenant", t.ID, "uid", t.UID, "name", t.Name, "metadata", pairsOf(t.Metadata), "administrators", t.AdminEmails, "webhooks at most", t.Limits.Webhooks, "keys at most", t.Limits.Keys, "deliveries a second", t.Limits.Rate,
			"created", t.CreatedAt, "updated", t.UpdatedAt)
	})
}

// TenantsGetCommand is `posthorn tenants get`.
type TenantsGetCommand struct{ OneTenant }

// Help has the examples.
func (*TenantsGetCommand) Help() string {
	return `Example:
  posthorn tenants get acme`
}

// Run shows the tenant.
func (c *TenantsGetCommand) Run(ctx context.Context, env Environment) error {
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.GetTenantResponse, error) {
		return api.GetTenantWithResponse(ctx, c.ID)
	})
	return c.show(env, answer, err)
}

// TenantsPutCommand is `posthorn tenants put`.
type TenantsPutCommand struct {
	OneTenant
	Name       string            `help:"Its name." group:"Tenant"`
	AdminEmail []string          `placeholder:"ADDRESS" help:"Address that gets a mail when a webhook keeps failing; repeatable." group:"Tenant"`
	Metadata   map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"Your own note; repeatable." group:"Tenant"`
}

// Help has the examples.
func (*TenantsPutCommand) Help() string {
	return `Options that you omit become empty.

Example:
  posthorn tenants put acme --name 'Acme Ltd' --admin-email ops@acme.example`
}

// Run creates or replaces.
func (c *TenantsPutCommand) Run(ctx context.Context, env Environment) error {
	in := client.TenantInput{Name: given(c.Name)}
	if len(c.AdminEmail) > 0 {
		in.AdminEmails = &c.AdminEmail
	}
	if len(c.Metadata) > 0 {
		in.Metadata = &c.Metadata
	}
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.PutTenantResponse, error) {
		return api.PutTenantWithResponse(ctx, c.ID, in)
	})
	return c.show(env, answer, err)
}

// TenantsUpdateCommand is `posthorn tenants update`.
type TenantsUpdateCommand struct {
	OneTenant
	Name        *string           `help:"Its name." group:"Tenant"`
	UID         *string           `name:"uid" help:"Another name for it, of no other tenant. Empty: none." group:"Tenant"`
	AdminEmail  []string          `placeholder:"ADDRESS" help:"Who is written to when a webhook keeps failing, any number of times. Replaces all that there are." group:"Tenant"`
	Metadata    map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A note of your own, any number of times. Replaces all that there are." group:"Tenant"`
	MaxWebhooks *TenantLimit      `placeholder:"N" help:"The most webhooks, or default: as many as the installation allows every tenant." group:"Tenant"`
	Rate        *float64          `placeholder:"N" help:"The most deliveries a second to all of its webhooks together. 0: no limit." group:"Tenant"`
	MaxKeys     *TenantLimit      `placeholder:"N" help:"The most keys, or default: as many as the installation allows every tenant." group:"Tenant"`
}

// TenantLimit is a limit of a tenant on the command line.
type TenantLimit struct {
	Most *int64 // nil = the installation's
}

// UnmarshalText reads a number, or default.
func (l *TenantLimit) UnmarshalText(text []byte) error {
	if string(text) == "default" {
		return nil
	}
	most, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || most < 0 {
		return errors.New("must be a whole number, or default")
	}
	l.Most = &most
	return nil
}

// Help has the examples.
func (*TenantsUpdateCommand) Help() string {
	return `What is left out stays. A limit below what the tenant has removes nothing: it only stops new ones.

Examples:
  posthorn tenants update acme --uid crm-4711 --max-webhooks 500
  posthorn tenants update acme --max-webhooks default`
}

// Run changes.
func (c *TenantsUpdateCommand) Run(ctx context.Context, env Environment) error {
	in, limits := map[string]any{}, map[string]any{}
	if c.Name != nil {
		in["name"] = *c.Name
	}
	if c.UID != nil {
		in["uid"] = given(*c.UID)
	}
	if len(c.AdminEmail) > 0 {
		in["admin_emails"] = c.AdminEmail
	}
	if len(c.Metadata) > 0 {
		in["metadata"] = c.Metadata
	}
	for name, limit := range map[string]*TenantLimit{"webhooks": c.MaxWebhooks, "keys": c.MaxKeys} {
		if limit != nil {
			limits[name] = limit.Most
		}
	}
	if c.Rate != nil {
		limits["rate"] = given(*c.Rate)
	}
	if len(limits) > 0 {
		in["limits"] = limits
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.PatchTenantResponse, error) {
		return api.PatchTenantWithBodyWithResponse(ctx, c.ID, "application/json", bytes.NewReader(body)) // null must be sent
	})
	return c.show(env, answer, err)
}

// TenantsDeleteCommand is `posthorn tenants delete`.
type TenantsDeleteCommand struct {
	OneTenant
	Yes bool `help:"Confirm the deletion. Required." group:"Delete"`
}

// Help has the examples.
func (*TenantsDeleteCommand) Help() string {
	return `Its keys, webhooks, events and deliveries are deleted too.

Example:
  posthorn tenants delete acme --yes`
}

// Run deletes.
func (c *TenantsDeleteCommand) Run(ctx context.Context, env Environment) error {
	if !c.Yes {
		return errors.New("--yes must be set: the tenant's keys, webhooks, events and deliveries are deleted too")
	}
	_, err := call(&c.Remote, func(api *client.ClientWithResponses) (*client.DeleteTenantResponse, error) {
		return api.DeleteTenantWithResponse(ctx, c.ID)
	})
	return c.deleted(env, "tenant "+c.ID, err)
}
