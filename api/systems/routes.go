package systems

import "github.com/gin-gonic/gin"

// Routes are the API's routes, as Gin writes them.
func (a *API) Routes() gin.RoutesInfo { return a.engine.Routes() }

func (a *API) mounted() {
	if a.Mounted != nil {
		a.Mounted(a)
	}
}
