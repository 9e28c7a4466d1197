package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// PortalLinkInput describes a portal link to create.
type PortalLinkInput struct {
	Role         models.Role       `json:"role" enum:"tenant,read" doc:"What the link's users may do in the tenant."`
	ExpiresIn    *duration         `json:"expires_in,omitempty" doc:"How long the session and the token last, 60s to 168h. Default 1h." example:"3600"`
	Name         string            `json:"name,omitempty" doc:"Shown as the actor in the audit log, and as created_by. At most 200 characters." example:"jane@shop.example"`
	Capabilities []string          `json:"capabilities,omitempty" enum:"keys,settings" doc:"What it allows in addition to its role. keys: listing and revoking keys. settings: changing the administrators' addresses; only an admin key can grant that."`
	FeatureFlags []string          `json:"feature_flags,omitempty" doc:"At most 20. Event types with one of these are seen, beside those without any." example:"beta"`
	Theme        map[string]string `json:"theme,omitempty" doc:"How the portal looks: accent (#rrggbb), radius (pixels, 0 to 24), font (system, serif or mono), mode (auto, light or dark), logo (an https URL on an origin in POSTHORN_PORTAL_LOGO_ORIGINS)."`
}

// PortalLink is a newly created portal link.
type PortalLink struct {
	ID           string      `json:"id" example:"lnk_0198c0de-0000-7000-8000-000000000009"`
	URL          string      `json:"url" doc:"Opens the portal once, within five minutes. It is shown only once." example:"https://posthorn.example/portal/open?code=phc_5ZGyqE…"`
	Token        string      `json:"token" doc:"Works like a key for /v1 and /svix, with the link's role, within its tenant. It is shown only once." example:"pht_5ZGyqE…"`
	Role         models.Role `json:"role" enum:"tenant,read"`
	Name         string      `json:"name"`
	Capabilities []string    `json:"capabilities"`
	ExpiresAt    timestamp   `json:"expires_at" doc:"When its session and its token end."`
}

type createPortalLink struct {
	OfTenant
	Body PortalLinkInput
}

type ofPortalLinks struct{ OfTenant }

type ofPortalLink struct {
	OfTenant
	ID string `path:"id" doc:"The link's id."`
}

func (s *server) portalLinks() {
	const path = "/v1/tenants/{tenant}/portal-links"
	handleWhole(s, minters, huma.Operation{
		OperationID: "create-portal-link", Method: http.MethodPost, Path: path, Tags: []string{tagPortal}, Summary: "Create a portal link",
		Description: "Its URL opens the tenant's pages, in a frame or a tab. A link grants no more than the key that creates it has. It cannot be used to create keys or links, or to see the audit log. Revoking the key that created it ends it, unless that was an admin key.", DefaultStatus: http.StatusCreated,
	}, s.createPortalLink)
	handle(s, minters, huma.Operation{
		OperationID: "revoke-portal-links", Method: http.MethodDelete, Path: path, Tags: []string{tagPortal}, Summary: "Revoke all portal links of a tenant, at once",
	}, s.revokePortalLinks)
	handle(s, minters, huma.Operation{
		OperationID: "revoke-portal-link", Method: http.MethodDelete, Path: path + "/{id}", Tags: []string{tagPortal}, Summary: "Revoke a portal link, at once",
		Description: "Its session and its token end with it.",
	}, s.revokePortalLink)
}

func (s *server) createPortalLink(ctx context.Context, in *createPortalLink) (*answer[PortalLink], error) {
	b := in.Body
	l, err := s.Service.CreatePortalLink(ctx, caller(ctx), in.Tenant, service.LinkRequest{Role: b.Role, ExpiresIn: length(b.ExpiresIn),
		Name: b.Name, Capabilities: b.Capabilities, FeatureFlags: b.FeatureFlags, Theme: b.Theme, Wrong: wrongAlready(ctx)})
	if err != nil {
		return nil, err
	}
	return answerWith(PortalLink{ID: l.ID, URL: l.URL, Token: l.Token, Role: l.Role, Name: l.Name, Capabilities: l.Capabilities, ExpiresAt: timestamp(l.ExpiresAt)}), nil
}

func (s *server) revokePortalLinks(ctx context.Context, in *ofPortalLinks) (*struct{}, error) {
	return nil, s.Service.RevokePortalLinks(ctx, in.Tenant)
}

func (s *server) revokePortalLink(ctx context.Context, in *ofPortalLink) (*struct{}, error) {
	return nil, s.Service.RevokePortalLink(ctx, in.Tenant, in.ID)
}
