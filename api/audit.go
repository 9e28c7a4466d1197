package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/models"
)

// AuditEntry is one change, with its actor.
type AuditEntry struct {
	ID        string             `json:"id" example:"aud_0198c0de-0000-7000-8000-000000000007"`
	At        timestamp          `json:"at"`
	Tenant    *string            `json:"tenant" doc:"The tenant's id; null if the change is about the whole installation." example:"acme"`
	Actor     AuditActor         `json:"actor"`
	Action    models.AuditAction `json:"action" doc:"What was done: docs/security.md lists the actions." example:"webhook.updated"`
	Target    AuditTarget        `json:"target"`
	Changes   map[string]any     `json:"changes" doc:"The fields that changed. It never contains secrets or header values, and URLs come without their query."`
	RequestID *string            `json:"request_id" doc:"The X-Request-Id of the call's answer; null if Posthorn acted by itself."`
	Address   *string            `json:"address" doc:"The caller's IP address; null for a tenant's keys if the platform's staff made the call." example:"192.0.2.7"`
}

// AuditActor says who or what made a change.
type AuditActor struct {
	Kind string `json:"kind" enum:"admin,staff,key,link,system" doc:"key: one of the tenant's keys. link: a portal link. admin: an admin key. staff: the platform's staff; a tenant's keys see no more than that. system: Posthorn itself."`
	ID   string `json:"id,omitempty" doc:"The id of the key or the portal link." example:"key_0198c0de-0000-7000-8000-000000000001"`
	Name string `json:"name,omitempty" doc:"The name of the key or the portal link." example:"ci"`
}

// AuditTarget is the thing that was changed.
type AuditTarget struct {
	Kind string `json:"kind" doc:"tenant, key, portal_link, event_type, catalog, webhook, recovery, delivery, event, erasure or settings." example:"webhook"`
	ID   string `json:"id" example:"wh_0198c0de-0000-7000-8000-000000000002"`
}

func auditView(e models.AuditEntry) AuditEntry {
	changes := map[string]any(e.Changes)
	if changes == nil {
		changes = map[string]any{}
	}
	return AuditEntry{ID: e.ID, At: timestamp(e.At), Tenant: orNull(e.TenantSlug), Actor: AuditActor{e.ActorKind, e.ActorID, e.ActorName},
		Action: e.Action, Target: AuditTarget{e.TargetKind, e.TargetID}, Changes: changes, RequestID: orNull(e.RequestID), Address: orNull(e.Address)}
}

// AuditParams are the filters of the audit log.
type AuditParams struct {
	PageParams
	Action string  `query:"action" doc:"Only this action." example:"webhook.updated"`
	Actor  string  `query:"actor" maxLength:"256" doc:"Only changes made by this actor: the id of a key or portal link, staff, or system (Posthorn itself)." example:"key_0198c0de-0000-7000-8000-000000000001"`
	Target string  `query:"target" maxLength:"256" doc:"Only changes to the thing with this id."`
	Since  instant `query:"since" doc:"Only changes made at or after this time."`
	Until  instant `query:"until" doc:"Only changes made before this time."`
}

// Resolve implements huma.Resolver.
func (p *AuditParams) Resolve(huma.Context) []error {
	if p.Action != "" && !slices.Contains(models.AuditActions, models.AuditAction(p.Action)) {
		return []error{&huma.ErrorDetail{Location: "query.action", Message: "is not an action of the audit log"}}
	}
	return nil
}

type auditOfTenant struct {
	OfTenant
	AuditParams
}

type auditOfAll struct {
	AuditParams
	Tenant string `query:"tenant" maxLength:"256" doc:"Only changes in tenants that have or had this id." example:"acme"`
}

func (s *server) audit() {
	const description = "Each entry says who changed what, when and from where, through any API. It is written in the transaction that makes the change. Calls that were refused or changed nothing have no entry."
	handle(s, auditors, huma.Operation{
		OperationID: "list-tenant-audit", Method: http.MethodGet, Path: "/v1/tenants/{tenant}/audit", Tags: []string{tagAudit},
		Summary: "List a tenant's changes, newest first", Description: description + " Entries of an earlier tenant with this id are not included.",
	}, s.listTenantAudit)
	handle(s, admins, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: "/v1/audit", Tags: []string{tagAudit},
		Summary: "List the changes of all tenants, newest first", Description: description + " Entries of deleted tenants are included.",
	}, s.listAudit)
}

func (s *server) listTenantAudit(ctx context.Context, in *auditOfTenant) (*answer[list[AuditEntry]], error) {
	return s.auditLog(ctx, in.Tenant, "", in.AuditParams)
}

func (s *server) listAudit(ctx context.Context, in *auditOfAll) (*answer[list[AuditEntry]], error) {
	return s.auditLog(ctx, "", in.Tenant, in.AuditParams)
}

func (s *server) auditLog(ctx context.Context, tenant, slug string, in AuditParams) (*answer[list[AuditEntry]], error) {
	f := models.AuditFilter{TenantSlug: slug, Action: models.AuditAction(in.Action), TargetID: in.Target, Since: in.Since.bound(), Until: in.Until.bound()}
	rows, next, err := s.Service.AuditLog(ctx, caller(ctx), tenant, f, in.Actor, in.page())
	if err != nil {
		return nil, err
	}
	return answerWith(listOf(rows, next, auditView)), nil
}
