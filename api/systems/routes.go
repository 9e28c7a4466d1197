package systems

import "github.com/gin-gonic/gin"

// Routes returns the API's routes in Gin's syntax.
func (a *API) Routes() gin.RoutesInfo { return a.engine.Routes() }

func (a *API) mounted() {
	if a.Mounted != nil {
		a.Mounted(a)
	}
}
