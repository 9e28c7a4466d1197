package console

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/models"
)

const loginPath = "/console/login"

// setCookie stores a session in the browser. Another site's page may embed the portal through a link. The cookie then
// belongs to that site's pages only.
func setCookie(w http.ResponseWriter, a audience, s *service.Session) {
	cookie := &http.Cookie{Name: a.cookie, Value: s.Cookie, Path: a.base, Expires: s.Expires, HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode}
	if s.Link {
		cookie.SameSite, cookie.Partitioned = http.SameSiteNoneMode, true
	}
	http.SetCookie(w, cookie)
}

// forget removes both forms of the cookie.
func forget(w http.ResponseWriter, a audience) {
	gone := http.Cookie{Name: a.cookie, Path: a.base, Expires: time.Unix(1, 0), MaxAge: -1, HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode} //nolint:gosec // it has what it needs
	http.SetCookie(w, &gone)
	gone.SameSite, gone.Partitioned = http.SameSiteNoneMode, true
	http.SetCookie(w, &gone)
}

func cookieOf(r *http.Request, a audience) string {
	cookie, err := r.Cookie(a.cookie)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// loginBody is the form "Sign in": its error, and the page that the visitor wanted.
type loginBody struct{ Wrong, Next string }

func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	c.page(w, r, http.StatusOK, "login", view{Title: "Sign in", Body: loginBody{Next: r.URL.Query().Get("next")}})
}

func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	session, err := c.Service.SignIn(r.Context(), r.PostFormValue("key"))
	if err != nil {
		refused, ok := errors.AsType[*service.Error](err)
		if !ok {
			c.refuse(w, r, err)
			return
		}
		message := refused.Detail
		if refused.Code == service.Unauthorized {
			message = "This is not a key in force."
		}
		c.page(w, r, refused.Code.Status(), "login", view{Title: "Sign in", Body: loginBody{message, r.PostFormValue("next")}})
		return
	}
	a := audienceOf(session.Role == models.RoleAdmin)
	setCookie(w, a, &session)
	to := a.base
	if next := r.PostFormValue("next"); strings.HasPrefix(next, a.base+"/") { // one of the session's pages
		to = next
	}
	http.Redirect(w, r, to, http.StatusSeeOther) //nolint:gosec // to one of our own pages
}

// askToOpen shows the button that redeems a link's code. A mail scanner that only opens the link does not redeem it.
func (c *Console) askToOpen(a audience) http.HandlerFunc {
	title := "Open the portal"
	if a == console {
		title = "Open the console"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		c.page(w, r, http.StatusOK, "open", view{Title: title, Body: map[string]string{"Code": r.URL.Query().Get("code"), "Action": a.base + "/open"}})
	}
}

func (c *Console) open(a audience) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a == console && !fromHere(r) {
			c.refuse(w, r, service.Refuse(service.Forbidden, "This link works on the machine only that Posthorn runs on."))
			return
		}
		session, err := c.Service.RedeemCode(r.Context(), r.PostFormValue("code"), cookieOf(r, a), a == console)
		if err != nil {
			c.refuse(w, r, err)
			return
		}
		setCookie(w, a, &session)
		http.Redirect(w, r, a.base, http.StatusSeeOther)
	}
}

// SignInPath returns the address that redeems a code of service.LocalCode.
func SignInPath(code string) string {
	return console.base + "/open?" + url.Values{"code": {code}}.Encode()
}

// fromHere reports whether a request comes from the same machine and through no proxy.
func fromHere(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() && r.Header.Get("X-Forwarded-For") == "" && r.Header.Get("Forwarded") == ""
}

func (c *Console) signOut(a audience) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := c.Service.SignOut(r.Context(), cookieOf(r, a)); err != nil {
			c.refuse(w, r, err)
			return
		}
		forget(w, a)
		http.Redirect(w, r, loginPath, http.StatusSeeOther)
	}
}
