package console

import (
	"context"
	"embed"
	"log/slog"
	"net/http"
	"strings"

	"github.com/posthorn/posthorn/internal/callers"
	"github.com/posthorn/posthorn/internal/service"
)

//go:embed static
var static embed.FS

// Options are the parts that the pages need. Service is required.
type Options struct {
	Service *service.Service
	// Gate checks requests before their sessions are read. Default callers.Default().
	Gate *callers.Gate
	// Ready returns an error if a part of the process is not ready; nil = there is nothing to check.
	Ready func(context.Context) error
	// FrameAncestors are the origins whose pages may embed the portal. Without any, no page may.
	FrameAncestors []string
	// Version is shown on the overview.
	Version string
	Log     *slog.Logger // default slog.Default()
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	Options
	mux     *http.ServeMux
	streams *streams
}

// New makes a Console.
func New(o Options) *Console {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Gate == nil {
		o.Gate = callers.Default()
	}
	c := &Console{Options: o, mux: http.NewServeMux(), streams: newStreams()}
	c.mux.Handle("GET /console/static/", http.StripPrefix("/console/", http.FileServerFS(static)))
	c.mux.HandleFunc("GET "+loginPath, c.login)
	c.mux.HandleFunc("POST "+loginPath, c.signIn)
	for _, staff := range []bool{true, false} {
		a := audienceOf(staff)
		c.mux.Handle("GET "+a.base+"/{$}", http.RedirectHandler(a.base, http.StatusSeeOther))
		c.mux.HandleFunc("GET "+a.base+"/open", c.askToOpen(a))
		c.mux.HandleFunc("POST "+a.base+"/open", c.open(a))
		c.mux.HandleFunc("POST "+a.base+"/sign-out", c.signOut(a))
	}
	for _, p := range staffPages {
		c.mux.HandleFunc(p.method+" /console"+p.path, c.serve(p, console, false))
	}
	for _, p := range tenantPages {
		c.mux.HandleFunc(p.method+" /console/tenants/{tenant}"+p.path, c.serve(p, console, true))
		c.mux.HandleFunc(p.method+" /portal"+p.path, c.serve(p, portal, true))
	}
	c.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.refuse(w, r, service.Refuse(service.NotFound, "There is no such page."))
	})
	return c
}

// audience is one of the two groups of people that the pages are for.
type audience struct {
	base, cookie string
}

var (
	console = audience{"/console", "posthorn_console"}
	portal  = audience{"/portal", "posthorn_portal"}
)

func audienceOf(staff bool) audience {
	if staff {
		return console
	}
	return portal
}

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.harden(w.Header(), r)
	refused := c.Gate.Check(r)
	if refused == nil {
		refused = callers.CheckQuery(r)
	}
	if refused != nil {
		c.page(w, r, refused.Status, "error", view{Title: "This cannot be shown", Body: refused.Detail})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	c.mux.ServeHTTP(w, r)
}

// maxForm bounds a form, in bytes.
const maxForm = 1 << 20

// policy allows our own files and nothing inline.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; img-src 'self' data:"

// harden sets the headers of every page. Only the portal may be embedded, only by pages of listed origins, and only the
// portal shows logos.
func (c *Console) harden(h http.Header, r *http.Request) {
	callers.Harden(h, r)
	logos, ancestors := "", "'none'"
	if r.URL.Path == portal.base || strings.HasPrefix(r.URL.Path, portal.base+"/") {
		for _, origin := range c.Service.LogoOrigins {
			logos += " " + origin
		}
		if len(c.FrameAncestors) > 0 {
			ancestors = strings.Join(c.FrameAncestors, " ")
		}
	}
	h.Set("Content-Security-Policy", policy+logos+"; frame-ancestors "+ancestors)
}
