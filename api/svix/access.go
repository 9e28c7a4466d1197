package svix

import (
	"net/http"
	"slices"
	"time"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

const authPath = base + "/auth"

// The shortest and longest validity of access, in seconds.
const (
	minAccess = 60 * 60
	maxAccess = 7 * 24 * 60 * 60
)

// access adds the calls that give an application's people the portal and a token for this API.
func access(api *systems.API) {
	portal := systems.Operation{Method: http.MethodPost, Path: authPath + "/app-portal-access/:app_id", MakesTenant: true, Keys: true, Private: true,
		Body: systems.OptionalJSON, Fields: []systems.Field{
			{Name: "application", Kind: systems.Nested, Of: applicationFields(true)},
			{Name: "expiry", Kind: systems.Number, Min: minAccess, Max: maxAccess},
			{Name: "readOnly", Kind: systems.Flag},
			{Name: "capabilities", Kind: systems.Names},
			{Name: "featureFlags", Kind: systems.Names},
			{Name: "sessionId"},
		}}
	api.Handle(portal, portalAccess)
	portal.Path = authPath + "/dashboard-access/:app_id" // its earlier path
	api.Handle(portal, portalAccess)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: authPath + "/logout", Links: true, Roles: []models.Role{models.RoleRead}}, logout)
	api.Handle(systems.Operation{Method: http.MethodPost, Path: authPath + "/app/:app_id/expire-all", Keys: true, Body: systems.OptionalJSON,
		Fields: []systems.Field{{Name: "expiry", Kind: systems.Number, Max: maxAccess}, {Name: "sessionIds", Kind: systems.Names}}}, expireAll)
}

// Svix's capabilities of a token. ViewBase alone is the role read, and all of them together are the role tenant.
var (
	viewing  = []string{"ViewBase"}
	managing = []string{"ViewEndpointSecret", "ManageEndpointSecret", "CreateAttempts", "ManageEndpoint"}
	optional = []string{"ManageTransformations"}
)

// roleOf returns the role that allows exactly what the request asks for.
func roleOf(q *systems.Request) (models.Role, error) {
	asked := q.In.List("capabilities")
	for _, name := range asked {
		if !slices.Contains(slices.Concat(viewing, managing, optional), name) {
			q.Problemf("capabilities", "must be of ViewBase, ViewEndpointSecret, ManageEndpointSecret, ManageTransformations, CreateAttempts and ManageEndpoint")
			return "", q.Err()
		}
	}
	has := func(name string) bool { return slices.Contains(asked, name) }
	readOnly := q.In.Flag("readOnly")
	switch {
	case readOnly != nil && *readOnly, len(asked) > 0 && !slices.ContainsFunc(managing, has) && !slices.ContainsFunc(optional, has):
		return models.RoleRead, nil
	case len(asked) == 0, !slices.ContainsFunc(managing, func(name string) bool { return !has(name) }):
		return models.RoleTenant, nil
	}
	return "", notYet("a token has ViewBase alone, or all capabilities: not these")
}

// portalAccess creates a portal link.
func portalAccess(q *systems.Request) error {
	role, err := roleOf(q)
	if err == nil {
		err = q.Err()
	}
	if err != nil {
		return err
	}
	tenant, err := inlineApplication(q)
	if err != nil {
		return err
	}
	lasts := time.Duration(q.In.Number("expiry", maxAccess)) * time.Second
	link, err := q.API.Service.CreatePortalLink(q.Ctx(), q.Who, tenant, service.LinkRequest{Role: role, ExpiresIn: &lasts, Name: q.In.String("sessionId"),
		FeatureFlags: q.In.List("featureFlags")})
	if err != nil {
		return err
	}
	q.PureJSON(http.StatusOK, struct {
		URL   string `json:"url"`
		Token string `json:"token"`
	}{link.URL, link.Token})
	return nil
}

// logout ends the link whose token made the call.
func logout(q *systems.Request) error {
	if err := q.API.Service.RevokePortalLink(q.Ctx(), q.Tenant, q.Who.KeyID); err != nil {
		return err
	}
	return nothing(q)
}

// expireAll ends all links of the application, or those of the named sessions, at once or after a delay.
func expireAll(q *systems.Request) error {
	sessions, after := q.In.List("sessionIds"), time.Duration(q.In.Number("expiry", 0))*time.Second
	err := q.Err()
	switch {
	case err != nil:
	case len(sessions) == 0 && after == 0:
		err = q.API.Service.RevokePortalLinks(q.Ctx(), q.Tenant)
	default:
		err = q.API.Service.EndPortalLinks(q.Ctx(), q.Tenant, sessions, after)
	}
	if err != nil {
		return err
	}
	return nothing(q)
}
