package api

import (
	"cmp"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/bodyroom"
	"github.com/posthorn/posthorn/internal/service"
)

// boundBodies keeps the bodies of all requests in flight within a room that tenants share. Each body has a bound of
// its own, but a thousand callers together have not. A body's bytes count until its request is answered.
func boundBodies(room *bodyroom.Room) gin.HandlerFunc {
	return func(c *gin.Context) {
		answered := room.Bound(c.Writer, c.Request)
		if answered == nil {
			return
		}
		defer answered()
		c.Next()
	}
}

// chargeBody says which tenant the request's body is charged to. For an installation's key that is the tenant in the
// path: such a key has no share of its own, as it serves all tenants.
func chargeBody(c *gin.Context, p service.Principal) {
	if p.Tenant == "" {
		bodyroom.Charge(c.Request, served(c, p), "")
		return
	}
	bodyroom.Charge(c.Request, p.Tenant, p.KeyID)
}

// enter waits until the request, whose body of size bytes has arrived, may be processed. Tenants take turns. The
// caller must call leave when the request is answered.
func (s *server) enter(c *gin.Context, p service.Principal, size int) (leave func(), err error) {
	tenant := served(c, p)
	ctx, stand, err := s.Service.Enter(c.Request.Context(), tenant)
	if err != nil {
		return nil, err
	}
	c.Request = c.Request.WithContext(ctx)
	done, err := s.Service.Expand(ctx, tenant, size)
	if err != nil {
		stand()
		return nil, err
	}
	return func() { done(); stand() }, nil
}

// served returns the tenant that a request is charged to. A request that names no tenant is charged to the
// installation's key.
func served(c *gin.Context, p service.Principal) string {
	return cmp.Or(p.Tenant, c.Param("tenant"), p.KeyID)
}
