package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/hooks"
	"github.com/posthorn/posthorn/models"
)

// console sends the links to deliveries, which the Temporal Web UI shows, on to the API. They lead to the same delivery when
// there is a page for it. It needs no key: the API asks for one.
func (s *server) console() {
	s.router.GET("/console/tenants/:tenant/deliveries/:id", func(c *gin.Context) {
		tenant, id := c.Param("tenant"), c.Param("id")
		if !hooks.IsTenantSlug(tenant) || !models.HasIDForm(models.PrefixDelivery, id) {
			s.fail(c, hooks.Refuse(hooks.NotFound, "there is nothing at this path"))
			return
		}
		c.Redirect(http.StatusFound, strings.TrimRight(s.PublicURL, "/")+"/v1/tenants/"+tenant+"/deliveries/"+id)
	})
}
