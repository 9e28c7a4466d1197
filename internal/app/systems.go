package app

import (
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/ewarehousing"
	"github.com/posthorn/posthorn/api/im4"
	"github.com/posthorn/posthorn/api/languageweaver"
	"github.com/posthorn/posthorn/api/phrase"
	"github.com/posthorn/posthorn/api/svix"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/up42"
	"github.com/posthorn/posthorn/internal/callers"
)

// systems returns the management APIs of the other systems, each to be mounted under its own prefix.
func (a *App) systems(gate *callers.Gate) []func(gin.IRouter) {
	o := systems.Options{Service: a.hooks, PublicURL: strings.TrimRight(a.Config.PublicURL, "/"), Log: a.Log, Gate: gate}
	var mounts []func(gin.IRouter)
	for _, mount := range []func(gin.IRouter, systems.Options){im4.Mount, phrase.Mount, languageweaver.Mount, ewarehousing.Mount, up42.Mount,
		svix.Mount} {
		mounts = append(mounts, func(r gin.IRouter) { mount(r, o) })
	}
	return mounts
}
