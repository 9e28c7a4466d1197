package console

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

// need is the permission that a page requires. Admins may see everything.
type need int

const (
	staff     need = iota // admin keys alone
	readers               // roles tenant and read
	owners                // role tenant
	keyReader             // as readers; portal links with the capability keys
	keyOwner              // as owners; portal links with the capability keys
	noLinks               // as owners; no portal links
	auditors              // as readers; no portal links
	settings              // portal links with the capability settings, which tenants' keys do not have
)

func (n need) grants(p service.Principal) bool {
	roles := map[need][]models.Role{readers: {models.RoleTenant, models.RoleRead}, keyReader: {models.RoleTenant, models.RoleRead},
		auditors: {models.RoleTenant, models.RoleRead},
		owners:   {models.RoleTenant}, keyOwner: {models.RoleTenant}, settings: {models.RoleTenant}, noLinks: {models.RoleTenant}}[n]
	if p.Role == models.RoleAdmin {
		return true
	}
	if !slices.Contains(roles, p.Role) {
		return false
	}
	switch n {
	case settings:
		return p.Link && p.Can(service.CapabilitySettings)
	case keyReader, keyOwner:
		return p.Can(service.CapabilityKeys)
	case noLinks, auditors:
		return p.Can(service.CapabilityNone)
	default:
		return true
	}
}

// page is one page, or the action of one button.
type page struct {
	method, path string
	need         need
	do           func(*visit) error
	live         bool // it can be asked for its changes, see stream
}

// visit is one request of a signed-in visitor.
type visit struct {
	*Console
	w       http.ResponseWriter
	r       *http.Request
	at      audience
	session service.Session
	tenant  string // its id; "" on a page about no tenant
	base    string // of the pages about the tenant
	live    bool   // the page may be asked for its changes
	frozen  bool   // shows nothing that changes with the time alone
}

// serve returns the handler of a page. It sends a visitor who is not signed in to the login page. For a visitor, things
// of other tenants do not exist.
func (c *Console) serve(p page, a audience, ofTenant bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := c.Service.SessionOf(r.Context(), cookieOf(r, a))
		if err == nil && (a == console) != (session.Role == models.RoleAdmin) {
			err = service.Refuse(service.Unauthorized, "sign in first")
		}
		if refused, ok := errors.AsType[*service.Error](err); ok && refused.Code == service.Unauthorized {
			c.signedOut(w, r, a)
			return
		}
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		v := &visit{Console: c, w: w, r: r.WithContext(service.Acting(r.Context(), session.Principal)), at: a, session: session, base: a.base}
		if err := v.enter(p, ofTenant); err != nil {
			v.refuse(w, v.r, err)
		}
	}
}

func (v *visit) enter(p page, ofTenant bool) error {
	if ofTenant {
		slug := models.TenantSlug(v.session.Tenant)
		if v.at == console {
			slug = v.r.PathValue("tenant")
			v.base = "/console/tenants/" + url.PathEscape(slug)
		}
		id, err := v.Service.TenantID(v.r.Context(), v.session.Principal, slug)
		if err != nil {
			return err
		}
		v.tenant = id
	}
	if !p.need.grants(v.session.Principal) {
		return service.Refuse(service.Forbidden, "You may read here, and not change this.")
	}
	if strings.HasPrefix(p.path, "/webhooks/{id}") { // its uid works too
		id, err := v.Service.WebhookID(v.r.Context(), v.tenant, v.r.PathValue("id"))
		if err != nil {
			return err
		}
		v.r.SetPathValue("id", id)
	}
	if v.live = p.live; p.live && asksForStream(v.r) {
		return v.stream(p)
	}
	ctx, leave, err := v.Service.Enter(v.r.Context(), v.tenant)
	if err != nil {
		return err
	}
	defer leave()
	v.r = v.r.WithContext(ctx)
	return p.do(v)
}

// signedOut answers a request without a session. The staff must sign in; people with a portal link need a new one.
func (c *Console) signedOut(w http.ResponseWriter, r *http.Request, a audience) {
	next := ""
	if r.Method != http.MethodPost {
		next = r.URL.RequestURI()
	}
	signIn := loginPath + "?" + url.Values{"next": {next}}.Encode()
	if a == console && next != "" && !asksForStream(r) {
		http.Redirect(w, r, signIn, http.StatusSeeOther)
		return
	}
	c.page(w, r, http.StatusUnauthorized, "error", view{Title: "Signed out", SignIn: signIn,
		Body: "Your session has ended. Open the portal again from where you came, or sign in with a key."})
}

// may reports whether the visitor has the permission n. Pages leave out buttons that would be refused.
func (v *visit) may(n need) bool { return n.grants(v.session.Principal) }

// show writes a page as the answer.
func (v *visit) show(status int, name, title string, body any) error {
	v.page(v.w, v.r, status, name, view{Title: title, Body: body, Visit: v})
	return nil
}

// done redirects to a page that shows a notice; what is the key of one of notices.
func (v *visit) done(path, what string) error {
	if what != "" {
		path += "?done=" + what
	}
	http.Redirect(v.w, v.r, v.base+path, http.StatusSeeOther)
	return nil
}

// notices are the sentences that pages show after an action.
var notices = map[string]string{
	"created": "Created.", "saved": "Saved.", "enabled": "The webhook is enabled.", "recovering": "The webhook is enabled. The deliveries that it missed are being sent.",
	"disabled": "The webhook is disabled.", "paused": "Paused.", "resumed": "Resumed.", "recovered": "The held and failed deliveries are being sent.",
	"replayed": "The event is being sent again.", "deleted": "Deleted.", "retried": "The delivery is being sent now.", "canceled": "Canceled.", "revoked": "Revoked.", "erased": "The data is erased.", "loaded": "The catalogue is loaded.",
}

// refuse answers with the error as a sentence.
func (c *Console) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refused, ok := errors.AsType[*service.Error](err)
	if !ok {
		if r.Context().Err() == nil {
			c.Log.ErrorContext(r.Context(), "a page failed", "error", err, "path", r.URL.Path)
		}
		c.page(w, r, http.StatusInternalServerError, "error", view{Title: "Something went wrong", Body: "The page could not be made. Try it again in a moment."})
		return
	}
	title := map[service.Code]string{service.NotFound: "Not found", service.Forbidden: "Not allowed", service.Conflict: "This is not possible now",
		service.Unavailable: "Not now", service.TooMany: "Too many requests", service.Unauthorized: "Not signed in"}[refused.Code]
	if title == "" {
		title = "This is not valid"
	}
	text := []string{refused.Detail}
	for _, f := range refused.Fields {
		text = append(text, f.Field+" "+f.Message)
	}
	c.page(w, r, refused.Code.Status(), "error", view{Title: title, Body: strings.Join(text, "; ")})
}
