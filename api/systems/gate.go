package systems

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/panics"
	"github.com/posthorn/posthorn/internal/service"
)

// judge refuses what the installation's Gate refuses, in the system's shape, and answers CORS preflights.
func (a *API) judge(c *gin.Context) {
	preflight := a.CORS && a.Gate.CORS(c.Writer.Header(), c.Request)
	switch refused := a.Gate.Check(c.Request); {
	case refused != nil:
		c.Abort()
		a.refuse(c, &Refusal{Status: refused.Status, Message: refused.Detail})
	case preflight:
		c.AbortWithStatus(http.StatusNoContent)
	}
}

// recover answers for a handler that panicked, in the system's shape.
func (a *API) recover(c *gin.Context) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler: // it asks to cut the connection
			panic(v)
		default:
			panics.Note(a.Log, "a request", v, "system", a.System, "method", c.Request.Method, "route", c.FullPath(),
				"request_id", service.ActorOf(c.Request.Context()).RequestID)
			c.Abort()
			if !c.Writer.Written() {
				a.refuse(c, &Refusal{Status: http.StatusInternalServerError, Message: inside})
			}
		}
	}()
	c.Next()
}
