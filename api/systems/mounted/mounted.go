// Package mounted lists the other systems' APIs that every installation serves. internal/app mounts them; tests about
// all systems check their own tables against the list. Each API is a package of its own, and none may import this one.
package mounted

import (
	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/api/ewarehousing"
	"github.com/posthorn/posthorn/api/im4"
	"github.com/posthorn/posthorn/api/languageweaver"
	"github.com/posthorn/posthorn/api/phrase"
	"github.com/posthorn/posthorn/api/svix"
	"github.com/posthorn/posthorn/api/systems"
	"github.com/posthorn/posthorn/api/up42"
)

// All returns the functions that mount the APIs, each under the name of its system.
func All() []func(gin.IRouter, systems.Options) {
	return []func(gin.IRouter, systems.Options){im4.Mount, phrase.Mount, languageweaver.Mount, ewarehousing.Mount, up42.Mount, svix.Mount}
}

// Names returns the names of the systems.
func Names() []string {
	var names []string
	for _, mount := range All() {
		mount(gin.New(), systems.Options{Mounted: func(a *systems.API) { names = append(names, a.System) }})
	}
	return names
}
