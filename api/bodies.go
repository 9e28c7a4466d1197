package api

import (
	"cmp"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/bodyroom"
	"github.com/posthorn/posthorn/internal/service"
)

// boundBodies keeps the bodies of all requests that are under way within a room that tenants share: each is bounded by
// itself, but a thousand callers are not. The bytes that have arrived count until the request is answered.
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

// chargeBody says whose the request's body is. A key of the installation's is charged to the tenant that the path names,
// and has no share of its own: it serves all tenants.
func chargeBody(c *gin.Context, p service.Principal) {
	if p.Tenant == "" {
		bodyroom.Charge(c.Request, served(c, p), "")
		return
	}
	bodyroom.Charge(c.Request, p.Tenant, p.KeyID)
}

// enter waits until the request, whose body of size bytes has arrived, may be worked on: tenants take turns. leave must be
// called when it is answered.
func (s *server) enter(c *gin.Context, p service.Principal, size int) (leave func(), err error) {
	tenant := served(c, p)
	ctx, stand, err := s.Hooks.Enter(c.Request.Context(), tenant)
	if err != nil {
		return nil, err
	}
	c.Request = c.Request.WithContext(ctx)
	done, err := s.Hooks.Expand(ctx, tenant, size)
	if err != nil {
		stand()
		return nil, err
	}
	return func() { done(); stand() }, nil
}

// served is the tenant that a request is charged to; of those that name none it is the installation's key.
func served(c *gin.Context, p service.Principal) string {
	return cmp.Or(p.Tenant, c.Param("tenant"), p.KeyID)
}
