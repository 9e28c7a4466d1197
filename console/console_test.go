package console_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/posthorn/posthorn/console"
	"github.com/posthorn/posthorn/internal/sender"
	"github.com/posthorn/posthorn/internal/service"
	"github.com/posthorn/posthorn/internal/servicetest"
	"github.com/posthorn/posthorn/models"
)

var admin = service.Principal{Role: models.RoleAdmin, KeyID: "admin", Name: "admin"}

// portalLink makes a link and returns the path that opens it.
func (s *site) portalLink(r service.LinkRequest) (path string, l service.PortalLink) {
	s.t.Helper()
	l, err := s.Service.CreatePortalLink(s.t.Context(), admin, "acme", r)
	require.NoError(s.t, err)
	u, err := url.Parse(l.URL)
	require.NoError(s.t, err)
	return u.RequestURI(), l
}

// through returns a browser that came through a portal link.
func (s *site) through(r service.LinkRequest) *browser {
	s.t.Helper()
	b := s.browser()
	path, _ := s.portalLink(r)
	b.get(path).is(http.StatusOK).press("Open", nil).follow()
	return b
}

func TestConsole_SignIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	away := b.get("/console/tenants/acme/webhooks").is(http.StatusSeeOther)
	require.Equal(t, "/console/login?next=%2Fconsole%2Ftenants%2Facme%2Fwebhooks", away.header.Get("Location"))
	form := away.follow()
	require.Equal(t, "Sign in", form.title())
	require.Contains(t, form.press("Sign in", map[string]string{"Key": "phk_wrong"}).is(http.StatusUnauthorized).body, "not a key in force")
	in := form.press("Sign in", map[string]string{"Key": servicetest.AdminKey})
	require.Equal(t, "Webhooks", in.follow().title(), "it goes on to the page that was asked for")
	cookie := in.header.Get("Set-Cookie")
	require.Regexp(t, `^posthorn_console=phs_\w{43}; Path=/console; Expires=.*; HttpOnly; Secure; SameSite=Lax$`, cookie)
	require.Equal(t, "/console", form.press("Sign in", map[string]string{"Key": servicetest.AdminKey}).b.post("/console/login",
		url.Values{"key": {servicetest.AdminKey}, "next": {"//evil.example/console/"}}).header.Get("Location"))

	kept := b.cookies["posthorn_console"].Value
	b.get("/console").is(http.StatusOK).press("Sign out", nil).is(http.StatusSeeOther)
	_, err := s.Service.SessionOf(t.Context(), kept)
	require.Error(t, err, "it is over for everybody who has the cookie")
	b.get("/console").is(http.StatusSeeOther)

	for _, role := range []models.Role{models.RoleTenant, models.RoleRead} {
		own := s.browser().post("/console/login", url.Values{"key": {s.Key("acme", role)}}).is(http.StatusSeeOther)
		require.Equal(t, "/portal", own.header.Get("Location"))
		require.Contains(t, own.header.Get("Set-Cookie"), "Path=/portal;")
		require.Equal(t, "acme", own.follow().title())
	}
	for _, role := range []models.Role{models.RolePublish, models.RoleSettings} {
		s.browser().post("/console/login", url.Values{"key": {s.Key("acme", role)}}).is(http.StatusForbidden)
	}
}

func TestConsole_APortalLinkIsOpenedOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path, l := s.portalLink(service.LinkRequest{Role: models.RoleTenant, Name: "jane", Theme: map[string]string{"accent": "#0a58ca", "mode": "dark"}})
	b := s.browser()
	b.do(http.MethodHead, path, nil).is(http.StatusOK)
	b.get(path).is(http.StatusOK)
	form := b.get(path).is(http.StatusOK)
	opened := form.press("Open", nil)
	require.Regexp(t, `^posthorn_portal=phs_\w{43}; Path=/portal; Expires=.*; HttpOnly; Secure; SameSite=None; Partitioned$`, opened.header.Get("Set-Cookie"))
	home := opened.follow()
	require.Equal(t, "dark", attribute(all(home.root, "html")[0], "data-mode"))
	require.Contains(t, b.get("/portal/theme.css").is(http.StatusOK).body, "--accent: #0a58ca")
	form.press("Open", nil).follow()
	other := s.browser()
	require.Contains(t, other.get(path).press("Open", nil).is(http.StatusUnauthorized).body, "has been used")

	require.NoError(t, s.Service.RevokePortalLink(t.Context(), "acme", l.ID))
	require.Equal(t, "Signed out", b.get("/portal").is(http.StatusUnauthorized).title())
	gone := s.through(service.LinkRequest{Role: models.RoleRead})
	s.Clock.Advance(time.Hour)
	gone.get("/portal").is(http.StatusUnauthorized)
}

// A logo stands in the place of our name, and only the portal may load it.
func TestConsole_AThemeHasALogo(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(_ *sender.Config, o *service.Options) {
		o.LogoOrigins = []string{"https://cdn.example", "https://img.example:8443"}
	})
	const picture = "https://cdn.example/acme.svg?v=1&dark=no"
	page := s.through(service.LinkRequest{Role: models.RoleRead, Theme: map[string]string{"logo": picture}}).get("/portal").is(http.StatusOK)
	require.Len(t, all(page.root, "img"), 1)
	require.Equal(t, picture, attribute(all(page.root, "img")[0], "src"))
	require.Contains(t, page.header.Get("Content-Security-Policy"), "; img-src 'self' data: https://cdn.example https://img.example:8443; frame-ancestors https://shop.example")
	require.Empty(t, all(s.through(service.LinkRequest{Role: models.RoleRead}).get("/portal").is(http.StatusOK).root, "img"))

	staff := s.signedIn(servicetest.AdminKey)
	for _, path := range []string{"/console", "/console/login", "/portalish", "/console/tenants/acme"} {
		policy := staff.get(path).header.Get("Content-Security-Policy")
		require.Contains(t, policy, "; img-src 'self' data:; frame-ancestors 'none'", path)
	}
}

// The link that dev prints signs the admin in once, from the same machine only.
func TestConsole_TheLocalSignInLink(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	code, err := s.Service.LocalCode(t.Context())
	require.NoError(t, err)
	form := s.browser().get(console.SignInPath(code)).is(http.StatusOK)
	form.press("Open", nil).is(http.StatusForbidden) // from 192.0.2.1
}

// walk returns every page with its parameters filled in.
func (s *site) walk(base string, staff bool, things furniture) (all []console.Page) {
	for _, p := range console.Pages() {
		if p.Staff != staff {
			continue
		}
		path := p.Path
		for kind, id := range map[string]string{"/webhooks/": things.webhook, "/events/": things.event, "/deliveries/": things.delivery,
			"/recoveries/": things.recovery, "/keys/": "key_1"} {
			path = strings.Replace(path, kind+"{id}", kind+id, 1)
		}
		action := "retry"
		if strings.HasPrefix(path, "/webhooks") {
			action = "disable"
		}
		path = strings.NewReplacer("{action}", action, "{name}", "order.created").Replace(path)
		require.NotContains(s.t, path, "{")
		p.Path = base + path
		all = append(all, p)
	}
	return all
}

// furniture is one of each thing that a tenant has.
type furniture struct{ webhook, event, delivery, recovery string }

func (s *site) furnish() (f furniture) {
	s.t.Helper()
	f.webhook = s.Webhook("acme", "https://shop.example/hook?token=t0ken").ID
	f.event = s.Publish("acme", "order.created", `{"order":42}`)
	f.delivery = s.Deliveries("acme", f.event)[0].ID
	recovery, err := s.Service.Recover(s.t.Context(), "acme", f.webhook, service.RecoveryRequest{})
	require.NoError(s.t, err)
	f.recovery = recovery.ID
	return f
}

func (s *site) log() int {
	s.t.Helper()
	rows, _, err := s.Store.AuditLog(s.t.Context(), models.AuditFilter{}, models.Page{Limit: 1000})
	require.NoError(s.t, err)
	return len(rows)
}

func TestConsole_WhoMaySeeAndDoWhat(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	things := s.furnish()
	globex := s.signedIn(s.Tenant("globex"))
	reader, link := s.signedIn(s.Key("acme", models.RoleRead)), s.through(service.LinkRequest{Role: models.RoleRead})
	staff := s.signedIn(servicetest.AdminKey)
	before := s.log()
	form := url.Values{"url": {"https://shop.example/new"}, "role": {"read"}, "name": {"x"}, "id": {"x"}, "system": {"up42"}, "held": {"yes"}}
	for _, p := range s.walk("/portal", false, things) {
		if strings.Contains(p.Path, "_") && p.Path != "/portal/keys/key_1/revoke" { // it names a thing of acme's
			require.Equal(t, http.StatusNotFound, globex.do(p.Method, p.Path, form).status, "%s %s", p.Method, p.Path)
		}
		s.browser().do(p.Method, p.Path, form).is(http.StatusUnauthorized)
		staff.do(p.Method, p.Path, form).is(http.StatusUnauthorized)
		if p.Write {
			reader.do(p.Method, p.Path, form).is(http.StatusForbidden)
			link.do(p.Method, p.Path, form).is(http.StatusForbidden)
		} else {
			reader.do(p.Method, p.Path, form).is(http.StatusOK)
		}
	}
	pages := append(s.walk("/console/tenants/acme", false, things), s.walk("/console", true, furniture{})...)
	for _, p := range pages {
		for _, b := range []*browser{reader, link, s.browser()} {
			b.cookies["posthorn_console"] = &http.Cookie{Name: "posthorn_console", Path: "/console"}
			if own := b.cookies["posthorn_portal"]; own != nil { // a portal's session opens nothing here
				b.cookies["posthorn_console"].Value = own.Value
			}
			status := b.do(p.Method, p.Path, form).status
			require.Contains(t, []int{http.StatusSeeOther, http.StatusUnauthorized}, status, p.Path)
		}
		if p.Method == http.MethodGet {
			staff.get(p.Path).is(http.StatusOK)
		}
	}
	staff.get("/console/tenants/nobody/webhooks").is(http.StatusNotFound)
	link.get("/portal/keys").is(http.StatusForbidden)
	link.get("/portal/audit").is(http.StatusForbidden)
	s.through(service.LinkRequest{Role: models.RoleRead, Capabilities: []string{"keys"}}).get("/portal/keys").is(http.StatusOK)
	s.through(service.LinkRequest{Role: models.RoleTenant}).post("/portal/keys", form).is(http.StatusForbidden)
	s.signedIn(s.key).get("/portal/settings").is(http.StatusForbidden)
	// Only two portal links and a key have been made since.
	require.Equal(t, before+2, s.log())
}

func TestConsole_PagesCarryTheirHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	things := s.furnish()
	staff := s.signedIn(servicetest.AdminKey)
	owner := s.signedIn(s.key)
	pages := append(s.walk("/console/tenants/acme", false, things), s.walk("/console", true, furniture{})...)
	pages = append(pages, s.walk("/portal", false, things)...)
	pages = append(pages, console.Page{Method: "GET", Path: "/console/login"}, console.Page{Method: "GET", Path: "/portal/open?code=x"},
		console.Page{Method: "GET", Path: "/console/nothing"}, console.Page{Method: "GET", Path: "/console/static/style.css"})
	for _, p := range pages {
		if p.Method != http.MethodGet {
			continue
		}
		b, ancestors := staff, "'none'"
		if strings.HasPrefix(p.Path, "/portal") {
			b, ancestors = owner, "https://shop.example"
		}
		d := b.get(p.Path)
		require.Equal(t, "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; img-src 'self' data:; frame-ancestors "+ancestors,
			d.header.Get("Content-Security-Policy"), p.Path)
		require.Equal(t, "no-store", d.header.Get("Cache-Control"), p.Path)
		require.Equal(t, "nosniff", d.header.Get("X-Content-Type-Options"))
		if !strings.Contains(d.header.Get("Content-Type"), "html") {
			continue
		}
		d.title()
		for n := range d.root.Descendants() {
			require.NotEqual(t, "style", n.Data)
			for _, a := range n.Attr {
				require.False(t, a.Key == "style" || strings.HasPrefix(a.Key, "on"), "%s on %s", a.Key, p.Path)
			}
		}
		for _, n := range all(d.root, "input", "select", "textarea") { // each has a name that a screen reader says
			labeled := attribute(n, "type") == "hidden" || slices.ContainsFunc(all(d.root, "label"), func(l *html.Node) bool { return slices.Contains(all(l, n.Data), n) && d.text(l) != "" })
			require.True(t, labeled, "%s on %s", attribute(n, "name"), p.Path)
		}
		for _, secret := range []string{s.key, servicetest.AdminKey, "whsec_", b.cookies[map[*browser]string{staff: "posthorn_console", owner: "posthorn_portal"}[b]].Value} {
			require.NotContains(t, d.body, secret, p.Path)
		}
	}
	reader := s.signedIn(s.Key("acme", models.RoleRead))
	for _, p := range s.walk("/portal", false, things) {
		if p.Method == http.MethodGet {
			require.NotContains(t, reader.get(p.Path).body, "t0ken", "a URL's query is not for readers: %s", p.Path)
		}
	}

	before := s.log()
	owner.header.Set("Sec-Fetch-Site", "cross-site")
	require.Equal(t, http.StatusForbidden, owner.post("/portal/webhooks/"+things.webhook+"/disable", nil).status)
	owner.header.Set("Sec-Fetch-Site", "same-origin")
	require.Equal(t, before, s.log())
	owner.post("/portal/webhooks/"+things.webhook+"/disable", nil).is(http.StatusSeeOther)
}

func TestConsole_AThemeIsAStylesheet(t *testing.T) {
	t.Parallel()
	require.Equal(t, ":root:root {\n  --accent: #ffee00;\n  --on-accent: #000;\n  --link: #736b00;\n  --radius: 4px;\n  --font: Georgia, serif;\n}\n"+
		"@media (prefers-color-scheme: dark) {\n  :root:root:not([data-mode=\"light\"]) { --link: #ffee00; }\n}\n:root:root[data-mode=\"dark\"] { --link: #ffee00; }\n",
		console.Stylesheet(map[string]string{"accent": "#ffee00", "radius": "4", "font": "serif"}))
	require.Contains(t, console.Stylesheet(map[string]string{"accent": "#0a58ca"}), "--on-accent: #fff;")
}
