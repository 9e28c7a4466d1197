package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// pages mounts the console and the portal.
func (s *server) pages() {
	if s.Console == nil {
		return
	}
	handler := gin.WrapH(s.Console)
	for _, base := range []string{"/console", "/portal"} {
		for _, path := range []string{base, base + "/*path"} {
			for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
				s.router.Handle(method, path, handler)
			}
		}
	}
}

// deliveryLinks redirects the links to deliveries, which the Temporal Web UI shows, to the API if there are no pages.
// These links need no key: the API asks for one.
func (s *server) deliveryLinks() {
	s.router.GET("/console/tenants/:tenant/deliveries/:id", func(c *gin.Context) {
		tenant, id := c.Param("tenant"), c.Param("id")
		if !service.IsTenantSlug(tenant) || !models.HasIDForm(models.PrefixDelivery, id) {
			s.fail(c, service.Refuse(service.NotFound, "there is nothing at this path"))
			return
		}
		c.Redirect(http.StatusFound, s.PublicURL+"/v1/tenants/"+tenant+"/deliveries/"+id)
	})
}
