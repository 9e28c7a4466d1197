package api

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/callers"
)

// judge refuses what the installation's Gate refuses, in this API's shape, and answers CORS preflights.
func (s *server) judge(c *gin.Context) {
	preflight := s.Gate.CORS(c.Writer.Header(), c.Request)
	refused := s.Gate.Check(c.Request)
	if refused == nil {
		refused = callers.CheckQuery(c.Request)
	}
	switch {
	case refused != nil:
		s.write(c, newProblem(refused.Status, refused.Detail))
	case preflight:
		c.AbortWithStatus(http.StatusNoContent)
	}
}

// addTwins makes every route reachable with a trailing slash too, and by HEAD where there is a GET: net/http drops the
// body. The paths in without have done this themselves.
func addTwins(router *gin.Engine, without map[string]bool) {
	routes := router.Routes()
	known := map[string]bool{}
	for _, route := range routes {
		known[route.Method+" "+route.Path] = true
	}
	add := func(method, path string, do gin.HandlerFunc) {
		if !known[method+" "+path] {
			known[method+" "+path] = true
			router.Handle(method, path, do)
		}
	}
	for _, route := range routes {
		if without[route.Path] {
			continue
		}
		for _, path := range []string{route.Path, strings.TrimSuffix(route.Path, "/") + "/"} {
			add(route.Method, path, route.HandlerFunc)
			if route.Method == http.MethodGet {
				add(http.MethodHead, path, route.HandlerFunc)
			}
		}
	}
}
