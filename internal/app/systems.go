package app

import (
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/systems/mounted"
	"github.com/posthorn/posthorn/internal/callers"
)

// systems returns the management APIs of the other systems, each to be mounted under its own prefix.
func (a *App) systems(gate *callers.Gate) []func(gin.IRouter) {
	o := systems.Options{Service: a.hooks, PublicURL: strings.TrimRight(a.Config.PublicURL, "/"), Log: a.Log, Gate: gate}
	var mounts []func(gin.IRouter)
	for _, mount := range mounted.All() {
		mounts = append(mounts, func(r gin.IRouter) { mount(r, o) })
	}
	return mounts
}
