package api

import (
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/secrets"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// access is the access that an operation requires. An admin key may do everything. Every other key may do what its
// role allows, within its own tenant.
type access int

const (
	anyone     access = iota // roles tenant, publish and read
	readers                  // roles tenant and read
	publishers               // roles tenant and publish; Service.Publish checks whether the key has been revoked
	matchers                 // roles tenant and publish; the key is always looked up
	owners                   // role tenant
	keyReaders               // as readers; portal links with the capability keys
	keyOwners                // as owners; portal links with the capability keys
	auditors                 // as readers, without portal links
	minters                  // as owners, without portal links
	admins                   // admin keys only
	founders                 // admin keys, for the tenant in the path, which need not exist
)

// roles returns the roles that have the access, for the documentation.
func (a access) roles() []models.Role {
	switch a {
	case anyone:
		return []models.Role{models.RoleAdmin, models.RoleTenant, models.RolePublish, models.RoleRead}
	case readers, keyReaders, auditors:
		return []models.Role{models.RoleAdmin, models.RoleTenant, models.RoleRead}
	case publishers, matchers:
		return []models.Role{models.RoleAdmin, models.RoleTenant, models.RolePublish}
	case owners, keyOwners, minters:
		return []models.Role{models.RoleAdmin, models.RoleTenant}
	default:
		return []models.Role{models.RoleAdmin}
	}
}

// grants reports whether the principal has the access within its own tenant.
func (a access) grants(p service.Principal) bool {
	switch a {
	case keyReaders, keyOwners:
		if !p.Can(service.CapabilityKeys) {
			return false
		}
	case auditors, minters:
		if !p.Can(service.CapabilityNone) {
			return false
		}
	default: // the role alone decides
	}
	return slices.Contains(a.roles(), p.Role)
}

// admit authenticates and authorizes the request. It returns Unauthorized without a key in force, TooMany if the key
// calls too often, NotFound for another tenant's path (a key may not find out which tenants exist), and Forbidden if
// the role is not sufficient. After it, the path holds the ids of the tenant and the webhook, and the context holds
// the actor.
func (s *server) admit(c *gin.Context, need access) (service.Principal, error) {
	ctx, key, slug := c.Request.Context(), bearer(c.GetHeader("Authorization")), c.Param("tenant")
	var p service.Principal
	var err error
	if need == publishers && !strings.HasPrefix(key, secrets.PrefixToken) {
		p, err = s.Service.AuthenticatePublisher(ctx, slug, key)
	} else {
		p, err = s.Service.AuthenticateToken(ctx, key)
	}
	if err != nil {
		return p, err
	}
	c.Set(principalField, p)
	if need != publishers { // a publish is recorded with its event
		c.Request = c.Request.WithContext(service.Acting(ctx, p))
	}
	if slug != "" {
		if err := s.resolveTenant(c, p, slug, need); err != nil {
			return p, err
		}
	}
	if !need.grants(p) {
		if p.Link {
			return p, service.Refuse(service.Forbidden, "this portal link may not do this")
		}
		return p, service.Refuse(service.Forbidden, "a key with the role %q may not do this", p.Role)
	}
	return p, s.resolveWebhook(c)
}

// resolveWebhook replaces a webhook's uid in the path with its id.
func (s *server) resolveWebhook(c *gin.Context) error {
	if !strings.HasPrefix(c.FullPath(), routeOfWebhook) {
		return nil
	}
	id, err := s.Service.WebhookID(c.Request.Context(), c.Param("tenant"), c.Param("id"))
	if err == nil {
		setParam(c, "id", id)
	}
	return err
}

// routeOfWebhook is the prefix of all routes below one webhook.
var routeOfWebhook = strings.NewReplacer("{tenant}", ":tenant", "{id}", ":id").Replace(webhookPath)

// setParam changes a path parameter.
func setParam(c *gin.Context, name, value string) {
	for i := range c.Params {
		if c.Params[i].Key == name {
			c.Params[i].Value = value
		}
	}
}

// resolveTenant replaces the tenant's slug or uid in the path with its id.
func (s *server) resolveTenant(c *gin.Context, p service.Principal, slug string, need access) error {
	if need == founders && p.Role == models.RoleAdmin {
		return nil
	}
	find := s.Service.TenantID
	if need == publishers {
		find = s.Service.PublisherTenantID
	}
	id, err := find(c.Request.Context(), p, slug)
	if err != nil {
		return err
	}
	setParam(c, "tenant", id)
	return nil
}

// principal returns the principal of a request that admit has let through.
func principal(c *gin.Context) service.Principal {
	v, _ := c.Get(principalField)
	p, _ := v.(service.Principal)
	return p
}

// bearer returns the key in an Authorization header (RFC 6750, 2.1), "" if there is none.
func bearer(header string) string {
	scheme, key, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimLeft(key, " ")
}
