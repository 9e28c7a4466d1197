package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Tenant is a tenant as the API shows it.
type Tenant struct {
	ID          string            `json:"id" example:"acme"`
	UID         *string           `json:"uid" doc:"Another name for it, which can replace its id in paths; null = none." example:"crm-4711"`
	Name        string            `json:"name" example:"Acme Ltd"`
	Metadata    map[string]string `json:"metadata"`
	AdminEmails []string          `json:"admin_emails" doc:"The addresses that get a mail when a webhook keeps failing." example:"ops@acme.example"`
	Limits      Limits            `json:"limits"`
	CreatedAt   timestamp         `json:"created_at"`
	UpdatedAt   timestamp         `json:"updated_at"`
}

// Limits are the most webhooks and keys that a tenant may have.
type Limits struct {
	Webhooks *int64   `json:"webhooks" doc:"The most webhooks; null = what the installation allows every tenant (POSTHORN_MAX_WEBHOOKS)." example:"500"`
	Rate     *float64 `json:"rate" doc:"The most deliveries a second to all of its webhooks together; null = no limit." example:"100"`
	Keys     *int64   `json:"keys" doc:"The most keys in force; null = what the installation allows every tenant (POSTHORN_MAX_KEYS)." example:"20"`
}

func tenantView(t models.Tenant) Tenant {
	return Tenant{ID: t.Slug, UID: orNull(t.UID), Metadata: orEmpty(t.Metadata), Name: t.Name, AdminEmails: t.AdminEmails, Limits: Limits{Webhooks: t.MaxWebhooks, Keys: t.MaxKeys, Rate: orNull(t.RateLimit)}, CreatedAt: timestamp(t.CreatedAt), UpdatedAt: timestamp(t.UpdatedAt)}
}

// TenantInput describes a tenant to create or replace.
type TenantInput struct {
	TenantReadOnly
	Name        string            `json:"name,omitempty" doc:"At most 200 characters." example:"Acme Ltd"`
	AdminEmails []string          `json:"admin_emails,omitempty" doc:"At most 20 addresses." example:"ops@acme.example"`
	Metadata    map[string]string `json:"metadata,omitempty" doc:"The platform's own notes: at most 50, of names up to 100 characters and values up to 1000."`
	// UID and Limits are read-only here: PATCH changes them.
	UID    json.RawMessage `json:"uid,omitempty" readOnly:"true" doc:"Read-only here: PATCH changes it."`
	Limits json.RawMessage `json:"limits,omitempty" readOnly:"true" doc:"Read-only here: PATCH changes them."`
}

// readOnly returns the fields that may only repeat their current values.
func (t *TenantInput) readOnly() any {
	return struct {
		TenantReadOnly
		UID    json.RawMessage `json:"uid,omitempty"`
		Limits json.RawMessage `json:"limits,omitempty"`
	}{t.TenantReadOnly, t.UID, t.Limits}
}

// TenantPatch is a change of a tenant. Absent fields stay as they are; null unsets.
type TenantPatch struct {
	TenantReadOnly
	Name        optional[string]            `json:"name,omitzero" doc:"At most 200 characters."`
	AdminEmails optional[[]string]          `json:"admin_emails,omitzero" doc:"Replaces the addresses as a whole."`
	UID         optional[string]            `json:"uid,omitzero" doc:"Another name for it, which no other tenant has as uid or id. 1 to 256 letters, digits, dots, dashes or underscores."`
	Metadata    optional[map[string]string] `json:"metadata,omitzero" doc:"Replaces the metadata as a whole."`
	Limits      optional[LimitsPatch]       `json:"limits,omitzero" doc:"null = the installation's limits, and no rate."`
}

// LimitsPatch is a change of a tenant's limits.
type LimitsPatch struct {
	Webhooks optional[int64]   `json:"webhooks,omitzero" minimum:"0" maximum:"1000000" doc:"The most webhooks. null = the installation's limit."`
	Rate     optional[float64] `json:"rate,omitzero" minimum:"0" maximum:"10000" doc:"The most deliveries a second to all of its webhooks together. null or 0 = no limit."`
	Keys     optional[int64]   `json:"keys,omitzero" minimum:"0" maximum:"100000" doc:"The most keys in force. null = the installation's limit."`
}

// limitOf returns a limit's change, nil if the field is absent.
func limitOf(o optional[int64]) *service.Limit {
	if !o.given {
		return nil
	}
	return &service.Limit{Most: o.value}
}

func (p *TenantPatch) change() service.TenantChange {
	limits := LimitsPatch{}
	if p.Limits.given {
		limits = *p.Limits.or(LimitsPatch{Webhooks: optional[int64]{given: true}, Keys: optional[int64]{given: true}, Rate: optional[float64]{given: true}})
	}
	return service.TenantChange{Name: p.Name.or(""), UID: p.UID.or(""), Metadata: p.Metadata.or(nil), AdminEmails: p.AdminEmails.or(nil), MaxWebhooks: limitOf(limits.Webhooks), MaxKeys: limitOf(limits.Keys), RateLimit: limits.Rate.or(0)}
}

// OfTenant holds the path parameters of everything that belongs to a tenant. Like the others of its kind it is
// exported for huma, which ignores embedded types that are not.
type OfTenant struct {
	Tenant string `path:"tenant" doc:"The tenant's id, or its uid." example:"acme"`
}

type putTenant struct {
	OfTenant
	Body TenantInput
}

type patchTenant struct {
	OfTenant
	Body TenantPatch
}

type tenantAnswer struct {
	Status int
	Body   Tenant
}

func (s *server) tenants() {
	handleWhole(s, founders, huma.Operation{
		OperationID: "put-tenant", Method: http.MethodPut, Path: "/v1/tenants/{tenant}", Tags: []string{tagTenants},
		Summary:     "Create or replace a tenant",
		Description: "The caller chooses the id: 1 to 64 letters, digits, dots, dashes or underscores. Fields that the body omits become empty. The tenant's uid and limits stay. A tenant can be sent back exactly as it was read: unchanged fields stay untouched.",
		Responses:   map[string]*huma.Response{"201": s.response("Created", typeOf[Tenant]()), "200": s.response("Replaced", typeOf[Tenant]())},
	}, s.putTenant)
	handle(s, admins, huma.Operation{
		OperationID: "list-tenants", Method: http.MethodGet, Path: "/v1/tenants", Tags: []string{tagTenants}, Summary: "List tenants",
	}, s.listTenants)
	handle(s, readers, huma.Operation{
		OperationID: "get-tenant", Method: http.MethodGet, Path: "/v1/tenants/{tenant}", Tags: []string{tagTenants}, Summary: "Read a tenant",
	}, s.getTenant)
	handleWhole(s, admins, huma.Operation{
		OperationID: "patch-tenant", Method: http.MethodPatch, Path: "/v1/tenants/{tenant}", Tags: []string{tagTenants}, Summary: "Change a tenant, its uid, or its limits",
		Description: "Changes the fields in the body. A limit below the current number removes nothing. It only stops new webhooks or keys, which get 409.",
	}, s.patchTenant)
	handle(s, admins, huma.Operation{
		OperationID: "delete-tenant", Method: http.MethodDelete, Path: "/v1/tenants/{tenant}", Tags: []string{tagTenants}, Summary: "Delete a tenant",
		Description: "Deletes its keys, webhooks, events and deliveries too. The call answers at once, and the id is free again. The tenant's data is removed in the background. Nothing more is sent to its webhooks.",
	}, s.deleteTenant)
}

func (s *server) putTenant(ctx context.Context, in *putTenant) (*tenantAnswer, error) {
	wrong, err := s.changedOfTenant(ctx, in.Tenant, in.Body.readOnly())
	if err != nil {
		return nil, err
	}
	t, created, err := s.Service.PutTenant(ctx, models.Tenant{ID: in.Tenant, Name: in.Body.Name, Metadata: in.Body.Metadata, AdminEmails: in.Body.AdminEmails}, append(wrongAlready(ctx), wrong...)...)
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return &tenantAnswer{Status: status, Body: tenantView(t)}, nil
}

// changedOfTenant names the read-only fields that differ from the tenant's current state. A new tenant has its id, no
// uid, and no limits of its own.
func (s *server) changedOfTenant(ctx context.Context, tenant string, readOnly any) ([]service.FieldError, error) {
	return changed(readOnly, func() (any, error) {
		t, err := s.Store.TenantBySlug(ctx, tenant)
		if errors.Is(err, models.ErrNotFound) {
			return map[string]any{"id": tenant, "uid": nil, "limits": Limits{}}, nil
		}
		return tenantView(t), err
	})
}

func (s *server) listTenants(ctx context.Context, in *PageParams) (*answer[list[Tenant]], error) {
	rows, next, err := s.Service.Tenants(ctx, in.page())
	if err != nil {
		return nil, err
	}
	return answerWith(listOf(rows, next, tenantView)), nil
}

func (s *server) getTenant(ctx context.Context, in *OfTenant) (*answer[Tenant], error) {
	t, err := s.Service.Tenant(ctx, in.Tenant)
	if err != nil {
		return nil, err
	}
	return answerWith(tenantView(t)), nil
}

func (s *server) patchTenant(ctx context.Context, in *patchTenant) (*answer[Tenant], error) {
	wrong, err := s.changedOfTenant(ctx, in.Tenant, in.Body.TenantReadOnly)
	if err != nil {
		return nil, err
	}
	t, err := s.Service.UpdateTenant(ctx, in.Tenant, in.Body.change(), append(wrongAlready(ctx), wrong...)...)
	if err != nil {
		return nil, err
	}
	return answerWith(tenantView(t)), nil
}

func (s *server) deleteTenant(ctx context.Context, in *OfTenant) (*struct{}, error) {
	return nil, s.Service.DeleteTenant(ctx, in.Tenant)
}
