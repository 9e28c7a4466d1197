// Package systems is the common part of the other systems' management APIs: how a request finds its tenant, how a body
// is read, and how a refusal gets the system's own shape. Each system is a small package of its own in this directory.
// To add another, follow CONTRIBUTING.md: the simplest to copy is api/up42. mounted lists them all.
//
// It holds no state except the answers for repeated idempotency keys, and no rules: those are in internal/service. It
// must not import the native API, the database drivers, or Temporal.
package systems

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/posthorn/posthorn/internal/callers"
	"github.com/posthorn/posthorn/internal/cut"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// Options are the parts of the installation that a system's API needs.
type Options struct {
	Service *service.Service
	// PublicURL is the base of the links in answers, without a trailing slash; "" = the URL of the request.
	PublicURL string
	// Log receives internal errors; default slog.Default().
	Log *slog.Logger
	// Mounted, if set, is called with the API's routes: the access tests walk them.
	Mounted func(*API)
	// Gate checks requests before their keys are read. Default callers.Default().
	Gate *callers.Gate
}

// Form holds the differences between one system's API and the others.
type Form struct {
	// System is the name of its prefix, its profile and its catalogue.
	System string
	// Key returns the API key of a request, "" if it has none in this system's way.
	Key func(*http.Request) string
	// Challenge is the WWW-Authenticate header of a 401 (RFC 9110).
	Challenge string
	// TenantParam is the path parameter that names the tenant; "" = the key's own tenant, so that admin keys have
	// none.
	TenantParam string
	// TenantName returns the tenant that the path parameter stands for; nil = the parameter is its name.
	TenantName func(string) string
	// HidesTenants: if the path names another tenant than the key's own, the answer is that there is no such tenant.
	HidesTenants bool
	// Unbuilt names the original's call that a request makes if this API has no such route; "" = the original has none
	// either.
	Unbuilt func(*http.Request) string
	// Repeats: a POST with the Idempotency-Key of an earlier one gets the same answer, whatever its body is.
	Repeats bool
	// Invalid is the status for a request that is well-formed but wrong.
	Invalid int
	// Fields maps the names in service.FieldError to the system's, where they differ.
	Fields map[string]string
	// Tokens: tokens of portal links may call this API, within their tenants and with their roles.
	Tokens bool
	// CORS lets pages of the installation's listed origins call this API, as in the original.
	CORS bool
	// Refuse writes a refusal in the system's shape.
	Refuse func(*gin.Context, Refusal)
}

// API is one system's management API.
type API struct {
	Form
	Options
	engine     *gin.Engine
	operations []Operation
	repeats    *repeats
}

// Handler answers an authorized request that has been read, or returns an error: a *Refusal, a *service.Error, or an
// internal error, which is logged and not shown. [Request.Err], [Request.Create] and [Request.Update] return the
// problems that reading the request found. A handler must call one of them before it changes anything.
type Handler func(*Request) error

// New returns an API without routes.
func New(f Form, o Options) *API {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Gate == nil {
		o.Gate = callers.Default()
	}
	a := &API{Form: f, Options: o, engine: gin.New()}
	a.engine.HandleMethodNotAllowed = true
	a.engine.RedirectTrailingSlash = false // a redirect loses the body of a POST; Handle adds both forms
	a.engine.Use(a.recover, a.judge)
	if f.Repeats {
		a.repeats = newRepeats()
	}
	a.engine.NoRoute(a.lacks(http.StatusNotFound, "there is no such resource"))
	a.engine.NoMethod(a.lacks(http.StatusMethodNotAllowed, "the method is not allowed here"))
	return a
}

// lacks refuses a request that has no operation: with 501 if the original has one, with this status otherwise.
func (a *API) lacks(status int, message string) gin.HandlerFunc {
	return func(c *gin.Context) {
		if a.Unbuilt != nil {
			if call := a.Unbuilt(c.Request); call != "" {
				a.Refuse(c, Refusal{Status: http.StatusNotImplemented, Message: call + " is not implemented"})
				return
			}
		}
		a.Refuse(c, Refusal{Status: status, Message: message})
	}
}

// serve answers the requests of one operation.
func (a *API) serve(o *Operation, h Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if o.Anyone {
			if err := h(&Request{Context: c, API: a}); err != nil {
				a.refuse(c, err)
			}
			return
		}
		q, err := a.admit(c, o)
		if err == nil {
			err = q.once(o, func() error { return q.work(o, h) })
		}
		if err != nil {
			a.refuse(c, err)
		}
	}
}

// Mount serves the API at "/<system>" of a router whose own base path is "/". Everything below the prefix belongs to
// the system, including its refusals of unknown paths and methods.
func (a *API) Mount(r gin.IRouter) {
	for _, path := range []string{"/" + a.System, "/" + a.System + "/*path"} {
		r.Any(path, func(c *gin.Context) { a.engine.ServeHTTP(c.Writer, c.Request) })
	}
	a.mounted()
}

// admit authenticates the request and finds its tenant. Keys with one of the operation's roles are allowed, and so are
// those that may do everything.
func (a *API) admit(c *gin.Context, o *Operation) (*Request, error) {
	authenticate := a.Service.Authenticate
	if a.Tokens {
		authenticate = a.Service.AuthenticateToken
	}
	who, err := authenticate(c.Request.Context(), a.Key(c.Request))
	if err != nil {
		return nil, err
	}
	c.Request = c.Request.WithContext(service.Acting(c.Request.Context(), who))
	if o.Admins && who.Role != models.RoleAdmin {
		return nil, service.Refuse(service.Forbidden, "the key does not allow this")
	}
	tenant, err := a.tenant(c, o, who)
	switch {
	case err != nil:
		return nil, err
	case tenant == "" && a.TenantParam == "":
		return nil, service.Refuse(service.Forbidden, "this API takes a tenant's key, and the key is an administrator's")
	case !who.May(tenant, o.Roles...), o.Keys && who.Link, o.Links && !who.Link:
		return nil, service.Refuse(service.Forbidden, "the key does not allow this")
	}
	return &Request{Context: c, API: a, Who: who, Tenant: tenant}, nil
}

// tenant returns the tenant in the path, or else the key's own.
func (a *API) tenant(c *gin.Context, o *Operation, who service.Principal) (string, error) {
	named := c.Param(a.TenantParam)
	if named == "" {
		return who.Tenant, nil
	}
	if a.TenantName != nil {
		named = a.TenantName(named)
	}
	switch {
	case !cut.Storable(named):
		return "", service.Refuse(service.NotFound, "there is no such tenant")
	case who.Role != models.RoleAdmin && named != models.TenantSlug(who.Tenant) && !a.HidesTenants:
		return "", service.Refuse(service.Forbidden, "the key does not allow this")
	}
	tenant, err := a.Service.TenantID(c.Request.Context(), who, named)
	refused, ok := errors.AsType[*service.Error](err)
	if ok && refused.Code == service.NotFound && o.MakesTenant && who.Role == models.RoleAdmin {
		return "", nil
	}
	return tenant, err
}
