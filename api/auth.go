package api

import (
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
)

// access is what an operation asks of the key it is called with. Admin keys may everything; every other key may what
// its role allows, and nothing outside its own tenant.
type access int

const (
	anyone     access = iota // any key in force
	readers                  // roles tenant and read
	publishers               // roles tenant and publish, where Hooks.Publish finds out if the key has been revoked
	matchers                 // the same roles
	owners                   // role tenant
	admins                   // admin keys alone
)

// roles names the roles that have the access, for the documentation.
func (a access) roles() []models.Role {
	switch a {
	case anyone:
		return []models.Role{models.RoleAdmin, models.RoleTenant, models.RolePublish, models.RoleRead}
	case readers:
		return []models.Role{models.RoleAdmin, models.RoleTenant, models.RoleRead}
	case publishers, matchers:
		return []models.Role{models.RoleAdmin, models.RoleTenant, models.RolePublish}
	case owners:
		return []models.Role{models.RoleAdmin, models.RoleTenant}
	default:
		return []models.Role{models.RoleAdmin}
	}
}

// grants tells whether the principal has the access within its own tenant.
func (a access) grants(p hooks.Principal) bool {
	return slices.Contains(a.roles(), p.Role)
}

// admit finds out who asks and whether they may: Unauthorized without a key in force, NotFound for another tenant's
// path (whether there is such a tenant is not theirs to know), Forbidden if the role is not enough.
func (s *server) admit(c *gin.Context, need access) (hooks.Principal, error) {
	ctx, key := c.Request.Context(), bearer(c.GetHeader("Authorization"))
	var p hooks.Principal
	var err error
	if need == publishers {
		p, err = s.Hooks.AuthenticatePublisher(ctx, c.Param("tenant"), key)
	} else {
		p, err = s.Hooks.Authenticate(ctx, key)
	}
	if err != nil {
		return p, err
	}
	c.Set(principalField, p)
	if tenant := c.Param("tenant"); tenant != "" && p.Role != models.RoleAdmin && tenant != p.Tenant {
		return p, hooks.Refuse(hooks.NotFound, "there is no such tenant")
	}
	if !need.grants(p) {
		return p, hooks.Refuse(hooks.Forbidden, "a key with the role %q may not do this", p.Role)
	}
	return p, nil
}

// principal is who asks, of a request that admit has let through.
func principal(c *gin.Context) hooks.Principal {
	v, _ := c.Get(principalField)
	p, _ := v.(hooks.Principal)
	return p
}

// bearer takes the key out of an Authorization header (RFC 6750, 2.1), "" if there is none.
func bearer(header string) string {
	scheme, key, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(key, " ")
}
